"""link_ssh against a real sshd, through link_probe."""
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import fixture_sshd
import probe
import processes

BIG = os.urandom(1 << 20) * 8  # more than the channel's window


def ssh(sshd, *words, command="cat", options=(), host="origin", env=None, **kwargs):
    """Run link_probe ssh with the fixture's client configuration. HOME has no keys of its own."""
    environment = {"HOME": sshd.folder, "SSH_AUTH_SOCK": "", "SSH_ASKPASS": "", "DISPLAY": ""}
    environment.update(env or {})
    return probe.run(*options, "ssh", "config=" + sshd.client_config, *words, host, command, env=environment, **kwargs)


def write_script(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)


def read_until(terminal, text, timeout=20):
    """What the terminal shows, up to text, or up to the time-out."""
    said = b""
    deadline = time.monotonic() + timeout
    while text not in said and select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        said += os.read(terminal, 1000)
    return said


class WithSshd(unittest.TestCase):
    """One sshd with host keys of all kinds, for all tests of a class."""

    OPTIONS = ()

    @classmethod
    def setUpClass(cls):
        cls.sshd = fixture_sshd.Sshd(options=cls.OPTIONS)
        cls.sshd.start()
        cls.addClassCleanup(shutil.rmtree, cls.sshd.folder, True)
        cls.addClassCleanup(cls.sshd.stop)
        cls.key = cls.sshd.make_key()

    def run_ssh(self, *words, **kwargs):
        return ssh(self.sshd, "identity=" + self.key, *words, **kwargs)

    def assert_works(self, result):
        self.assertEqual((result.status, result.code), (0, "NONE"), result.stderr)


class Stream(WithSshd):
    def test_copies_both_ways(self):
        result = self.run_ssh(stdin=BIG)
        self.assert_works(result)
        self.assertEqual(result.stdout, BIG)
        self.assertEqual((result.sent, result.received), (len(BIG), len(BIG)))

    def test_pause_holds_back_and_loses_nothing(self):
        result = self.run_ssh(options=("--pause-ms", "3"), stdin=BIG)
        self.assert_works(result)
        self.assertEqual(result.stdout, BIG)

    def test_far_side_that_only_takes(self):
        result = self.run_ssh(command="wc -c", stdin=BIG)
        self.assert_works(result)
        self.assertEqual(int(result.stdout), len(BIG))

    def test_far_side_that_only_gives(self):
        result = self.run_ssh(options=("--no-stdin",), command="head -c 9000000 /dev/zero")
        self.assert_works(result)
        self.assertEqual(result.received, 9000000)

    def test_far_side_that_stops_reading_has_its_last_words(self):
        result = self.run_ssh(command="head -c 10; echo last >&2; exit 3", stdin=BIG)
        self.assertEqual((result.code, len(result.stdout)), ("NO_LINK", 10), result.stderr)
        self.assertIn("ended with status 3: last", result.text)

    def test_close_does_not_wait_for_a_far_program(self):
        result = self.run_ssh(options=("--close-after", "2"), command="echo $$; exec sleep 60")
        self.assert_works(result)
        far = int(result.stdout)
        self.assertTrue(processes.is_alive(far))
        self.addCleanup(processes.kill, [far])

    def test_stderr_is_sanitized(self):
        result = self.run_ssh(command=r"printf 'a\033[2Jb\nc\033]0;t\007d\n' >&2")
        self.assert_works(result)
        self.assertEqual(result.far, ["ab", "cd"])

    def test_exit_status_before_a_byte(self):
        result = self.run_ssh(command="echo why >&2; exit 9")
        self.assertEqual((result.status, result.code), (68, "NO_LINK"))
        self.assertIn("ended with status 9 before it said anything: why", result.text)

    def test_signal(self):
        result = self.run_ssh(command="kill -9 $$")
        self.assertEqual(result.code, "NO_LINK")
        self.assertIn("signal KILL", result.text)

    def test_forced_command(self):
        key = self.sshd.make_key(allowed=False)
        self.sshd.allow(key, 'restrict,command="echo forced"')
        result = ssh(self.sshd, "identity=" + key, command="echo asked for")
        self.assert_works(result)
        self.assertEqual(result.stdout, b"forced\n")

    def test_server_gone_during_a_transfer(self):
        with tempfile.TemporaryFile() as source:
            source.write(BIG)
            source.seek(0)
            child = subprocess.Popen(
                [probe.PROGRAM, "ssh", "config=" + self.sshd.client_config, "identity=" + self.key, "origin",
                 "cat; sleep 30"], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(len(child.stdout.read(1000000)), 1000000)
            self.sshd.end_sessions()
            _, stderr = child.communicate(timeout=20)
        self.assertEqual(child.returncode, 68, stderr)
        self.assertIn(b"the connection broke", stderr)

    def test_server_that_stops_is_noticed(self):
        child = subprocess.Popen(
            [probe.PROGRAM, "--no-stdin", "ssh", "config=" + self.sshd.client_config, "identity=" + self.key,
             "keepalive_s=1", "origin", "echo x; sleep 30"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(child.stdout.read(2), b"x\n")
        stopped = self.sshd.session_pids()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            _, stderr = child.communicate(timeout=20)
        finally:
            self.sshd.end_sessions()
        self.assertEqual(child.returncode, 75, stderr)
        self.assertIn(b"nothing was heard from origin", stderr)


class MissingProgram(WithSshd):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="lockstep-home-")
        self.addCleanup(shutil.rmtree, self.home)

    def test_is_looked_for_in_the_usual_places(self):
        os.mkdir(os.path.join(self.home, "bin"))
        write_script(os.path.join(self.home, "bin", "lockstep-probed"), "#!/bin/sh\nexec cat\n")
        # The login shell's environment is the server's; the home directory is set in front of the command.
        key = self.sshd.make_key(allowed=False)
        self.sshd.allow(key, f'command="HOME={self.home}; eval \\"$SSH_ORIGINAL_COMMAND\\""')
        result = ssh(self.sshd, "identity=" + key, command="lockstep-probed", stdin=b"kept for the second try")
        self.assert_works(result)
        self.assertEqual(result.stdout, b"kept for the second try")
        self.assertEqual((result.sent, result.received), (23, 23))
        self.assertTrue(any("not found" in line for line in result.far), result.far)

    def test_is_said_to_be_missing(self):
        result = self.run_ssh(command="lockstep-nowhere --stdio x", stdin=b"hello")
        self.assertEqual((result.status, result.code), (69, "NO_PROGRAM"))
        self.assertIn("lockstep-origin was not found at origin", result.text)
        self.assertIn("--exe PATH", result.text)
        self.assertIn("not found", result.far[-1])

    def test_too_much_was_written_to_be_kept(self):
        result = self.run_ssh(command="head -c 3000000 >/dev/null; exit 127", stdin=BIG)
        self.assertEqual(result.code, "NO_PROGRAM", result.stderr)


class OutsideSsh(WithSshd):
    def run_outside(self, *words, program="ssh", command="cat", **kwargs):
        return probe.run("outside", program, "config=" + self.sshd.client_config, "identity=" + self.key, *words,
                         "origin", command, **kwargs)

    def test_copies_both_ways(self):
        result = self.run_outside(stdin=BIG)
        self.assert_works(result)
        self.assertEqual(result.stdout, BIG)

    def test_options_reach_it(self):
        script = self.sshd.path("outside_ssh")
        write_script(script, '#!/bin/sh\nfor word; do echo "<$word>"; done\n')
        result = self.run_outside("user=app", "port=2222", "accept_new=1", "known_hosts=/k", "timeout_ms=1500",
                                  "keepalive_s=7", program=script, command="program 'a b'")
        words = result.stdout.decode().splitlines()
        for word in ("<-p2222>", "<-lapp>", "<-oStrictHostKeyChecking=accept-new>", "<-oUserKnownHostsFile=/k>",
                     "<-oConnectTimeout=2>", "<-oServerAliveInterval=7>", f"<{self.key}>"):
            self.assertIn(word, words)
        self.assertEqual(words[-3:-1], ["<-->", "<origin>"])
        self.assertTrue(words[-1].endswith(" program 'a b'>"), words)

    def test_far_program_is_missing(self):
        result = self.run_outside(command="lockstep-nowhere")
        self.assertEqual((result.status, result.code), (69, "NO_PROGRAM"))
        self.assertIn("--exe PATH", result.text)

    def test_ssh_is_missing(self):
        result = self.run_outside(program="/nonexistent/ssh")
        self.assertEqual((result.status, result.code), (69, "NO_PROGRAM"))
        self.assertIn("--ssh PATH", result.text)

    def test_ssh_that_cannot_log_in(self):
        self.sshd.forget_keys()
        self.addCleanup(self.sshd.allow, self.key)
        result = self.run_outside()
        self.assertEqual((result.status, result.code), (68, "NO_LINK"))
        self.assertIn("status 255 before it said anything", result.text)
        self.assertIn("Permission denied", result.text)


class HostKeys(WithSshd):
    def known(self, *lines):
        path = self.sshd.path("other_known_hosts")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(lines)
        return path

    def run_known(self, path, *words, **kwargs):
        return self.run_ssh("known_hosts=" + path, *words, **kwargs)

    def test_a_known_kind_is_asked_for(self):
        for kind in ("ed25519", "ecdsa"):
            self.assert_works(self.run_known(self.known(self.sshd.known_host_line(kind))))

    def test_unknown_is_refused_with_its_fingerprint(self):
        result = self.run_known(self.sshd.path("absent/known_hosts"))
        self.assertEqual((result.status, result.code), (78, "AUTH"))
        shown = subprocess.run(["ssh-keygen", "-lf", self.sshd.host_key("ed25519")], check=True, capture_output=True,
                               text=True).stdout.split()[1]
        self.assertIn(shown, result.text)
        self.assertIn("--accept-new-host-key", result.text)
        self.assertIn(f"ssh-keyscan -t ed25519 -p {self.sshd.port} 127.0.0.1", result.text)
        self.assertFalse(os.path.exists(self.sshd.path("absent/known_hosts")))

    def test_the_advice_for_an_unknown_host_works(self):
        path = self.sshd.path("advised_known_hosts")
        result = self.run_known(path)
        command = re.search(r"`(ssh-keyscan [^`]*)`", result.text).group(1)
        subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)
        self.assert_works(self.run_known(path))

    def test_accept_new_keeps_the_key(self):
        path = self.sshd.path("new/known_hosts")
        self.assert_works(self.run_known(path, "accept_new=1"))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), self.sshd.known_host_line("ed25519"))
        self.assert_works(self.run_known(path))

    def test_accept_new_ends_the_line_before(self):
        path = self.known("other ssh-ed25519 AAAA")
        self.assert_works(self.run_known(path, "accept_new=1"))
        self.assert_works(self.run_known(path))

    def test_accept_new_hashes_names_where_configured(self):
        config = self.sshd.path("hashing_config")
        path = self.sshd.path("hashed_known_hosts")
        shutil.copy(self.sshd.client_config, config)
        with open(config, "a", encoding="utf-8") as file:
            file.write("  HashKnownHosts yes\n")
        self.assert_works(self.run_known(path, "accept_new=1", "config=" + config))
        with open(path, encoding="utf-8") as file:
            self.assertTrue(file.read().startswith("|1|"))
        self.assert_works(self.run_known(path))
        # ssh-keygen finds the name in it, too.
        found = subprocess.run(["ssh-keygen", "-F", f"[127.0.0.1]:{self.sshd.port}", "-f", path], check=False,
                               capture_output=True)
        self.assertEqual(found.returncode, 0)

    def test_hashed_by_ssh_keygen(self):
        path = self.known(self.sshd.known_host_line("ecdsa"))
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        self.assert_works(self.run_known(path))

    def test_changed_is_refused_even_with_accept_new(self):
        other = self.sshd.make_key(allowed=False)
        with open(other + ".pub", encoding="utf-8") as file:
            line = f"[127.0.0.1]:{self.sshd.port} {file.read()}"
        path = self.known("# a comment\n", line)
        result = self.run_known(path, "accept_new=1")
        self.assertEqual((result.status, result.code), (78, "AUTH"))
        self.assertIn("HAS CHANGED", result.text)
        self.assertIn(f"{path}:2", result.text)
        self.assertIn("ssh-keygen -R", result.text)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "# a comment\n" + line)

    def test_a_known_key_of_another_kind_does_not_let_a_new_one_in(self):
        other = self.sshd.make_key("rsa", allowed=False)
        with open(other + ".pub", encoding="utf-8") as file:
            path = self.known(f"[127.0.0.1]:{self.sshd.port} {file.read()}")
        result = self.run_known(path, "accept_new=1")
        self.assertIn("HAS CHANGED", result.text)

    def test_revoked(self):
        line = self.sshd.known_host_line("ed25519")
        result = self.run_known(self.known("@revoked " + line.replace("[127", "*,[127"), line))
        self.assertEqual(result.code, "AUTH")
        self.assertIn("@revoked", result.text)

    def test_certificate_authority_is_explained(self):
        result = self.run_known(self.known("@cert-authority " + self.sshd.known_host_line("ed25519")))
        self.assertEqual(result.code, "AUTH")
        self.assertIn("--ssh ssh", result.text)


class RsaHostKey(unittest.TestCase):
    def test_sha2_only_is_explained(self):
        with fixture_sshd.Sshd(host_key_types=("rsa",)) as sshd:
            result = ssh(sshd, "identity=" + sshd.make_key())
        if result.code == "NONE":
            self.skipTest("this libssh2 knows rsa-sha2")
        self.assertEqual(result.code, "NO_LINK")
        self.assertIn("RSA", result.text)
        self.assertIn("--ssh ssh", result.text)

    def test_an_old_server(self):
        with fixture_sshd.Sshd(host_key_types=("rsa",), options=("HostKeyAlgorithms +ssh-rsa",)) as sshd:
            result = ssh(sshd, "identity=" + sshd.make_key())
        self.assertEqual(result.code, "NONE", result.stderr)


class UserKeys(WithSshd):
    def test_kinds(self):
        for kind, extra in (("ed25519", ()), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "384")),
                            ("ecdsa", ("-b", "521")), ("ecdsa", ("-m", "PEM"))):
            with self.subTest(kind=kind, extra=extra):
                key = self.sshd.make_key(kind, extra=extra)
                self.assert_works(ssh(self.sshd, "identity=" + key, env=probe.ECDSA_LEAK if kind == "ecdsa" else None))

    def test_rsa_is_explained(self):
        result = ssh(self.sshd, "identity=" + self.sshd.make_key("rsa"))
        if result.code == "NONE":
            self.skipTest("this libssh2 knows rsa-sha2")
        self.assertEqual((result.status, result.code), (78, "AUTH"))
        self.assertIn("SHA-1", result.text)
        self.assertIn("ed25519", result.text)
        self.assertIn("--ssh ssh", result.text)

    def test_wrong_key(self):
        key = self.sshd.make_key(allowed=False)
        result = ssh(self.sshd, "identity=" + key)
        self.assertEqual((result.status, result.code), (78, "AUTH"))
        self.assertIn(f"{key}: refused", result.text)
        self.assertIn("authorized_keys", result.text)
        self.assertNotIn("SHA-1", result.text)

    def test_second_identity(self):
        wrong = self.sshd.make_key(allowed=False)
        self.assert_works(ssh(self.sshd, "identity=" + wrong, "identity=" + self.key))

    def test_default_identity(self):
        home = tempfile.mkdtemp(prefix="lockstep-home-")
        self.addCleanup(shutil.rmtree, home)
        os.mkdir(os.path.join(home, ".ssh"))
        shutil.copy(self.key, os.path.join(home, ".ssh", "id_ed25519"))
        self.assert_works(ssh(self.sshd, env={"HOME": home}))

    def test_no_key_at_all(self):
        result = ssh(self.sshd)
        self.assertEqual(result.code, "AUTH")
        self.assertIn("ssh-keygen -t ed25519", result.text)

    def test_missing_identity_file(self):
        result = ssh(self.sshd, "identity=/nonexistent/key")
        self.assertEqual(result.code, "AUTH")
        self.assertIn("/nonexistent/key: there is no such file", result.text)

    def test_key_that_others_may_read(self):
        key = self.sshd.make_key()
        os.chmod(key, 0o644)
        result = ssh(self.sshd, "identity=" + key)
        self.assertEqual(result.code, "AUTH")
        self.assertIn("others may read it", result.text)

    def test_file_that_is_no_key(self):
        path = self.sshd.path("no_key")
        with open(path, "w", encoding="utf-8") as file:
            file.write("hello\n")
        result = ssh(self.sshd, "identity=" + path)
        self.assertEqual(result.code, "AUTH")
        self.assertIn("not a private key", result.text)


class Passphrases(WithSshd):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.encrypted = cls.sshd.make_key("ed25519", passphrase="open sesame")
        cls.calls = cls.sshd.path("askpass_calls")
        cls.askpass = cls.sshd.path("askpass")
        write_script(cls.askpass, f'#!/bin/sh\necho "$1" >>{cls.calls}\ncat {cls.sshd.path("answer")}\n')

    def ask(self, answer, key=None, env=None):
        with open(self.sshd.path("answer"), "w", encoding="utf-8") as file:
            file.write(answer + "\n")
        open(self.calls, "w", encoding="utf-8").close()
        result = ssh(self.sshd, "identity=" + (key or self.encrypted),
                     env={"SSH_ASKPASS": self.askpass, "SSH_ASKPASS_REQUIRE": "force", **(env or {})})
        with open(self.calls, encoding="utf-8") as file:
            return result, file.read().splitlines()

    def test_askpass(self):
        result, calls = self.ask("open sesame")
        self.assert_works(result)
        self.assertEqual(len(calls), 1)
        self.assertIn(self.encrypted, calls[0])

    def test_kinds(self):
        for kind, extra in (("ecdsa", ()), ("ecdsa", ("-m", "PEM"))):
            with self.subTest(kind=kind, extra=extra):
                key = self.sshd.make_key(kind, passphrase="open sesame", extra=extra)
                result, _ = self.ask("open sesame", key=key, env=probe.ECDSA_LEAK)
                self.assert_works(result)

    def test_wrong_passphrase(self):
        result, calls = self.ask("close sesame")
        self.assertEqual(result.code, "AUTH")
        self.assertIn("wrong passphrase", result.text)
        self.assertEqual(len(calls), 3)

    def test_is_not_asked_for_a_key_that_the_server_refuses(self):
        key = self.sshd.make_key(passphrase="open sesame", allowed=False)
        result, calls = self.ask("open sesame", key=key)
        self.assertEqual(result.code, "AUTH")
        self.assertEqual(calls, [])

    def test_askpass_that_fails(self):
        result = ssh(self.sshd, "identity=" + self.encrypted,
                     env={"SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"})
        self.assertEqual(result.code, "AUTH")
        self.assertIn("gave no passphrase", result.text)

    def test_server_gone_while_a_person_is_asked(self):
        askpass = self.sshd.path("slow_askpass")
        asked = self.sshd.path("asked")
        write_script(askpass, f"#!/bin/sh\ntouch {asked}\nread -r answer <{self.sshd.path('fifo')}\necho open sesame\n")
        os.mkfifo(self.sshd.path("fifo"))
        child = subprocess.Popen(
            [probe.PROGRAM, "ssh", "config=" + self.sshd.client_config, "identity=" + self.encrypted, "origin", "cat"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=dict(os.environ, HOME=self.sshd.folder, SSH_AUTH_SOCK="", SSH_ASKPASS=askpass,
                     SSH_ASKPASS_REQUIRE="force"))
        while not os.path.exists(asked):
            time.sleep(0.02)
        self.sshd.end_sessions()
        with open(self.sshd.path("fifo"), "w", encoding="utf-8") as fifo:
            fifo.write("now\n")
        _, stderr = child.communicate(timeout=20)
        self.assertEqual(child.returncode, 68, stderr)
        self.assertIn(b"the server ended the connection", stderr)

    def test_nobody_to_ask(self):
        result = ssh(self.sshd, "identity=" + self.encrypted, start_new_session=True)
        self.assertEqual(result.code, "AUTH")
        self.assertIn("SSH_ASKPASS", result.text)

    def test_terminal(self):
        """On a terminal of its own, typed with a mistake that is taken back."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ.update({"HOME": self.sshd.folder, "SSH_AUTH_SOCK": ""})
            os.environ.pop("SSH_ASKPASS_REQUIRE", None)
            os.execl(probe.PROGRAM, probe.PROGRAM, "--no-stdin", "ssh", "config=" + self.sshd.client_config,
                     "identity=" + self.encrypted, "origin", "echo through")
        said = b""
        try:
            said += read_until(terminal, b"passphrase for key")
            os.write(terminal, b"wrong\x15open sesamx\x7fe\n")
            said += read_until(terminal, b"traffic")
        finally:
            os.kill(pid, signal.SIGKILL if b"traffic" not in said else 0)
            _, status = os.waitpid(pid, 0)
            os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0, said)
        self.assertIn(b"through", said)
        self.assertNotIn(b"sesam", said)


class Agent(WithSshd):
    def setUp(self):
        self.socket = self.sshd.path("agent")
        self.agent = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket], stdout=subprocess.DEVNULL)
        self.addCleanup(self.agent.wait)
        self.addCleanup(self.agent.kill)
        while not os.path.exists(self.socket):
            time.sleep(0.01)
        self.config = self.sshd.path("agent_config")
        with open(self.sshd.client_config, encoding="utf-8") as file:
            text = file.read().replace("  IdentityAgent none\n", "")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def add(self, key):
        subprocess.run(["ssh-add", "-q", key], check=True, env=dict(os.environ, SSH_AUTH_SOCK=self.socket))

    def run_agent(self, *words, **kwargs):
        return ssh(self.sshd, "config=" + self.config, *words, env={"SSH_AUTH_SOCK": self.socket}, **kwargs)

    def tearDown(self):
        self.agent.kill()
        self.agent.wait()
        if os.path.exists(self.socket):
            os.unlink(self.socket)

    def test_kinds(self):
        for kind in ("ed25519", "ecdsa"):
            with self.subTest(kind=kind):
                self.add(self.sshd.make_key(kind))
                self.assert_works(self.run_agent())

    def test_second_key(self):
        self.add(self.sshd.make_key(allowed=False))
        self.add(self.key)
        self.assert_works(self.run_agent())

    def test_rsa_is_explained(self):
        self.add(self.sshd.make_key("rsa"))
        result = self.run_agent()
        if result.code != "NONE":
            self.assertEqual(result.code, "AUTH")
            self.assertIn("SHA-1", result.text)

    def test_public_key_file_chooses_among_the_agents_keys(self):
        for _ in range(7):  # more than the server's MaxAuthTries
            self.add(self.sshd.make_key(allowed=False))
        self.add(self.key)
        result = self.run_agent()
        self.assertEqual(result.code, "AUTH")
        self.assertIn("IdentitiesOnly", result.text)
        with open(self.config, "a", encoding="utf-8") as file:
            file.write(f"  IdentitiesOnly yes\n  IdentityFile {self.key}.pub\n")
        self.assert_works(self.run_agent())

    def test_a_dead_agent_is_passed_over(self):
        self.agent.kill()
        self.agent.wait()
        self.assert_works(self.run_agent("identity=" + self.key))
        result = self.run_agent()
        self.assertEqual(result.code, "AUTH")
        self.assertIn("agent", result.text)

    def test_agent_that_refuses_to_sign(self):
        subprocess.run(["ssh-add", "-q", "-c", self.key], check=True,
                       env=dict(os.environ, SSH_AUTH_SOCK=self.socket))
        result = self.run_agent()
        self.assertEqual(result.code, "AUTH", result.stderr)
        self.assertIn("not signed", result.text)


class Connection(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lockstep-connect-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.config = os.path.join(self.folder, "config")

    def run_config(self, text, *words, host="origin"):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)
        return probe.run("ssh", "config=" + self.config, *words, host, "cat", env={"HOME": self.folder})

    def serve(self, talk):
        """A listener whose first connection is given to talk; its port."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def accept():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                talk(connection)

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    def test_refused(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            result = self.run_config("", f"port={port}", host="127.0.0.1")
        self.assertEqual((result.status, result.code), (68, "NO_LINK"))
        self.assertIn("refused", result.text)
        self.assertIn(str(port), result.text)

    def test_name_not_found(self):
        result = self.run_config("", host="nowhere.invalid")
        self.assertEqual((result.status, result.code), (68, "NO_LINK"))
        self.assertIn("nowhere.invalid", result.text)

    def test_server_that_says_nothing(self):
        port = self.serve(lambda connection: connection.recv(100000) and connection.recv(1))
        result = self.run_config("", f"port={port}", "timeout_ms=600", host="127.0.0.1")
        self.assertEqual((result.status, result.code), (75, "TIMEOUT"))
        self.assertIn("ConnectTimeout", result.text)

    def test_server_that_is_no_ssh_server(self):
        port = self.serve(lambda connection: connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n"))
        result = self.run_config("", f"port={port}", host="127.0.0.1")
        self.assertEqual((result.status, result.code), (68, "NO_LINK"))
        self.assertIn("SSH server", result.text)

    def test_address_that_does_not_answer(self):
        # A listener whose queue is full lets connections hang.
        with socket.socket() as listener, socket.socket() as first:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            port = listener.getsockname()[1]
            waiting = [first]
            first.connect(("127.0.0.1", port))
            for _ in range(4):
                more = socket.socket()
                more.setblocking(False)
                more.connect_ex(("127.0.0.1", port))
                waiting.append(more)
            result = self.run_config("", f"port={port}", "timeout_ms=500", host="127.0.0.1")
            for connection in waiting:
                connection.close()
        self.assertEqual((result.status, result.code), (75, "TIMEOUT"))
        self.assertIn("timed out", result.text)

    def test_what_needs_an_outside_ssh(self):
        for line in ("ProxyJump bastion", "ProxyCommand nc %h %p", "Match exec \"true\"\n  Port 1"):
            with self.subTest(line=line):
                result = self.run_config(f"Host origin\n  HostName 127.0.0.1\n{line}\n")
                self.assertEqual((result.status, result.code), (64, "USAGE"))
                self.assertIn("--ssh ssh", result.text)

    def test_missing_configuration(self):
        result = probe.run("ssh", "config=/nonexistent/config", "origin", "cat")
        self.assertEqual((result.status, result.code), (64, "USAGE"))


class Addresses(WithSshd):
    def test_every_address_is_tried(self):
        """Nothing listens at ::1, which comes first."""
        addresses = [found[4][0] for found in socket.getaddrinfo("localhost", 22, type=socket.SOCK_STREAM)]
        if set(addresses) != {"::1", "127.0.0.1"}:
            self.skipTest("localhost has one address only here")
        result = self.run_ssh("known_hosts=" + self.sshd.path("localhost_known_hosts"), "accept_new=1",
                              f"port={self.sshd.port}", f"user={self.sshd.user}", host="localhost")
        self.assert_works(result)

    def test_only_the_wrong_family(self):
        config = self.sshd.path("inet6_config")
        with open(config, "w", encoding="utf-8") as file:
            file.write("AddressFamily inet6\n")
        result = self.run_ssh("config=" + config, f"port={self.sshd.port}", host="127.0.0.1")
        self.assertEqual(result.code, "NO_LINK")


class Servers(unittest.TestCase):
    def test_keys_are_exchanged_anew_during_a_transfer(self):
        with fixture_sshd.Sshd(options=("RekeyLimit 2M",)) as sshd:
            result = ssh(sshd, "identity=" + sshd.make_key(), stdin=BIG)
        self.assertEqual(result.code, "NONE", result.stderr)
        self.assertEqual(result.stdout, BIG)

    def test_password_only(self):
        options = ("PubkeyAuthentication no", "PasswordAuthentication yes", "PermitRootLogin yes")
        with fixture_sshd.Sshd(options=options) as sshd:
            result = ssh(sshd, "identity=" + sshd.make_key())
        self.assertEqual((result.status, result.code), (78, "AUTH"))
        self.assertIn("password", result.text)
        self.assertIn("--ssh ssh", result.text)


if __name__ == "__main__":
    unittest.main()

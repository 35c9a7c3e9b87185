"""pull, push, run and the sqlite3_rsync form over a real sshd: both ways of reaching it, host keys, forced commands, broken sessions."""
import os
import re
import shutil
import unittest

import cli
import fixture_sshd


class OverSsh(cli.Case):
    """One sshd for all tests of a class. The far programs' HOME and PATH are the test's."""

    @classmethod
    def setUpClass(cls):
        cls.sshd = fixture_sshd.Sshd(options=cls.far_environment())
        cls.sshd.start()
        cls.addClassCleanup(shutil.rmtree, cls.sshd.folder, True)
        cls.addClassCleanup(cls.sshd.stop)
        cls.key = cls.sshd.make_key()

    @classmethod
    def far_environment(cls):
        return [f"SetEnv PATH={cli.BIN}:/usr/bin:/bin"]

    def setUp(self):
        super().setUp()
        self.sshd.forget_keys()
        self.sshd.allow(self.key)
        os.mkdir(self.path("home", ".ssh"), 0o700)
        self.known_hosts = self.path("home", ".ssh", "known_hosts")
        shutil.copy(self.sshd.known_hosts, self.known_hosts)
        shutil.copy(self.key, self.path("home", ".ssh", "id_ed25519"))
        shutil.copy(self.key + ".pub", self.path("home", ".ssh", "id_ed25519.pub"))
        self.far, self.local = self.path("far.db"), self.path("local.db")
        cli.make_counter(self.far, 7, rows=100)
        self.host = f"{self.sshd.user}@127.0.0.1"
        self.url = self.url_of(self.far)

    def url_of(self, path):
        return f"ssh://{self.host}:{self.sshd.port}{path}"

    def pull(self, *words, url=None, **kwargs):
        return self.lockstep("pull", *words, url or self.url, self.local, **kwargs)

    def push(self, *words, url=None, **kwargs):
        return self.lockstep("push", *words, self.local, url or self.url, **kwargs)

    def assert_same(self):
        self.assertEqual(cli.content(self.far), cli.content(self.local))


class Commands(OverSsh):
    def test_pull_push_status_verify_by_url(self):
        self.assert_status(self.pull(), 0)
        self.assert_same()
        cli.add(self.local)
        self.assert_status(self.push(), 0)
        self.assertEqual(cli.count(self.far), 8)
        self.assert_same()
        self.assertIn("in sync", self.assert_status(self.lockstep("status", self.url, self.local), 0).stdout)
        self.assert_status(self.lockstep("verify", self.url, self.local), 0)

    def test_history_diff_dry_run_resolve(self):
        self.assert_status(self.pull(), 0)
        cli.add(self.local)
        self.assert_status(self.push("--instance", "iad/app/1"), 0)
        told = cli.json_of(self.assert_status(self.lockstep("history", "--json", self.url), 0))
        self.assertEqual([row["instance"] for row in told["versions"]], ["iad/app/1", ""])
        cli.add(self.local)
        told = cli.json_of(self.assert_status(self.lockstep("diff", "--json", self.url, self.local), 0))
        self.assertEqual([(row["name"], row["pages_differing"]) for row in told["rows"]], [("counter", 1)])
        self.assertEqual(cli.json_of(self.assert_status(self.push("-n", "--json"), 0))["pages_differing"], 1)
        cli.add(self.far, 100)
        result = self.assert_status(self.push(), "STALE_BASE", "without Lockstep", "lockstep resolve")
        result = self.assert_status(self.lockstep("resolve", "--take-origin", "--bwlimit", "1M", "--json", self.url, self.local), 0)
        self.assertEqual((cli.count(self.local), cli.count(cli.json_of(result)["kept"])), (108, 9))
        self.assert_same()

    def test_host_and_path_with_port(self):
        for option in (["-p", str(self.sshd.port)], [f"--port={self.sshd.port}"]):
            self.assert_status(self.pull(*option, url=f"{self.host}:{self.far}"), 0)
            self.assert_same()
            cli.add(self.local)
            self.assert_status(self.push(*option, url=f"127.0.0.1:{self.far}", env={"USER": self.sshd.user}), 0)
            self.assert_same()

    def test_alias_of_ssh_config(self):
        with open(self.path("home", ".ssh", "config"), "w", encoding="utf-8") as file:
            file.write(f"Host db\n HostName 127.0.0.1\n Port {self.sshd.port}\n User {self.sshd.user}\n")
        self.assert_status(self.pull(url="db:" + self.far), 0)
        self.assert_same()

    def test_run(self):
        result = self.lockstep("run", "--lock", "file://" + self.path("lock"), self.url, self.local, "--", *cli.INCREMENT)
        self.assert_status(result, 0, "lock acquired, token 1", "pulled version", "pushed version", "lock released")
        self.assertEqual(cli.count(self.far), 8)
        self.assert_same()

    def test_path_with_spaces_quotes_and_letters(self):
        for name in ("two  words.db", "it's \"quoted\" `pwd` $HOME.db", "-dash.db", "é ü 漢.db", "back\\slash;&|<>.db"):
            far = self.path("dir", name)
            os.makedirs(self.path("dir"), exist_ok=True)
            cli.make_counter(far, 3)
            for number, endpoint in enumerate((f"{self.host}:{far}", self.url_of(far.replace("%", "%25")))):
                local = self.path(f"copy-{number}.db")
                self.assert_status(self.lockstep("pull", "-p", str(self.sshd.port), endpoint, local), 0)
                self.assertEqual(cli.content(far), cli.content(local))
                for tail in ("", "-lockstep", "-lockstep-base"):
                    if os.path.exists(local + tail):
                        os.remove(local + tail)

    def test_path_of_the_home_directory(self):
        """host:name and ssh://host/~/name begin at the far home, as with scp."""
        name = f"lockstep-test-{os.getpid()}.db"
        far = os.path.join(os.path.expanduser("~" + self.sshd.user), name)
        for tail in ("", "-lockstep", "-wal", "-shm"):
            self.addCleanup(lambda path=far + tail: os.path.exists(path) and os.remove(path))
        cli.make_counter(far, 5)
        self.assert_status(self.pull("-p", str(self.sshd.port), url=f"{self.host}:{name}"), 0)
        self.assertEqual(cli.count(self.local), 5)
        self.assert_status(self.lockstep("status", self.url_of(f"/~/{name}"), self.local), 0)


class Sqlite3Rsync(OverSsh):
    def setUp(self):
        super().setUp()
        self.program = self.path("sqlite3_rsync")
        os.symlink(cli.LOCKSTEP, self.program)
        # For `--ssh ssh`: OpenSSH reads the configuration of the passwd entry's home, not of $HOME.
        self.ssh = cli.write_script(
            self.path("my ssh"),
            f"#!/bin/sh\nexec ssh -F none -o UserKnownHostsFile='{self.known_hosts}' -o IdentityFile='{self.key}' \"$@\"\n")

    def test_both_directions_by_both_ways_of_reaching_it(self):
        port = str(self.sshd.port)
        for words in (["-p", port], ["--ssh", self.ssh, "-p", port]):
            for host in (self.host, "127.0.0.1"):
                cli.add(self.far)
                env = {"USER": self.sshd.user, "LOGNAME": self.sshd.user}
                result = self.run_program(self.program, *words, f"{host}:{self.far}", self.local, env=env)
                self.assert_status(result, 0)
                self.assertEqual((result.stdout, result.stderr), ("", ""))
                self.assert_same()
                cli.add(self.local, 10)
                result = self.run_program(self.program, self.local, f"{host}:{self.far}", "-v", *words, env=env)
                self.assert_status(result, 0)
                self.assertRegex(result.stdout, r"\Asent [\d,]+ bytes, received [\d,]+ bytes.*\ntotal size [\d,]+")
                self.assert_same()

    def test_far_replica_is_made(self):
        far = self.path("new.db")
        result = self.run_program(self.program, "-p", str(self.sshd.port), self.far, f"{self.host}:{far}")
        self.assert_status(result, 0)
        self.assertEqual(cli.content(far), cli.content(self.far))

    def test_empty_never_replaces_full_over_there(self):
        cli.execute(self.local, "create table t(x)", "drop table t")
        before = cli.content(self.far)
        words = [self.program, "-p", str(self.sshd.port), self.local, f"{self.host}:{self.far}"]
        self.assert_status(self.run_program(*words), "FOREIGN_LINEAGE", "--force-reset")
        self.assertEqual(cli.content(self.far), before)
        self.assert_status(self.run_program(*words, "--force-reset"), 0)
        self.assertEqual(cli.content(self.far), cli.content(self.local))

    def test_wrong_port_is_no_link(self):
        port = str(fixture_sshd.free_port())
        result = self.run_program(self.program, "-p", port, f"{self.host}:{self.far}", self.local)
        self.assert_status(result, "NO_LINK", "127.0.0.1", port)


class HostKeys(OverSsh):
    def setUp(self):
        super().setUp()
        open(self.known_hosts, "w", encoding="utf-8").close()

    def test_unknown_is_refused_with_the_way_to_add_it(self):
        result = self.assert_status(self.pull(), "AUTH", "the host key of 127.0.0.1 is not known", "SHA256:", "ssh-keyscan",
                                    "--accept-new-host-key")
        self.assertFalse(os.path.exists(self.local), result)

    def test_accepted_once_then_known(self):
        result = self.assert_status(self.pull("--accept-new-host-key"), 0, "was added to " + self.known_hosts)
        result = self.assert_status(self.pull(), 0)
        self.assertNotIn("was added", result.stderr)
        self.assert_same()

    def test_changed_is_refused_even_then(self):
        other = self.path("other")
        fixture_sshd.keygen("-t", "ed25519", "-f", other)
        with open(other + ".pub", encoding="utf-8") as file:
            blob = " ".join(file.read().split()[:2])
        with open(self.known_hosts, "w", encoding="utf-8") as file:
            file.write(f"[127.0.0.1]:{self.sshd.port} {blob}\n")
        for words in ([], ["--accept-new-host-key"]):
            self.assert_status(self.pull(*words), "AUTH", "THE HOST KEY OF 127.0.0.1 HAS CHANGED", "ssh-keygen -R",
                               self.known_hosts)
        self.assertFalse(os.path.exists(self.local))

    def test_user_key_is_refused(self):
        shutil.copy(self.sshd.known_hosts, self.known_hosts)
        self.sshd.forget_keys()
        self.assert_status(self.pull(), "AUTH", self.sshd.user, "127.0.0.1", "authorized_keys")


class ForcedCommand(OverSsh):
    """authorized_keys: command="lockstep-origin --stdio --root DIR --allow pull"."""

    def setUp(self):
        super().setUp()
        self.root = self.path("root")
        os.makedirs(os.path.join(self.root, "sub"))
        self.far = os.path.join(self.root, "sub", "far.db")
        cli.make_counter(self.far, 7)
        self.secret = self.path("secret.db")
        cli.make_counter(self.secret, 42)
        self.url = self.url_of(self.far)

    def force(self, *words):
        command = f"{cli.ORIGIN} --stdio --root {self.root} {' '.join(words)}"
        self.sshd.forget_keys()
        self.sshd.allow(self.key, f'restrict,command="{command}"')

    def test_pull_only(self):
        self.force("--allow", "pull")
        self.assert_status(self.pull(), 0)
        self.assert_same()
        cli.add(self.local)
        before = cli.content(self.far)
        self.assert_status(self.push(), "NOT_ALLOWED", "the origin does not let this link push", self.url, "--allow")
        self.assertEqual(cli.content(self.far), before)
        # Nor does it move the fence, which would lock those out who may push.
        result = self.lockstep("run", "--lock", "file://" + self.path("lock"), "--discard", self.url, self.local, "--", "true")
        self.assert_status(result, "NOT_ALLOWED", "may not push")
        self.assertIn("token: 0", self.lockstep("status", self.url, self.local).stdout)

    def test_push_only(self):
        self.force("--allow", "push")
        cli.make_counter(self.local, 8)
        self.assert_status(self.pull("--adopt"), "NOT_ALLOWED", "the origin does not let this link pull")
        self.assert_status(self.push("--adopt"), 0)
        self.assert_same()

    def test_both_are_allowed_without_allow(self):
        self.force()
        self.assert_status(self.pull(), 0)
        cli.add(self.local)
        self.assert_status(self.push(), 0)
        self.assert_same()

    def test_path_below_the_root_may_be_relative(self):
        self.force()
        self.assert_status(self.pull("-p", str(self.sshd.port), url=f"{self.host}:sub/far.db"), 0)
        self.assert_same()

    def test_outside_of_the_root(self):
        self.force()
        os.symlink(self.secret, os.path.join(self.root, "link.db"))
        os.symlink(self.folder, os.path.join(self.root, "up"))
        os.mkdir(self.path("root-not"))
        shutil.copy(self.secret, self.path("root-not", "x.db"))
        for path in (self.secret, "../secret.db", "sub/../../secret.db", f"{self.root}/../secret.db", "link.db",
                     f"{self.root}/link.db", "up/secret.db", "up/new.db", self.path("root-not", "x.db"), "/etc/passwd", "..",
                     self.root + "-not/x.db", "up/root-not/../secret.db"):
            url = f"{self.host}:{path}"
            result = self.pull("-p", str(self.sshd.port), url=url)
            self.assertIn(result.status, (cli.EXIT["NOT_ALLOWED"], cli.EXIT["NO_DATABASE"]), result)
            if os.path.realpath(os.path.join(self.root, path)) != os.path.join(self.root, path) or not path.startswith(self.root):
                self.assert_status(result, "NOT_ALLOWED", "is not below", path)
            self.assertFalse(os.path.exists(self.local), result)
            self.assertNotIn("42", result.stdout)
        self.assertEqual(sorted(os.listdir(self.path("root-not"))), ["x.db"])

    def test_push_outside_of_the_root_makes_nothing(self):
        self.force()
        cli.make_counter(self.local, 1)
        os.symlink(self.path("new.db"), os.path.join(self.root, "dangling.db"))
        for path in ("../new.db", self.path("new.db"), "dangling.db"):
            result = self.push("-p", str(self.sshd.port), url=f"{self.host}:{path}")
            self.assert_status(result, "NOT_ALLOWED", path)
        self.assertFalse(os.path.exists(self.path("new.db")))

    def test_what_does_not_exist_below_the_root(self):
        self.force()
        self.assert_status(self.pull(url=self.url_of(self.root + "/none.db")), "NO_DATABASE")
        self.assert_status(self.pull(url=self.url_of(self.root + "/no/folder/none.db")), "NO_DATABASE", "none.db")
        cli.make_counter(self.local, 1)
        self.assert_status(self.push(url=self.url_of(self.root + "/new.db")), 0)
        self.assertEqual(cli.count(self.root + "/new.db"), 1)

    def test_arbitrary_commands(self):
        self.force("--allow", "pull")
        witness = self.path("witness")
        ssh = ["ssh", "-F", "none", "-o", f"UserKnownHostsFile={self.known_hosts}", "-i", self.key, "-p", str(self.sshd.port),
               self.host]
        for command in (f"touch {witness}", f"lockstep-origin --stdio -- x; touch {witness}", "sh",
                        f"lockstep-origin --stdio --allow push -- $(touch {witness})", "",
                        f"lockstep-origin --root / --stdio -- {self.secret}", "lockstep-origin --stdio -- " + "../" * 9 + "etc/passwd"):
            result = self.run_program(*ssh, *([command] if command else []))
            self.assertIn(result.status, (cli.EXIT["NOT_ALLOWED"], cli.EXIT["NO_DATABASE"], cli.EXIT["USAGE"]), result)
        self.assertFalse(os.path.exists(witness))


class FarSide(OverSsh):
    """What may be wrong over there."""

    def test_program_is_missing(self):
        for words in ([], ["--ssh", self.outside_ssh()]):
            result = self.pull("--exe", "no-such-origin", *words)
            self.assert_status(result, "NO_PROGRAM", "127.0.0.1", "--exe", "install")
            result = self.pull("--exe", self.path("no-such-origin"), *words)
            self.assert_status(result, "NO_PROGRAM", "127.0.0.1", "--exe")
            self.assertFalse(os.path.exists(self.local))

    def outside_ssh(self):
        return cli.write_script(
            self.path("my-ssh"), f"#!/bin/sh\nexec ssh -F none -o UserKnownHostsFile={self.known_hosts} -i {self.key} \"$@\"\n")

    def test_stderr_comes_without_terminal_escapes(self):
        exe = cli.write_script(self.path("noisy-origin"),
                               f"#!/bin/sh\nprintf 'disk \\033[31mnearly\\033[0m full\\033]0;title\\007\\r\\n' >&2\nexec {cli.ORIGIN} \"$@\"\n")
        result = self.assert_status(self.pull("--exe", exe), 0, "far side: disk nearly full\n")
        self.assertNotIn("\x1b", result.stderr)
        self.assertNotIn("title", result.stderr)

    def test_error_text_of_a_hostile_origin_is_harmless(self):
        """An ERROR message (frame, msgpack array of type, name and text) with escapes and a second line in it."""
        text = b"\x1b]0;owned\x07all \x1b[2Jgone\nlockstep: pulled version 9"
        cli.make_counter(self.local, 1)
        before = cli.content(self.local)
        exe = self.path("hostile-origin")
        cli.write_script(exe, "#!/usr/bin/env python3\nimport sys, struct\n"
                         f"text = {text!r}\nname = b'IO'\n"
                         "body = bytes([0x93]) + bytes([ERROR_TYPE]) + bytes([0xa0 | len(name)]) + name + bytes([0xd9, len(text)]) + text\n"
                         "sys.stdout.buffer.write(struct.pack('>I', len(body)) + body)\n".replace("ERROR_TYPE", str(error_type())))
        result = self.assert_status(self.pull("--exe", exe), "PROTOCOL", "error.text")
        self.assertNotIn("\x1b", result.stderr)
        self.assertNotRegex(result.stderr, r"(?m)^lockstep: pulled")
        self.assertEqual(cli.content(self.local), before)

    def test_noise_on_stdout_is_shown(self):
        rows = (("echo 'Welcome to db1!'", '"Welcome to db1!'),
                ("printf '\\033[1mLast login\\033[0m: today'", '"Last login: today'),
                ("printf 'ok'; exit 0", '"ok"'),
                ("echo 'This account is currently not available.'; exit 1", '"This account is currently not available."'))
        for noise, shown in rows:
            self.sshd.forget_keys()
            self.sshd.allow(self.key, f'command="{noise}; exec {cli.ORIGIN} --stdio {self.far}"')
            for words in ([], ["--ssh", self.outside_ssh()]):
                result = self.assert_status(self.pull(*words), "PROTOCOL", "what comes from the origin is not Lockstep's protocol",
                                            shown, "~/.bashrc", self.url)
                self.assertNotIn("\x1b", result.stderr)
                self.assertFalse(os.path.exists(self.local))

    def test_noise_of_a_shell_start_up_file(self):
        home = self.path("far-home")
        os.mkdir(home)
        with open(os.path.join(home, ".bashrc"), "w", encoding="utf-8") as file:
            file.write("echo sourced .bashrc\n")
        self.sshd.forget_keys()
        self.sshd.allow(self.key, f'command="HOME={home} SHLVL=0 exec bash -c \\". $HOME/.bashrc; $SSH_ORIGINAL_COMMAND\\""'
                        .replace("$HOME/", home + "/"))
        self.assert_status(self.pull(), "PROTOCOL", '"sourced .bashrc')

    def test_sshd_is_killed_during_a_transfer(self):
        """In both directions: exit 68, never 0, both databases whole, and the next attempt goes through."""
        slow = cli.write_script(self.path("slow-origin"), f"#!/bin/sh\n{cli.ORIGIN} \"$@\" | (stdbuf -o0 head -c 300000; touch {self.path('sent')}; sleep 600)\n")
        cli.execute(self.far, "with recursive c(i) as (select 1 union all select i+1 from c where i<2000) "
                    "insert into pad(bytes) select randomblob(1000) from c")
        before = cli.content(self.far)
        pulling = self.start("pull", "--exe", slow, self.url, self.local)
        cli.poll(lambda: os.path.exists(self.path("sent")), "a part of the pull")
        self.sshd.end_sessions()
        self.assert_status(pulling.finish(), "NO_LINK", self.url)
        self.assertFalse(os.path.exists(self.local))
        self.assertEqual(cli.content(self.far), before)
        self.assert_status(self.pull(), 0)
        self.assert_same()

        cli.execute(self.local, "update pad set bytes=randomblob(1000)")
        stuck = cli.write_script(self.path("stuck-origin"), f"#!/bin/sh\n(stdbuf -o0 head -c 300000; touch {self.path('half')}; sleep 600) "
                                 f"| {cli.ORIGIN} \"$@\"\n")
        pushing = self.start("push", "--exe", stuck, self.local, self.url)
        cli.poll(lambda: os.path.exists(self.path("half")), "a part of the push")
        self.sshd.end_sessions()
        self.assert_status(pushing.finish(), "NO_LINK", self.url)
        self.assertEqual(cli.content(self.far), before)
        self.assert_status(self.push(), 0)
        self.assert_same()

    def test_far_program_dies(self):
        for body in ("kill -9 $$", "exit 3", f"{cli.ORIGIN} \"$@\" | (head -c 50; kill -9 0)"):
            exe = cli.write_script(self.path("dying-origin"), f"#!/bin/sh\necho last words >&2\n{body}\n")
            result = self.assert_status(self.pull("--exe", exe), "NO_LINK", "last words")
            self.assertFalse(os.path.exists(self.local), result)


def error_type():
    """The number of the message ERROR."""
    source = os.path.join(os.environ["LOCKSTEP_SOURCE"], "protocol", "PROTOCOL.md")
    with open(source, encoding="utf-8") as file:
        return int(re.search(r"^### (\d+) ERROR$", file.read(), re.M).group(1))


if __name__ == "__main__":
    unittest.main()

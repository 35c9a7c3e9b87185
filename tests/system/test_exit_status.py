"""The table of exit statuses: each is produced once, and its text says what was being done, where, and what to do next."""
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import unittest

import cli
import fixture_sshd

SOURCE = os.environ["LOCKSTEP_SOURCE"]


def source(*names):
    with open(os.path.join(SOURCE, *names), encoding="utf-8") as file:
        return file.read()


class Table(unittest.TestCase):
    def test_header_readme_and_tests_agree(self):
        rows = re.findall(r"^    X\((\w+), (\d+), ", source("protocol", "base", "error.h"), re.M)
        header = {name: int(status) for name, status in rows}
        readme = {name: int(status) for status, name in re.findall(r"^\| (\d+) \| (\w+) \|", source("README.md"), re.M)}
        self.assertEqual(header, cli.EXIT)
        self.assertEqual(readme, cli.EXIT)
        self.assertEqual(len(set(cli.EXIT.values())), len(cli.EXIT))

    def test_each_has_a_test_here(self):
        tested = {name.removeprefix("test_").upper() for name in dir(Statuses) if name.startswith("test_")}
        self.assertEqual(tested, set(cli.EXIT))


class Statuses(cli.Case):
    """Each test is named after its status."""

    def setUp(self):
        super().setUp()
        self.origin, self.local = self.path("origin.db"), self.path("local.db")
        cli.make_counter(self.origin)

    def status(self):
        return self.id().rsplit(".test_", 1)[1].upper()

    def fails(self, *words, doing, where, do, **kwargs):
        """Run lockstep: the status of this test's name, and a single text with the three parts."""
        result = self.lockstep(*words, **kwargs)
        self.assert_status(result, self.status())
        line = result.stderr.splitlines()[-1]
        for part in (doing, where, do):
            self.assertIn(part, line, result)
        return result

    def pull(self, *options):
        return ["pull", *options, self.origin, self.local]

    def push(self, *options):
        return ["push", *options, self.local, self.origin]

    def synced(self):
        self.assert_status(self.lockstep(*self.pull()), 0)

    def script(self, text):
        return cli.write_script(self.path("script"), text)

    def test_usage(self):
        self.fails("pull", "--discrad", "a", "b", doing="there is no option", where="--discrad", do="--help")

    def test_not_a_database(self):
        with open(self.origin, "wb") as file:
            file.write(b"no database at all\n" * 1000)
        self.fails(*self.pull(), doing="pulling", where=self.origin, do="is it the right path?")

    def test_no_database(self):
        os.remove(self.origin)
        self.fails(*self.pull(), doing="pulling", where=self.origin, do="push one first")

    def test_no_link(self):
        url = f"ssh://127.0.0.1:{fixture_sshd.free_port()}/x.db"
        self.fails("pull", url, self.local, doing="pulling", where=url, do="is it running, and is the port right?")

    def test_no_program(self):
        exe = self.path("no-such-program")
        self.fails(*self.pull("--exe", exe), doing="starting", where=exe, do="--exe PATH")

    def test_io(self):
        """A file that may not grow: the write fails, the local database is as it was."""
        cli.make_counter(self.local, 5)
        before = cli.content(self.local)
        cli.execute(self.origin, "with recursive c(i) as (select 1 union all select i+1 from c where i<300) "
                    "insert into pad(bytes) select randomblob(1000) from c")
        cli.execute(self.local, wal=False)

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        self.fails(*self.pull("--adopt"), doing="pulling", where=self.local, do="File too large; the file is larger than may be written here: see `ulimit -f`", preexec_fn=limit,
                   restore_signals=False)
        self.assertEqual(cli.content(self.local), before)

    def test_timeout(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", fixture_sshd.free_port()))
            silent.listen()
            url = f"ssh://127.0.0.1:{silent.getsockname()[1]}/x.db"
            self.fails("pull", "--connect-timeout", "300ms", url, self.local, doing="connecting to", where=url, do="--connect-timeout")

    def test_protocol(self):
        exe = self.script("#!/bin/sh\necho hello\n")
        self.fails(*self.pull("--exe", exe), doing="pulling", where=self.origin, do="let it print to stderr")

    def test_not_allowed(self):
        self.synced()
        cli.add(self.local)
        exe = self.script(f"#!/bin/sh\nexec {cli.ORIGIN} --allow pull \"$@\"\n")
        self.fails(*self.push("--exe", exe), doing="pushing", where=self.origin, do="a key that may push")

    def test_auth(self):
        with fixture_sshd.Sshd() as sshd:
            url = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{self.origin}"
            self.fails("pull", url, self.local, doing="pulling", where=url, do="--accept-new-host-key")

    def test_busy(self):
        """On either side, and said which."""
        self.synced()
        cli.add(self.origin)
        for locked, words in ((self.local, self.pull()), (self.origin, self.push("--adopt", "--force-reset"))):
            if locked == self.origin:
                cli.add(self.local, 10)
            with contextlib.closing(sqlite3.connect(locked, isolation_level=None)) as other:
                other.execute("begin immediate")
                self.fails(*words, "--timeout", "300ms", doing="pulling" if locked == self.local else "pushing", where=locked,
                           do="--timeout")

    def test_verify_failed(self):
        self.synced()
        cli.add(self.local)
        self.fails("verify", self.origin, self.local, doing="contents", where=self.origin, do="lockstep status")

    def test_stale_base(self):
        self.synced()
        cli.add(self.origin)
        cli.add(self.local, 5)
        self.fails(*self.push(), doing="pushing", where=self.origin, do="lockstep resolve --take-origin")

    def test_foreign_lineage(self):
        cli.make_counter(self.local, 9)
        self.fails(*self.pull(), doing="pulling", where=self.local, do="--adopt")

    def test_unpushed(self):
        self.synced()
        cli.add(self.local)
        cli.add(self.origin, 2)
        self.fails(*self.pull(), doing="pulling", where=self.local, do="--discard")

    def lock(self):
        return "file://" + self.path("lock")

    def test_lock_held(self):
        self.assert_status(self.lockstep("lock", "acquire", "--instance", "the-other", self.lock()), 0)
        words = ["run", "--lock", self.lock(), "--lock-wait", "0", self.origin, self.local, "--", "true"]
        self.fails(*words, doing="the-other", where=self.lock(), do="lockstep lock break")

    def test_lock_lost(self):
        job = self.script(f"#!/bin/sh\ntouch {self.path('begun')}\nexec sleep 100\n")
        running = self.start("run", "--lock", self.lock(), "--lock-timeout", "2s", self.origin, self.local, "--", job)
        cli.poll(lambda: os.path.exists(self.path("begun")), "the job's beginning")
        self.assert_status(self.lockstep("lock", "break", "--instance", "the-other", self.lock()), 0)
        result = self.assert_status(running.finish(), "LOCK_LOST", self.lock(), "taken by the-other", "nothing is pushed", self.local)
        self.assertNotIn("pushed version", result.stderr)

    def test_fenced(self):
        self.assert_status(self.lockstep("run", "--lock", self.lock(), self.origin, self.local, "--", "true"), 0)
        cli.add(self.local)
        self.fails(*self.push(), doing="pushing", where=self.origin, do="--token and --lease")

    def test_store_unusable(self):
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        url = "file://" + self.path("file", "lock")
        self.fails("lock", "acquire", "--lock-wait", "0", url, doing="the lock's file", where=url, do="is it the right path?")

    def test_disk_full(self):
        """A file system of half a megabyte, in a mount namespace of its own."""
        os.mkdir(self.path("small"))
        cli.execute(self.origin, "with recursive c(i) as (select 1 union all select i+1 from c where i<1000) "
                    "insert into pad(bytes) select randomblob(1000) from c")
        local = self.path("small", "local.db")
        mount = f"mount -t tmpfs -o size=512k tmpfs '{self.path('small')}' || exit 99; exec \"$@\""
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        if shutil.which("unshare") is None or subprocess.run([*unshare, "sh", "-c", mount, "sh", "true"], check=False,
                                                            stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no mount namespace can be made here")
        result = self.run_program(*unshare, "sh", "-c", mount, "sh", cli.LOCKSTEP, "pull", self.origin, local)
        self.assert_status(result, "DISK_FULL", "pulling", local, "make room")

    def test_page_size(self):
        self.synced()
        cli.execute(self.local, "pragma journal_mode=delete", "pragma page_size=8192", "vacuum")
        self.fails(*self.push(), doing="pushing", where=self.origin, do="--replace")

    def test_internal(self):
        """An origin that fails in a way that this version has no name for, as a newer one may."""
        exe = self.script(f"#!/bin/sh\n{cli.ORIGIN} --root {self.home} \"$@\" | LC_ALL=C sed 's/NOT_ALLOWED/NOT_A_THING/'\n")
        result = self.lockstep(*self.pull("--exe", exe))
        self.assert_status(result, "INTERNAL", "pulling", self.origin, "an error NOT_A_THING, which this version does not know",
                           "please report it")

    def test_job_failed(self):
        """No more files may be open when the job is to start: the far program sees to it when the pull is through."""
        exe = self.script(f"#!/bin/sh\n{cli.ORIGIN} \"$@\"\nprlimit --pid $PPID --nofile=3:\n")
        # The leak checker needs to open files, too.
        result = self.lockstep("run", "--exe", exe, "--lock", self.lock(), self.origin, self.local, "--", "/bin/true",
                               env={"ASAN_OPTIONS": "detect_leaks=0"})
        self.assert_status(result, "JOB_FAILED", "starting the job /bin/true: too many open files", "see `ulimit -a`")

    def test_try_later(self):
        """A daemon that lets us in once at a time, and a pull that is in: it waits for its own database."""
        self.assert_status(self.run_program(cli.ORIGIN, "keygen", self.path("keys"), "--host", "localhost", "--client", "me"), 0)
        port = fixture_sshd.free_port()
        daemon = self.start("serve", "-v", "--listen", f"127.0.0.1:{port}", "--max-per-client", "1", "--db", f"org={self.origin}",
                            "--cert", self.path("keys", "origin.pem"), "--key", self.path("keys", "origin.key"),
                            "--client-ca", self.path("keys", "ca.pem"), "--allow", "me=pull:*", program=cli.ORIGIN)
        daemon.wait_for("ready")
        url = f"tls://localhost:{port}/org"
        env = {f"LOCKSTEP_{name.upper()}": self.path("keys", file) for name, file in (("ca", "ca.pem"), ("cert", "me.pem"), ("key", "me.key"))}
        cli.make_counter(self.local, 5)
        with contextlib.closing(sqlite3.connect(self.local, isolation_level=None)) as other:
            other.execute("begin immediate")
            first = self.start("pull", "--adopt", url, self.local, env=env)
            daemon.wait_for("me (test, from")
            self.fails("pull", "--retry-for", "0", url, self.path("other.db"), env=env, doing="pulling", where=url,
                       do="end some, or raise --max-per-client")
        self.assert_status(first.finish(), 0)

    def test_moved(self):
        """An origin that greets again and again, as one does whose database is written to between any scan and transfer."""
        exe = self.script(f"#!/bin/sh\n{cli.ORIGIN} \"$@\" | python3 -c 'import os\n"
                          "hello = os.read(0, 65536)\nfor _ in range(12): os.write(1, hello)'\n")
        self.fails(*self.pull("--exe", exe), doing="pulling", where=self.origin, do="run the same command again")
        self.assertFalse(os.path.exists(self.local))


class AnotherVersion(cli.Case):
    def test_each_command_that_hears_hello_says_who_speaks_what(self):
        """A HELLO of another number, with other fields behind its speaker's name."""
        origin, local = self.path("origin.db"), self.path("local.db")
        hello = b"\x94\x01\x02\xacorigin 9.9.9\xc3"
        exe = cli.write_script(self.path("exe"), f"#!{sys.executable}\nimport sys\n"
                               f"sys.stdout.buffer.write({bytes([0, 0, 0, len(hello)]) + hello!r})\n"
                               "sys.stdout.buffer.flush()\nsys.stdin.buffer.read()\n")
        for path in (origin, local):
            cli.make_counter(path, 5)
        before = cli.content(local)
        for words in (["pull", origin, local], ["push", local, origin], ["status", origin, local], ["verify", origin, local],
                      ["diff", origin, local], ["history", origin], ["resolve", "--take-origin", origin, local],
                      ["run", origin, local, "--", "true"]):
            with self.subTest(words[0]):
                result = self.lockstep(words[0], "--exe", exe, *words[1:])
                self.assert_status(result, "PROTOCOL", "the origin (origin 9.9.9) speaks version 2 of the protocol, "
                                   "this program speaks 1: upgrade the older one")
                self.assertEqual(cli.content(local), before)


if __name__ == "__main__":
    unittest.main()

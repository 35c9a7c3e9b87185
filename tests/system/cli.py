"""The programs as a person runs them, for the tests of this folder: a folder of its own, its own HOME, databases with a counter.

    class Something(cli.Case):
        def test(self):
            cli.make_counter(self.path("origin.db"))
            result = self.lockstep("pull", self.path("origin.db"), self.path("local.db"))
            self.assert_status(result, 0)
"""
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = os.environ["LOCKSTEP_BIN"]
LOCKSTEP = os.path.join(BIN, "lockstep")
ORIGIN = os.path.join(BIN, "lockstep-origin")
PATIENCE = 60  # seconds for what must happen soon; only a broken program takes that long

# The table of protocol/base/error.h and README.md.
EXIT = {
    "USAGE": 64, "NOT_A_DATABASE": 65, "NO_DATABASE": 66, "NO_LINK": 68, "NO_PROGRAM": 69, "INTERNAL": 70, "IO": 74,
    "TIMEOUT": 75, "PROTOCOL": 76, "NOT_ALLOWED": 77, "AUTH": 78, "BUSY": 80, "VERIFY_FAILED": 81, "STALE_BASE": 82,
    "FOREIGN_LINEAGE": 83, "UNPUSHED": 84, "LOCK_HELD": 85, "LOCK_LOST": 86, "FENCED": 87, "STORE_UNUSABLE": 88,
    "DISK_FULL": 89, "PAGE_SIZE": 90, "JOB_FAILED": 91, "MOVED": 92, "TRY_LATER": 93,
}


class Result:
    """What came of a program: its exit status, stdout and stderr."""

    def __init__(self, argv, status, stdout, stderr):
        self.argv, self.status, self.stdout, self.stderr = argv, status, stdout, stderr

    def __str__(self):
        return f"{' '.join(self.argv)}\nexit status {self.status}\nstdout: {self.stdout}\nstderr: {self.stderr}"


class Running:
    """A program at work, whose stderr is read as it comes."""

    def __init__(self, argv, env, **kwargs):
        self.argv = argv
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, errors="replace", **kwargs)
        self.lines = []
        self.news = threading.Condition()
        self.output = ""
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self._read_stderr, self._read_stdout)]
        for reader in self.readers:
            reader.start()

    def _read_stderr(self):
        for line in self.process.stderr:
            with self.news:
                self.lines.append(line)
                self.news.notify_all()

    def _read_stdout(self):
        self.output = self.process.stdout.read()

    @property
    def pid(self):
        return self.process.pid

    def wait_for(self, text, timeout=PATIENCE):
        """Until a line of stderr has text in it. Returns the line."""
        deadline = time.monotonic() + timeout
        with self.news:
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or not self.news.wait(left):
                    raise AssertionError(f"{' '.join(self.argv)} did not say \"{text}\":\n" + "".join(self.lines))

    def send(self, number):
        self.process.send_signal(number)

    def finish(self, timeout=PATIENCE, patience=5):
        """Wait for its end. What it started and left behind may hold the pipes: it is waited for so many seconds."""
        status = self.process.wait(timeout)
        for reader in self.readers:
            reader.join(patience)
        if not self.readers[1].is_alive():
            self.process.stdout.close()
        if not self.readers[0].is_alive():
            self.process.stderr.close()
        return Result(self.argv, status, self.output, "".join(self.lines))

    def end(self):
        """For clean-up: kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.finish()


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lockstep-cli-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.home = self.path("home")
        os.mkdir(self.home, 0o700)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def environment(self, extra=None):
        """This process's, with a HOME of the test's own and without what would tell who runs it."""
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("LOCKSTEP_", "FLY_", "SSH_", "AWS_"))}
        env.update(HOME=self.home, SSH_AUTH_SOCK="", DISPLAY="", LOCKSTEP_INSTANCE="test")
        env.update(extra or {})
        return {name: value for name, value in env.items() if value is not None}

    def run_program(self, *argv, env=None, timeout=PATIENCE, **kwargs):
        done = subprocess.run(argv, env=self.environment(env), stdin=kwargs.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", timeout=timeout, check=False, **kwargs)
        return Result([str(word) for word in argv], done.returncode, done.stdout, done.stderr)

    def lockstep(self, *words, **kwargs):
        return self.run_program(LOCKSTEP, *words, **kwargs)

    def start(self, *words, env=None, program=LOCKSTEP, **kwargs):
        """Start lockstep, and go on; it is killed when the test ends."""
        running = Running([program, *words], self.environment(env), **kwargs)
        self.addCleanup(running.end)
        return running

    def assert_status(self, result, status, *texts):
        """The exit status (a number, or a name of EXIT), and each text in stderr. Nothing of a sanitizer's."""
        status = EXIT.get(status, status)
        self.assertEqual(result.status, status, result)
        self.assertNotIn("Sanitizer", result.stderr, result)
        self.assertNotIn("runtime error:", result.stderr, result)
        for text in texts:
            self.assertIn(text, result.stderr, result)
        return result


def poll(condition, what, timeout=PATIENCE):
    """Wait until condition() is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("did not come: " + what)
        time.sleep(0.01)


def json_of(result):
    """The object that --json printed: the last line of stdout."""
    return json.loads(result.stdout.splitlines()[-1])


# ---- databases ----

def execute(path, *statements, wal=None):
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        if wal is not None:
            connection.execute("pragma journal_mode=" + ("wal" if wal else "delete"))
        rows = []
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        return rows


def make_counter(path, value=0, wal=True, rows=0):
    """A database with one number, and rows of 1,000 bytes that do not compress."""
    execute(path, "create table counter(n integer)", f"insert into counter values({value})",
            "create table pad(id integer primary key, bytes blob)",
            f"with recursive c(i) as (select 1 union all select i+1 from c where i<{rows}) "
            f"insert into pad select i, randomblob(1000) from c where i<={rows}", wal=wal)


def count(path):
    return execute(path, "select n from counter")[0][0]


def add(path, amount=1):
    execute(path, f"update counter set n=n+{amount}")


def content(path):
    """All that is in it, by SQLite's own reading, after its integrity check."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        check = connection.execute("pragma integrity_check").fetchall()
        if check != [("ok",)]:
            raise AssertionError(f"{path}: {check}")
        return list(connection.iterdump())


# A job that adds one to the counter of $LOCKSTEP_DB: sys.executable is surely there, the sqlite3 program may not be.
INCREMENT = [sys.executable, "-c",
             "import os, sqlite3; c = sqlite3.connect(os.environ['LOCKSTEP_DB']); "
             "c.execute('update counter set n=n+1'); c.commit()"]


def write_script(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return path

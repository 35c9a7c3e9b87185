"""What the system tests share: the built programs, databases made and read by SQLite itself, and other processes that use them."""
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

BIN = Path(os.environ.get("LOCKSTEP_BIN") or Path(__file__).resolve().parents[2] / "build/dev/bin")
LOCKSTEP = str(BIN / "lockstep")
ORIGIN = str(BIN / "lockstep-origin")

# Exit statuses, as README.md has them.
USAGE, NOT_A_DATABASE, NO_DATABASE, NO_LINK, NO_PROGRAM, INTERNAL = 64, 65, 66, 68, 69, 70
IO, TIMEOUT, PROTOCOL, NOT_ALLOWED = 74, 75, 76, 77
BUSY, VERIFY_FAILED, STALE_BASE, FOREIGN_LINEAGE, UNPUSHED, FENCED = 80, 81, 82, 83, 84, 87
DISK_FULL, PAGE_SIZE, MOVED = 89, 90, 92

ROWS = """
CREATE TABLE contact(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
CREATE TABLE schedule(id INTEGER PRIMARY KEY, contact INTEGER, kind TEXT, status TEXT);
CREATE INDEX schedule_by_contact ON schedule(contact, kind);
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO contact SELECT i, 'name ' || i, hex(randomblob(60)) FROM n;
INSERT INTO schedule SELECT id, id, 'birthday', 'pre-scheduled' FROM contact;
"""


def rows(count):
    return ROWS.format(rows=count)


def connect(path, timeout=30):
    """A connection in autocommit mode."""
    return sqlite3.connect(path, timeout=timeout, isolation_level=None)


def sql(path, script):
    """Run statements on a connection of its own."""
    connection = connect(path)
    try:
        connection.executescript(script)
    finally:
        connection.close()


def ask(path, question):
    """The first column of the first row."""
    connection = connect(path)
    try:
        return connection.execute(question).fetchone()[0]
    finally:
        connection.close()


def content(path):
    """A hash of the schema and of every row of every table, as SQLite reads them. None where there is no file."""
    if not os.path.exists(path):
        return None
    digest = hashlib.sha256()
    connection = connect(path)
    try:
        connection.text_factory = bytes
        connection.execute("BEGIN")
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        digest.update(repr(schema).encode())
        for kind, name, _, _ in schema:
            if kind == b"table":
                quoted = name.decode().replace('"', '""')
                for row in connection.execute(f'SELECT * FROM "{quoted}"'):
                    digest.update(repr(row).encode())
    finally:
        connection.close()
    return digest.hexdigest()


def integrity(path):
    connection = connect(path)
    try:
        return [row[0] for row in connection.execute("PRAGMA integrity_check")]
    finally:
        connection.close()


class Result:
    def __init__(self, arguments, code, out, err):
        self.arguments, self.code, self.out, self.err = arguments, code, out, err

    def __str__(self):
        return f"{' '.join(map(str, self.arguments))}: exit {self.code}\n{self.out}{self.err}"


class Case(unittest.TestCase):
    """A test with a folder of its own, in memory where that can be: thousands of fsyncs are not what is tested."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lockstep-system-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.started = []
        self.addCleanup(self._clean)

    def _clean(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fresh(self):
        """Empty the folder."""
        for name in os.listdir(self.folder):
            full = self.path(name)
            if os.path.isdir(full) and not os.path.islink(full):
                shutil.rmtree(full)
            else:
                os.unlink(full)

    def path(self, name):
        return os.path.join(self.folder, name)

    # ---- the programs ----

    def environment(self):
        env = {key: value for key, value in os.environ.items() if not key.startswith(("LOCKSTEP", "SSH_", "AWS_"))}
        env["HOME"] = self.folder
        return env

    def start(self, *arguments, **options):
        process = subprocess.Popen([str(argument) for argument in arguments], stdin=options.pop("stdin", subprocess.DEVNULL),
                                   stdout=options.pop("stdout", subprocess.PIPE), stderr=options.pop("stderr", subprocess.PIPE),
                                   env=self.environment(), **options)
        self.started.append(process)
        return process

    def finish(self, process, timeout=60):
        out, err = process.communicate(timeout=timeout)
        return Result(process.args, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def run_program(self, *arguments, timeout=60, **options):
        return self.finish(self.start(*arguments, **options), timeout)

    def lockstep(self, *arguments, expect=0, **options):
        """Run lockstep and check its exit status."""
        result = self.run_program(LOCKSTEP, *arguments, **options)
        self.assertNotIn("Sanitizer", result.err, str(result))
        if expect is not None:
            self.assertEqual(result.code, expect, str(result))
        return result

    def pull(self, origin, replica, *options, expect=0):
        return self.lockstep("pull", *options, origin, replica, expect=expect)

    def push(self, replica, origin, *options, expect=0):
        return self.lockstep("push", *options, replica, origin, expect=expect)

    # ---- other programs that use the database ----

    def python(self, code, *arguments, ready=True):
        """A process that runs the code with sys.argv[1:] and, with ready, has printed a line by now."""
        process = self.start(sys.executable, "-c", "import os, sqlite3, sys, time, random\n" + code, *arguments, stdin=subprocess.PIPE)
        if ready:
            self.assertTrue(process.stdout.readline(), "the helper process died")
        return process

    def hold(self, path, *statements):
        """A process that has run the statements on a connection and keeps it open until its stdin ends."""
        return self.python("c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                           "for s in sys.argv[2:]: c.execute(s).fetchall()\n"
                           "print('ready', flush=True); sys.stdin.read(); c.close()", path, *statements)

    def let_go(self, process):
        process.stdin.close()
        process.wait(30)

    # ---- checks ----

    def check_whole(self, path):
        self.assertEqual(integrity(path), ["ok"], path)

    def check_equal(self, origin, replica):
        """Equal content by SQLite's own reading, integrity, equal roots, and equal digests."""
        self.check_whole(origin)
        self.check_whole(replica)
        self.assertEqual(content(origin), content(replica))
        self.assertIn("in sync", self.lockstep("status", origin, replica).out)
        self.lockstep("verify", origin, replica)

    def wait_until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it did not come about in time")
            time.sleep(0.005)

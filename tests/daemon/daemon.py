"""A lockstep-origin serve for tests, its certificates, and the lockstep that talks to it."""
import os
import select
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest

from fixture_certificates import Authority

BIN = os.environ["LOCKSTEP_BIN"]
ORIGIN = os.path.join(BIN, "lockstep-origin")
LOCKSTEP = os.path.join(BIN, "lockstep")


def free_port():
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return probe.getsockname()[1]


def make_database(path, rows=100, mode="wal"):
    connection = sqlite3.connect(path)
    connection.execute(f"pragma journal_mode={mode}")
    connection.execute("create table t(id integer primary key, text)")
    connection.executemany("insert into t(text) values(?)", (("row %d " % i * 20,) for i in range(rows)))
    connection.commit()
    connection.close()


def change(path, text="changed", row=1):
    connection = sqlite3.connect(path, timeout=20)
    connection.execute("update t set text = ? where id = ?", (text, row))
    connection.commit()
    connection.close()


def text_of(path, row=1):
    connection = sqlite3.connect(path, timeout=20)
    try:
        return connection.execute("select text from t where id = ?", (row,)).fetchone()[0]
    finally:
        connection.close()


def checkpoint(path):
    """The row of PRAGMA wal_checkpoint(TRUNCATE): whether it was held up, and frames."""
    connection = sqlite3.connect(path, timeout=1)
    try:
        return connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    finally:
        connection.close()


def integrity(path):
    connection = sqlite3.connect(path, timeout=20)
    try:
        return connection.execute("pragma integrity_check").fetchone()[0]
    finally:
        connection.close()


class Daemon:
    """lockstep-origin serve --verbose WORDS; log() is what it said so far."""

    def __init__(self, *words, env=None, **kwargs):
        self.log_file = tempfile.TemporaryFile()
        self.process = subprocess.Popen([ORIGIN, "serve", "-v", *words], stdin=subprocess.DEVNULL, stdout=self.log_file,
                                        stderr=self.log_file, env=dict(os.environ, **(env or {})), **kwargs)
        self.wait_for("ready")

    def log(self):
        self.log_file.flush()
        return os.pread(self.log_file.fileno(), 1 << 20, 0).decode()

    def wait_for(self, text, count=1, seconds=30):
        deadline = time.monotonic() + seconds
        while self.log().count(text) < count:
            if self.process.poll() is not None and self.log().count(text) < count:
                raise RuntimeError(f"the origin ended with {self.process.returncode}: {self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {text!r} in: {self.log()}")
            time.sleep(0.02)

    def stop(self, signum=15, seconds=30):
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.ended(seconds)

    def ended(self, seconds=30):
        """The exit status of one that was told to stop. A second SIGTERM could meet it when it no longer catches any."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.last_log = self.log()
            self.log_file.close()


class Case(unittest.TestCase):
    """A folder with a database data/a.db, certificates, and a daemon that worker may use."""

    @classmethod
    def setUpClass(cls):
        cls.certificates = tempfile.TemporaryDirectory()
        cls.ca = Authority(cls.certificates.name, "one")
        cls.other_ca = Authority(cls.certificates.name, "two")
        cls.cert, cls.key = cls.ca.sign("origin", "DNS:localhost,IP:127.0.0.1,IP:::1", usage="serverAuth")
        cls.worker = cls.ca.sign("worker", usage="clientAuth")
        cls.reader = cls.ca.sign("reader", usage="clientAuth")

    @classmethod
    def tearDownClass(cls):
        cls.certificates.cleanup()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data)
        self.origin = os.path.join(self.data, "a.db")
        self.local = os.path.join(self.folder, "local.db")
        make_database(self.origin)
        self.port = free_port()

    def words(self):
        return ["--listen", f"[::]:{self.port}", "--cert", self.cert, "--key", self.key, "--client-ca", self.ca.path,
                "--root", self.data, "--allow", "worker=pull,push:*", "--allow", "reader=pull:a.db"]

    def start(self, *more, words=None, **kwargs):
        daemon = Daemon(*(words or self.words()), *more, **kwargs)
        self.addCleanup(lambda: daemon.log_file.closed or daemon.stop(9))
        return daemon

    def url(self, name="a.db", host="localhost"):
        return f"tls://{host}:{self.port}/{name}"

    def identity(self, who=None):
        cert, key = who or self.worker
        return ["--ca", self.ca.path, "--cert", cert, "--key", key]

    def lockstep(self, *words, who=None, identity=None, status=0, text=None, timeout=120, env=None):
        """Run lockstep with worker's certificate, or who's, or the options of identity."""
        options = self.identity(who) if identity is None else identity
        done = subprocess.run([LOCKSTEP, words[0], *options, *words[1:]], capture_output=True, text=True, timeout=timeout,
                              cwd=self.folder, env=dict(os.environ, **(env or {})), check=False)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        if text is not None:
            self.assertIn(text, done.stderr)
        return done

    def assert_idle(self, daemon):
        """Nothing of the past guests is left: of each database at most one connection is open, which reads nothing, so that the WAL
        can be checkpointed whole."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            links = [link for link in open_files(daemon.process.pid) if link.startswith(self.data)]
            # In WAL mode SQLite keeps descriptors of connections that are closed, for the next ones, as long as one is open.
            wals = [link for link in links if link.endswith("-wal")]
            if len(wals) == len(set(wals)) and not any("-lockstep" in link for link in links):
                break
            time.sleep(0.05)
        else:
            self.fail(f"still open: {links}")
        for link in set(links):
            if link.endswith(".db"):
                self.assertEqual(checkpoint(link)[0], 0)


def open_files(pid):
    """What the descriptors of a process lead to; those that close meanwhile are left out."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass


def readable(sock, seconds):
    return bool(select.select([sock], [], [], seconds)[0])

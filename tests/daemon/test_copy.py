"""lockstep-origin serve --read-only: a region's copy as a source of pulls."""
import os
import socket
import sqlite3
import ssl
import struct
import subprocess
import unittest

from daemon import LOCKSTEP, Case, change, free_port, integrity, text_of

OPEN_A = bytes.fromhex("980f01") + b"\xa4test" + b"\xa4a.db" + b"\xa4me.1" + b"\xa0" + b"\0\0"


def frame(payload):
    return struct.pack(">I", len(payload)) + payload


def vector(name):
    """A whole frame of that message."""
    with open(os.path.join(os.environ["LOCKSTEP_SOURCE"], "tests", "wire", "vectors.txt"), encoding="ascii") as file:
        return next(bytes.fromhex(line.split()[1]) for line in file if line.startswith(name + " "))


def book_of(path):
    """All that the sidecar of a database holds."""
    connection = sqlite3.connect(path + "-lockstep", timeout=20)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


class Copy(Case):
    """self.url() is the origin, self.copy_url a read-only daemon beside self.copy, which was pulled from there."""

    def setUp(self):
        super().setUp()
        self.start()
        self.copies = os.path.join(self.folder, "copies")
        os.mkdir(self.copies)
        self.copy = os.path.join(self.copies, "a.db")
        self.copy_port = free_port()
        self.copy_url = f"tls://localhost:{self.copy_port}/a.db"
        self.origin_name = "ams.internal, database a.db"

    def serve_copy(self, *more):
        return self.start(words=["--listen", f"[::]:{self.copy_port}", "--cert", self.cert, "--key", self.key, "--client-ca", self.ca.path,
                                 "--root", self.copies, "--allow", "worker=pull,push:*", "--read-only", "--origin", self.origin_name, *more])

    def version_at_origin(self):
        return self.lockstep("status", self.url(), self.local).stdout.split("origin:        ")[1].split(",")[0]

    def advance(self, text):
        """One more version at the origin, by way of another replica."""
        other = os.path.join(self.folder, "other.db")
        self.lockstep("pull", self.url(), other)
        change(other, text)
        self.lockstep("push", other, self.url())

    def test_pulls_converge_and_leave_no_trace(self):
        self.advance("first")
        self.advance("second")
        self.lockstep("pull", self.url(), self.copy)
        self.serve_copy()
        before = book_of(self.copy)
        self.lockstep("pull", self.copy_url, self.local, text="pulled version 3")
        self.assertEqual(text_of(self.local), "second")
        done = self.lockstep("status", self.copy_url, self.local)
        self.assertIn("in sync", done.stdout)
        self.assertIn("copy of:       ams.internal, database a.db", done.stdout)
        self.assertIn("version 3,", done.stdout)
        self.lockstep("verify", self.copy_url, self.local)
        self.assertEqual(book_of(self.copy), before)
        self.assertFalse([name for name in os.listdir(self.copies) if "history" in name])

        # The copy goes on, and so do those who pull from it; they and those of the origin are one lineage and count alike.
        self.advance("third")
        self.lockstep("pull", self.url(), self.copy)
        self.lockstep("pull", self.copy_url, self.local, text="pulled version 4: 1 of ")
        self.assertEqual(text_of(self.local), "third")
        self.lockstep("pull", self.url(), self.local, text="pulled version 4: 0 of ")
        self.assertEqual(integrity(self.local), "ok")

    def test_what_came_from_the_copy_is_pushed_to_the_origin(self):
        self.lockstep("pull", self.url(), self.copy)
        self.serve_copy()
        self.lockstep("pull", self.copy_url, self.local)
        change(self.local, "from the region")
        self.lockstep("push", self.local, self.copy_url, status=77, text=self.origin_name)
        self.lockstep("push", self.local, self.url(), text="pushed version 2")
        self.assertEqual(text_of(self.origin), "from the region")
        self.assertNotEqual(text_of(self.copy), "from the region")

    def test_run_is_refused_before_anything_is_done(self):
        self.lockstep("pull", self.url(), self.copy)
        self.serve_copy()
        lock = os.path.join(self.folder, "lock")
        ran = os.path.join(self.folder, "ran")
        self.lockstep("run", "--lock", f"file://{lock}", self.copy_url, self.local, "--", "touch", ran, status=77, text=self.origin_name)
        self.assertFalse(os.path.exists(lock))
        self.lockstep("run", self.copy_url, self.local, "--", "touch", ran, status=77, text=self.origin_name)
        self.assertFalse(os.path.exists(ran))

    def test_the_daemon_refuses_whatever_a_replica_does(self):
        self.lockstep("pull", self.url(), self.copy)
        self.serve_copy()
        before = book_of(self.copy)
        context = ssl.create_default_context(cafile=self.ca.path)
        context.load_cert_chain(*self.worker)
        for message in ("FENCE", "PUSH"):
            with self.subTest(message), socket.create_connection(("localhost", self.copy_port), timeout=30) as plain, \
                    context.wrap_socket(plain, server_hostname="localhost") as sock:
                sock.sendall(frame(OPEN_A))
                sock.recv(100)  # HELLO
                sock.sendall(vector(message))
                answer = b""
                while more := sock.recv(4096):
                    answer += more
                self.assertIn(b"NOT_ALLOWED", answer)
                self.assertIn(self.origin_name.encode(), answer)
        self.assertEqual(book_of(self.copy), before)

    def test_changes_that_the_origin_has_not_accepted_are_not_served(self):
        self.lockstep("pull", self.url(), self.copy)
        daemon = self.serve_copy()
        change(self.copy, "by a job that is not done")
        with open(os.path.join(self.folder, "pull.log"), "w+", encoding="utf-8") as log:
            pull = subprocess.Popen([LOCKSTEP, "pull", "-v", *self.identity(), self.copy_url, self.local], stdout=log, stderr=log)
            self.addCleanup(pull.wait)
            self.addCleanup(pull.kill)
            daemon.wait_for("changes that its origin has not accepted")
            daemon.wait_for(self.origin_name)
            self.assertFalse(os.path.exists(self.local))
            self.lockstep("push", self.copy, self.url())
            self.assertEqual(pull.wait(60), 0)
            log.seek(0)
            self.assertIn("pulled version 2", log.read())
        self.assertEqual(text_of(self.local), "by a job that is not done")

    def test_no_copy_yet(self):
        daemon = self.serve_copy()
        pull = subprocess.Popen([LOCKSTEP, "pull", *self.identity(), self.copy_url, self.local], stderr=subprocess.DEVNULL)
        self.addCleanup(pull.wait)
        self.addCleanup(pull.kill)
        daemon.wait_for("there is no copy of")
        self.lockstep("pull", self.url(), self.copy)
        self.assertEqual(pull.wait(60), 0)

    def test_a_copy_that_is_behind_takes_nobody_back(self):
        self.lockstep("pull", self.url(), self.copy)
        self.serve_copy()
        self.advance("newer")
        self.lockstep("pull", self.url(), self.local)
        self.lockstep("pull", self.copy_url, self.local, text="nothing was pulled")
        self.assertEqual(text_of(self.local), "newer")
        self.lockstep("pull", self.url(), self.local, text="pulled version 2: 0 of ")
        # Whoever insists gets it.
        self.lockstep("pull", "--discard", self.copy_url, self.local, text="pulled version 1")
        self.assertEqual(text_of(self.local), text_of(self.copy))
        self.lockstep("pull", self.url(), self.local)
        self.assertEqual(text_of(self.local), "newer")

    def test_mistakes(self):
        words = self.words()
        for more in (["--read-only"], ["--origin", "x"], ["--read-only", "--origin", ""], ["--read-only", "--origin", "x" * 257],
                     ["--read-only", "--origin", "x", "--lock-url", "s3://bucket/{name}"]):
            with self.subTest(more), self.assertRaisesRegex(RuntimeError, "ended with 64"):
                self.start(*more, words=words)


if __name__ == "__main__":
    unittest.main()

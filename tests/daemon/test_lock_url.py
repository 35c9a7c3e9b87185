"""lockstep-origin serve --lock-url: a push is taken only from who holds the lock, by the store's own word. (What of the record counts:
tests/sync/lease_guard.c; a real S3 server: tests/system/lock_url.py.)"""
import os
import socket
import subprocess
import unittest

from daemon import LOCKSTEP, Case, change, make_database, text_of


class LockUrl(Case):
    def lock(self, name="a.db"):
        return f"file://{self.folder}/locks/{name}.lock"

    def serve(self, *more, **kwargs):
        os.makedirs(os.path.join(self.folder, "locks", "sub"), exist_ok=True)
        return self.start("--lock-url", f"file://{self.folder}/locks/{{name}}.lock", *more, **kwargs)

    def acquire(self, url):
        done = subprocess.run([LOCKSTEP, "lock", "acquire", url], capture_output=True, text=True, check=True)
        return done.stdout.split()

    def job(self, text):
        return ["--", "python3", "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('update t set text = ? where id = 1', "
                "(sys.argv[2],)); c.commit()", self.local, text]

    def test_the_lock_of_the_database_counts(self):
        self.serve()
        os.mkdir(os.path.join(self.data, "sub"))
        make_database(os.path.join(self.data, "sub", "b.db"))
        self.lockstep("run", "--lock", self.lock(), self.url(), self.local, *self.job("first"))
        self.assertEqual(text_of(self.origin), "first")
        self.lockstep("run", "--lock", self.lock("sub/b.db"), self.url("sub/b.db"), os.path.join(self.folder, "b.db"), "--", "true")
        change(self.local, "third")
        self.lockstep("push", self.local, self.url(), status=87)
        # A lock that was released, and one that was taken from its holder.
        held = self.acquire(self.lock())
        subprocess.run([LOCKSTEP, "lock", "release", *held, self.lock()], check=True, capture_output=True)
        self.lockstep("push", *held, self.local, self.url(), status=87, text="was released")
        held = self.acquire(self.lock())
        subprocess.run([LOCKSTEP, "lock", "break", self.lock()], check=True, capture_output=True)
        self.lockstep("push", *held, self.local, self.url(), status=87, text="another holder")
        # Another lock is none, though its token is as good.
        self.lockstep("run", "--lock", f"file://{self.folder}/other", self.url(), self.local, *self.job("second"), status=87)
        self.assertEqual(text_of(self.origin), "first")

    def test_of_one_database_and_of_the_others(self):
        own = f"file://{self.folder}/own"
        self.serve("--lock-url", f"a.db={own}")
        self.lockstep("run", "--lock", own, self.url(), self.local, *self.job("first"))
        self.lockstep("run", "--lock", self.lock(), self.url(), self.local, *self.job("second"), status=87)
        self.assertEqual(text_of(self.origin), "first")

    def test_a_store_that_does_not_answer_holds_up_its_push_alone(self):
        with socket.create_server(("127.0.0.1", 0)) as store:
            daemon = self.start("--lock-url", "s3://bucket/{name}", env={
                "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{store.getsockname()[1]}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
            self.lockstep("pull", self.url(), self.local)
            change(self.local)
            push = subprocess.Popen([LOCKSTEP, "push", *self.identity(), "--token", "1", "--lease", "00" * 16, self.local, self.url()],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(push.wait)
            self.addCleanup(push.kill)
            connection = store.accept()[0]
            self.addCleanup(connection.close)
            self.lockstep("pull", self.url(), os.path.join(self.folder, "other.db"))
            self.assertIsNone(push.poll())
            connection.close()
        daemon.stop(9)

    def test_mistakes(self):
        for words in (["--lock-url", f"file://{self.folder}/lock"], ["--lock-url", "a.db"], ["--lock-url", "a.db=ftp://x"]):
            with self.assertRaisesRegex(RuntimeError, "ended with 64"):
                self.start(*words)


if __name__ == "__main__":
    unittest.main()

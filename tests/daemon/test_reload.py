"""What SIGHUP changes while replicas pull and push all the time: who may come, and what the server shows."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import unittest

from daemon import LOCKSTEP, Case, change, integrity, text_of

NOT_ALLOWED = 77
AUTH = 78


class Load:
    """Threads that run a command again and again, and keep what came of it."""

    def __init__(self, case, commands):
        self.done = threading.Event()
        self.results = [[] for _ in commands]
        self.grown = threading.Condition()
        self.threads = [threading.Thread(target=self.run, args=(case, i, command)) for i, command in enumerate(commands)]
        for thread in self.threads:
            thread.start()

    def run(self, case, i, command):
        while not self.done.is_set():
            words = command(len(self.results[i]))
            done = subprocess.run([LOCKSTEP, *words], capture_output=True, text=True, timeout=60, check=False, cwd=case.folder)
            with self.grown:
                self.results[i].append((done.returncode, done.stderr))
                self.grown.notify_all()

    def wait_for(self, more):
        """Until each has this many results more, begun after now all but the first of them."""
        with self.grown:
            wanted = [len(results) + more for results in self.results]
            if not self.grown.wait_for(lambda: all(len(results) >= want for results, want in zip(self.results, wanted)), 60):
                raise RuntimeError(f"they stand still: {[len(results) for results in self.results]} of {wanted}")
        return [want - more for want in wanted]

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def statuses(self, i, begin=0):
        return {status for status, _ in self.results[i][begin:]}


class UnderLoad(Case):
    def setUp(self):
        super().setUp()
        self.allow = os.path.join(self.folder, "allow")
        self.files = [os.path.join(self.folder, name) for name in ("cert.pem", "key.pem", "ca.pem")]
        self.write("worker=pull,push:*\nreader=pull:*\n")
        for source, target in zip((self.cert, self.key, self.ca.path), self.files):
            shutil.copy(source, target)
        self.daemon = self.start(words=["--listen", f"[::]:{self.port}", "--cert", self.files[0], "--key", self.files[1], "--client-ca",
                                        self.files[2], "--root", self.data, "--allow-file", self.allow])
        self.reloads = 0

    def write(self, rules):
        with open(self.allow, "w", encoding="ascii") as file:
            file.write(rules)

    def reload(self, said="were read again"):
        self.daemon.process.send_signal(signal.SIGHUP)
        self.reloads += said == "were read again"
        self.daemon.wait_for(said, self.reloads or 1)

    def pull(self, who, name, identity=None):
        path = os.path.join(self.folder, name)
        return lambda number: ["pull", *(identity or self.identity(who)), self.url(), path]

    def push(self, who, path):
        def words(number):
            change(path, f"push {number}")
            return ["push", *self.identity(who), path, self.url()]
        return words

    def test_one_is_taken_off_the_list(self):
        """Those who are under way go on; from then on he is refused, the others are not."""
        self.lockstep("pull", self.url(), self.local)
        load = Load(self, [self.push(self.worker, self.local), self.pull(self.reader, "r1.db"), self.pull(self.reader, "r2.db")])
        try:
            load.wait_for(3)
            self.assertEqual([load.statuses(i) for i in range(3)], [{0}] * 3, load.results)
            self.write("worker=pull,push:*\n")
            self.reload()
            begin = load.wait_for(3)
            self.assertEqual(load.statuses(0), {0}, load.results[0])
            for i in (1, 2):
                # The one that was at it may have been let in before.
                self.assertEqual(load.statuses(i, begin[i] + 1), {NOT_ALLOWED}, load.results[i])
                self.assertLessEqual(load.statuses(i), {0, NOT_ALLOWED})
            self.write("worker=pull:*\nreader=pull:*\n")
            self.reload()
            begin = load.wait_for(3)
            self.assertEqual(load.statuses(0, begin[0] + 1), {NOT_ALLOWED}, load.results[0])
            self.assertEqual(load.statuses(1, begin[1] + 1), {0}, load.results[1])
        finally:
            load.stop()
        self.assertEqual(integrity(self.origin), "ok")
        self.assert_idle(self.daemon)
        self.assertEqual(self.daemon.stop(), 0)

    def shown(self, ca):
        """The serial number of the certificate that a new connection sees."""
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(*self.worker)
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                return wrapped.getpeercert()["serialNumber"]

    def test_the_certificate_changes(self):
        """Pulls and pushes go on, whichever certificate they see; a new connection sees the new one."""
        self.lockstep("pull", self.url(), self.local)
        load = Load(self, [self.push(self.worker, self.local), self.pull(self.reader, "r1.db"), self.pull(self.reader, "r2.db")])
        seen = [self.shown(self.ca.path)]
        try:
            for number in range(4):
                cert, key = self.ca.sign("origin", "DNS:localhost,IP:127.0.0.1", usage="serverAuth")
                shutil.copy(cert, self.files[0])
                # Halfway: the key does not fit, so the old pair stays in force.
                self.daemon.process.send_signal(signal.SIGHUP)
                self.daemon.wait_for("what was read before stays in force", number + 1)
                self.assertEqual(self.shown(self.ca.path), seen[-1])
                shutil.copy(key, self.files[1])
                self.reload()
                seen.append(self.shown(self.ca.path))
                load.wait_for(1)
        finally:
            load.stop()
        self.assertEqual(len(set(seen)), 5)
        self.assertEqual([load.statuses(i) for i in range(3)], [{0}] * 3, load.results)
        self.assertEqual(text_of(self.origin), f"push {len(load.results[0]) - 1}")
        self.assertEqual(self.daemon.stop(), 0)

    def test_the_clients_ca_changes(self):
        """Who was signed by the former CA is refused from then on, also where he would resume a session."""
        load = Load(self, [self.pull(self.reader, "r1.db"), self.pull(self.reader, "r2.db")])
        try:
            load.wait_for(2)
            shutil.copy(self.other_ca.path, self.files[2])
            self.reload()
            begin = load.wait_for(3)
            for i in (0, 1):
                self.assertEqual(load.statuses(i, begin[i] + 1), {AUTH}, load.results[i])
        finally:
            load.stop()
        theirs = self.other_ca.sign("reader", usage="clientAuth")
        self.lockstep("pull", self.url(), os.path.join(self.folder, "r1.db"), who=theirs)
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()

"""--http: /healthz says whether there is progress and why not, /metrics counts, and who asks badly is no matter."""
import http.client
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest

import prometheus
from daemon import LOCKSTEP, ORIGIN, Case, change, free_port, make_database


class HttpCase(Case):
    def setUp(self):
        super().setUp()
        self.http = free_port()

    def words(self):
        return [*super().words(), "--http", f"[::]:{self.http}"]

    def ask(self, path, method="GET", host="127.0.0.1"):
        connection = http.client.HTTPConnection(host, self.http, timeout=20)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def health(self):
        """The status and the problems of /healthz."""
        status, headers, body = self.ask("/healthz")
        self.assertEqual(headers["Content-Type"], "application/json")
        report = json.loads(body)
        self.assertEqual((status, report["status"]), (200, "ok") if not report["problems"] else (503, "unhealthy"))
        return status, report["problems"]

    def wait_for_health(self, pattern, seconds=20):
        """Until the only problem is as the pattern says, or, where that is None, there is none."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            problems = self.health()[1]
            if len(problems) == (pattern is not None) and (not problems or re.search(pattern, problems[0])):
                return
            time.sleep(0.1)
        self.fail(f"not {pattern}: {problems}")

    def metrics(self):
        status, headers, body = self.ask("/metrics")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        return prometheus.read(body.decode())

    def value(self, name, metrics=None, **labels):
        return (metrics or self.metrics()).get((name, frozenset(labels.items())))

    def wait_for_value(self, expected, name, **labels):
        deadline = time.monotonic() + 20
        while self.value(name, **labels) != expected and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.value(name, **labels), expected, (name, labels))


class Requests(HttpCase):
    def test_what_is_answered(self):
        self.start()
        for host in ("127.0.0.1", "::1"):
            self.assertEqual(self.ask("/healthz", host=host)[0], 200)
        self.assertEqual(self.ask("/healthz?x=1")[0], 200)
        status, headers, body = self.ask("/metrics", "HEAD")
        self.assertEqual((status, body), (200, b""))
        self.assertGreater(int(headers["Content-Length"]), 1000)
        for path in ("/", "/metrics/", "/healthz2", "//metrics", "/%2e%2e/etc/passwd"):
            self.assertEqual(self.ask(path)[0], 404, path)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            status, headers, _ = self.ask("/metrics", method)
            self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)

    def raw(self, data):
        """What comes back for these bytes, up to the end of the connection."""
        with socket.create_connection(("127.0.0.1", self.http), timeout=20) as sock:
            got = b""
            try:
                sock.sendall(data)
                while more := sock.recv(65536):
                    got += more
            except ConnectionError:
                pass
            return got

    def test_what_is_no_request(self):
        daemon = self.start()
        self.assertTrue(self.raw(b"GET /healthz HTTP/1.0\r\n\r\n").startswith((b"HTTP/1.0 200 ", b"HTTP/1.1 200 ")))
        for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600), b"nonsense\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n",
                     b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 20000 + b"\r\n\r\n", b"GET /" + b"x" * 50000 + b" HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n", b"\xff" * 100000,
                     b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + bytes(100000)):
            answer = self.raw(data)
            self.assertNotIn(b" 200 ", answer[:20], data[:30])
        self.assertIn(b" 405 ", self.raw(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")[:20])
        # One answer a connection, whatever is asked for behind it.
        self.assertEqual(self.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20).count(b"HTTP/1.1"), 1)
        self.assertEqual(self.health()[0], 200)
        self.assertEqual(daemon.stop(), 0)

    def test_slow_ones_do_not_matter(self):
        """More connections than there may be, each with a byte a second: who asks is answered, and they all go."""
        daemon = self.start()
        began = time.monotonic()
        slow = [socket.create_connection(("127.0.0.1", self.http), timeout=20) for _ in range(40)]
        ended = 0
        answers = 0
        while ended < len(slow) and time.monotonic() - began < 30:
            ended = 0
            for sock in slow:
                try:
                    sock.sendall(b"G")
                except OSError:
                    ended += 1
            asked = time.monotonic()
            self.assertEqual(self.ask("/healthz")[0], 200)
            self.assertLess(time.monotonic() - asked, 10)
            answers += 1
            time.sleep(0.5)
        for sock in slow:
            sock.close()
        self.assertEqual(ended, len(slow))
        self.assertGreater(answers, 2)
        # Meanwhile as afterwards, what it is there for goes on.
        self.lockstep("pull", self.url(), self.local)
        self.assertEqual(daemon.stop(), 0)

    def test_an_address_that_cannot_be_had(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            rows = [("127.0.0.1:%d" % taken.getsockname()[1], 74, "Address already in use"), ("localhost:1", 64, "neither ADDRESS:PORT"),
                    ("127.0.0.1", 64, "neither ADDRESS:PORT"), ("127.0.0.1:0", 64, "neither ADDRESS:PORT")]
            for address, status, text in rows:
                done = subprocess.run([ORIGIN, "serve", *super().words(), "--http", address], capture_output=True, text=True, timeout=30,
                                      check=False)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(f"--http: ", done.stderr)
                self.assertIn(text, done.stderr)
                self.assertNotIn("Sanitizer", done.stderr)


class Health(HttpCase):
    def test_a_worker_that_is_stuck(self):
        daemon = self.start("--stuck-after", "1s", "--timeout", "60s")
        self.lockstep("pull", self.url(), self.local)
        change(self.local)
        blocker = sqlite3.connect(self.origin, isolation_level=None)
        blocker.execute("begin immediate")
        push = subprocess.Popen([LOCKSTEP, "push", *self.identity(), "--instance", "ord/1", self.local, self.url()], stderr=subprocess.PIPE)
        self.wait_for_health(r"^a worker has been at it for \d+ s: a\.db for worker \(ord/1\)$")
        blocker.execute("rollback")
        blocker.close()
        self.wait_for_health(None)
        push.communicate(timeout=60)
        self.assertEqual(push.returncode, 0)
        self.assertEqual(daemon.stop(), 0)

    def test_while_it_stops(self):
        daemon = self.start("--timeout", "60s")
        self.lockstep("pull", self.url(), self.local)
        change(self.local)
        blocker = sqlite3.connect(self.origin, isolation_level=None)
        blocker.execute("begin immediate")
        push = subprocess.Popen([LOCKSTEP, "push", *self.identity(), self.local, self.url()], stderr=subprocess.PIPE)
        daemon.wait_for("opens a.db", 2)
        time.sleep(1)
        daemon.process.terminate()
        self.wait_for_health("^it is being stopped$")
        blocker.execute("rollback")
        blocker.close()
        push.communicate(timeout=60)
        self.assertEqual((daemon.ended(), push.returncode), (0, 0))

    def test_a_socket_that_is_gone(self):
        path = os.path.join(self.folder, "sock")
        self.start("--listen", f"unix:{path}")
        self.wait_for_health(None)
        os.rename(path, path + "2")
        self.wait_for_health(f"^nobody can connect any more: the socket {path} is gone$")
        os.rename(path + "2", path)
        self.wait_for_health(None)
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:  # somebody else's
            other.bind(path)
            self.wait_for_health("nobody can connect")

    def test_databases(self):
        named = os.path.join(self.folder, "named", "n.db")
        os.mkdir(os.path.dirname(named))
        make_database(named)
        self.start("--db", f"n={named}")
        self.lockstep("pull", self.url(), self.local)
        self.wait_for_health(None)

        os.rename(self.origin, self.origin + "2")
        with open(self.origin, "wb") as file:
            file.write(b"this is no database " * 100)
        self.wait_for_health(f"{self.origin}: not an SQLite database")
        os.replace(self.origin + "2", self.origin)
        self.wait_for_health(None)

        os.rename(named, named + "2")
        os.mkdir(named)
        self.wait_for_health(f"{named} is no regular file")
        os.rmdir(named)
        os.mkdir(named + "-lockstep")
        self.wait_for_health(f"{named}-lockstep is no regular file")
        os.rmdir(named + "-lockstep")
        self.wait_for_health(None)  # one that is not there yet can be pushed

        os.rename(os.path.dirname(named), os.path.join(self.folder, "elsewhere"))
        os.rename(self.data, self.data + "2")
        self.wait_for_health(r"No such file or directory \(and 1 more\)")
        os.rename(self.data + "2", self.data)
        os.rename(os.path.join(self.folder, "elsewhere"), os.path.dirname(named))
        self.wait_for_health(None)

    def test_permissions(self):
        """As somebody who is not root: what may only be read cannot be pushed to."""
        folder = tempfile.mkdtemp(dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        for name in (self.cert, self.key, self.ca.path):
            shutil.copy(name, folder)
        shutil.copy(self.origin, os.path.join(folder, "a.db"))
        for entry in ("", *os.listdir(folder)):
            os.chown(os.path.join(folder, entry), 65534, 65534)
        copy = lambda path: os.path.join(folder, os.path.basename(path))
        words = ["--listen", f"[::]:{self.port}", "--cert", copy(self.cert), "--key", copy(self.key), "--client-ca", copy(self.ca.path),
                 "--db", f"a.db={folder}/a.db", "--allow", "worker=pull,push:*", "--http", f"127.0.0.1:{self.http}"]
        kwargs = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        daemon = self.start(words=words, **kwargs)
        self.wait_for_health(None)
        os.chmod(folder, 0o555)
        self.wait_for_health(f"the folder {folder}: Permission denied")
        os.chmod(folder, 0o755)
        os.chmod(os.path.join(folder, "a.db"), 0o444)
        self.wait_for_health(f"{folder}/a.db: Permission denied")
        os.chmod(os.path.join(folder, "a.db"), 0o644)
        self.wait_for_health(None)
        daemon.stop()
        # Copies that others write need not be writable here. (One in WAL mode needs its -shm file.)
        connection = sqlite3.connect(os.path.join(folder, "a.db"))
        connection.execute("pragma journal_mode = delete")
        connection.close()
        os.chmod(os.path.join(folder, "a.db"), 0o444)
        os.chmod(folder, 0o555)
        self.start("--read-only", "--origin", "tls://elsewhere/a.db", words=words, **kwargs)
        self.wait_for_health(None)
        os.chmod(folder, 0o755)


class Metrics(HttpCase):
    def test_what_is_counted(self):
        daemon = self.start("--max-per-client", "5")
        first, second = (os.path.join(self.folder, name) for name in ("1.db", "2.db"))
        self.lockstep("pull", "--instance", "iad/one", self.url(), first)
        self.lockstep("pull", "--instance", "ord/\"two\"", self.url(), second)
        change(first, "first")
        change(second, "second", row=90)
        self.lockstep("push", "--instance", "iad/one", first, self.url())
        self.lockstep("push", "--instance", "ord/\"two\"", second, self.url(), status=82)
        self.lockstep("verify", self.url(), first)
        self.lockstep("pull", self.url("b.db"), self.local, who=self.reader, status=77)
        self.wait_for_value(1, "lockstep_connections_closed_total", outcome="NOT_ALLOWED")
        self.wait_for_value(0, "lockstep_connections")
        metrics = self.metrics()
        about = {"database": "a.db"}
        replica = [{**about, "instance": "iad/one", "region": "iad"}, {**about, "instance": "ord/\"two\"", "region": "ord"}]
        rows = [(2, "lockstep_database_version", about), (2, "lockstep_replica_version", replica[0]), (0, "lockstep_replica_lag_versions", replica[0]),
                (1, "lockstep_replica_version", replica[1]), (1, "lockstep_replica_lag_versions", replica[1]),
                (2, "lockstep_pulls_total", {**about, "outcome": "NONE"}), (1, "lockstep_pushes_total", {**about, "outcome": "NONE"}),
                (1, "lockstep_verifications_total", {**about, "outcome": "NONE"}),
                (6, "lockstep_connections_opened_total", {}), (1, "lockstep_healthy", {}), (0, "lockstep_waiting", {**about, "queue": "push"}),
                (1, "lockstep_build_info", {"version": "0.1.0"})]
        for expected, name, labels in rows:
            self.assertEqual(self.value(name, metrics, **labels), expected, (name, labels))
        self.assertGreaterEqual(self.value("lockstep_scan_seconds_count", metrics), 1)
        self.assertGreater(self.value("lockstep_scan_seconds_sum", metrics), 0)
        self.assertGreater(self.value("lockstep_scans_spared_total", metrics), 0)
        self.assertGreater(self.value("lockstep_shared_memory_max_bytes", metrics), self.value("lockstep_shared_memory_bytes", metrics))
        self.assertGreater(self.value("lockstep_sent_bytes_total", metrics, kind="pages"), 1500)
        self.assertGreater(self.value("lockstep_received_bytes_total", metrics, kind="pages"), 20)
        self.assertGreater(self.value("lockstep_received_bytes_total", metrics, kind="other"), 500)
        self.assertLess(time.time() - 100, self.value("lockstep_replica_seen_time_seconds", metrics, **replica[0]))
        self.assertEqual(daemon.stop(), 0)

    def test_the_sum_of_kinds_is_what_crossed(self):
        self.start()
        make_database(os.path.join(self.data, "big.db"), rows=3000)
        self.lockstep("pull", self.url("big.db"), self.local)
        change(os.path.join(self.data, "big.db"), row=2000)
        done = json.loads(self.lockstep("pull", "--json", self.url("big.db"), self.local).stdout.splitlines()[-1])
        self.wait_for_value(0, "lockstep_connections")
        metrics = self.metrics()
        self.assertGreater(self.value("lockstep_received_bytes_total", metrics, kind="sketch"), 1000)  # cells: it asked by sketch
        before = [sum(value for (name, _), value in metrics.items() if name == f"lockstep_{way}_bytes_total") for way in ("sent", "received")]
        done = json.loads(self.lockstep("pull", "--json", self.url("big.db"), self.local).stdout.splitlines()[-1])
        self.wait_for_value(3, "lockstep_connections_opened_total")
        self.wait_for_value(0, "lockstep_connections")
        metrics = self.metrics()
        after = [sum(value for (name, _), value in metrics.items() if name == f"lockstep_{way}_bytes_total") for way in ("sent", "received")]
        # The replica counts OPEN and what it gets; here nothing that crossed is left out or counted twice.
        self.assertEqual(after[0] - before[0], done["bytes_received"])
        self.assertGreaterEqual(after[1] - before[1], done["bytes_sent"])
        self.assertLess(after[1] - before[1] - done["bytes_sent"], 100)

    def test_fence_and_waiting(self):
        lock = f"file://{self.folder}/lock"
        daemon = self.start("--timeout", "60s", "--lock-url", f"a.db={lock}")
        job = ["--", "python3", "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
               "c.execute(\"update t set text = 'by the job' where id = 1\"); c.commit()", self.local]
        self.lockstep("run", "--lock", lock, "--instance", "ams/job", self.url(), self.local, *job)
        self.wait_for_value(1, "lockstep_fence_token", database="a.db", holder="ams/job")
        # As it was read for the push.
        self.assertEqual(self.value("lockstep_lease_token", database="a.db", state="held", holder="ams/job"), 1)
        copies = [os.path.join(self.folder, f"copy{i}.db") for i in range(2)]
        make_database(os.path.join(self.data, "q.db"))
        for i, copy in enumerate(copies):
            self.lockstep("pull", self.url("q.db"), copy)
            change(copy, f"by {i}")
        blocker = sqlite3.connect(os.path.join(self.data, "q.db"), isolation_level=None)
        blocker.execute("begin immediate")
        pushes = []
        for i, copy in enumerate(copies):
            pushes.append(subprocess.Popen([LOCKSTEP, "push", *self.identity(), copy, self.url("q.db")], stderr=subprocess.PIPE))
            daemon.wait_for("opens q.db", 3 + i)
            time.sleep(0.5)
        self.wait_for_value(1, "lockstep_waiting", database="q.db", queue="push")
        self.assertEqual(self.value("lockstep_connections"), 2)
        blocker.execute("rollback")
        blocker.close()
        for push in pushes:
            push.communicate(timeout=60)
        self.wait_for_value(0, "lockstep_waiting", database="q.db", queue="push")
        self.wait_for_value(0, "lockstep_connections")
        self.assertEqual(self.value("lockstep_pushes_total", database="q.db", outcome="NONE"), 1)
        self.assertEqual(self.value("lockstep_pushes_total", database="q.db", outcome="STALE_BASE"), 1)


class Reader(unittest.TestCase):
    """The reader of the format itself takes what is good and nothing else."""

    def test_it(self):
        head = "# HELP a_total x\n# TYPE a_total counter\n"
        self.assertEqual(prometheus.read(head + 'a_total{b="\\"\\\\\\n",c=""} 1\na_total 2.5\n'),
                         {("a_total", frozenset([("b", '"\\\n'), ("c", "")])): 1, ("a_total", frozenset()): 2.5})
        for bad in (head + "a_total 1", head + "b_total 1\n", head + 'a_total{b="x"y"} 1\n', head + "a_total 1\na_total 2\n", head + head,
                    head + 'a_total{b="\\t"} 1\n', "a 1\n", "# HELP a x\n# TYPE a counter\n", head + "\n", head + "a_total{} 1\n",
                    head + 'a_total{b="x",b="y"} 1\n', head + "a_total x\n"):
            with self.assertRaises((ValueError, KeyError)):
                prometheus.read(bad)


if __name__ == "__main__":
    unittest.main()

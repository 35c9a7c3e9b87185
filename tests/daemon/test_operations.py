"""What whoever runs the daemon sees of it: its log, and what it tells systemd."""
import json
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import time
import unittest

from daemon import LOCKSTEP, ORIGIN, Case, change

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Log(Case):
    def json_lines(self, daemon):
        return [json.loads(line) for line in daemon.last_log.splitlines()]

    def only(self, lines, event):
        found = [line for line in lines if line.get("event") == event]
        self.assertEqual(len(found), 1, lines)
        return found[0]

    def test_json(self):
        daemon = self.start("--log-format", "json")
        worker = ["--instance", "iad-\"1\""]
        self.lockstep("pull", *worker, self.url(host="127.0.0.1"), self.local)
        pulled = daemon.log().count("\n")
        change(self.local)
        self.lockstep("push", *worker, self.local, self.url(host="127.0.0.1"))
        self.lockstep("pull", self.url("b.db"), self.local, who=self.reader, status=77)
        daemon.wait_for('"event":"end"', 3)
        self.assertEqual(daemon.stop(), 0)
        lines = self.json_lines(daemon)
        for line in lines:
            self.assertRegex(line["time"], TIME)
            self.assertIn(line["level"], ("error", "warning", "info"))
            self.assertEqual(line["program"], "lockstep-origin")
        about = {"database": "a.db", "client": "worker", "instance": "iad-\"1\""}
        for event, version in (("pull", 1), ("arrived", 1), ("push", 2)):
            line = self.only(lines, event)
            self.assertEqual({name: line[name] for name in about}, about)
            self.assertEqual(line["version"], version)
            self.assertRegex(line["peer"], r"^127\.0\.0\.1:\d+$")  # not ::ffff:127.0.0.1
        ends = [line for line in lines if line.get("event") == "end"]
        self.assertEqual([line["outcome"] for line in ends], ["NONE", "NONE", "NOT_ALLOWED"])
        for line in ends:
            self.assertGreater(line["bytes_sent"], 20)
            self.assertGreater(line["bytes_received"], 20)
            self.assertGreaterEqual(line["milliseconds"], 0)
        self.assertGreater(ends[1]["bytes_received"], 150)
        self.assertIn("reader may neither pull nor push b.db", ends[2]["message"])
        self.assertLess(pulled, len(lines))

    def test_text(self):
        daemon = self.start()
        self.lockstep("pull", self.url(host="[::1]"), self.local)
        daemon.wait_for("is gone after")
        self.assertEqual(daemon.stop(), 0)
        for line in daemon.last_log.splitlines():
            self.assertRegex(line, r"^" + TIME.pattern + r" (info|warning|error) lockstep-origin: ")
        self.assertRegex(daemon.last_log, r"worker from \[::1\]:\d+ is gone after \d+ ms: \d+ bytes received, \d+ sent\n")

    def test_stdio(self):
        """The log of a session over SSH or a pipe, on its stderr."""
        script = os.path.join(self.folder, "origin.sh")
        for word, pattern in (("text", TIME.pattern + r" info lockstep-origin: .* pulls version 1"), ("json", r'\{"time":.*"event":"pull".*\}')):
            with open(script, "w", encoding="ascii") as file:
                file.write(f'#!/bin/sh\nexec {ORIGIN} -v --log-format {word} "$@" 2>>{self.folder}/{word}\n')
            os.chmod(script, 0o700)
            subprocess.run([LOCKSTEP, "pull", "--exe", script, self.origin, os.path.join(self.folder, word + ".db")], check=True)
            with open(f"{self.folder}/{word}", encoding="ascii") as file:
                lines = file.read().splitlines()
            self.assertTrue(any(re.fullmatch(pattern + ".*", line) for line in lines), lines)

    def test_a_format_that_is_none(self):
        for words in (["serve", *self.words()], ["--stdio", self.origin]):
            done = subprocess.run([ORIGIN, *words, "--log-format", "xml"], capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual((done.returncode, done.stderr), (64, 'lockstep-origin: --log-format: "xml" is neither text nor json\n'))


class Notify(Case):
    """What comes to NOTIFY_SOCKET. (Socket activation, READY and STOPPING: test_daemon.py.)"""

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(self.path)
        self.socket.settimeout(20)

    def next(self):
        return self.socket.recv(200).decode()

    def collect(self, seconds):
        """What comes in that time."""
        got = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                got.append(self.next())
        return got

    def test_reload(self):
        daemon = self.start(env={"NOTIFY_SOCKET": self.path})
        self.assertEqual(self.next(), "READY=1")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.process.send_signal(signal.SIGHUP)
        reloading = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", self.next())
        self.assertEqual(self.next(), "READY=1")
        self.assertTrue(before <= int(reloading[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        # One that fails is over as well: what was read before stays in force.
        os.rename(self.cert, self.cert + "2")
        self.addCleanup(os.rename, self.cert + "2", self.cert)
        daemon.process.send_signal(signal.SIGHUP)
        self.assertTrue(self.next().startswith("RELOADING=1"))
        self.assertEqual(self.next(), "READY=1")
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(self.next(), "STOPPING=1")

    def test_watchdog(self):
        daemon = self.start("--stuck-after", "1s", "--timeout", "60s", env={"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "400000"})
        said = self.collect(2)
        self.assertIn("READY=1", said)
        self.assertGreaterEqual(said.count("WATCHDOG=1"), 4)
        # A worker that is stuck: it goes silent until that has gone on.
        self.lockstep("pull", self.url(), self.local)
        change(self.local)
        blocker = sqlite3.connect(self.origin, isolation_level=None)
        blocker.execute("begin immediate")
        push = subprocess.Popen([LOCKSTEP, "push", *self.identity(), self.local, self.url()], stderr=subprocess.PIPE)
        daemon.wait_for("opens a.db", 2)
        self.collect(2)
        self.assertEqual(self.collect(1.5), [])
        blocker.execute("rollback")
        blocker.close()
        push.communicate(timeout=60)
        self.assertEqual(push.returncode, 0)
        self.assertIn("WATCHDOG=1", self.collect(1.5))
        self.assertEqual(daemon.stop(), 0)

    def test_the_watchdog_of_another_process(self):
        self.start(env={"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
        self.assertEqual(self.collect(1), ["READY=1"])

    def test_an_abstract_socket(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind("\0lockstep-test-%d" % os.getpid())
            notify.settimeout(20)
            self.start(env={"NOTIFY_SOCKET": "@lockstep-test-%d" % os.getpid()})
            self.assertEqual(notify.recv(100), b"READY=1")


if __name__ == "__main__":
    unittest.main()

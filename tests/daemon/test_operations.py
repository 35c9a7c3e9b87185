"""What whoever runs the daemon sees of it: its log."""
import json
import os
import re
import subprocess
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


if __name__ == "__main__":
    unittest.main()

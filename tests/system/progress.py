"""What a person sees while a command is at work and after it: lines on a terminal and elsewhere, JSON lines, SIGUSR1, totals."""
import json
import os
import pty
import re
import select
import signal
import time
import unittest

import cli

# Passes on what the origin says, and after the first bytes, its greeting, waits until a file is there.
RELAY = """#!/usr/bin/env python3
import os, subprocess, sys, time
origin = subprocess.Popen([{origin!r}, *sys.argv[1:]], stdout=subprocess.PIPE)
said = 0
while data := os.read(origin.stdout.fileno(), 4096):
    while said >= {after} and not os.path.exists({go!r}):
        time.sleep(0.01)
    said += len(data)
    os.write(1, data)
sys.exit(origin.wait())
"""


class Case(cli.Case):
    def setUp(self):
        super().setUp()
        self.origin, self.local, self.go = self.path("origin.db"), self.path("local.db"), self.path("go")
        cli.make_counter(self.origin, 7, rows=300)

    def relay(self, after=1):
        return cli.write_script(self.path("relay"), RELAY.format(origin=cli.ORIGIN, go=self.go, after=after))

    def let_go(self):
        with open(self.go, "w", encoding="utf-8"):
            pass


class OnATerminal(Case):
    def on_terminal(self, *words, until=None, env=None):
        """What is seen on a terminal, up to the end; once `until` was seen, the origin may go on."""
        master, slave = pty.openpty()
        running = cli.subprocess.Popen([cli.LOCKSTEP, *words], stdin=cli.subprocess.DEVNULL, stdout=cli.subprocess.DEVNULL, stderr=slave,
                                       env=self.environment({"TERM": "xterm", **(env or {})}))
        self.addCleanup(running.kill)
        os.close(slave)
        seen = ""
        deadline = time.monotonic() + cli.PATIENCE
        while time.monotonic() < deadline:
            if until is not None and until in seen:
                self.let_go()
            if not select.select([master], [], [], 0.05)[0]:
                if running.poll() is not None:
                    break
                continue
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data.decode(errors="replace")
        os.close(master)
        self.assertEqual(running.wait(cli.PATIENCE), 0, seen)
        return seen

    def test_a_line_that_is_taken_away_again(self):
        seen = self.on_terminal("pull", "--exe", self.relay(), self.origin, self.local, until="\rpulling: finding what differs, ")
        self.assertRegex(seen, r"\rpulling: finding what differs, [\d.]+ (bytes|kB).*, for 0:00\x1b\[K")
        # The outcome stands on a line of its own, with nothing of the progress left.
        self.assertRegex(seen, r"\r\x1b\[Klockstep: pulled version 1: \d+ of \d+ pages, [^\r\n]*\r\n\Z")

    def test_none_where_it_is_not_wanted(self):
        for words, env in ((["-q"], {}), (["--progress=none"], {}), ([], {"TERM": "dumb"})):
            self.let_go()
            self.assertNotIn("\r\x1b[K", self.on_terminal("pull", *words, "--exe", self.relay(), self.origin, self.local, env=env))


class Elsewhere(Case):
    def test_nothing_unless_it_is_asked_for(self):
        self.let_go()
        result = self.assert_status(self.lockstep("pull", "--exe", self.relay(), self.origin, self.local), 0)
        self.assertEqual(len(result.stderr.splitlines()), 1, result)

    def test_plain_lines(self):
        for words in (["-v"], ["--progress"], ["--progress=plain"]):
            running = self.start("pull", *words, "--exe", self.relay(), self.origin, self.local)
            line = running.wait_for("finding what differs")
            self.assertRegex(line, r"\Alockstep: pulling: finding what differs, .*, for 0:01\n\Z")
            self.let_go()
            self.assert_status(running.finish(), 0)
            os.remove(self.go)
            cli.add(self.origin)

    def test_json_lines(self):
        running = self.start("pull", "-q", "--progress=json", "--exe", self.relay(), self.origin, self.local)
        running.wait_for('"phase":"finding"')
        self.let_go()
        result = self.assert_status(running.finish(), 0)
        told = [json.loads(line) for line in result.stderr.splitlines()]
        phases = [line["phase"] for line in told]
        self.assertEqual(phases[-1], "done")
        self.assertIn("finding", phases)
        self.assertEqual({(line["v"], line["kind"]) for line in told}, {(1, "progress")})
        self.assertEqual(told[-1]["pages"], told[-1]["pages_total"])
        self.assertGreater(told[-1]["pages"], 10)
        self.assertGreater(told[-1]["bytes_received"], 10000)
        # A failure is told as one.
        result = self.assert_status(self.lockstep("pull", "--progress=json", self.path("none.db"), self.path("b.db")), "NO_DATABASE")
        last = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")][-1]
        self.assertEqual(last["phase"], "failed")

    def test_how_must_be_known(self):
        self.assert_status(self.lockstep("pull", "--progress=loud", self.origin, self.local), "USAGE", "--progress: \"loud\"")
        # What follows is no value of it.
        self.assert_status(self.lockstep("pull", "--progress", self.origin, self.local), 0)

    def test_the_sqlite3_rsync_form_is_silent_unless_asked(self):
        running = self.start("--progress", "--exe", self.relay(), self.origin, self.local)
        running.wait_for("pulling: finding what differs")
        self.let_go()
        self.assert_status(running.finish(), 0)


class WhereItStands(Case):
    """SIGUSR1 prints a line, also with --quiet, and disturbs nothing."""

    def test_pull(self):
        running = self.start("pull", "-q", "--progress=json", "--exe", self.relay(), self.origin, self.local)
        running.wait_for('"phase":"finding"')
        running.send(signal.SIGUSR1)
        self.let_go()
        self.assert_status(running.finish(), 0)
        os.remove(self.go)
        cli.add(self.origin)
        running = self.start("pull", "-q", "--exe", self.relay(), self.origin, self.local)
        deadline = time.monotonic() + cli.PATIENCE
        while not any("finding" in line for line in running.lines):
            self.assertLess(time.monotonic(), deadline, running.lines)
            time.sleep(0.2)
            # Until its handler stands, the signal would end it.
            with open(f"/proc/{running.pid}/status", encoding="utf-8") as file:
                if int(re.search(r"SigCgt:\s+(\w+)", file.read()).group(1), 16) & 1 << (signal.SIGUSR1 - 1):
                    running.send(signal.SIGUSR1)
        self.let_go()
        result = self.assert_status(running.finish(), 0)
        self.assertRegex(result.stderr, r"(?m)^lockstep: pulling: finding what differs, .* for \d:\d\d$")

    def test_run(self):
        lock = "file://" + self.path("lock")
        self.assert_status(self.lockstep("lock", "acquire", "--instance", "the-other", lock), 0)
        token = cli.json_of(self.lockstep("lock", "show", "--json", lock))
        job = cli.write_script(self.path("job"), f"#!/bin/sh\nwhile [ ! -e {self.go} ]; do sleep 0.05; done\n")
        running = self.start("run", "--progress=plain", "--lock", lock, self.origin, self.local, "--", job)
        running.wait_for("waiting for the lock, held by the-other (since ")
        self.assert_status(self.lockstep("lock", "release", "--token", str(token["token"]), "--lease", token["lease"], lock), 0)
        running.wait_for("the job runs: " + job)
        before = len(running.lines)
        running.send(signal.SIGUSR1)
        cli.poll(lambda: any("the job runs" in line for line in running.lines[before:]), "an answer to SIGUSR1")
        self.let_go()
        self.assert_status(running.finish(), 0, "lock released")


class Totals(Case):
    def test_verbose(self):
        """rsync's two lines."""
        result = self.assert_status(self.lockstep("pull", "-v", self.origin, self.local), 0)
        found = re.search(r"lockstep: sent ([\d,]+) bytes  received ([\d,]+) bytes  [\d,]+\.\d\d bytes/sec\n"
                          r"lockstep: total size is ([\d,]+)  speedup is ([\d,]+\.\d\d)\n\Z", result.stderr)
        self.assertIsNotNone(found, result)
        sent, received, size, speedup = [float(text.replace(",", "")) for text in found.groups()]
        self.assertEqual(size, os.path.getsize(self.origin))
        self.assertAlmostEqual(speedup, size / (sent + received), delta=0.01)

    def test_stats(self):
        self.assert_status(self.lockstep("pull", self.origin, self.local), 0)
        cli.add(self.local)
        result = self.assert_status(self.lockstep("push", "--stats", "--json", self.local, self.origin), 0)
        told = json.loads(result.stdout)
        self.assertEqual(told["pages_differing"], 1)
        self.assertRegex(result.stderr, rf"pages differing:      1 of {told['page_count']}, 4,096 bytes\n")
        self.assertRegex(result.stderr, r"round trips:          1\n")
        share = 100 * (told["bytes_sent"] + told["bytes_received"]) / told["database_bytes"]
        self.assertIn(f"of the database:      {share:.3f}%\n", result.stderr)
        self.assertRegex(result.stderr, r"of the changed pages: [\d.]+%\n")
        self.assertRegex(result.stderr, r"seconds:              \d+\.\d\d: connecting \d.*, scanning .*, confirming .*, keeping \d")
        self.assertAlmostEqual(told["ratio_to_database"], share / 100)
        self.assertAlmostEqual(told["ratio_to_changed"], (told["bytes_sent"] + told["bytes_received"]) / 4096)
        self.assertLessEqual(sum(told["phases"].values()), told["seconds"] + 0.01)

    def test_stats_in_the_form_of_sqlite3_rsync(self):
        result = self.assert_status(self.lockstep("--stats", self.origin, self.local), 0)
        self.assertIn("pages differing:", result.stdout)
        self.assertEqual(result.stderr, "")
        told = json.loads(self.assert_status(self.lockstep("--json", self.origin, self.local), 0).stdout)
        self.assertEqual((told["kind"], told["pages_differing"]), ("pull", 0))


if __name__ == "__main__":
    unittest.main()

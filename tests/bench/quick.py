"""bench/run.sh --quick runs through with the programs that are there, and does not take a program's word for its
work. No time is asserted."""

import csv
import json
import os
import shutil
import stat
import subprocess
import tempfile
import unittest

BIN = os.environ["LOCKSTEP_BIN"]
RUN = os.path.join(os.environ["LOCKSTEP_SOURCE"], "bench", "run.sh")
CHANGES = {"nochange", "upd100", "upd1pct", "batchjob", "append", "index", "vacuum", "vacuum-head"}


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.out = os.path.join(folder.name, "out")

    def bench(self, *options, path=os.environ["PATH"]):
        return subprocess.run([RUN, "--quick", "--out", self.out, *options], capture_output=True, text=True,
                              check=False, env={**os.environ, "PATH": path})

    def rows(self):
        with open(os.path.join(self.out, "results.csv"), encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def test_quick(self):
        there = [name for name in ("sqlite3_rsync", "rsync", "zstd") if shutil.which(name)]
        lockstep = os.path.exists(os.path.join(BIN, "lockstep"))
        if not there and not lockstep:
            self.skipTest("there is nothing to measure")
        done = self.bench()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rows = [row for row in self.rows() if row["section"] == "works"]
        programs = {row["program"] for row in rows}
        self.assertEqual(len(programs), len(there) + 3 * lockstep)
        for program in programs:
            mine = [row for row in rows if row["program"] == program]
            changes_only = program in ("lockstep push", "lockstep pull")
            self.assertEqual({row["work"] for row in mine}, CHANGES if changes_only else CHANGES | {"first-copy"})
            for row in mine:
                self.assertGreater(int(row["bytes"]), 0)
                self.assertGreater(int(row["peak_near"]), 0)
                self.assertGreater(int(row["peak_far"]), 0)
        with open(os.path.join(self.out, "results.md"), encoding="utf-8") as file:
            table = file.read()
        for word in CHANGES | {"first-copy"} | programs:
            self.assertIn("| %s " % word, table)
        if shutil.which("gnuplot"):
            for name in ("bytes-by-work", "seconds-by-work", "bytes-by-changes"):
                for ending in (".svg", ".png"):
                    self.assertGreater(os.path.getsize(os.path.join(self.out, name + ending)), 1000)

    def test_a_program_that_only_says_that_it_worked(self):
        """The bench looks at what the receiver holds."""
        liar = os.path.join(self.folder, "rsync")
        with open(liar, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nfor far; do test \"$far\" = -e && found=1 && continue\n"
                       "test \"$found\" && break; done\n\"$far\" host true\n"
                       "echo Total bytes sent: 1; echo Total bytes received: 1\n")
        os.chmod(liar, stat.S_IRWXU)
        done = self.bench("--only", "rsync -z", "--sections", "works", "--works", "nochange,upd100",
                          path=self.folder + ":" + os.environ["PATH"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("are not those of upd100", done.stderr)
        self.assertEqual([row["work"] for row in self.rows()], ["nochange"])


class Usage(unittest.TestCase):
    def test_report_and_status(self):
        with tempfile.TemporaryDirectory() as folder:
            report = os.path.join(folder, "report.json")
            done = subprocess.run([os.path.join(BIN, "bench_usage"), report, "sh", "-c", "cat; exit 3"],
                                  input=b"through", capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (3, b"through"))
            with open(report, encoding="utf-8") as file:
                told = json.load(file)
            self.assertEqual(told["status"], 3)
            self.assertGreater(told["peak"], 100000)
            self.assertGreaterEqual(told["ended"], told["started"])

    def test_no_such_program(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([os.path.join(BIN, "bench_usage"), os.path.join(folder, "r"), "/no/such"],
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, 127)
            self.assertIn(b"/no/such", done.stderr)

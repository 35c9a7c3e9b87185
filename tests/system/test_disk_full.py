"""No space left: DISK_FULL, nothing lost, and the same command ends well once there is space."""
import json
import os
import resource
import shutil
import subprocess
import sys
import unittest

import harness
from harness import DISK_FULL, Case, content, rows, sql

# Run in a mount namespace of its own: a small file system at argv[1], filled by `files`, where the command is run, and what
# is there then is copied to argv[2].
INSIDE = r"""
import os, shutil, subprocess, sys
small, seed, out, size, command = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "none", small], check=True)
for name in os.listdir(seed):
    shutil.copy(os.path.join(seed, name), small)
result = subprocess.run(command)
for name in os.listdir(small):
    shutil.copy(os.path.join(small, name), out)
sys.exit(result.returncode)
"""


class DiskFull(Case):
    def setUp(self):
        super().setUp()
        self.origin, self.replica = self.path("origin.db"), self.path("replica.db")
        self.start_over()

    def start_over(self):
        self.fresh()
        for name in ("small", "seed", "out"):
            os.mkdir(self.path(name))

    def run_on_a_small_disk(self, size, *command):
        for name in os.listdir(self.path("out")):
            os.unlink(os.path.join(self.path("out"), name))
        return self.run_program("unshare", "-m", "--propagation", "private", sys.executable, "-c", INSIDE, self.path("small"),
                                self.path("seed"), self.path("out"), str(size), harness.LOCKSTEP, *command)

    def need_mounts(self):
        probe = subprocess.run(["unshare", "-m", "--propagation", "private", "mount", "-t", "tmpfs", "none", self.path("small")],
                               capture_output=True, check=False)
        if probe.returncode != 0:
            self.skipTest("no mount namespaces for this user; the limit of file sizes is tested all the same")

    def move_pair(self, side):
        """The database of that side with its sidecar goes to the small disk."""
        for name in list(os.listdir(self.folder)):
            if name.startswith(side + ".db"):
                shutil.move(self.path(name), self.path("seed"))
        return os.path.join(self.path("small"), side + ".db")

    def make_pair(self, mode, grower):
        sql(self.origin, f"PRAGMA journal_mode = {mode};" + rows(300))
        self.pull(self.origin, self.replica)
        sql(grower, "INSERT INTO contact SELECT id + 1000, name, hex(randomblob(3000)) FROM contact;")

    def check_unchanged(self, side, before):
        """What is left on the small disk is whole, with the content of before, and takes the change once there is space."""
        left = os.path.join(self.path("out"), side + ".db")
        self.check_whole(left)
        self.assertEqual(content(left), before)
        return left

    def test_pull_onto_a_full_disk(self):
        self.need_mounts()
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                self.start_over()
                self.make_pair(mode, self.origin)
                before = content(self.replica)
                small = self.move_pair("replica")
                result = self.run_on_a_small_disk(1 << 20, "pull", self.origin, small)
                self.assertEqual(result.code, DISK_FULL, str(result))
                left = self.check_unchanged("replica", before)
                self.pull(self.origin, left)
                self.check_equal(self.origin, left)

    def test_push_onto_a_full_disk(self):
        self.need_mounts()
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                self.start_over()
                self.make_pair(mode, self.replica)
                before = content(self.origin)
                small = self.move_pair("origin")
                result = self.run_on_a_small_disk(1 << 20, "push", self.replica, small)
                self.assertEqual(result.code, DISK_FULL, str(result))
                left = self.check_unchanged("origin", before)
                self.push(self.replica, left)
                self.check_equal(left, self.replica)

    def test_first_copy_onto_a_full_disk(self):
        self.need_mounts()
        sql(self.origin, rows(5000))
        whole = json.loads(self.pull(self.origin, self.replica, "--json").out)["bytes_received"]
        result = self.run_on_a_small_disk(600 << 10, "pull", self.origin, os.path.join(self.path("small"), "new.db"))
        self.assertEqual(result.code, DISK_FULL, str(result))
        left = os.path.join(self.path("out"), "new.db")
        self.assertFalse(os.path.exists(left))
        done = json.loads(self.pull(self.origin, left, "--json").out)
        self.assertLess(done["bytes_received"], whole)
        self.check_equal(self.origin, left)

    def test_every_size_of_disk(self):
        """The space ends at any step: spool, sidecar, WAL or journal, commit."""
        self.need_mounts()
        codes = set()
        self.make_pair("wal", self.replica)
        before, after = content(self.origin), content(self.replica)
        small = self.move_pair("origin")
        os.mkdir(self.path("kept"))
        kept = [name for name in os.listdir(self.folder) if name.startswith("replica.db")]
        for name in kept:
            shutil.copy(self.path(name), self.path("kept"))
        used = sum(os.path.getsize(os.path.join(self.path("seed"), name)) for name in os.listdir(self.path("seed")))
        for extra in (16, 64, 200, 500, 900, 1300, 1800, 2600, 4000, 9000):
            with self.subTest(extra):
                for name in kept:
                    shutil.copy(os.path.join(self.path("kept"), name), self.folder)
                result = self.run_on_a_small_disk(used + (extra << 10), "push", self.replica, small)
                codes.add(result.code)
                self.assertIn(result.code, (0, DISK_FULL), str(result))
                left = os.path.join(self.path("out"), "origin.db")
                self.check_whole(left)
                self.assertEqual(content(left), after if result.code == 0 else before)
                if result.code == 0:
                    break
                self.push(self.replica, left)
                self.assertEqual(content(left), after)
        self.assertEqual(codes, {0, DISK_FULL})

    def test_limit_of_file_size(self):
        """The same by a limit that every user has: writing beyond it fails (EFBIG)."""
        for mode in ("wal", "delete"):
            for command in ("pull", "push"):
                with self.subTest(mode=mode, command=command):
                    for name in os.listdir(self.folder):
                        if name.startswith(("origin", "replica")):
                            os.unlink(self.path(name))
                    grower, receiver = (self.origin, self.replica) if command == "pull" else (self.replica, self.origin)
                    self.make_pair(mode, grower)
                    before = content(receiver)
                    arguments = (self.origin, self.replica) if command == "pull" else (self.replica, self.origin)
                    limit = os.path.getsize(receiver) + 100000
                    result = self.run_program(harness.LOCKSTEP, command, *arguments, preexec_fn=lambda: resource.setrlimit(
                        resource.RLIMIT_FSIZE, (limit, limit)))
                    self.assertIn(result.code, (DISK_FULL, harness.IO), str(result))
                    self.check_whole(receiver)
                    self.assertEqual(content(receiver), before)
                    self.lockstep(command, *arguments)
                    self.check_equal(self.origin, self.replica)


if __name__ == "__main__":
    unittest.main()

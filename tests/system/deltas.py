"""What a sync weighs: the table of bytes that Lockstep is to keep to, on the bench's database at a tenth of its size, and that old
content which is damaged, stale or missing (the replica's kept base, the origin's page-version log) costs bytes and nothing else.

The table stands for the bench's database at full size, in bytes of both directions together. At a tenth of the size the changes are a
tenth, and so is each bound, but for what does not grow with the database:

    FIXED    400 bytes: handshake, request, end, receipt
    FLIGHT   8,500 bytes: the first flight of a pull, which describes what the replica has

so that bound(tenth) = fixed + (bound(full) - fixed) / 10, with fixed = FIXED for a push, which describes nothing, and for the
row nochange; FIXED + FLIGHT for a pull. upd100 (100 rows) is upd10 here. upd100 and batchjob are scaled by the pages that differ, not by
ten: which pages ten rows meet is chance (29, 254 for a hundred at full size), and batchjob's rows' dates scatter over an index of 365
dates, so that it touches relatively more pages of a small database (1,566 of 11,131) than of the large one (9,530 of 112,575).
vacuum-head runs at 0.101 of the size: there, as at full size, three of four pages hold content that only moved; at 0.1 the rows
behind the deleted ones happen to fall otherwise onto pages, and one of three does.
"""
import collections
import contextlib
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import cli

MAKE_WORK = os.path.join(cli.BIN, "bench_make_work")
FIXED = 400
FLIGHT = 8500
PAGES = 11131  # of the largest of these databases
HASH_SIZE = 8  # bytes of a page in the flat list (protocol/page/difference.h)

# name: (differing pages at full size, then bytes at full size: push from a kept base, pull that the log covers, pull of what nobody knows)
Row = collections.namedtuple("Row", "differing push pull unknown")
TABLE = {
    "upd100": Row(255, 10e3, 19e3, 195e3),
    "upd1pct": Row(25745, 1.6e6, 2.2e6, 22e6),
    "batchjob": Row(9532, 2.9e6, 3.2e6, 6.4e6),
    "append": Row(629, 370e3, 390e3, 390e3),
    "index": Row(1368, 2.1e6, 2.15e6, 2.15e6),
    "vacuum": Row(100135, 18e6, 95e6, 95e6),
    "vacuum-head": Row(104081, 6e6, 24e6, 24e6),
}
FIRST_COPY = 105e6
SCALE = 0.1
MOVING_SCALE = 0.101

# In the place of lockstep-origin: passes on so many bytes of what that says, then both are gone.
CUT = """
import os, subprocess, sys
origin = subprocess.Popen([{origin!r}, *sys.argv[1:]], stdout=subprocess.PIPE)
left = {count}
while left > 0 and (data := os.read(origin.stdout.fileno(), min(left, 65536))):
    while data:
        wrote = os.write(1, data)
        left -= wrote
        data = data[wrote:]
origin.kill()
origin.wait()
"""

folder = None  # of this file's tests: the bench's databases, made once


def make_work(*words):
    return subprocess.run([MAKE_WORK, *words], stdout=subprocess.PIPE, text=True, check=True).stdout


def work(scale, name):
    """The path of what the workload called name makes of the bench's database of this scale; "base": the database as it was."""
    path = os.path.join(folder, f"{scale}-{name}.db")
    if not os.path.exists(path) and name == "base":
        make_work("create", path, "--scale", str(scale))
    elif not os.path.exists(path):
        shutil.copyfile(work(scale, "base"), path)
        make_work("apply", path, name)
    return path


def differing(one, other):
    return int(make_work("differ", one, other).split()[0])


def setUpModule():
    global folder
    folder = tempfile.mkdtemp(prefix="lockstep-deltas-")
    unittest.addModuleCleanup(shutil.rmtree, folder, True)


class Case(cli.Case):
    def origin_program(self, *options):
        """A name for --exe that starts lockstep-origin with these options."""
        return cli.write_script(self.path("origin-program"), "#!/bin/sh\nexec %s %s \"$@\"\n" % (cli.ORIGIN, " ".join(options)))

    def sync(self, verb, local, *options, origin="origin.db", exe=cli.ORIGIN):
        """pull or push: what --json told of it. Then both sides have the same content."""
        ends = [self.path(origin), self.path(local)]
        result = self.lockstep(verb, *(ends if verb == "pull" else ends[::-1]), "--json", "--exe", exe, *options)
        self.assert_status(result, 0)
        self.assertEqual(differing(*ends), 0)
        told = json.loads(result.stdout)
        told["bytes"] = told["bytes_sent"] + told["bytes_received"]
        told["warnings"] = result.stderr
        return told

    def copy(self, source, target):
        """Copy a database and all that is kept beside it, in this test's folder."""
        for name in os.listdir(self.folder):
            if name == source or name.startswith(source + "-lockstep"):
                shutil.copyfile(self.path(name), self.path(target + name[len(source):]))


class Table(Case):
    """Each workload: pushed by one replica, then pulled by another that had the base; and made by another program at an origin."""

    pairs = {}  # scale: the folder of an origin with the base, and of a replica that pulled it

    @classmethod
    def pair(cls, scale):
        if scale not in cls.pairs:
            cls.pairs[scale] = tempfile.mkdtemp(dir=folder)
            origin, local = (os.path.join(cls.pairs[scale], name) for name in ("origin.db", "local.db"))
            shutil.copyfile(work(scale, "base"), origin)
            subprocess.run([cli.LOCKSTEP, "pull", origin, local, "--exe", cli.ORIGIN, "--base", "copy", "--quiet"], check=True)
        return cls.pairs[scale]

    def lay_out(self, name, scale=SCALE):
        """An origin NAME-origin.db with the base and a replica NAME.db that pulled it."""
        pair = self.pair(scale)
        for file in os.listdir(pair):
            shutil.copyfile(os.path.join(pair, file), self.path(file.replace("origin", name + "-origin").replace("local", name)))

    def check(self, told, bound, trips, pages):
        with self.subTest(bytes=told["bytes"], bound=round(bound), pages=told["pages_differing"], round_trips=told["round_trips"]):
            self.assertLessEqual(told["bytes"], bound)
            self.assertLessEqual(told["round_trips"], trips)
            self.assertEqual(told["pages_differing"], pages)

    def check_pull(self, told, bound, pages):
        """As above, with what finding the pages may cost and take, which is the way from the replica to the origin."""
        self.check(told, bound, 1 + math.ceil(max(0, math.log(max(pages, 1) / 300, 4))), pages)
        flat = PAGES * HASH_SIZE
        with self.subTest(finding=told["bytes_sent"], pages=pages, flat=flat):
            self.assertLessEqual(told["bytes_sent"], FIXED + min(FLIGHT + 25 * pages, flat))

    def check_row(self, name, scale=SCALE):
        row = TABLE[name]
        target = work(scale, "upd10" if name == "upd100" else name)
        pages = differing(work(scale, "base"), target)
        part = pages / row.differing if name in ("upd100", "batchjob") else scale
        for kind in "known", "unknown":
            self.lay_out(kind, scale)
        self.copy("known.db", "other.db")
        with self.subTest("push"):
            shutil.copyfile(target, self.path("known.db"))
            told = self.sync("push", "known.db", origin="known-origin.db")
            self.check(told, FIXED + (row.push - FIXED) * part, 1, pages)
        with self.subTest("pull"):
            told = self.sync("pull", "other.db", origin="known-origin.db")
            self.check_pull(told, FIXED + FLIGHT + (row.pull - FIXED - FLIGHT) * part, pages)
        with self.subTest("base unknown"):
            shutil.copyfile(target, self.path("unknown-origin.db"))
            told = self.sync("pull", "unknown.db", origin="unknown-origin.db")
            self.check_pull(told, FIXED + FLIGHT + (row.unknown - FIXED - FLIGHT) * part, pages)

    def test_nochange(self):
        self.lay_out("same")
        for verb in "push", "pull":
            told = self.sync(verb, "same.db", origin="same-origin.db")
            self.check(told, FIXED, 1, 0)

    def test_first_copy(self):
        shutil.copyfile(work(SCALE, "base"), self.path("origin.db"))
        told = self.sync("pull", "local.db")
        self.check(told, FIXED + FIRST_COPY * SCALE, 1, told["page_count"])

    def test_upd100(self):
        self.check_row("upd100")

    def test_upd1pct(self):
        self.check_row("upd1pct")

    def test_batchjob(self):
        self.check_row("batchjob")

    def test_append(self):
        self.check_row("append")

    def test_index(self):
        self.check_row("index")

    def test_vacuum(self):
        self.check_row("vacuum")

    def test_vacuum_head(self):
        self.check_row("vacuum-head", MOVING_SCALE)


class Small(Case):
    """A hundredth of the bench's database: an origin, and replicas that pulled it."""

    def setUp(self):
        super().setUp()
        shutil.copyfile(work(0.01, "base"), self.path("origin.db"))

    def change(self, name, workload="upd1pct"):
        make_work("apply", self.path(name), workload)


class KeptBase(Small):
    def push(self, *options):
        """Push the change: what it told."""
        self.change("local.db")
        return self.sync("push", "local.db", *options)

    def base(self):
        return self.path("local.db-lockstep-base")

    def test_copy_is_kept_and_used(self):
        self.sync("pull", "local.db", "--base", "copy")
        self.copy("origin.db", "origin2.db")
        self.copy("local.db", "local2.db")
        with_base = self.push("--base", "copy")
        self.assertEqual(differing(self.base(), self.path("local.db")), 0)
        self.change("local2.db")
        without = self.sync("push", "local2.db", "--base", "none", origin="origin2.db")
        self.assertFalse(os.path.exists(self.path("local2.db-lockstep-base")))
        self.assertLess(3 * with_base["bytes"], without["bytes"])
        self.assertEqual((with_base["round_trips"], without["round_trips"]), (1, 1))
        # The base goes along with a pull, too.
        self.change("origin.db", "append")
        self.sync("pull", "local.db", "--base", "copy")
        self.assertEqual(differing(self.base(), self.path("local.db")), 0)

    def test_none(self):
        self.sync("pull", "local.db", "--base", "none")
        self.assertFalse(os.path.exists(self.base()))
        told = self.push("--base", "none")
        self.assertFalse(os.path.exists(self.base()))
        # The page hashes are remembered all the same: nothing needs to be found.
        self.assertEqual(told["round_trips"], 1)
        self.assertLess(told["bytes_received"], FIXED)

    def test_auto(self):
        self.sync("pull", "local.db")
        self.assertEqual(differing(self.base(), self.path("local.db")), 0)
        self.assertEqual(self.push()["round_trips"], 1)

    def test_reflink_or_a_warning(self):
        told = self.sync("pull", "local.db", "--base", "reflink")
        if not os.path.exists(self.base()):
            self.assertIn("--base reflink", told["warnings"])
        self.assertEqual(self.push("--base", "reflink")["round_trips"], 1)

    def test_a_damaged_base_costs_bytes_only(self):
        """The change is pushed with the base as it is, then with what each damage leaves of it."""
        self.sync("pull", "local.db", "--base", "copy")
        size = os.path.getsize(self.base())
        old = self.path("old-base")
        shutil.copyfile(self.base(), old)

        def flip(count):
            with open(self.base(), "r+b") as file:
                for at in range(0, size, size // count):
                    file.seek(at)
                    byte = file.read(1)
                    file.seek(at)
                    file.write(bytes([byte[0] ^ 0x40]))

        def stale():
            """As where a process died between the commit and the base's turn: the base is that of before the last sync."""
            self.change("local.db", "batchjob")
            self.sync("push", "local.db", "--base", "copy")
            shutil.copyfile(old, self.base())

        def directory():
            os.remove(self.base())
            os.mkdir(self.base())

        damages = {
            "none": lambda: None,
            "a flipped bit in each page": lambda: flip(size // 4096),
            "a flipped bit in each tenth page": lambda: flip(size // 40960),
            "half": lambda: os.truncate(self.base(), size // 2 + 17),
            "emptied": lambda: os.truncate(self.base(), 0),
            "removed": lambda: os.remove(self.base()),
            "a directory": directory,
            "stale": stale,
        }
        self.copy("origin.db", "before-origin.db")
        self.copy("local.db", "before.db")
        bytes_by_damage = {}
        for name, damage in damages.items():
            with self.subTest(name):
                if os.path.isdir(self.base()):
                    os.rmdir(self.base())
                self.copy("before-origin.db", "origin.db")
                self.copy("before.db", "local.db")
                damage()
                told = self.push("--base", "copy")
                self.assertEqual(told["round_trips"], 1)
                bytes_by_damage[name] = told["bytes"]
        whole = bytes_by_damage.pop("none")
        removed = bytes_by_damage["removed"]
        self.assertLess(3 * whole, removed)
        for name, weight in bytes_by_damage.items():
            with self.subTest(name):
                self.assertLess(whole, weight)
                self.assertLess(weight, 1.02 * removed)


class PageVersionLog(Small):
    def log(self, statement):
        with contextlib.closing(sqlite3.connect(self.path("origin.db-lockstep-history"))) as connection:
            return connection.execute(statement).fetchall()

    def size(self):
        return self.log("select sum(length(data)) from pack")[0][0]

    def versions(self):
        return [row[0] for row in self.log("select distinct version from pack order by 1")]

    def pushes(self, first, last, exe=cli.ORIGIN):
        """Make the versions first + 1 to last + 1, each of which changes the same pages. A replica v1.db, v2.db, … stays behind at each
        version."""
        if first == 1:
            self.sync("pull", "writer.db", "--base", "copy")
        for number in range(first, last + 1):
            self.copy("writer.db", f"v{number}.db")
            cli.execute(self.path("writer.db"),
                        "update email_schedules set batch_run_id = lower(hex(randomblob(8))) where id % 97 = 3")
            self.sync("push", "writer.db", exe=exe)

    def test_each_version_is_patched(self):
        self.pushes(1, 3)
        self.copy("v1.db", "bare.db")
        self.assertEqual(self.versions(), [2, 3, 4])
        pulls = [self.sync("pull", f"v{number}.db") for number in (1, 2, 3)]
        os.remove(self.path("origin.db-lockstep-history"))
        bare = self.sync("pull", "bare.db")
        for told in pulls:
            self.assertEqual((told["round_trips"], told["version"]), (1, 4))
            self.assertEqual(told["pages_differing"], bare["pages_differing"])
            self.assertLess(2 * told["bytes"], bare["bytes"])

    def test_trimmed_by_whole_versions_oldest_first(self):
        self.pushes(1, 2)
        limit = 5 * self.log("select sum(length(data) + length(keys)) from pack where version = 3")[0][0] // 2
        exe = self.origin_program("--history-bytes", str(limit))
        for number in range(3, 6):
            self.pushes(number, number, exe)
            self.assertLessEqual(self.size(), limit)
            self.assertEqual(self.versions(), [number, number + 1])
        covered = [self.sync("pull", f"v{number}.db", exe=exe)["bytes"] for number in (4, 5)]
        trimmed = [self.sync("pull", f"v{number}.db", exe=exe)["bytes"] for number in (1, 2, 3)]
        self.assertLess(2 * max(covered), min(trimmed))

    def test_a_push_that_is_larger_than_the_log(self):
        self.pushes(1, 1)
        exe = self.origin_program("--history-bytes", "2000")
        self.copy("writer.db", "v2.db")
        self.change("writer.db")
        self.sync("push", "writer.db", exe=exe)
        self.assertNotIn(3, self.versions())
        self.sync("pull", "v2.db", exe=exe)

    def test_none(self):
        self.pushes(1, 1)
        self.assertTrue(os.path.exists(self.path("origin.db-lockstep-history")))
        exe = self.origin_program("--history-bytes", "0")
        self.copy("writer.db", "v2.db")
        self.change("writer.db")
        self.sync("push", "writer.db", exe=exe)
        self.assertFalse(os.path.exists(self.path("origin.db-lockstep-history")))
        self.sync("pull", "v2.db", exe=exe)

    def test_a_damaged_log_costs_bytes_only(self):
        """A pull over each damage; then a push makes a log that serves again."""
        self.pushes(1, 1)
        log = self.path("origin.db-lockstep-history")

        def write(at, data):
            with open(log, "r+b") as file:
                file.seek(at)
                file.write(data)

        def scatter():
            with open(log, "r+b") as file:
                content = bytearray(file.read())
                for at in range(4096, len(content), 397):
                    content[at] ^= 0x11
                file.seek(0)
                file.write(content)

        def directory():
            os.remove(log)
            os.mkdir(log)

        damages = {
            "none": lambda: None,
            "no header": lambda: write(0, b"x" * 100),
            "no table": lambda: self.log("drop table pack"),
            "another layout": lambda: self.log("pragma user_version = 77"),
            "no schema": lambda: write(100, b"\xff" * 3996),
            "bytes flipped": scatter,
            "half": lambda: os.truncate(log, os.path.getsize(log) // 2 + 5),
            "emptied": lambda: os.truncate(log, 0),
            "removed": lambda: os.remove(log),
            "a directory": directory,
        }
        for name in "origin.db", "writer.db", "v1.db":
            self.copy(name, "before-" + name)
        weights, again = {}, {}
        for name, damage in damages.items():
            with self.subTest(name):
                if os.path.isdir(log):
                    os.rmdir(log)
                for file in "origin.db", "writer.db", "v1.db":
                    self.copy("before-" + file, file)
                damage()
                weights[name] = self.sync("pull", "v1.db")["bytes"]
                cli.execute(self.path("writer.db"), "update email_schedules set batch_run_id = 'new' where id % 97 = 3")
                self.sync("push", "writer.db")
                again[name] = self.sync("pull", "v1.db")["bytes"]
        whole = weights.pop("none")
        for name, weight in weights.items():
            with self.subTest(name):
                self.assertLess(whole, weight)
                self.assertLess(weight, 1.02 * weights["removed"])
                if name != "a directory":  # in whose place no log can be made
                    self.assertLess(2 * again[name], weights["removed"])

    def test_a_local_write_costs_its_own_pages_only(self):
        """Another program writes at the origin after a push: that is a version, and what the push changed is patched all the same."""
        self.sync("pull", "local.db")
        self.copy("local.db", "writer.db")
        self.copy("origin.db", "bare-origin.db")
        self.copy("local.db", "bare.db")
        self.change("writer.db")
        self.sync("push", "writer.db")
        write = "update contacts set zip_code = '00001' where id % 400 = 9"
        cli.execute(self.path("origin.db"), write)
        mixed = self.sync("pull", "local.db")
        self.assertEqual(mixed["version"], 3)
        # The same change, all of it by another program: nothing can be patched.
        shutil.copyfile(self.path("origin.db"), self.path("bare-origin.db"))
        bare = self.sync("pull", "bare.db", origin="bare-origin.db")
        self.assertEqual(bare["pages_differing"], mixed["pages_differing"])
        # The local write alone.
        cli.execute(self.path("bare-origin.db"), write.replace("00001", "00002"))
        alone = self.sync("pull", "bare.db", origin="bare-origin.db")
        self.assertLess(2 * mixed["bytes"], bare["bytes"])
        self.assertLess(mixed["bytes"] - alone["bytes"], (bare["bytes"] - alone["bytes"]) / 2)


class Resumption(Case):
    """A pull into a database whose line breaks in the middle: the next one goes on from what arrived."""

    def lay_out(self, wal, workload):
        shutil.copyfile(work(SCALE, "base"), self.path("origin.db"))
        cli.execute(self.path("origin.db"), wal=wal)
        self.sync("pull", "local.db", "--base", "none")
        self.copy("local.db", "whole.db")
        self.kept = self.path("local.db.lockstep-pull")
        self.change(workload)
        self.whole = self.sync("pull", "whole.db", "--base", "none")
        self.assertFalse(os.path.exists(self.path("whole.db.lockstep-pull")))

    def change(self, workload):
        make_work("apply", self.path("origin.db"), workload)

    def pull_until(self, count):
        """A pull that ends when this many bytes have come: the database is as before. What is left for the next, in bytes."""
        exe = cli.write_script(self.path("cut"), f"#!{sys.executable}\n" + CUT.format(origin=cli.ORIGIN, count=count))
        before = cli.execute(self.path("local.db"), "select count(*), max(updated_at) from email_schedules")
        result = self.lockstep("pull", self.path("origin.db"), self.path("local.db"), "--exe", exe)
        self.assert_status(result, "NO_LINK")
        self.assertEqual(cli.execute(self.path("local.db"), "select count(*), max(updated_at) from email_schedules"), before)
        return os.path.getsize(self.kept) if os.path.exists(self.kept) else 0

    def check_second(self, part):
        """The next pull is through with at most this part of the bytes, and nothing is left behind."""
        told = self.sync("pull", "local.db", "--base", "none")
        self.assertFalse(os.path.exists(self.kept))
        self.assertEqual(cli.execute(self.path("local.db"), "pragma integrity_check"), [("ok",)])
        with self.subTest(second=told["bytes"], whole=self.whole["bytes"]):
            self.assertLess(told["bytes"], part * self.whole["bytes"])
        return told

    def test_cut_in_the_middle(self):
        for wal in True, False:
            with self.subTest(wal=wal):
                self.lay_out(wal, "upd1pct")
                # Most pages are kept as what they differ in: a tenth of what they are.
                self.assertGreater(self.pull_until(self.whole["bytes"] // 2), 1 << 18)
                self.assertEqual(os.stat(self.kept).st_mode & 0o777, 0o600)
                self.check_second(0.6)
                for name in os.listdir(self.folder):
                    if ".db" in name:
                        os.remove(self.path(name))

    def test_cut_again_and_again_while_the_origin_moves(self):
        """Rows come behind the end, and pages change that had arrived."""
        self.lay_out(True, "batchjob")
        sizes = [self.pull_until(self.whole["bytes"] // 3)]
        self.change("append")
        self.change("upd10")
        sizes.append(self.pull_until(self.whole["bytes"] // 3))
        sizes.append(self.pull_until(self.whole["bytes"] // 4))
        self.assertEqual(sizes, sorted(set(sizes)))
        self.check_second(0.6)

    def test_little_is_not_kept(self):
        self.lay_out(True, "upd1pct")
        self.assertEqual(self.pull_until(self.whole["bytes"] // 40), 0)
        self.check_second(1.1)

    def test_what_is_left_is_damaged(self):
        """Flipped bits cost their pages; what is of no use is thrown away."""
        self.lay_out(True, "upd1pct")
        self.pull_until(self.whole["bytes"] // 2)
        with open(self.kept, "rb") as file:
            kept = bytearray(file.read())
        for at in range(100, len(kept), 40960):
            kept[at] ^= 4
        self.copy("local.db", "again.db")
        for name, content, part in [("bits", kept, 0.8), ("half", kept[:len(kept) // 2], 0.95), ("zeros", bytes(len(kept)), 1.1),
                                    ("no page", kept[:48] + b"\xff" * (len(kept) - 48), 1.1), ("empty", b"", 1.1)]:
            with self.subTest(name):
                self.copy("again.db", "local.db")
                with open(self.kept, "wb") as file:
                    file.write(content)
                self.check_second(part)

    def test_the_database_was_changed_meanwhile(self):
        self.lay_out(True, "upd1pct")
        self.pull_until(self.whole["bytes"] // 2)
        cli.execute(self.path("local.db"), "delete from contacts where id = 5")
        told = self.lockstep("pull", self.path("origin.db"), self.path("local.db"))
        self.assert_status(told, "UNPUSHED")
        result = self.lockstep("pull", self.path("origin.db"), self.path("local.db"), "--discard")
        self.assert_status(result, 0)
        self.assertEqual(differing(self.path("origin.db"), self.path("local.db")), 0)
        self.assertFalse(os.path.exists(self.kept))


class Compression(Small):
    def test_levels(self):
        """More compression is fewer bytes: of a push by the replica's options, of a pull that asks for nothing by the origin's."""
        weights = {"push": [], "pull": []}
        for number, (near, far) in enumerate([
                (["--no-compress"], ["--compress-level", "0"]),
                (["--compress-level", "1"], ["--compress-level", "1"]),
                ([], []),
                (["--compress-level", "19"], ["--compress-level", "19"])]):
            exe = self.origin_program(*far)
            local = f"local{number}.db"
            self.copy("origin.db", f"origin{number}.db")
            first = self.sync("pull", local, "--base", "none", origin=f"origin{number}.db", exe=exe)
            weights["pull"].append(first["bytes"])
            self.change(local)
            weights["push"].append(self.sync("push", local, *near, "--base", "none", origin=f"origin{number}.db")["bytes"])
        for verb, row in weights.items():
            with self.subTest(verb, weights=row):
                self.assertEqual(row, sorted(row, reverse=True))
                self.assertEqual(len(set(row)), 4)
                self.assertLess(2 * row[1], row[0])
        pages = os.path.getsize(self.path("origin.db"))
        self.assertGreater(weights["pull"][0], pages)
        self.assertLess(weights["pull"][0], 1.01 * pages + FIXED)

    def pull_weight(self, far, *near):
        """Of a first copy from an origin with the options far, asked for with the options near: bytes."""
        self.copy("origin.db", "weighed-origin.db")
        told = self.sync("pull", "weighed.db", "--base", "none", *near, origin="weighed-origin.db", exe=self.origin_program(*far))
        for name in os.listdir(self.folder):
            if name.startswith("weighed"):
                os.remove(self.path(name))
        return told["bytes"]

    def test_a_pull_asks_for_its_level(self):
        """--compress-level and --no-compress of a pull are done by the origin, up to --max-compress-level."""
        weights = {level: self.pull_weight([], *(["--compress-level", level] if level else [])) for level in (None, "1", "3", "9", "19")}
        self.assertEqual(weights[None], weights["3"])
        self.assertGreater(weights["1"], weights["3"])
        self.assertGreater(weights["3"], weights["9"])
        self.assertEqual(weights["19"], weights["9"])
        self.assertLess(self.pull_weight(["--max-compress-level", "12"], "--compress-level", "12"), weights["9"])
        self.assertEqual(self.pull_weight(["--max-compress-level", "1"], "--compress-level", "9"), weights["3"])
        self.assertEqual(self.pull_weight(["--compress-level", "9"], "--compress-level", "1"), weights["1"])
        # What the origin is set to above that, it does all the same.
        self.assertEqual(self.pull_weight(["--max-compress-level", "1", "--compress-level", "9"]), weights["9"])
        self.assertGreater(self.pull_weight([], "--no-compress"), os.path.getsize(self.path("origin.db")))


if __name__ == "__main__":
    unittest.main()

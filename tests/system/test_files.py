"""Files that are no databases, places that cannot be read or written, odd names, locks; what status and verify say."""
import json
import os
import shutil
import unittest

import harness
from harness import (BUSY, FOREIGN_LINEAGE, NO_DATABASE, NOT_A_DATABASE, NOT_ALLOWED, PAGE_SIZE, STALE_BASE, UNPUSHED, USAGE,
                     VERIFY_FAILED, Case, ask, content, rows, sql)

NOBODY = 65534


class Files(Case):
    def setUp(self):
        super().setUp()
        self.origin, self.replica = self.path("origin.db"), self.path("replica.db")

    def make_pair(self, mode="delete"):
        sql(self.origin, rows(100) + f"PRAGMA journal_mode = {mode};")
        self.pull(self.origin, self.replica)

    def refuse(self, code, path, *command):
        """The command fails with that exit status, names the file, and leaves what is there as it was."""
        def files():
            found = {}
            for folder, _, names in os.walk(self.folder):
                for name in names:
                    full = os.path.join(folder, name)
                    if not name.endswith("-shm") and os.path.isfile(full):
                        with open(full, "rb") as file:
                            found[full] = file.read()
            return found
        before = files()
        result = self.lockstep(*command, expect=code)
        self.assertIn(os.path.basename(path), result.err)
        self.assertEqual(len(result.err.strip().splitlines()), 1, result.err)
        after = files()
        self.assertEqual({name: data for name, data in before.items() if "-lockstep" not in name},
                         {name: data for name, data in after.items() if "-lockstep" not in name})
        return result

    # ---- what is no database ----

    def test_not_a_database(self):
        good = self.path("good.db")
        sql(good, rows(20))
        for name, data in (("text", b"this is a text, and quite a long one at that\n" * 200), ("short", b"SQLite"),
                           ("header only", b"SQLite format 3\0" + bytes(84))):
            bad = self.path("bad.db")
            with open(bad, "wb") as file:
                file.write(data)
            with self.subTest(name):
                self.refuse(NOT_A_DATABASE, bad, "pull", bad, self.path("new.db"))
                self.refuse(NOT_A_DATABASE, bad, "pull", good, bad)
                self.refuse(NOT_A_DATABASE, bad, "push", bad, self.path("new.db"))
                self.refuse(NOT_A_DATABASE, bad, "push", "--force-reset", good, bad)
                self.refuse(NOT_A_DATABASE, bad, "status", bad, good)
                self.assertFalse(os.path.exists(self.path("new.db")))

    def test_truncated(self):
        self.make_pair()
        for victim in (self.origin, self.replica):
            with self.subTest(victim):
                whole = self.path("whole")
                shutil.copy(victim, whole)
                os.truncate(victim, os.path.getsize(victim) // 2 // 4096 * 4096)
                self.refuse(NOT_A_DATABASE, victim, "pull", self.origin, self.replica)
                self.refuse(NOT_A_DATABASE, victim, "push", self.replica, self.origin)
                shutil.copy(whole, victim)
        self.pull(self.origin, self.replica)

    def test_directory(self):
        self.make_pair()
        folder = self.path("folder")
        os.mkdir(folder)
        self.refuse(NOT_A_DATABASE, folder, "pull", folder, self.path("new.db"))
        self.refuse(NOT_A_DATABASE, folder, "pull", self.origin, folder)
        self.refuse(NOT_A_DATABASE, folder, "push", self.replica, folder)
        self.assertEqual(os.listdir(folder), [])

    # ---- what is missing ----

    def test_missing_origin(self):
        missing = self.path("missing.db")
        sql(self.replica, rows(30))
        self.refuse(NO_DATABASE, missing, "pull", missing, self.path("new.db"))
        self.assertFalse(os.path.exists(self.path("new.db")))
        self.push(self.replica, missing)
        self.check_equal(missing, self.replica)
        self.refuse(NO_DATABASE, "nowhere", "pull", self.path("nowhere/x.db"), self.path("new.db"))
        self.refuse(NO_DATABASE, "nowhere", "pull", missing, self.path("nowhere/x.db"))

    def test_missing_replica(self):
        self.make_pair()
        os.unlink(self.replica)
        self.refuse(NO_DATABASE, self.replica, "push", self.replica, self.origin)
        self.pull(self.origin, self.replica)
        self.check_equal(self.origin, self.replica)

    def test_empty_files(self):
        self.make_pair()
        empty = self.path("empty.db")
        open(empty, "wb").close()
        self.refuse(NO_DATABASE, empty, "push", empty, self.origin)
        self.refuse(NO_DATABASE, empty, "pull", empty, self.replica)
        self.refuse(NO_DATABASE, empty, empty, self.replica)
        self.pull(self.origin, empty)
        self.check_equal(self.origin, empty)
        other = self.path("other.db")
        open(other, "wb").close()
        self.push(self.replica, other)
        self.check_equal(other, self.replica)

    # ---- permissions ----

    def run_as_nobody(self, *command):
        if os.geteuid() != 0:
            return self.lockstep(*command, expect=None)
        programs = self.path("bin")
        if not os.path.isdir(programs):
            os.mkdir(programs, 0o755)
            for name in ("lockstep", "lockstep-origin"):
                shutil.copy(harness.BIN / name, programs)
        return self.run_program(os.path.join(programs, "lockstep"), *command, user=NOBODY, group=NOBODY, extra_groups=[])

    def give_away(self, *paths):
        """The folder and these files belong to nobody, as which the program runs where the test is run by root."""
        os.chmod(self.folder, 0o755)
        if os.geteuid() == 0:
            for path in (self.folder, *paths):
                os.chown(path, NOBODY, NOBODY)

    def test_unreadable(self):
        self.make_pair()
        files = [self.path(name) for name in os.listdir(self.folder)]
        self.give_away(*files)
        for victim in (self.origin, self.replica):
            os.chmod(victim, 0)
            for command in (("pull", self.origin, self.replica), ("push", self.replica, self.origin)):
                result = self.run_as_nobody(*command)
                self.assertEqual(result.code, NOT_ALLOWED, str(result))
                self.assertIn(os.path.basename(victim), result.err)
            os.chmod(victim, 0o644)
        self.assertEqual(self.run_as_nobody("pull", self.origin, self.replica).code, 0)

    def test_read_only(self):
        """What would be written must be writable, and nothing is written elsewhere instead."""
        self.make_pair()
        sql(self.origin, "DELETE FROM contact WHERE id = 3")
        before = content(self.replica)
        self.give_away(*[self.path(name) for name in os.listdir(self.folder)])
        os.chmod(self.replica, 0o444)
        result = self.run_as_nobody("pull", self.origin, self.replica)
        self.assertEqual(result.code, NOT_ALLOWED, str(result))
        self.assertIn("replica.db", result.err)
        self.assertEqual(content(self.replica), before)
        os.chmod(self.replica, 0o644)
        self.assertEqual(self.run_as_nobody("pull", self.origin, self.replica).code, 0)
        os.chmod(self.origin, 0o444)
        sql(self.replica, "DELETE FROM contact WHERE id = 4")
        before = content(self.origin)
        for command in ("push", self.replica, self.origin), ("push", "--force-reset", self.replica, self.origin):
            result = self.run_as_nobody(*command)
            self.assertEqual(result.code, NOT_ALLOWED, str(result))
        self.assertEqual(content(self.origin), before)
        # An origin that may only be read can be pulled from.
        result = self.run_as_nobody("pull", "--discard", self.origin, self.replica)
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(content(self.replica), before)

    def test_folder_that_cannot_be_written(self):
        self.make_pair()
        inner = self.path("inner")
        os.mkdir(inner)
        self.give_away(*[self.path(name) for name in os.listdir(self.folder)])
        os.chmod(inner, 0o555)
        result = self.run_as_nobody("pull", self.origin, os.path.join(inner, "new.db"))
        self.assertEqual(result.code, NOT_ALLOWED, str(result))
        self.assertEqual(os.listdir(inner), [])

    # ---- names ----

    def test_names(self):
        for name in ("with space.db", "quo'te\".db", "Grüße 日本.db", "-dash.db", "semi;colon & $HOME `x`.db", "%s%n.db"):
            with self.subTest(name):
                folder = self.path("f" + name)
                os.mkdir(folder)
                origin, replica = os.path.join(folder, name), os.path.join(folder, "copy of " + name)
                sql(origin, rows(20))
                self.pull(origin, replica)
                self.check_equal(origin, replica)
                sql(replica, "DELETE FROM contact WHERE id = 3")
                self.push(replica, origin)
                self.check_equal(origin, replica)
                for file in os.listdir(folder):
                    self.assertIn(file.split("-lockstep")[0], (name, "copy of " + name))
        self.pull(self.path("new\nline.db"), self.replica, expect=USAGE)

    def test_relative_names(self):
        sql(self.origin, rows(20))
        for name in ("plain.db", "./dot.db", "--", "file:x.db", ":memory:"):
            with self.subTest(name):
                arguments = ["pull", "./origin.db", name if name != "--" else "./--"]
                self.lockstep(*arguments, cwd=self.folder, expect=0 if ":" not in name else None)
                if ":" not in name:
                    self.check_equal(self.origin, self.path(name))

    def test_symbolic_links(self):
        """A link and what it points to are one database with one sidecar; one to nothing is refused."""
        os.mkdir(self.path("real"))
        sql(self.path("real/origin.db"), rows(30))
        os.symlink("real/origin.db", self.origin)
        self.pull(self.origin, self.replica)
        self.assertTrue(os.path.exists(self.path("real/origin.db-lockstep")))
        self.assertFalse(os.path.exists(self.origin + "-lockstep"))
        sql(self.replica, "DELETE FROM contact WHERE id = 3")
        self.push(self.replica, self.path("real/origin.db"))
        self.check_equal(self.origin, self.replica)
        self.assertTrue(os.path.islink(self.origin))
        os.symlink("real/new.db", self.path("link.db"))
        self.refuse(NOT_ALLOWED, "link.db", "pull", self.origin, self.path("link.db"))
        self.assertTrue(os.path.islink(self.path("link.db")), "the link was replaced by a file")
        os.symlink("loop.db", self.path("loop.db"))
        self.assertNotEqual(self.pull(self.origin, self.path("loop.db"), expect=None).code, 0)

    # ---- locks ----

    def test_busy(self):
        """A lock that stays ends in BUSY after --timeout; one that goes in time is waited for."""
        for mode in ("wal", "delete"):
            for victim in ("origin", "replica"):
                with self.subTest(mode=mode, victim=victim):
                    self.fresh()
                    self.make_pair(mode)
                    path = self.path(victim + ".db")
                    if victim == "origin":
                        sql(self.replica, "DELETE FROM contact WHERE id = 3")
                        command = ("push", "--timeout", "300ms", self.replica, self.origin)
                    else:
                        sql(self.origin, "DELETE FROM contact WHERE id = 3")
                        command = ("pull", "--timeout", "300ms", self.origin, self.replica)
                    before = content(path)
                    holder = self.hold(path, "BEGIN EXCLUSIVE")
                    result = self.lockstep(*command, expect=BUSY)
                    self.assertIn(victim + ".db", result.err)
                    waiting = self.start(harness.LOCKSTEP, *[part if part != "300ms" else "30s" for part in command])
                    with self.assertRaises(harness.subprocess.TimeoutExpired):
                        waiting.wait(0.7)
                    self.let_go(holder)
                    self.assertEqual(self.finish(waiting).code, 0)
                    self.assertNotEqual(content(path), before)
                    self.check_equal(self.origin, self.replica)

    # ---- what is said ----

    def state(self, expect=0):
        out = self.lockstep("status", self.origin, self.replica, expect=expect).out
        return dict(line.split(":", 1) for line in out.splitlines())["state"].strip()

    def test_status_and_verify(self):
        self.lockstep("status", self.origin, self.replica)
        self.assertEqual(self.lockstep("verify", self.origin, self.replica, expect=NO_DATABASE).out, "")
        sql(self.origin, rows(50))
        self.assertEqual(self.state(), "no local copy: pull")
        self.assertFalse(os.path.exists(self.replica))
        self.lockstep("verify", self.origin, self.replica, expect=NO_DATABASE)
        sql(self.replica, rows(10))
        self.assertEqual(self.state(), "never synced with this origin")
        self.pull(self.origin, self.replica, expect=FOREIGN_LINEAGE)
        self.pull(self.origin, self.replica, "--adopt")
        self.assertEqual(self.state(), "in sync")
        self.lockstep("verify", self.origin, self.replica)
        sql(self.origin, "DELETE FROM contact WHERE id = 1")
        self.assertEqual(self.state(), "the origin is ahead: pull")
        result = self.lockstep("verify", self.origin, self.replica, expect=VERIFY_FAILED)
        self.assertEqual(len({line.split()[1] for line in result.out.splitlines()}), 2)
        sql(self.replica, "DELETE FROM contact WHERE id = 2")
        self.assertEqual(self.state(), "diverged: local changes, and the origin moved on")
        self.push(self.replica, self.origin, expect=STALE_BASE)
        self.pull(self.origin, self.replica, expect=UNPUSHED)
        self.pull(self.origin, self.replica, "--discard")
        sql(self.replica, "DELETE FROM contact WHERE id = 2")
        self.assertEqual(self.state(), "local changes not yet pushed: push")
        self.push(self.replica, self.origin)
        self.assertEqual(self.state(), "in sync")
        os.unlink(self.origin)
        self.assertEqual(self.state(), "the origin has no database")

    def test_json(self):
        sql(self.origin, rows(50))
        done = json.loads(self.pull(self.origin, self.replica, "--json").out)
        self.assertEqual((done["done"], done["version"], done["page_count"]), ("pulled", 1, ask(self.origin, "PRAGMA page_count")))
        self.assertEqual(done["pages_differing"], done["page_count"])
        sql(self.replica, "DELETE FROM contact WHERE id = 2")
        done = json.loads(self.push(self.replica, self.origin, "--json").out)
        self.assertEqual((done["done"], done["version"]), ("pushed", 2))
        failed = json.loads(self.pull(self.path("missing.db"), self.replica, "--json", expect=NO_DATABASE).out)
        self.assertEqual((failed["error"], failed["exit_status"]), ("NO_DATABASE", NO_DATABASE))
        self.assertIn("missing.db", failed["message"])

    def test_page_sizes(self):
        self.make_pair()
        sql(self.origin, "PRAGMA page_size = 1024; VACUUM;")
        before = content(self.replica)
        result = self.pull(self.origin, self.replica, expect=PAGE_SIZE)
        self.assertIn("--replace", result.err)
        self.assertEqual(content(self.replica), before)
        self.pull(self.origin, self.replica, "--replace")
        self.check_equal(self.origin, self.replica)
        self.assertEqual(ask(self.replica, "PRAGMA page_size"), 1024)

    def test_usage(self):
        for command in (("pull", self.origin), ("pull",), ("push", "a", "b", "c"), ("pull", "--no-such-option", "a", "b"),
                        ("status", self.origin), ("pull", "--timeout", "x", "a", "b")):
            with self.subTest(command):
                self.lockstep(*command, expect=USAGE)
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    unittest.main()

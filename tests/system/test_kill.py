"""kill -9 of either process at any moment, and first copies that go on where they were broken off."""
import json
import os
import random
import shutil
import signal
import time
import unittest

import harness
from harness import NO_LINK, Case, content, rows, sql

SEED = int(os.environ.get("LOCKSTEP_KILL_SEED", "20"))
KILLS = 10  # for each of pull and push, replica and origin


class Kill(Case):
    def setUp(self):
        super().setUp()
        self.origin, self.replica = self.path("origin.db"), self.path("replica.db")
        self.random = random.Random(SEED)

    def far_program(self, process):
        """The lockstep-origin that it started; None where there is none (yet, or any more). Its other child can be the leak
        sanitizer's, at its end, which waits for ever for that one when it is killed."""
        try:
            with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
                for child in file.read().split():
                    if os.path.basename(os.readlink(f"/proc/{child}/exe")) == "lockstep-origin":
                        return int(child)
        except OSError:
            pass
        return None

    def kill_after(self, seconds, whom, *command):
        """Start the command and kill it, or the far program, so many seconds later. Returns its result."""
        process = self.start(harness.LOCKSTEP, *command)
        time.sleep(seconds)
        if whom == "replica":
            process.kill()
        else:
            far = self.far_program(process)
            if far is not None:
                try:
                    os.kill(far, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        result = self.finish(process)
        # The far program of a killed one ends by itself, by the end of its input.
        return result

    def prepare(self, direction, mode):
        """A pair that differs, kept aside, so that each kill starts from the same."""
        sql(self.origin, "PRAGMA page_size = 1024;" + rows(400) + f"PRAGMA journal_mode = {mode};")
        self.pull(self.origin, self.replica)
        sql(self.origin if direction == "pull" else self.replica,
            "UPDATE contact SET note = hex(randomblob(60)) WHERE id % 2 = 0; DELETE FROM schedule WHERE id > 350;")
        os.mkdir(self.path("aside"))
        for name in os.listdir(self.folder):
            if name != "aside":
                shutil.copy(self.path(name), self.path("aside"))

    def reset(self):
        for name in os.listdir(self.folder):
            if name != "aside":
                os.unlink(self.path(name))
        for name in os.listdir(self.path("aside")):
            shutil.copy(os.path.join(self.path("aside"), name), self.folder)

    def length(self, *command):
        """About how long the whole takes, so that the kills fall into it."""
        begin = time.monotonic()
        self.lockstep(*command)
        return time.monotonic() - begin

    def check_kills(self, direction):
        command = ("pull", self.origin, self.replica) if direction == "pull" else ("push", self.replica, self.origin)
        sender, receiver = (self.origin, self.replica) if direction == "pull" else (self.replica, self.origin)
        outcomes = []
        for mode in ("wal", "delete"):
            self.fresh()
            self.prepare(direction, mode)
            old, new = content(receiver), content(sender)
            length = self.length(*command)
            for number in range(KILLS):
                self.reset()
                whom = ("replica", "origin")[number % 2]
                seconds = self.random.uniform(0.2, 1.0) * length
                result = self.kill_after(seconds, whom, *command)
                with self.subTest(mode=mode, whom=whom, seconds=round(seconds, 4), code=result.code):
                    self.assertIn(result.code, (0, NO_LINK) if whom == "origin" else (0, -signal.SIGKILL), str(result))
                    # An orphaned far program may still be at its commit: SQLite's own locks make the readers wait.
                    self.check_whole(receiver)
                    self.check_whole(sender)
                    now = content(receiver)
                    self.assertIn(now, (old, new))
                    self.assertEqual(content(sender), new)
                    if result.code == 0:
                        self.assertEqual(now, new)
                    outcomes.append((result.code, now == new))
                    self.lockstep(*command)
                    self.check_equal(self.origin, self.replica)
                    self.assertEqual(content(receiver), new)
        return outcomes

    def test_kill_during_pull(self):
        outcomes = self.check_kills("pull")
        self.assertTrue(any(code != 0 for code, _ in outcomes), outcomes)

    def test_kill_during_push(self):
        outcomes = self.check_kills("push")
        self.assertTrue(any(code != 0 for code, _ in outcomes), outcomes)

    # ---- links that break at a place that is known ----

    def broken_far_program(self, count, direction):
        """A far program whose stdout, or stdin, ends after so many bytes."""
        path = self.path(f"broken-{direction}-{count}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!{harness.sys.executable}\nimport os, subprocess, sys\n"
                       f"p = subprocess.Popen(['{harness.ORIGIN}'] + sys.argv[1:], stdin=subprocess.PIPE if {direction == 'in'} else None,"
                       f" stdout=subprocess.PIPE if {direction == 'out'} else None)\n"
                       f"source, target = (0, p.stdin.fileno()) if {direction == 'in'} else (p.stdout.fileno(), 1)\n"
                       f"left = {count}\n"
                       "while left > 0:\n    data = os.read(source, min(left, 65536))\n    if not data: break\n"
                       "    left -= len(data)\n    os.write(target, data)\n"
                       "p.kill()\np.wait()\n")
        os.chmod(path, 0o755)
        return path

    def test_first_copy_goes_on(self):
        """A first copy that broke off keeps what came; the next pull sends the rest alone."""
        sql(self.origin, "PRAGMA journal_mode = wal;" + rows(20000))
        size = os.path.getsize(self.origin)
        whole = json.loads(self.pull(self.origin, self.path("other.db"), "--json").out)["bytes_received"]
        result = self.pull(self.origin, self.replica, "--exe", self.broken_far_program(whole * 3 // 4, "out"), expect=NO_LINK)
        self.assertIn("lockstep", result.err)
        self.assertFalse(os.path.exists(self.replica))
        partial = self.replica + ".lockstep-partial"
        self.assertGreater(os.path.getsize(partial), size // 4)
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("replica.db-lockstep-base")], [])
        done = json.loads(self.pull(self.origin, self.replica, "--json").out)
        self.assertLess(done["bytes_received"] + done["bytes_sent"], whole * 2 // 3)
        self.assertFalse(os.path.exists(partial))
        self.check_equal(self.origin, self.replica)

    def test_no_success_without_a_receipt(self):
        """The stream of the far program ends just before its last bytes: never exit 0, whatever was committed there."""
        sql(self.origin, rows(200))
        self.pull(self.origin, self.replica)
        sql(self.replica, "DELETE FROM contact WHERE id = 3")
        spare = self.path("spare")
        os.mkdir(spare)
        for name in os.listdir(self.folder):
            if name.endswith((".db", "-lockstep", "-lockstep-base")):
                shutil.copy(self.path(name), spare)
        received = json.loads(self.push(self.replica, self.origin, "--json").out)["bytes_received"]
        for missing in (1, 40, received // 2, received):
            with self.subTest(missing):
                for name in os.listdir(spare):
                    shutil.copy(os.path.join(spare, name), self.folder)
                self.push(self.replica, self.origin, "--exe", self.broken_far_program(received - missing, "out"), expect=NO_LINK)
                self.check_whole(self.origin)
                self.push(self.replica, self.origin)
                self.check_equal(self.origin, self.replica)

    def test_far_program_that_is_none(self):
        """What sqlite3_rsync took for a success: a far program that is missing, or says nothing."""
        sql(self.origin, rows(20))
        self.pull(self.origin, self.replica, "--exe", self.path("missing"), expect=harness.NO_PROGRAM)
        self.assertNotEqual(self.pull(self.origin, self.replica, "--exe", "/bin/true", expect=None).code, 0)
        self.assertNotEqual(self.lockstep(self.origin, self.replica, "--exe", "/bin/true", expect=None).code, 0)
        self.assertEqual(self.pull(self.origin, self.replica, "--exe", "/bin/echo", expect=None).code, harness.PROTOCOL)
        self.assertFalse(os.path.exists(self.replica))


if __name__ == "__main__":
    unittest.main()

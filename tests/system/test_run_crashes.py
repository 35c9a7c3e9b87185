"""kill -9 of `lockstep run` in each of its phases: both databases stay whole, and the next run goes on once the lock is stale."""
import fcntl
import os
import signal
import sys
import unittest

import cli
import processes


class Crashes(cli.Case):
    def setUp(self):
        super().setUp()
        self.origin, self.local = self.path("origin.db"), self.path("local.db")
        self.lock = "file://" + self.path("lock")
        cli.make_counter(self.origin)
        self.exe = cli.write_script(
            self.path("origin-that-waits"),
            f"#!/bin/sh\n[ -e {self.path('wait')} ] && {{ touch {self.path('reached')}; exec sleep 100; }}\nexec {cli.ORIGIN} \"$@\"\n")

    def words(self, *job, timeout="2s"):
        return ["run", "--lock", self.lock, "--lock-timeout", timeout, "--exe", self.exe, self.origin, self.local, "--", *job]

    def mark(self, name):
        open(self.path(name), "w", encoding="utf-8").close()

    def reached(self):
        cli.poll(lambda: os.path.exists(self.path("reached")), "the phase")

    def kill(self, running):
        """What it has started goes on, to the end of the test at the most."""
        self.addCleanup(processes.kill, processes.below(running.pid))
        running.send(signal.SIGKILL)
        self.assertEqual(running.finish(patience=0).status, -signal.SIGKILL)
        for name in ("wait", "reached"):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))

    def job(self, *after):
        """Adds one, then does what is said."""
        return cli.write_script(self.path("job"), f"#!/bin/sh\n{sys.executable} -c \"{cli.INCREMENT[2]}\"\n" + "\n".join(after) + "\n")

    def kept(self):
        return [self.path(name) for name in sorted(os.listdir(self.folder))
                if name.startswith("local.db.unpushed-") and not name.endswith(("-wal", "-shm"))]

    def next_run(self, waits, *texts, count=1):
        """The next one, of the same replica, goes through; where the dead one holds the lock, after waiting."""
        result = self.assert_status(self.lockstep(*self.words(*cli.INCREMENT, timeout="60s")), 0, *texts)
        self.assertEqual("waiting for the lock" in result.stderr, waits, result)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (count, count), result)
        self.assertEqual(cli.content(self.origin), cli.content(self.local))
        return result

    def test_while_waiting_for_the_lock(self):
        self.assert_status(self.lockstep("lock", "acquire", "--lock-timeout", "1h", "--instance", "holder", self.lock), 0)
        running = self.start(*self.words("true"))
        running.wait_for("waiting for the lock")
        self.kill(running)
        self.assertIn("instance: holder", self.lockstep("lock", "show", self.lock).stdout)
        self.assert_status(self.lockstep("lock", "break", self.lock), 0)
        self.next_run(False, "token 3")

    def test_during_the_pull(self):
        self.mark("wait")
        running = self.start(*self.words("true"))
        self.reached()
        self.kill(running)
        self.assertFalse(os.path.exists(self.local))
        self.next_run(True, "token 2")

    def test_during_the_job(self):
        """What it had changed and not pushed is kept beside the database, and said."""
        running = self.start(*self.words(self.job(f"touch {self.path('reached')}", "exec sleep 8")))
        self.reached()
        self.kill(running)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (0, 1))
        # The job goes on: the next run waits for its end first, and by then the dead one's lock is stale.
        result = self.next_run(False, "the job of one that was killed", "changes that were never pushed", self.local + ".unpushed-")
        self.assertEqual([cli.count(path) for path in self.kept()], [1])
        self.assertIn(self.kept()[0], result.stderr)

    def test_before_the_push_reached_the_origin(self):
        running = self.start(*self.words(self.job(f"touch {self.path('wait')}")))
        self.reached()
        self.kill(running)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (0, 1))
        self.next_run(True, self.local + ".unpushed-")
        self.assertEqual([cli.count(path) for path in self.kept()], [1])

    def test_after_the_push_was_committed(self):
        """The answer did not come: the work is at the origin, nothing is lost and nothing counted twice."""
        self.assert_status(self.lockstep(*self.words("true")), 0)
        cli.write_script(self.exe, f"#!/bin/sh\n[ -e {self.path('wait')} ] || exec {cli.ORIGIN} \"$@\"\n"
                         f"{cli.ORIGIN} \"$@\" | {sys.executable} -c 'import os\n"
                         f"os.write(1, os.read(0, 65536))  # HELLO, and nothing more\nwhile os.read(0, 65536): pass'\n")
        running = self.start(*self.words(self.job(f"touch {self.path('wait')}")))
        cli.poll(lambda: cli.count(self.origin) == 1, "the push at the origin")
        self.kill(running)
        self.next_run(True, count=2)
        self.assertEqual(self.kept(), [])

    def test_between_the_push_and_the_release(self):
        running = self.start(*self.words(self.job(f"touch {self.path('reached')}; while [ ! -e {self.path('go')} ]; do sleep 0.02; done")))
        self.reached()
        # Whoever writes the lock's object takes this file's lock first (lockstore/store_file.c): the release waits for it.
        with open(self.path("lock.guard"), "rb") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            self.mark("go")
            running.wait_for("pushed version")
            self.kill(running)
        self.assertIn("state:    held", self.lockstep("lock", "show", self.lock).stdout)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (1, 1))
        self.assert_status(self.lockstep(*self.words(*cli.INCREMENT)), 0)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (2, 2))
        self.assertEqual(self.kept(), [])

    def test_the_origin_s_process_is_killed_during_the_push(self):
        """Its end is noticed, the push is tried again by the same id, and the run goes through."""
        cli.write_script(self.exe, f"#!/bin/sh\nif [ -e {self.path('wait')} ]; then rm {self.path('wait')}; echo dying >&2; kill -9 $$; fi\n"
                         f"exec {cli.ORIGIN} \"$@\"\n")
        result = self.lockstep(*self.words(self.job(f"touch {self.path('wait')}")))
        self.assert_status(result, 0, "trying again", "signal 9", "pushed version")
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (1, 1))


if __name__ == "__main__":
    unittest.main()

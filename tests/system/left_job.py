"""A job that outlives the `lockstep run` that started it: the next run on that copy waits until it is gone."""
import os
import shlex
import signal
import unittest

import cli
import processes


class LeftJob(cli.Case):
    def setUp(self):
        super().setUp()
        self.origin, self.copy = self.path("origin.db"), self.path("copy.db")
        cli.make_counter(self.origin)
        # Adds one when it is told to, and may leave something behind.
        self.job = cli.write_script(self.path("job"), f"""#!/bin/sh
: > '{self.path("begun")}'
while [ ! -e '{self.path("go")}' ]; do sleep 0.05; done
exec {shlex.join(cli.INCREMENT)}
""")

    def start_run(self, *job, options=()):
        return self.start("run", "--lock-timeout", "1s", *options, self.origin, self.copy, "--", *job)

    def leave_a_job(self):
        running = self.start_run(self.job)
        cli.poll(lambda: os.path.exists(self.path("begun")), "the job")
        self.addCleanup(processes.kill, processes.below(running.pid))
        running.send(signal.SIGKILL)
        self.assertEqual(running.finish().status, -signal.SIGKILL)

    def go(self):
        open(self.path("go"), "w", encoding="utf-8").close()

    def test_waited_for(self):
        """Its change is one that was never pushed: kept beside, and not in the next run's work."""
        self.leave_a_job()
        running = self.start_run(*cli.INCREMENT)
        running.wait_for("the job of one that was killed")
        self.go()
        self.assert_status(running.finish(), 0, "never pushed")
        self.assertEqual((cli.count(self.origin), cli.count(self.copy)), (1, 1))

    def test_not_for_ever(self):
        self.leave_a_job()
        result = self.start_run(*cli.INCREMENT, options=["--lock-wait", "0"]).finish()
        self.assert_status(result, "BUSY", "copy.db-lockstep-run")
        self.assertEqual(cli.count(self.origin), 0)

    def test_what_a_job_leaves_behind_in_good_order(self):
        """A daemon that a job starts is no reason to wait, once the run has ended by itself."""
        leaver = cli.write_script(self.path("leaver"), f"""#!/bin/sh
sleep 100 > /dev/null 2>&1 &
echo $! > '{self.path("left")}'
""")
        self.assert_status(self.start_run(leaver).finish(), 0)
        with open(self.path("left"), encoding="ascii") as file:
            left = int(file.read())
        self.addCleanup(processes.kill, [left])
        self.assert_status(self.start_run(*cli.INCREMENT, options=["--lock-wait", "0"]).finish(), 0)
        self.assertTrue(processes.is_alive(left))


if __name__ == "__main__":
    unittest.main()

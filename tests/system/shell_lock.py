"""Lockstep and a shell script's lock (shell_lock.sh) on one object in a real S3 server: what docs/shell-script-lock.md says."""
import json
import os
import sys
import time
import unittest

import cli
import s3_case

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shell_lock.sh")
TOKEN_JOB = [sys.executable, "-S", "-c", "import os; print(os.environ['LOCKSTEP_TOKEN'])"]


def setUpModule():
    s3_case.start(unittest)


class ShellLock(s3_case.Case):
    stamps = ("iso", "epoch")

    def script(self, verb, stamp="iso", timeout=60):
        result = self.run_program(SCRIPT, verb, env={"LOCK_URL": self.server.url() + self.key, "LOCK_ID": "nightly-script",
                                                     "LOCK_TIMEOUT": str(timeout), "LOCK_STAMP": stamp})
        self.assertIn(result.status, (0, 1), result)
        return result.status == 0

    def put_record(self, **fields):
        self.delete()
        self.s3.request("PUT", self.key, json.dumps({"instance_id": "nightly-script", **fields}).encode())

    def test_respected_while_fresh(self):
        for stamp in self.stamps:
            self.assertTrue(self.script("acquire", stamp))
            before = self.record()
            self.assert_status(self.run_job(), "LOCK_HELD", "nightly-script")
            self.assertEqual(self.record(), before)
            self.script("release")
            self.assert_status(self.run_job(), 0)
            self.delete()
        self.assertEqual(cli.count(self.origin), 2)

    def test_waited_for(self):
        self.script("acquire")
        running = self.start_job(options=["--lock-wait", "60s"])
        running.wait_for("held by nightly-script")
        self.script("release")
        self.assert_status(running.finish(), 0)
        self.assertEqual(cli.count(self.origin), 1)

    def test_taken_over_when_stale(self):
        """By the store's clock, and no sooner: the script's time-out and two seconds (lockstore/record.h)."""
        for stamp in self.stamps:
            started = time.monotonic()
            self.assertTrue(self.script("acquire", stamp, timeout=1))
            self.assert_status(self.run_job(options=["--lock-wait", "60s"]), 0)
            self.assertGreater(time.monotonic() - started, 2)
            self.delete()
        self.assertEqual(cli.count(self.origin), 2)

    def test_its_timestamp_is_not_believed(self):
        """A machine with a wrong clock wrote it: it is as old as the store says."""
        for timestamp in ("1999-12-31T23:59:59Z", 946684799, "2099-12-31T23:59:59Z", 4102444799):
            self.put_record(timestamp=timestamp, timeout=60)
            self.assert_status(self.run_job(), "LOCK_HELD", "nightly-script")
        self.put_record(timestamp="2099-12-31T23:59:59Z", timeout=1)
        self.assert_status(self.run_job(options=["--lock-wait", "60s"]), 0)

    def test_it_sees_ours(self):
        """Held as held, released as stale, in the form of timestamps that the script uses: taken from the record it left."""
        for stamp in self.stamps:
            self.put_record(timestamp="2026-11-21T20:04:06Z" if stamp == "iso" else 1795291446, timeout=0)
            held = self.acquire("--lock-wait", "60s")
            self.assertTrue(self.script("held", stamp), self.record())
            self.assertFalse(self.script("acquire", stamp))
            self.release(held)
            self.assertFalse(self.script("held", stamp), self.record())
            self.assertTrue(self.script("acquire", stamp))
            self.assertIn("nightly-script", self.record())
            self.delete()

    def test_tokens_go_on_after_it(self):
        """It deletes our record and its own; the origin's fence remembers."""
        tokens = []
        for _ in range(3):
            tokens.append(int(self.run_job(*TOKEN_JOB).stdout.split()[0]))
            self.assertTrue(self.script("acquire"))
            self.assertTrue(self.script("release"))
            self.assertIsNone(self.record())
        self.assertEqual(tokens, [1, 2, 3])

    def test_it_deletes_a_lock_that_is_ours(self):
        """Its DELETE has no condition. The run notices, stops its job and pushes nothing."""
        job = [sys.executable, "-S", "-c", cli.INCREMENT[2] + "\nimport time; time.sleep(60)"]
        running = self.start_job(*job, options=["--lock-timeout", "2s", "--lock-wait", "0"])
        running.wait_for("starting the job")
        self.script("release")
        self.assert_status(running.finish(), "LOCK_LOST", "deleted")
        self.assertEqual(cli.count(self.origin), 0)
        self.assert_status(self.run_job(), 0)
        self.assertEqual(cli.count(self.origin), 1)


if __name__ == "__main__":
    unittest.main()

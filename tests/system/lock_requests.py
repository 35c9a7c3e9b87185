"""What a lock costs in requests to the store, counted by a proxy in front of a real S3 server."""
import collections
import json
import sys
import tempfile
import time
import unittest

import cli
import s3_case

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(4)"]


def setUpModule():
    s3_case.start(unittest)


class Requests(s3_case.Case):
    def setUp(self):
        super().setUp()
        self.know_the_store()

    def assert_requests(self, *methods):
        """Since the last call: these, all for the one object (a LIST is for the bucket)."""
        self.assertEqual([method for method, _ in self.proxy.requests()], list(methods))
        self.assertEqual({path for _, path in self.proxy.requests()}, {self.key})
        self.proxy.forget()

    def test_acquire_and_release(self):
        held = self.acquire()
        self.assert_requests("GET", "PUT")
        self.release(held)  # another process, which has to look first whether it is still its own
        self.assert_requests("GET", "PUT")
        held = self.acquire()
        self.assert_requests("GET", "PUT")

    def test_a_run(self):
        for _ in range(2):  # with no object yet, and with a released one
            self.assert_status(self.run_job(), 0)
            self.assert_requests("GET", "PUT", "PUT")

    def test_renewals(self):
        """Each is one PUT: rev counts what the lease wrote."""
        self.assert_status(self.run_job(*SLEEPER, options=["--lock-timeout", "3s", "--lock-wait", "0"]), 0)
        rev = json.loads(self.record())["rev"]
        self.assertGreaterEqual(rev, 4)  # acquire, two renewals at the least, release
        self.assert_requests("GET", *["PUT"] * rev)

    def test_again_in_one_process(self):
        """When the state is known, acquiring is one request."""
        result = self.run_program("sh", "-c", f"printf 'terms\\t{self.url}\\t3\\n' | exec '{cli.BIN}/store_tool'")
        self.assert_status(result, 0)
        self.assertEqual(json.loads(result.stdout)["tokens"], [1, 2, 3], result)
        self.assert_requests("GET", "PUT", "PUT", "PUT", "PUT", "PUT", "PUT")

    def test_waiting(self):
        """One GET a second, and the second one at the latest after the release finds it."""
        held = self.acquire("--lock-timeout", "60s")
        self.proxy.forget()
        started = time.monotonic()
        running = self.start_job(options=["--lock-wait", "60s"])
        running.wait_for("waiting for the lock")
        time.sleep(4)
        direct = self.server.environment()["AWS_ENDPOINT_URL_S3"]
        released = time.monotonic()
        self.assert_status(self.lockstep("lock", "release", *held, self.url, env={"AWS_ENDPOINT_URL_S3": direct}), 0)
        done = time.monotonic()
        self.assert_status(running.finish(), 0)
        gets, puts = self.proxy.request_times("GET"), self.proxy.request_times("PUT")
        self.assertLessEqual(len(gets), puts[0] - started + 2)
        self.assertLessEqual(len([at for at in gets if at > done]), 1)
        print(f"taken over {puts[0] - released:.2f} s after the release began, {puts[0] - done:.2f} s after its process ended; "
              f"{len(gets)} GETs in {puts[0] - started:.1f} s", file=sys.stderr)
        self.assertEqual(collections.Counter(method for method, _ in self.proxy.requests()), {"GET": len(gets), "PUT": 2})

    def test_a_store_that_is_not_known(self):
        """The first lock in it proves its conditions: Ceph's wants ETags without quotes, which costs one more."""
        with tempfile.TemporaryDirectory() as cache:
            held = self.lockstep("lock", "acquire", "--lock-wait", "0", self.url, env={"XDG_CACHE_HOME": cache})
            self.assert_status(held, 0)
            self.assert_requests("GET", *["PUT"] * 5)
            self.lockstep("lock", "release", *held.stdout.split(), self.url, env={"XDG_CACHE_HOME": cache})
            self.assert_requests("GET", "PUT")

    def test_show(self):
        self.release(self.acquire())
        self.proxy.forget()
        self.assert_status(self.lockstep("lock", "show", self.url), 0)
        self.assert_requests("GET")


if __name__ == "__main__":
    unittest.main()

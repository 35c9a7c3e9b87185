"""lockstep-origin --lock-url with a lock in a real S3 server. (What of the record counts: tests/sync/lease_guard.c.)"""
import unittest

import cli
import s3_case
from fixture_proxy import Proxy


def setUpModule():
    s3_case.start(unittest)


class LockUrl(s3_case.Case):
    def setUp(self):
        super().setUp()
        self.origin_line = Proxy(self.server.port)
        self.addCleanup(self.origin_line.close)
        self.program = cli.write_script(self.path("origin-with-lock"), f"""#!/bin/sh
export AWS_ENDPOINT_URL_S3=http://127.0.0.1:{self.origin_line.port}
exec '{cli.ORIGIN}' --lock-url '{self.url}' "$@"
""")
        self.options = ["--exe", self.program, *s3_case.RUN]

    def push(self, *held):
        return self.lockstep("push", "--exe", self.program, *held, self.copy, self.origin)

    def assert_refused(self, result, status, *texts):
        self.assert_status(result, status, *texts)
        self.assertEqual(cli.count(self.origin), 1)

    def test_holder(self):
        for expected in (1, 2):
            self.assert_status(self.run_job(options=self.options), 0)
            self.assertEqual(cli.count(self.origin), expected)
        self.assertEqual({path for _, path in self.origin_line.requests()}, {self.key})
        self.assertEqual({method for method, _ in self.origin_line.requests()}, {"GET"})

    def test_others(self):
        self.assert_status(self.run_job(options=self.options), 0)
        cli.add(self.copy)
        self.assert_refused(self.push(), "FENCED")
        held = self.acquire()
        self.assert_status(self.lockstep("lock", "break", self.url), 0)
        self.assert_refused(self.push(*held), "FENCED", "another holder")
        held = self.acquire()
        self.release(held)
        self.assert_refused(self.push(*held), "FENCED", "was released")
        held = self.acquire()
        self.delete()
        self.assert_refused(self.push(*held), "FENCED", "deleted")
        held = self.acquire("--lock-wait", "5s")
        self.assert_refused(self.push(*held), "FENCED")  # the deleted object began its tokens anew: an old one by the fence

    def test_store_out_of_reach(self):
        self.assert_status(self.run_job(options=self.options), 0)
        self.origin_line.cut()
        result = self.run_job(options=self.options)
        self.assert_refused(result, "STORE_UNUSABLE", "nothing was changed", "the job's changes are in")
        self.origin_line.heal()
        self.assert_status(self.run_job(options=self.options), 0)
        self.assertEqual(cli.count(self.origin), 2)

    def test_file_on_the_last_thread(self):
        """The session works on a thread of libuv's pool. Where that is the last one, a lock in a file must not wait for another."""
        url = "file://" + self.path("lock")
        program = cli.write_script(self.path("small-origin"), f"""#!/bin/sh
UV_THREADPOOL_SIZE=1 exec '{cli.ORIGIN}' --lock-url '{url}' "$@"
""")
        self.assert_status(self.lockstep("run", "--lock", url, "--exe", program, self.origin, self.copy, "--", *cli.INCREMENT), 0)
        self.assertEqual(cli.count(self.origin), 1)

    def test_no_lock_by_that_name(self):
        for url in ("http://example.com/lock", "s3:", "file:lock"):
            result = self.run_program(cli.ORIGIN, "--stdio", "--lock-url", url, self.origin)
            self.assert_status(result, "USAGE", url)


if __name__ == "__main__":
    unittest.main()

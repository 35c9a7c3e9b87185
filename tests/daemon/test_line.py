"""Runs that wait at the daemon: each gets its turn, in order, and asks the lock's store only then; what becomes of the line when one of them, the
daemon or the link goes. (Two wait for time-outs of 6 and 5 seconds.) The lock is a file: the store that keeps it is asked by nobody who says "held by" as little as it is by others."""
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from daemon import LOCKSTEP, Case, free_port

# Writes its name to the order, then waits until it may end.
JOB = "echo $0 >> order; while [ ! -e go-$0 ] && [ ! -e go ]; do sleep 0.02; done"


class Run:
    """lockstep run under a name, whose job ends when the file go or go-NAME is there; log() is what it said so far."""

    def __init__(self, case, name, *options, who=None, env=None):
        self.case = case
        self.name = name
        self.file = tempfile.TemporaryFile()
        self.process = subprocess.Popen([LOCKSTEP, "run", *case.identity(who), "--instance", name, "--lock", case.lock, *options, case.url(),
                                         f"{name}.db", "--", "sh", "-c", JOB, name], stdin=subprocess.DEVNULL, stdout=self.file,
                                        stderr=self.file, cwd=case.folder, env=dict(os.environ, **(env or {})))

    def log(self):
        return os.pread(self.file.fileno(), 1 << 20, 0).decode()

    def wait_for(self, text, count=1):
        deadline = time.monotonic() + 60
        while self.log().count(text) < count:
            if time.monotonic() > deadline or (self.process.poll() is not None and self.log().count(text) < count):
                raise AssertionError(f"{self.name} did not say {text!r}, but: {self.log()}")
            time.sleep(0.01)
        return self

    def end(self, status=0):
        code = self.process.wait(60)
        self.case.assertEqual(code, status, self.log())
        return self.log()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.file.close()


class Line(Case):
    def setUp(self):
        super().setUp()
        self.lock = f"file://{self.folder}/lock"

    def run_job(self, name, *options, **kwargs):
        run = Run(self, name, *options, **kwargs)
        self.addCleanup(run.close)
        return run

    def holder(self):
        return self.run_job("holder").wait_for("starting the job")

    def waiter(self, name, place, *options):
        return self.run_job(name, *options).wait_for(f"waiting, place {place} ")

    def go(self, name=None):
        with open(os.path.join(self.folder, f"go-{name}" if name else "go"), "w", encoding="ascii"):
            pass

    def order(self):
        with open(os.path.join(self.folder, "order"), encoding="ascii") as file:
            return file.read().split()

    def acquire_by_hand(self):
        """Somebody who does not stand in line takes the lock. Returns the words that release it."""
        done = subprocess.run([LOCKSTEP, "lock", "acquire", "--instance", "byhand", self.lock], capture_output=True, text=True, check=True)
        return done.stdout.split()

    def test_in_order_without_a_poll(self):
        self.start()
        runs = [self.holder()] + [self.waiter(f"run{i:02}", i) for i in range(1, 13)]
        self.assertIn("waiting, place 12 ", runs[12].log())
        self.go()
        for run in runs:
            log = run.end()
            # Whoever finds the lock held at a look says by whom: nobody looked before its turn, and then it was free.
            self.assertNotIn("held by", log)
            self.assertNotIn("directly", log)
        self.assertEqual(self.order(), [run.name for run in runs])
        places = [int(place) for place in re.findall(r"waiting, place (\d+) ", log)]
        self.assertEqual(places, sorted(set(places), reverse=True))

    def test_a_holder_that_stands_in_no_line(self):
        self.start()
        held = self.acquire_by_hand()
        head = self.run_job("head").wait_for("held by byhand")
        second = self.waiter("second", 1)
        subprocess.run([LOCKSTEP, "lock", "release", *held, self.lock], check=True, capture_output=True)
        head.wait_for("starting the job")
        self.go()
        head.end()
        self.assertNotIn("held by", second.end())

    def test_those_who_go_while_they_wait(self):
        daemon = self.start()
        holder = self.holder()
        first, second, third, fourth = (self.waiter(f"w{i}", i) for i in range(1, 5))
        second.process.send_signal(signal.SIGINT)
        second.end(status=128 + signal.SIGINT)
        third.wait_for("waiting, place 2 ")
        third.process.kill()
        fourth.wait_for("waiting, place 2 ")
        # The first has its turn, and dies before it can take the lock.
        held_up = self.acquire_after(holder)
        first.wait_for("held by byhand")
        first.process.kill()
        fourth.wait_for("held by byhand")
        subprocess.run([LOCKSTEP, "lock", "release", *held_up, self.lock], check=True, capture_output=True)
        self.go()
        fourth.end()
        self.assertEqual(self.order(), ["holder", "w4"])
        self.assertEqual(daemon.log().count("the turn at a.db is with"), 3)

    def acquire_after(self, holder):
        """Break the lock of a holder that stopped, so that somebody by hand has it when the holder's link ends."""
        holder.process.kill()
        subprocess.run([LOCKSTEP, "lock", "break", self.lock], check=True, capture_output=True)
        return self.acquire_by_hand()

    def test_a_turn_that_is_not_used_is_over_after_the_time_out(self):
        self.start("--idle-timeout", "6s")
        held = self.acquire_by_hand()
        head = self.run_job("head").wait_for("held by byhand")
        second = self.waiter("second", 1)
        head.process.send_signal(signal.SIGSTOP)
        second.wait_for("it is our turn")
        subprocess.run([LOCKSTEP, "lock", "release", *held, self.lock], check=True, capture_output=True)
        second.wait_for("starting the job")
        self.go()
        second.end()
        head.process.send_signal(signal.SIGCONT)
        head.end()
        self.assertEqual(self.order(), ["second", "head"])

    def test_a_turn_without_a_store_goes_on_to_the_next(self):
        """The first in line cannot reach the store; the second can."""
        self.start()
        with socket.create_server(("127.0.0.1", 0)) as store:
            self.lock, lock = "s3://bucket/lock", self.lock
            head = self.run_job("head", env={"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{store.getsockname()[1]}", "AWS_ACCESS_KEY_ID": "a",
                                             "AWS_SECRET_ACCESS_KEY": "b"}).wait_for("it is our turn")
            self.lock = lock
            second = self.waiter("second", 1).wait_for("starting the job")
            self.go()
            second.end()
            head.process.kill()
            self.assertIn("the next one's turn", head.end(status=-signal.SIGKILL))

    def test_daemon_started_anew(self):
        daemon = self.start()
        holder = self.holder()
        waiters = [self.waiter(f"w{i}", i) for i in range(1, 4)]
        self.assertEqual(daemon.stop(), 0)
        for waiter in waiters:
            waiter.wait_for("directly").wait_for("held by holder")
        self.start()
        # The holder's turn was lost with its link: one of the others has it now and asks the store, the rest wait again.
        deadline = time.monotonic() + 60
        while sum(waiter.log().count("it is our turn") for waiter in waiters) < 1 or \
                sum(waiter.log().rsplit("directly", 1)[1].count("waiting, place") for waiter in waiters) < 2:
            self.assertLess(time.monotonic(), deadline, [waiter.log() for waiter in waiters])
            time.sleep(0.02)
        self.go()
        for run in (holder, *waiters):
            run.end()
        self.assertEqual(sorted(self.order()), ["holder", "w1", "w2", "w3"])

    def test_those_in_line_do_not_keep_the_holder_out(self):
        """Half of the connections are for the line. Whoever gets no place there asks the store, as without a line; and the holder gets in to push."""
        self.start("--max-per-client", "1", "--max-connections", "5")
        runs = [self.holder(), self.waiter("w1", 1), self.waiter("w2", 2)]
        runs.append(self.run_job("w3").wait_for("3 runs stand in line").wait_for("asking the lock's store directly").wait_for("held by holder"))
        self.go()
        for run in runs:
            run.end()

    def test_wait_is_bounded(self):
        self.start()
        holder = self.holder()
        log = self.run_job("hasty", "--lock-wait", "500ms").end(status=85)
        self.assertIn("holder", log)
        log = self.run_job("now", "--lock-wait", "0").end(status=85)
        self.assertIn("holder", log)
        self.go()
        holder.end()

    def test_whoever_may_not_push_does_not_take_the_lock(self):
        self.start()
        log = self.run_job("reader", who=self.reader).end(status=77)
        self.assertIn("may not both pull and push", log)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "lock")))

    def test_without_a_daemon_the_store_is_asked(self):
        self.port = free_port()
        alone = self.run_job("alone").wait_for("asking the lock's store directly").wait_for("lock acquired").wait_for("trying again")
        alone.process.send_signal(signal.SIGINT)
        self.assertIn("lock released", alone.end(status=128 + signal.SIGINT))


if __name__ == "__main__":
    unittest.main()

"""deploy/entrypoint.sh: the lines that alerts look for, the job's status, signals, what it leaves behind."""
import os
import signal
import subprocess
import tempfile
import unittest

import cli

ENTRYPOINT = os.path.join(os.environ["LOCKSTEP_SOURCE"], "deploy", "entrypoint.sh")


class Entrypoint(cli.Case):
    def setUp(self):
        super().setUp()
        self.origin, self.local = self.path("origin.db"), self.path("work", "local.db")
        cli.make_counter(self.origin)
        os.mkdir(self.path("tmp"))
        self.env = {"ORIGIN": self.origin, "DATABASE": self.local, "LOCKSTEP_LOCK": "file://" + self.path("lock"), "TMPDIR": self.path("tmp"),
                    "PATH": f"{cli.BIN}:{os.environ['PATH']}"}

    def tearDown(self):
        self.assertEqual(os.listdir(self.path("tmp")), [])

    def enter(self, *job, **env):
        return self.run_program(ENTRYPOINT, *job, env={**self.env, **env})

    def test_the_words_of_the_script(self):
        result = self.assert_status(self.enter(*cli.INCREMENT), 0)
        steps = ["attempting to acquire the lock", "lock acquired, token 1", "database synced from the origin: version 1", "running the job: ",
                 "the job ended with status 0", "database synced to the origin: version 2", "lock released"]
        lines = [line for step in steps for line in result.stdout.splitlines() if f"Z test: {step}" in line]
        self.assertEqual(len(lines), len(steps), result)
        self.assertEqual(lines, sorted(lines, key=result.stdout.index))
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (1, 1))

    def test_lines_of_the_job_stay(self):
        result = self.assert_status(self.enter("sh", "-c", "echo out; echo 'pulled version' >&2; cat", stdin=None), 0)
        self.assertIn("\npulled version\n", result.stdout)
        self.assertIn("out\n", result.stdout)

    def test_a_job_that_fails(self):
        result = self.enter("sh", "-c", "exit 7")
        self.assert_status(result, 7)
        self.assertIn("lock released", result.stdout)
        self.assertNotIn("synced to the origin", result.stdout)

    def test_signals_go_to_the_job(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            running = self.start("sh", "-c", "touch begun; exec sleep 60", program=ENTRYPOINT, env=self.env, cwd=self.path())
            cli.poll(lambda: os.path.exists(self.path("begun")), "the job's beginning")
            os.remove(self.path("begun"))
            running.send(number)
            result = running.finish()
            self.assertEqual(result.status, 128 + number, result)
            self.assertIn("lock released", result.stdout)

    def test_what_the_job_leaves_behind_is_not_waited_for(self):
        with tempfile.TemporaryFile() as lines:  # not a pipe, which we would have to read to its end
            done = subprocess.run([ENTRYPOINT, "sh", "-c", "sleep 100 & echo $! > left"], env=self.environment(self.env), cwd=self.path(),
                                  stdin=subprocess.DEVNULL, stdout=lines, stderr=lines, check=False, timeout=90)
        self.assertEqual(done.returncode, 0)
        with open(self.path("left"), encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)  # it is alive

    def test_usage(self):
        for name in ("ORIGIN", "DATABASE"):
            result = self.enter("true", **{name: None})
            self.assertEqual(result.status, 64)
            self.assertIn(f"set {name} to", result.stderr)
        self.assertIn("give the job", self.enter().stderr)


if __name__ == "__main__":
    unittest.main()

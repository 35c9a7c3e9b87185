"""`lockstep run`: lock, fence, pull, job, push, release; contention, signals, failing jobs, a lock that is lost."""
import json
import os
import re
import signal
import sys
import time
import unittest

import cli
import processes


class Run(cli.Case):
    def setUp(self):
        super().setUp()
        self.origin, self.local = self.path("origin.db"), self.path("local.db")
        self.lock = "file://" + self.path("lock")
        cli.make_counter(self.origin)

    def words(self, *job, options=(), local=None):
        return ["run", "--lock", self.lock, *options, self.origin, local or self.local, "--", *job]

    def run_job(self, *job, options=(), local=None, **kwargs):
        return self.lockstep(*self.words(*job, options=options, local=local), **kwargs)

    def start_job(self, *job, options=(), local=None, **kwargs):
        return self.start(*self.words(*job, options=options, local=local), **kwargs)

    def script(self, name, text):
        return cli.write_script(self.path(name), "#!/bin/sh\n" + text)

    def lock_state(self):
        shown = self.assert_status(self.lockstep("lock", "show", self.lock), 0).stdout
        return re.search(r"^state: +(.*)$", shown, re.M).group(1)

    def assert_free(self):
        self.assertTrue(self.lock_state().startswith("free"), self.lock_state())

    def file(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def waiting_job(self, name="job", trap="", change=True):
        """A job that changes the counter, makes the file `begun`, and waits for the file `go`."""
        add = f"{sys.executable} -c \"{cli.INCREMENT[2]}\"\n" if change else ""
        return self.script(name, f"{trap}\n{add}touch {self.path('begun')}\nwhile [ ! -e {self.path('go')} ] && [ -d {self.folder} ]; do sleep 0.05; done\n")

    def begun(self):
        cli.poll(lambda: os.path.exists(self.path("begun")), "the job's beginning")

    def go(self):
        open(self.path("go"), "w", encoding="utf-8").close()


class OneRun(Run):
    def test_steps_are_lines_with_the_instance(self):
        result = self.assert_status(self.run_job(*cli.INCREMENT, env={"LOCKSTEP_INSTANCE": "iad/148e"}), 0)
        lines = result.stderr.splitlines()
        for line in lines:
            self.assertRegex(line, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ iad/148e: ")
        steps = ["acquiring the lock " + self.lock, "lock acquired, token 1", "pulled version", "starting the job",
                 "the job ended with status 0", "pushed version", "lock released"]
        found = [next(i for i, line in enumerate(lines) if step in line) for step in steps]
        self.assertEqual(found, sorted(found), result)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (1, 1))
        self.assert_free()

    def test_instance_by_option_variable_or_machine(self):
        for env, options, name in (({"LOCKSTEP_INSTANCE": "a"}, ["--instance", "b"], "b"),
                                   ({"LOCKSTEP_INSTANCE": None, "FLY_MACHINE_ID": "148e", "FLY_REGION": "ams", "FLY_APP_NAME": "web"}, [], "ams/web/148e"),
                                   ({"LOCKSTEP_INSTANCE": None}, [], os.uname().nodename + "-")):
            result = self.assert_status(self.run_job("true", options=options, env=env), 0)
            self.assertIn(f" {name}", result.stderr.splitlines()[0])
            self.assertIn(f"instance: {name}", self.lockstep("lock", "show", self.lock).stdout)

    def test_environment_of_the_job(self):
        job = self.script("job", f"echo \"$LOCKSTEP_TOKEN $LOCKSTEP_DB $LOCKSTEP_VERSION $OTHER\" > {self.path('told')}; pwd >&2; cat\n")
        result = self.run_job(job, env={"OTHER": "kept", "LOCKSTEP_TOKEN": "77", "LOCKSTEP_DB": "x"}, input="to the job\n", stdin=None)
        self.assert_status(result, 0)
        token, database, version, other = self.file("told").split()
        self.assertEqual((token, database, other), ("1", self.local, "kept"))
        self.assertGreaterEqual(int(version), 1)
        self.assertEqual(result.stdout, "to the job\n")
        before = int(version)
        self.assert_status(self.run_job(*cli.INCREMENT), 0)
        self.assert_status(self.run_job(job), 0)
        token, _, version = self.file("told").split()
        self.assertEqual((token, int(version)), ("3", before + 1))

    def test_words_of_the_job_come_as_they_are(self):
        job = self.script("job", f"printf '%s|' \"$@\" > {self.path('told')}\n")
        self.assert_status(self.run_job(job, "two words", "--lock", "-v", "--", "$HOME", ""), 0)
        self.assertEqual(self.file("told"), "two words|--lock|-v|--|$HOME||")

    def test_default_lock_of_a_local_origin(self):
        result = self.assert_status(self.lockstep("run", self.origin, self.local, "--", *cli.INCREMENT), 0)
        self.assertIn(f"file://{os.path.realpath(self.origin)}.lock", result.stderr)
        self.assertEqual(cli.count(self.origin), 1)

    def test_missing_origin(self):
        result = self.lockstep("run", self.path("none.db"), self.local, "--", "touch", self.path("ran"))
        self.assert_status(result, "NO_DATABASE", self.path("none.db"), "push one there first")
        result = self.lockstep("run", "--lock", self.lock, self.path("none.db"), self.local, "--", "touch", self.path("ran"))
        self.assert_status(result, "NO_DATABASE", "none.db", "lock released")
        self.assertFalse(os.path.exists(self.path("ran")))
        self.assert_free()

    def test_origin_moved_by_another_writer_during_the_job(self):
        """One who takes no lock: the push is refused, the work stays, and the next run keeps it beside."""
        job = self.waiting_job()
        running = self.start_job(job)
        self.begun()
        cli.add(self.origin, 100)
        self.go()
        result = self.assert_status(running.finish(), "STALE_BASE", "the next run keeps them beside", self.local)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (100, 1), result)
        self.assert_free()
        result = self.assert_status(self.run_job(*cli.INCREMENT), 0, "never pushed", self.local + ".unpushed-")
        kept = [name for name in os.listdir(self.folder) if name.startswith("local.db.unpushed-")]
        self.assertEqual([cli.count(self.path(name)) for name in kept if not name.endswith(("-wal", "-shm"))], [1])
        self.assertIn(kept[0], result.stderr)
        self.assertEqual(cli.count(self.origin), 101)

    def test_discard_keeps_nothing(self):
        self.assert_status(self.run_job("true"), 0)
        cli.add(self.local, 50)
        self.assert_status(self.run_job(*cli.INCREMENT, options=["--discard"]), 0)
        self.assertEqual(cli.count(self.origin), 1)
        self.assertEqual([name for name in os.listdir(self.folder) if "unpushed" in name], [])


class Jobs(Run):
    """How the job ends is how the run ends."""

    def not_pushed(self, result, status, *texts):
        self.assert_status(result, status, *texts)
        self.assertEqual(cli.count(self.origin), 0)
        self.assert_free()

    def test_status_passes_through(self):
        for status in (1, 3, 85, 255):
            job = self.script("job", f"{sys.executable} -c \"{cli.INCREMENT[2]}\"; exit {status}\n")
            self.not_pushed(self.run_job(job, options=["--discard"]), status, f"status {status}", "nothing is pushed", "lock released")

    def test_not_found(self):
        self.not_pushed(self.run_job("no-such-program-anywhere"), 127, "no-such-program-anywhere", "not found on the PATH")
        self.not_pushed(self.run_job(self.path("nothing")), 127, self.path("nothing"))

    def test_not_executable(self):
        with open(self.path("data"), "w", encoding="utf-8") as file:
            file.write("no program\n")
        self.not_pushed(self.run_job(self.path("data")), 126, self.path("data"), "chmod")
        self.not_pushed(self.run_job(self.home), 126, self.home)

    def test_killed_by_a_signal(self):
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
            self.not_pushed(self.run_job("sh", "-c", f"kill -{int(number)} $$"), 128 + number, f"signal {int(number)}")


class Contention(Run):
    def test_second_waits_and_sees_the_first_s_work(self):
        first = self.start_job(self.waiting_job(), env={"LOCKSTEP_INSTANCE": "first"})
        self.begun()
        second = self.start_job(*cli.INCREMENT, local=self.path("other.db"), env={"LOCKSTEP_INSTANCE": "second"})
        self.assertIn("held by first", second.wait_for("waiting for the lock"))
        self.assertEqual(cli.count(self.origin), 0)
        self.go()
        self.assert_status(first.finish(), 0)
        self.assert_status(second.finish(), 0, "lock acquired, token 2")
        self.assertEqual((cli.count(self.origin), cli.count(self.path("other.db"))), (2, 2))

    def test_five_at_once_lose_no_update(self):
        running = [self.start_job(*cli.INCREMENT, local=self.path(f"local-{i}.db")) for i in range(5)]
        for one in running:
            self.assert_status(one.finish(), 0)
        self.assertEqual(cli.count(self.origin), 5)
        self.assertIn("token:    5", self.lockstep("lock", "show", self.lock).stdout)
        self.assert_free()

    def test_lock_wait_is_over(self):
        holder = self.start_job(self.waiting_job(), env={"LOCKSTEP_INSTANCE": "the-holder"})
        self.begun()
        for wait in ("0", "1s"):
            result = self.run_job("touch", self.path("ran"), options=["--lock-wait", wait], local=self.path("other.db"))
            self.assert_status(result, "LOCK_HELD", "the-holder", self.lock, "--lock-wait", "lockstep lock show")
        self.assertFalse(os.path.exists(self.path("ran")) or os.path.exists(self.path("other.db")))
        self.go()
        self.assert_status(holder.finish(), 0)

    def test_signal_while_waiting(self):
        holder = self.start_job(self.waiting_job(), env={"LOCKSTEP_INSTANCE": "the-holder"})
        self.begun()
        record = self.file("lock")
        for number in (signal.SIGTERM, signal.SIGINT):
            waiter = self.start_job("touch", self.path("ran"), local=self.path("other.db"))
            waiter.wait_for("waiting for the lock")
            waiter.send(number)
            self.assert_status(waiter.finish(), 128 + number, "waiting for the lock", "stopped by signal")
        self.assertEqual(self.file("lock").split('"rev"')[0], record.split('"rev"')[0])
        self.assertEqual(self.lock_state(), "held")
        self.assertFalse(os.path.exists(self.path("ran")))
        self.go()
        self.assert_status(holder.finish(), 0)
        self.assertEqual(cli.count(self.origin), 1)


class Signals(Run):
    def test_go_to_the_job_and_its_children(self):
        """The job and what it started get the signal; the job ends as it likes, and its status is the run's."""
        for number, name in ((signal.SIGTERM, "TERM"), (signal.SIGINT, "INT")):
            job = cli.write_script(self.path("job"), f"""#!{sys.executable}
import os, signal, sys, time
is_child = os.fork() == 0
def stop(*_):
    if not is_child:
        os.wait()
    with open({self.path('got')!r}, "a") as file:
        file.write("child {name}\\n" if is_child else "job {name}\\n")
    os._exit(9)
signal.signal(signal.SIG{name}, stop)
if is_child:
    open({self.path('begun')!r}, "w").close()
time.sleep(100)
""")
            running = self.start_job(job)
            self.begun()
            running.send(number)
            self.assert_status(running.finish(), 9, "nothing is pushed", "lock released")
            self.assertEqual(self.file("got").splitlines(), [f"child {name}", f"job {name}"])
            os.remove(self.path("got"))
            os.remove(self.path("begun"))
            self.assert_free()

    def test_a_job_that_ends_well_on_a_signal_is_pushed(self):
        """It finished early and says that all is well: exit status 0."""
        job = self.waiting_job(trap="trap 'exit 0' TERM")
        running = self.start_job(job)
        self.begun()
        running.send(signal.SIGTERM)
        self.assert_status(running.finish(), 0, "pushed version")
        self.assertEqual(cli.count(self.origin), 1)

    def test_a_job_that_ignores_it_goes_on(self):
        job = self.waiting_job(trap="trap '' TERM")
        running = self.start_job(job)
        self.begun()
        running.send(signal.SIGTERM)
        running.send(signal.SIGTERM)
        time.sleep(0.2)
        self.go()
        self.assert_status(running.finish(), 0)
        self.assertEqual(cli.count(self.origin), 1)

    def test_during_the_pull_and_before_the_job(self):
        slow = self.script("slow-origin", f"touch {self.path('begun')}; exec sleep 100\n")
        running = self.start_job("touch", self.path("ran"), options=["--exe", slow])
        self.begun()
        running.send(signal.SIGTERM)
        self.assert_status(running.finish(), 143, "stopped by signal 15", "lock released")
        self.assertFalse(os.path.exists(self.path("ran")))
        self.assert_free()

    def test_during_the_push_the_first_waits_and_the_second_stops(self):
        exe = self.script("origin", f"[ -e {self.path('stuck')} ] && {{ touch {self.path('pushing')}; exec sleep 100; }}; exec {cli.ORIGIN} \"$@\"\n")
        job = self.script("job", f"{sys.executable} -c \"{cli.INCREMENT[2]}\"; touch {self.path('stuck')}\n")
        running = self.start_job(job, options=["--exe", exe])
        cli.poll(lambda: os.path.exists(self.path("pushing")), "the push")
        running.send(signal.SIGTERM)
        running.wait_for("send it again to give up")
        running.send(signal.SIGTERM)
        self.assert_status(running.finish(), 143, "not pushed", "lock released")
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (0, 1))
        self.assert_free()


class LostLock(Run):
    """What happens to the one who holds the lock no longer."""

    def options(self, *more):
        return ["--lock-timeout", "2s", *more]

    def test_job_is_stopped_and_nothing_pushed(self):
        job = self.waiting_job(trap=f"trap 'touch {self.path('terminated')}; exit 0' TERM")
        running = self.start_job(job, options=self.options())
        self.begun()
        self.assert_status(self.lockstep("lock", "break", self.lock, "--instance", "somebody"), 0, "token 2")
        result = self.assert_status(running.finish(), "LOCK_LOST", "somebody", "the job was stopped; nothing is pushed", self.lock,
                                    self.local, "the next run keeps it")
        self.assertTrue(os.path.exists(self.path("terminated")), result)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (0, 1))
        self.assert_status(self.run_job(*cli.INCREMENT), 0, ".unpushed-")
        self.assertEqual(cli.count(self.origin), 1)

    def test_job_that_ignores_it_is_killed(self):
        pid = self.path("pid")
        job = self.waiting_job(trap=f"trap '' TERM; echo $$ > {pid}")
        running = self.start_job(job, options=self.options("--kill-after", "200ms"))
        self.begun()
        self.assert_status(self.lockstep("lock", "break", self.lock), 0)
        self.assert_status(running.finish(), "LOCK_LOST", "nothing is pushed")
        self.assertFalse(processes.is_alive(int(self.file("pid"))))
        self.assertEqual(cli.count(self.origin), 0)

    def test_taken_by_another_run(self):
        """One paused past its lease: another one goes through; the first wakes up, and its push is refused by the fence."""
        job = self.waiting_job()
        old = self.start_job(job, options=self.options(), env={"LOCKSTEP_INSTANCE": "old"})
        self.begun()
        old.send(signal.SIGSTOP)
        new = self.run_job(*cli.INCREMENT, options=self.options(), local=self.path("new.db"), env={"LOCKSTEP_INSTANCE": "new"})
        self.assert_status(new, 0, "held by old", "lock acquired, token 2")
        self.assertEqual(cli.count(self.origin), 1)
        self.go()
        old.send(signal.SIGCONT)
        result = old.finish()
        self.assertIn(result.status, (cli.EXIT["LOCK_LOST"], cli.EXIT["FENCED"]), result)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (1, 1), result)
        self.assertIn("not", result.stderr)

    def test_fence_refuses_whoever_is_late(self):
        """The origin's fence alone: a push with the token that was good before."""
        told = self.assert_status(self.lockstep("lock", "acquire", self.lock), 0).stdout.split()
        self.assert_status(self.lockstep("pull", self.origin, self.local), 0)
        cli.add(self.local, 10)
        self.assert_status(self.lockstep("lock", "break", self.lock), 0)
        self.assert_status(self.run_job(*cli.INCREMENT, local=self.path("new.db")), 0)
        result = self.lockstep("push", *told, self.local, self.origin)
        self.assert_status(result, "FENCED", "token 1", "token 3 was seen", self.origin)
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (1, 10))
        # Without a token it is refused as well: the origin knows that there is a lock.
        self.assert_status(self.lockstep("push", self.local, self.origin), "FENCED", "--token")

    def test_deleted_lock_object(self):
        """Its token begins anew; the run goes above what the origin has seen, and is not fenced off."""
        for _ in range(3):
            self.assert_status(self.run_job(*cli.INCREMENT), 0)
        os.remove(self.path("lock"))
        self.assert_status(self.run_job(*cli.INCREMENT), 0, "lock acquired, token 1", "the origin has seen token 3", "token 4")
        self.assertEqual(cli.count(self.origin), 4)
        self.assertIn("fencing token: 4", self.lockstep("status", self.origin, self.local).stdout)
        self.assert_free()

    def test_deleted_while_the_job_works(self):
        running = self.start_job(self.waiting_job(), options=self.options())
        self.begun()
        os.remove(self.path("lock"))
        self.assert_status(running.finish(), "LOCK_LOST", "deleted", "nothing is pushed")
        self.assertEqual(cli.count(self.origin), 0)


class LockCommands(Run):
    def test_acquire_show_push_release(self):
        self.assertIn("nobody has ever held it", self.lockstep("lock", "show", self.lock).stdout)
        told = self.assert_status(self.lockstep("lock", "acquire", "--instance", "me", self.lock), 0).stdout
        self.assertRegex(told, r"\A--token 1 --lease [0-9a-f]{32}\n\Z")
        shown = self.lockstep("lock", "show", self.lock).stdout
        for line in ("state:    held", "instance: me", "token:    1", "timeout:  60 s", told.split()[3]):
            self.assertIn(line, shown)
        self.assert_status(self.lockstep("pull", self.origin, self.local), 0)
        cli.add(self.local)
        self.assert_status(self.lockstep("push", self.local, self.origin, *told.split()), 0)
        self.assertEqual(cli.count(self.origin), 1)
        self.assert_status(self.lockstep("lock", "release", self.lock, *told.split()), 0, "released token 1")
        self.assert_free()
        self.assertIn("token:    ", self.lockstep("lock", "show", self.lock).stdout)

    def test_held_by_somebody_else(self):
        told = self.assert_status(self.lockstep("lock", "acquire", "--instance", "me", self.lock), 0).stdout.split()
        self.assert_status(self.lockstep("lock", "acquire", "--lock-wait", "0", self.lock), "LOCK_HELD", "me", self.lock)
        other = ["--token", "1", "--lease", "00" * 16]
        self.assert_status(self.lockstep("lock", "release", self.lock, *other), "LOCK_LOST", "me", "lock break")
        self.assertEqual(self.lock_state(), "held")
        self.assert_status(self.lockstep("lock", "break", self.lock), 0, "taken from me on ", "its token 1 is fenced off by token 2")
        self.assert_free()
        self.assert_status(self.lockstep("lock", "break", self.lock), 0, "nobody lost it")
        broken = json.loads(self.lockstep("lock", "break", "--json", self.lock).stdout)
        self.assertEqual((broken["token"], broken["fenced"]["held"], broken["fenced"]["token"]), (4, False, 3))
        self.assert_status(self.lockstep("lock", "acquire", "--lock-wait", "0", self.lock), 0)
        self.assertNotEqual(told, [])

    def test_time_out(self):
        self.assert_status(self.lockstep("lock", "acquire", "--lock-timeout", "1s", self.lock), 0)
        result = self.lockstep("lock", "acquire", "--instance", "next", self.lock)
        self.assert_status(result, 0, "waiting: held by test")
        self.assertIn("--token 2 ", result.stdout)

    def test_as_json(self):
        self.assertEqual(json.loads(self.lockstep("lock", "show", "--json", self.lock).stdout)["exists"], False)
        told = json.loads(self.lockstep("lock", "acquire", "--json", self.lock).stdout)
        shown = json.loads(self.lockstep("lock", "show", "--json", self.lock).stdout)
        self.assertEqual((shown["held"], shown["token"], shown["lease"]), (True, told["token"], told["lease"]))

    def test_record_of_a_shell_script(self):
        with open(self.path("lock"), "w", encoding="utf-8") as file:
            file.write('{"instance_id": "old-script", "timestamp": "%s", "timeout": 300}' %
                       time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        shown = self.lockstep("lock", "show", self.lock).stdout
        self.assertIn("held by a script", shown)
        self.assertIn("old-script", shown)
        self.assert_status(self.run_job("true", options=["--lock-wait", "0"]), "LOCK_HELD", "old-script")

    def test_store_that_cannot_be_used(self):
        for url, text in (("file://" + self.path("no", "folder", "lock"), "no"), ("ftp://x/y", "s3://"), ("lock", "s3://")):
            result = self.lockstep("run", "--lock", url, self.origin, self.local, "--", "true")
            self.assertIn(result.status, (cli.EXIT["STORE_UNUSABLE"], cli.EXIT["USAGE"]), result)
            self.assertIn(text, result.stderr)
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        self.assert_status(self.run_with("file://" + self.path("file", "lock")), "STORE_UNUSABLE", self.path("file", "lock"))

    def run_with(self, url):
        return self.lockstep("run", "--lock", url, "--lock-wait", "0", self.origin, self.local, "--", "true")


if __name__ == "__main__":
    unittest.main()

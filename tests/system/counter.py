"""The proof that no update is lost: replicas that all increment one number in one database by `lockstep run`, over a real sshd,
with the lock in a real S3 server, while processes are killed and stopped, lines are cut and held up, the lock object is deleted and
the gateways die. At the end the number is exactly the number of receipts.

By itself: 3 replicas, 5 runs each. LOCKSTEP_COUNTER=8x25 for the whole (some minutes); LOCKSTEP_COUNTER=8x25:7 with the seed 7.
The seed decides what happens, not exactly when: a failure need not come again.
"""
import collections
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import processes
from fixture_proxy import Proxy
from fixture_s3 import S3, Radosgw
from fixture_sshd import Sshd

LEASE_SECONDS = 2
STALE_SECONDS = LEASE_SECONDS + 2 + LEASE_SECONDS / 32  # lockstore/record.h
WAIT_SECONDS = 120  # waiters have no order: one can be unlucky among eight for minutes, and then says so
RUN_LIMIT = 300  # a run that takes longer hangs

# What a run may end with when things go wrong around it (protocol/base/error.h); all else is a fault of ours.
EXCUSED = {-signal.SIGKILL: "killed", 68: "no link", 75: "time-out", 82: "stale base", 85: "lock held", 86: "lock lost", 87: "fenced",
           88: "store unusable"}

# Adds one, some time after it has started, and says what it made. Argument: the file for that.
JOB = """
import os, random, sqlite3, sys, time
time.sleep(random.uniform(0, 0.4))
connection = sqlite3.connect(os.environ["LOCKSTEP_DB"], timeout=30, isolation_level=None)
connection.execute("begin immediate")
value = connection.execute("update counter set n = n + 1 returning n").fetchall()[0][0]
connection.execute("commit")
with open(sys.argv[1], "w") as file:
    file.write(str(value))
time.sleep(random.uniform(0, 0.2))
"""


class Replica:
    """One machine: its copy, its lines to the store and to the origin, and its runs."""

    def __init__(self, world, number):
        self.world = world
        self.name = f"replica{number}"
        self.folder = os.path.join(world.folder, self.name)
        os.mkdir(self.folder)
        self.store_line = Proxy(world.server.port + number % 2)
        self.origin_line = Proxy(world.sshd.port)
        self.process = None
        self.runs = []  # (exit status, what the job made or None)
        self.log = open(os.path.join(self.folder, "log"), "w", encoding="utf-8")

    def ssh_config(self):
        path = os.path.join(self.folder, "ssh_config")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"Host origin\n  HostName 127.0.0.1\n  Port {self.origin_line.port}\n  User {self.world.sshd.user}\n"
                       f"  UserKnownHostsFile {self.world.sshd.known_hosts}\n  GlobalKnownHostsFile none\n  IdentityAgent none\n")
        return path

    def command(self, *job):
        return [os.path.join(os.environ["LOCKSTEP_BIN"], "lockstep"), "run", "--lock", "s3://locks/counter.lock",
                "--lock-timeout", f"{LEASE_SECONDS}s", "--lock-wait", f"{WAIT_SECONDS}s", "--kill-after", "2s", "--connect-timeout", "5s",
                "--instance", self.name, "-F", self.ssh_config(), "-i", self.world.key,
                "--exe", os.path.join(os.environ["LOCKSTEP_BIN"], "lockstep-origin"),
                f"ssh://origin{self.world.origin}",
                os.path.join(self.folder, "copy.db"), "--", *job]

    def run(self, *job):
        env = {"PATH": os.environ["PATH"], "HOME": self.folder, **self.world.server.environment(self.store_line.port)}
        env.update({name: text for name, text in os.environ.items() if name.endswith("SAN_OPTIONS")})
        self.process = subprocess.Popen(self.command(*job), env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        preexec_fn=processes.end_with_parent)
        try:
            return self.process.wait(RUN_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def run_job(self):
        made = os.path.join(self.folder, f"made{len(self.runs)}")
        status = self.run(sys.executable, "-S", "-c", JOB, made)
        value = None
        if os.path.exists(made):
            with open(made, encoding="utf-8") as file:
                value = int(file.read() or 0)
        self.runs.append((status, value))
        self.log.write(f"-- run {len(self.runs)} of {self.name}: {status}, made {value}\n")
        self.log.flush()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        try:
            self.process.send_signal(number)
        except ProcessLookupError:
            pass

    def heal(self):
        self.store_line.heal()
        self.origin_line.heal()


class World:
    def __init__(self, replicas, runs, seed):
        self.runs = runs
        self.random = random.Random(seed)
        self.folder = tempfile.mkdtemp(prefix="lockstep-counter-")
        self.origin = os.path.join(self.folder, "origin.db")
        connection = sqlite3.connect(self.origin, isolation_level=None)
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table counter(n integer)")
        connection.execute("insert into counter values(0)")
        connection.close()
        self.server = Radosgw(buckets=["locks"])
        self.s3 = S3("127.0.0.1", self.server.port + 1)
        self.sshd = Sshd(host_key_types=("ed25519",))
        self.sshd.start()
        self.key = self.sshd.make_key()
        self.replicas = [Replica(self, number) for number in range(replicas)]
        with open(self.sshd.known_hosts, "a", encoding="utf-8") as file:
            for replica in self.replicas:
                file.write(self.sshd.known_host_line("ed25519", f"[127.0.0.1]:{replica.origin_line.port}"))
        self.done = threading.Event()
        self.remedies = []  # (when, what): what ends the faults that last
        self.faults = collections.Counter()
        self.faults_max = replicas * runs * 2 // 3

    def close(self):
        for replica in self.replicas:
            replica.store_line.close()
            replica.origin_line.close()
            replica.log.close()
        self.sshd.stop()
        shutil.rmtree(self.sshd.folder, ignore_errors=True)
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the work ----

    def work(self):
        threads = [threading.Thread(target=self.work_of, args=(replica,)) for replica in self.replicas]
        for thread in threads:
            thread.start()
        trouble = threading.Thread(target=self.make_trouble)
        trouble.start()
        for thread in threads:
            thread.join()
        self.done.set()
        trouble.join()

    def work_of(self, replica):
        for _ in range(self.runs):
            replica.run_job()

    # ---- the trouble ----

    def make_trouble(self):
        kinds = [self.kill, self.kill_job_too, self.freeze, self.cut_store, self.hold_store, self.cut_origin, self.hold_origin,
                 self.delete_lock, self.kill_origin, self.kill_gateway]
        deck = []
        while not self.done.wait(self.random.uniform(0.5, 2)):
            self.mend()
            if len(self.remedies) > len(self.replicas) // 4 or self.faults.total() >= self.faults_max:
                continue  # somebody has to get on
            if not deck:
                deck = self.random.sample(kinds, len(kinds))
            kind = deck.pop()
            victim = self.choose()
            if victim is not None:
                self.faults[kind.__name__] += 1
                victim.log.write(f"-- {kind.__name__}\n")
                victim.log.flush()
                kind(victim)
        self.mend(everything=True)

    def mend(self, everything=False):
        now = time.monotonic()
        for remedy in [remedy for remedy in self.remedies if everything or remedy[0] <= now]:
            self.remedies.remove(remedy)
            remedy[1]()

    def choose(self):
        """Mostly who has the lock: it is the one that can do harm."""
        running = [replica for replica in self.replicas if replica.is_running()]
        holder = self.holder() if self.random.random() < 0.75 else None
        for replica in running:
            if replica.name == holder:
                return replica
        return self.random.choice(running) if running else None

    def holder(self):
        try:
            status, _, body = self.s3.request("GET", "/locks/counter.lock")
        except OSError:
            return None
        return json.loads(body)["instance_id"] if status == 200 else None

    def later(self, seconds, remedy):
        self.remedies.append((time.monotonic() + seconds, remedy))

    def long(self):
        """Mostly longer than a lease lasts."""
        return self.random.uniform(1, 1.5 * STALE_SECONDS)

    def kill(self, victim):
        victim.signal(signal.SIGKILL)

    def kill_job_too(self, victim):
        """As when the machine dies."""
        below = processes.below(victim.process.pid)
        victim.signal(signal.SIGKILL)
        processes.kill(below)

    def freeze(self, victim):
        victim.signal(signal.SIGSTOP)
        process = victim.process
        self.later(self.long(), lambda: process.poll() is None and process.send_signal(signal.SIGCONT))

    def cut_store(self, victim):
        victim.store_line.cut()
        self.later(self.long(), victim.store_line.heal)

    def hold_store(self, victim):
        victim.store_line.hold()
        self.later(self.long(), victim.store_line.heal)

    def cut_origin(self, victim):
        victim.origin_line.cut()
        self.later(self.long(), victim.origin_line.heal)

    def hold_origin(self, victim):
        victim.origin_line.hold()
        self.later(self.long(), victim.origin_line.heal)

    def delete_lock(self, _):
        try:
            self.s3.request("DELETE", "/locks/counter.lock")
        except OSError:
            pass

    def kill_origin(self, _):
        self.sshd.end_sessions()

    def kill_gateway(self, _):
        """Gateway 0; gateway 1 is the other half's, and the trouble-maker's."""
        self.server.tell("kill-gateway 0")
        time.sleep(self.random.uniform(0, 1))
        self.server.tell("start-gateway 0")


def size():
    """(replicas, runs, seed)"""
    text, _, seed = os.environ.get("LOCKSTEP_COUNTER", "3x5").partition(":")
    replicas, _, runs = text.partition("x")
    return int(replicas), int(runs), int(seed or random.randrange(1 << 32))


class Counter(unittest.TestCase):
    def setUp(self):
        replicas, runs, self.seed = size()
        self.world = World(replicas, runs, self.seed)
        self.addCleanup(self.world.close)

    def logs(self):
        for replica in self.world.replicas:
            with open(replica.log.name, encoding="utf-8", errors="replace") as file:
                yield f"==== {replica.name}\n{file.read()}"

    def test_no_update_is_lost(self):
        started = time.monotonic()
        self.world.work()
        took = time.monotonic() - started
        try:
            self.check(took)
        except AssertionError:
            if "LOCKSTEP_KEEP" in os.environ:
                shutil.copytree(self.world.folder, os.environ["LOCKSTEP_KEEP"], dirs_exist_ok=True)
            print(*self.logs(), sep="\n", file=sys.stderr)
            raise

    def check(self, took):
        world = self.world
        # One more run without trouble: whatever was under way is brought to its end.
        world.replicas[0].heal()
        self.assertEqual(world.replicas[0].run("true"), 0)
        connection = sqlite3.connect(world.origin)
        counter = connection.execute("select n from counter").fetchone()[0]
        self.assertEqual(connection.execute("pragma integrity_check").fetchall(), [("ok",)])
        connection.close()
        connection = sqlite3.connect(world.origin + "-lockstep")
        receipts = connection.execute("select version, token, lease from receipt where old_root != new_root and kind = 1 order by seq").fetchall()
        connection.close()

        outcomes = collections.Counter(status for replica in world.replicas for status, _ in replica.runs)
        print(f"counter {counter}, receipts {len(receipts)}, runs {dict(outcomes)}, faults {dict(world.faults)}, seed {self.seed}, "
              f"{took:.0f} s", file=sys.stderr)
        self.assertEqual(counter, len(receipts))
        # Who was told that it is done can rely on it: each such run made another number.
        made = [value for replica in world.replicas for status, value in replica.runs if status == 0]
        self.assertEqual(len(made), len(set(made)))
        self.assertLessEqual(len(made), counter)
        self.assertLessEqual(counter, sum(outcomes.values()))
        # Versions and tokens grow, and one token is one lease.
        self.assertEqual([version for version, _, _ in receipts], sorted({version for version, _, _ in receipts}))
        self.assertEqual([token for _, token, _ in receipts], sorted(token for _, token, _ in receipts))
        self.assertEqual(len({token for _, token, _ in receipts}), len({(token, lease) for _, token, lease in receipts}))
        # It was no walk-over, and no stand-still.
        self.assertEqual(set(outcomes) - set(EXCUSED) - {0}, set())
        self.assertGreaterEqual(3 * len(made), sum(outcomes.values()))
        self.assertGreaterEqual(sum(world.faults.values()), len(world.replicas))
        for log in self.logs():
            self.assertNotRegex(log, "Sanitizer|runtime error:|wJalrXUtnFEMI")


if __name__ == "__main__":
    unittest.main()

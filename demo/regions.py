#!/usr/bin/env python3
"""Three regions on one machine, each a network namespace: the origin daemon and the bucket in iad, replicas in ams and nrt.

    ./demo.sh regions [--runs N] [--out FILE.svg]        builds, installs what is missing, and runs this

Each replica runs `lockstep run` N times, one after the other, as a scheduled machine would; all contend for one lock. Between the regions
stands bench_link_proxy with the latency that Fly.io's network has between them. What happens is printed as it happens, and drawn:
who held the lock when, and the bytes of each run. At the end the canonical database must have every run's work.

Everything lives in namespaces of its own (network, mounts, processes), which vanish with this program; nothing is left behind. It
needs root, or a kernel that lets users have namespaces.
"""
import argparse
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(SOURCE, "tests"))

sys.dont_write_bytecode = True
import timeline  # pylint: disable=wrong-import-position

INSIDE = "LOCKSTEP_DEMO_INSIDE"
ORIGIN_PORT = 7433
RATE = "100mbit"

# name, what it is called, milliseconds to iad and back (about what Fly.io's own measurements say), colour of its lines on a terminal
REMOTE = (("ams", "Amsterdam", 90, 36), ("nrt", "Tokyo", 160, 35))

# What a scheduler's job does: it changes some rows, and takes its time. The counter shows a lost update.
JOB = """
UPDATE counter SET n = n + 1;
UPDATE schedules SET status = 'sent', run = '{region}/{number}' WHERE id % 400 = (SELECT n FROM counter) % 400;
INSERT INTO runs(region, number, token) VALUES ('{region}', {number}, $LOCKSTEP_TOKEN);
"""


def enter_namespaces():
    """Start again in namespaces of our own. Where we are not root, as root of a user namespace."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command[1:1] = ["--user", "--map-root-user"]
    os.environ[INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def command(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"regions.py: {' '.join(words)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


class Region:
    """A network namespace that reaches iad through the proxies."""

    def __init__(self, demo, number, name, title, rtt, colour):
        self.demo, self.name, self.title, self.rtt, self.colour = demo, name, title, rtt, colour
        self.folder = os.path.join(demo.folder, name)
        os.mkdir(self.folder)
        near, far = f"10.77.{number}.1", f"10.77.{number}.2"
        command("ip", "netns", "add", name)
        command("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        command("ip", "address", "add", f"{near}/24", "dev", f"to-{name}")
        command("ip", "link", "set", f"to-{name}", "up")
        for words in (("address", "add", f"{far}/24", "dev", "eth0"), ("link", "set", "eth0", "up"), ("link", "set", "lo", "up")):
            command("ip", "-n", name, *words)
        self.hosts = os.path.join(self.folder, "hosts")
        with open(self.hosts, "w", encoding="ascii") as file:
            file.write(f"127.0.0.1 localhost\n{near} origin.internal s3.internal\n")
        for port in (ORIGIN_PORT, demo.bucket.port):
            demo.start_proxy(rtt, f"{near}:{port}", f"127.0.0.1:{port}")

    def run(self, number):
        """One whole run. Returns its exit status; its lines go to the demo's timeline as they come."""
        job = JOB.format(region=self.name, number=number)
        script = f'sqlite3 "$LOCKSTEP_DB" "PRAGMA journal_mode = WAL; {job}" >/dev/null && sleep 1'
        env = dict(os.environ, FLY_REGION=self.name, FLY_APP_NAME="scheduler", FLY_MACHINE_ID=f"{self.name}1", HOME=self.folder,
                   AWS_ENDPOINT_URL_S3=f"http://s3.internal:{self.demo.bucket.port}", **self.demo.keys)
        words = ["ip", "netns", "exec", self.name, "unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', self.hosts,
                 self.demo.program("lockstep"), "run", "--lock", "s3://locks/org.db.lock", "--ca", "../tls/ca.pem",
                 "--cert", "../tls/scheduler.pem", "--key", "../tls/scheduler.key", "tls://origin.internal/org.db", "org.db",
                 "--", "sh", "-c", script]
        process = subprocess.Popen(words, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        for line in process.stdout:
            self.demo.heard(self, number, line.rstrip("\n"))
        return process.wait()

    def run_all(self, runs):
        for number in range(1, runs + 1):
            status = self.run(number)
            self.demo.ended(self, number, status)


class Demo:
    def __init__(self, folder):
        self.folder = folder
        self.begun = None  # the zero of the timeline
        self.lock = threading.Lock()
        self.events = []  # (seconds, region, number, text)
        self.statuses = {}
        self.children = []

    @staticmethod
    def program(name):
        path = os.path.join(os.environ["LOCKSTEP_BIN"], name)
        if not os.path.exists(path):
            raise SystemExit(f"regions.py: there is no {path}; start ./demo.sh regions")
        return path

    def start(self, *words, ready, **kwargs):
        """A server that lives as long as we do; ready is in the line that says it serves."""
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
        self.children.append(process)
        said = ""
        for line in process.stdout:
            said += line
            if ready in line:
                threading.Thread(target=process.stdout.read, daemon=True).start()  # keep its pipe empty
                return
        raise SystemExit(f"regions.py: {words[0]} did not start:\n{said}")

    def start_proxy(self, rtt, listen, connect):
        self.start(self.program("bench_link_proxy"), "--rtt", str(rtt), "--rate", RATE, "--listen", listen, "--connect", connect,
                   ready="listening")

    def make_database(self, rows):
        os.mkdir(os.path.join(self.folder, "data"))
        self.database = os.path.join(self.folder, "data", "org.db")
        connection = sqlite3.connect(self.database)
        connection.executescript(f"""
            PRAGMA journal_mode = WAL;
            CREATE TABLE counter(n INTEGER NOT NULL);
            INSERT INTO counter VALUES (0);
            CREATE TABLE runs(region TEXT, number INT, token INT);
            CREATE TABLE schedules(id INTEGER PRIMARY KEY, contact_id INT, type TEXT, send_date TEXT, status TEXT, run TEXT);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            INSERT INTO schedules SELECT i, i / 3, 'birthday', date('2026-01-01', '+' || (i % 365) || ' day'), 'pre-scheduled',
                lower(hex(randomblob(8))) FROM n;
            CREATE INDEX schedules_by_date ON schedules(send_date, status);
        """)
        connection.close()

    def start_origin(self):
        tls = os.path.join(self.folder, "tls")
        command(self.program("lockstep-origin"), "keygen", tls, "--host", "origin.internal", "--client", "scheduler")
        self.start(self.program("lockstep-origin"), "serve", "-v", "--listen", f"127.0.0.1:{ORIGIN_PORT}", "--root",
                   os.path.dirname(self.database), "--cert", os.path.join(tls, "origin.pem"), "--key", os.path.join(tls, "origin.key"),
                   "--client-ca", os.path.join(tls, "ca.pem"), "--allow", "scheduler=pull,push:org.db", ready="ready")

    def heard(self, region, number, line):
        text = re.sub(r"^\S+Z \S+: ", "", line)
        with self.lock:
            seconds = time.monotonic() - self.begun
            self.events.append((seconds, region.name, number, text))
            print(f"\033[{region.colour}m{seconds:7.2f} s  {region.name}  run {number}  {text}\033[0m" if sys.stdout.isatty()
                  else f"{seconds:7.2f} s  {region.name}  run {number}  {text}", flush=True)

    def ended(self, region, number, status):
        self.statuses[region.name, number] = status
        if status != 0:
            self.heard(region, number, f"ended with status {status}")

    def contend(self, regions, runs):
        self.begun = time.monotonic()
        threads = [threading.Thread(target=region.run_all, args=(runs,)) for region in regions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def check(self):
        """Every run that said 0 is in the database, once, and nothing else. Returns what is wrong, or None."""
        connection = sqlite3.connect(self.database)
        rows = connection.execute("SELECT region, number, token FROM runs ORDER BY token").fetchall()
        counter = connection.execute("SELECT n FROM counter").fetchone()[0]
        whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
        connection.close()
        done = sorted(run for run, status in self.statuses.items() if status == 0)
        print(f"\nThe canonical database: counter {counter}, {len(rows)} runs in it, {len(done)} were told that theirs arrived; "
              f"integrity check: {whole}")
        if whole != "ok" or counter != len(rows) or sorted(row[:2] for row in rows) != done:
            return "an update was lost, or made twice"
        if len(done) != len(self.statuses):
            return "a run failed"
        return None if [row[2] for row in rows] == sorted({row[2] for row in rows}) else "tokens did not rise"


def main():
    parser = argparse.ArgumentParser(description="Two regions contend for the lock of a database in a third one.")
    parser.add_argument("--runs", type=int, default=3, help="of each region (3)")
    parser.add_argument("--rows", type=int, default=200000, help="of the database (200,000: 18 MB)")
    parser.add_argument("--out", default="regions.svg", help="where the timeline is drawn (regions.svg)")
    options = parser.parse_args()
    if INSIDE not in os.environ:
        enter_namespaces()
    os.environ["LOCKSTEP_SOURCE"] = SOURCE
    from fixture_s3 import Radosgw  # pylint: disable=import-outside-toplevel

    command("mount", "-t", "tmpfs", "tmpfs", "/run")
    command("ip", "link", "set", "lo", "up")
    folder = tempfile.mkdtemp(prefix="lockstep-regions-")
    try:
        demo = Demo(folder)
        print(f"iad (Ashburn) has the origin and the bucket; {', '.join(f'{name} ({title}) is {rtt} ms away' for name, title, rtt, _ in REMOTE)}; "
              f"{RATE} each", flush=True)
        with Radosgw(buckets=["locks"], name="s3.internal") as demo.bucket:
            demo.keys = demo.bucket.environment()
            del demo.keys["AWS_ENDPOINT_URL_S3"]
            demo.make_database(options.rows)
            demo.start_origin()
            regions = [Region(demo, number, *words) for number, words in enumerate(REMOTE, 1)]
            demo.contend(regions, options.runs)
            wrong = demo.check()
        timeline.draw(options.out, demo.events, [(name, f"{title}, {rtt} ms") for name, title, rtt, _ in REMOTE],
                      os.path.getsize(demo.database))
        print(f"The timeline is drawn in {options.out}")
        for child in demo.children:
            child.kill()
    finally:
        shutil.rmtree(folder)
    if wrong:
        raise SystemExit(f"regions.py: {wrong}")
    print("No update was lost.")


if __name__ == "__main__":
    main()

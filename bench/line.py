"""bench/line.py [--runs N] [--s3]: N runs of `lockstep run` wait in the line of one origin daemon for one lock, and each gets its turn. Prints how
long a handover takes: from the line in which a run says that it has given the lock back, to the line in which the next one says
that its turn has come, and that it has the lock. Checks that all get their turn, in the order in which they came, and that nobody looked at the
lock while another held it.

The programs are those of $LOCKSTEP_BIN. The lock is a file; with --s3 an object in a radosgw (Debian's package), as in tests/.
"""
import argparse
import os
import re
import selectors
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("LOCKSTEP_BIN", os.path.join(HERE, "..", "build", "release", "bin"))
LOCKSTEP = os.path.join(BIN, "lockstep")
ORIGIN = os.path.join(BIN, "lockstep-origin")


class Runs:
    """The processes, and when each said what, on one clock."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.rest = {}   # number: the beginning of a line
        self.times = {}  # (number, what): when
        self.text = {}   # number: all that it said
        self.processes = []

    def start(self, command, env):
        number = len(self.processes)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
        self.processes.append(process)
        self.rest[number] = b""
        self.text[number] = []
        os.set_blocking(process.stderr.fileno(), False)
        self.selector.register(process.stderr, selectors.EVENT_READ, number)
        return number

    def read(self, timeout):
        for key, _ in self.selector.select(timeout):
            data = os.read(key.fd, 65536)
            now = time.monotonic()
            if not data:
                self.selector.unregister(key.fileobj)
                continue
            *lines, self.rest[key.data] = (self.rest[key.data] + data).split(b"\n")
            for line in lines:
                self.note(key.data, line.decode(), now)

    def note(self, number, line, now):
        self.text[number].append(line)
        for what in ("waiting, place", "it is our turn", "lock acquired", "lock released", "starting the job"):
            if what in line:
                self.times.setdefault((number, what), now)

    def wait_for(self, number, what, seconds=600):
        deadline = time.monotonic() + seconds
        while (number, what) not in self.times:
            self.read(0.1)
            if time.monotonic() > deadline or self.processes[number].poll() is not None and not self.selector.get_map():
                sys.exit(f"run {number} never said {what!r}, but:\n" + "\n".join(self.text[number]))


def make_database(path):
    connection = sqlite3.connect(path)
    connection.execute("pragma journal_mode = wal")
    connection.execute("create table counter(n integer)")
    connection.execute("insert into counter values(0)")
    connection.commit()
    connection.close()


def free_port():
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return probe.getsockname()[1]


def start_daemon(folder, port, runs):
    subprocess.run([ORIGIN, "keygen", f"{folder}/keys", "--host", "localhost", "--client", "worker"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    daemon = subprocess.Popen([ORIGIN, "serve", "-v", "--listen", f"[::]:{port}", "--db", f"org={folder}/origin.db", "--cert", f"{folder}/keys/origin.pem",
                               "--key", f"{folder}/keys/origin.key", "--client-ca", f"{folder}/keys/ca.pem", "--allow", "worker=pull,push:*",
                               "--max-connections", str(4 * runs + 100)], stderr=subprocess.PIPE, text=True)
    while "ready" not in daemon.stderr.readline():
        pass
    # What it says later is of no use here, but somebody has to read it.
    subprocess.Popen(["cat"], stdin=daemon.stderr, stdout=subprocess.DEVNULL)
    return daemon


def usage_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        memory = int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        user, system = (int(word) for word in file.read().rsplit(")", 1)[1].split()[11:13])
    return memory, (user + system) / os.sysconf("SC_CLK_TCK")


def milliseconds(values):
    values = sorted(1000 * value for value in values)
    return f"median {statistics.median(values):.1f} ms, 95 of 100 within {values[int(len(values) * 0.95)]:.1f} ms, longest {values[-1]:.1f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--s3", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lockstep-line-") as folder:
        measure(options, folder)


def measure(options, folder):
    lock, env, server = f"file://{folder}/lock", dict(os.environ), None
    if options.s3:
        sys.path.insert(0, os.path.join(HERE, "..", "tests"))
        os.environ.setdefault("LOCKSTEP_SOURCE", os.path.join(HERE, ".."))
        from fixture_s3 import Radosgw
        server = Radosgw(buckets=["locks"])
        lock = "s3://locks/line.lock"
        env.update(server.environment(server.port))
    port = free_port()
    make_database(f"{folder}/origin.db")
    daemon = start_daemon(folder, port, options.runs)
    runs = Runs()
    identity = ["--ca", f"{folder}/keys/ca.pem", "--cert", f"{folder}/keys/worker.pem", "--key", f"{folder}/keys/worker.key"]
    job = f"while [ ! -e {folder}/go ]; do sleep 0.05; done; echo $0 >> {folder}/order"
    try:
        for number in range(options.runs + 1):
            runs.start([LOCKSTEP, "run", *identity, "--instance", f"run{number}", "--lock", lock, "--lock-wait", "1h", f"tls://localhost:{port}/org",
                        f"{folder}/copy{number}.db", "--", "sh", "-c", job, str(number)], env)
            runs.wait_for(number, "starting the job" if number == 0 else "waiting, place")
        idle = usage_of(daemon.pid)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            runs.read(0.1)
        waited = usage_of(daemon.pid)
        with open(f"{folder}/go", "w", encoding="ascii"):
            began = time.monotonic()
        for number in range(options.runs + 1):
            runs.wait_for(number, "lock released")
        tell(options, runs, folder, time.monotonic() - began, idle, waited, usage_of(daemon.pid))
    finally:
        for process in runs.processes:
            process.kill()
            process.wait()
        daemon.terminate()
        daemon.wait()
        if server is not None:
            server.stop()


def tell(options, runs, folder, seconds, idle, waited, after):
    with open(f"{folder}/order", encoding="ascii") as file:
        order = [int(word) for word in file.read().split()]
    pairs = range(options.runs)
    told = [runs.times[i + 1, "it is our turn"] - runs.times[i, "lock released"] for i in pairs]
    held = [runs.times[i + 1, "lock acquired"] - runs.times[i, "lock released"] for i in pairs]
    looked = sum("held by" in line for lines in runs.text.values() for line in lines)
    print(f"{options.runs} runs waited, all got their turn{' in order' if order == sorted(order) else ', OUT OF ORDER'}, in {seconds:.1f} s")
    print(f"from released to told:     {milliseconds(told)}")
    print(f"from released to acquired: {milliseconds(held)}")
    print(f"looks at a lock that another held: {looked}")
    print(f"the daemon: {idle[0]} KiB resident with all in line, {(waited[1] - idle[1]) / 5:.3f} CPU s a second then, {after[1] - waited[1]:.2f} CPU s for all turns")
    if order != list(range(options.runs + 1)) or looked > 0:
        sys.exit(1)


if __name__ == "__main__":
    main()

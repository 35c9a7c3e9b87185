"""The rows about lockstep-origin serve: many pulls at once, idle connections, pushes in turn, round trips.

Each row starts a daemon of its own on a loopback port, with certificates of `lockstep-origin keygen`. What the daemon took is read from /proc:
processor seconds of all its threads, and the most memory that it held resident since the row began (VmHWM)."""

import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import struct
import subprocess
import tempfile
import time

import work
from measure import PATIENCE, Failed

TICKS = os.sysconf("SC_CLK_TCK")
NAME = "work.db"


class Daemon:
    """A lockstep-origin serve of the folder data, and what its clients need to be let in."""

    def __init__(self, bin_folder, folder, data, *words):
        self.bin = bin_folder
        self.keys = os.path.join(folder, "keys")
        if not os.path.exists(self.keys):
            check([bin_folder + "/lockstep-origin", "keygen", self.keys, "--host", "localhost", "--client", "worker"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [bin_folder + "/lockstep-origin", "serve", "-v", "--listen", "127.0.0.1:%d" % self.port,
             "--cert", self.key("origin.pem"), "--key", self.key("origin.key"), "--client-ca", self.key("ca.pem"),
             "--root", data, "--allow", "worker=pull,push:*", "--max-connections", "5000", "--max-per-client", "5000",
             # Hundreds of replicas on this one machine take their time to say who they are.
             "--handshake-timeout", "300s", *words], stderr=self.log, stdin=subprocess.DEVNULL)
        while b"ready" not in self.said():
            if self.process.poll() is not None:
                raise Failed("the daemon ended: %s" % self.said().decode())
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()

    def key(self, name):
        return os.path.join(self.keys, name)

    def said(self):
        return os.pread(self.log.fileno(), 1 << 24, 0)

    def url(self):
        return "tls://localhost:%d/%s" % (self.port, NAME)

    def client(self, command, *words):
        """The command line of a lockstep that is let in."""
        return [self.bin + "/lockstep", command, "--ca", self.key("ca.pem"), "--cert", self.key("worker.pem"),
                "--key", self.key("worker.key"), "--base", "none", "--connect-timeout", "300s", *words]

    def cpu_seconds(self):
        """User and system time of all threads so far."""
        with open("/proc/%d/stat" % self.process.pid, encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, what="VmRSS"):
        """Bytes resident now, or with VmHWM the most of them since forget_peak."""
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as file:
            return 1024 * int(re.search(what + r":\s+(\d+)", file.read()).group(1))

    def forget_peak(self):
        with open("/proc/%d/clear_refs" % self.process.pid, "w", encoding="ascii") as file:
            file.write("5")


def check(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode != 0:
        raise Failed("%s: exit status %d: %s" % (" ".join(command), done.returncode, done.stderr[-500:]))
    return done.stdout


def await_all(processes):
    for process in processes:
        text = process.communicate(timeout=PATIENCE)[1]
        if process.returncode != 0:
            raise Failed("exit status %d: %s" % (process.returncode, text.decode()[-500:]))


def change_one_row(path, value):
    connection = sqlite3.connect(path, timeout=60)
    connection.execute("UPDATE email_schedules SET updated_at = ? WHERE id = (SELECT min(id) FROM email_schedules)", (value,))
    connection.commit()
    connection.close()


class Rows:
    """All rows of one run."""

    def __init__(self, folder, bin_folder, options):
        self.folder = os.path.join(folder, "daemon")
        self.bin = bin_folder
        self.options = options
        self.works = work.Works(folder, bin_folder, options.daemon_scale, options.seed)
        self.rows = []

    def row(self, what, value, unit):
        self.rows.append((what, value, unit))
        print("%-70s %12.3f %s" % (what, value, unit), flush=True)

    def run(self):
        work.remove_folder(self.folder)
        os.makedirs(self.folder)
        self.pulls()
        self.idle()
        self.pushes()
        self.round_trips()
        work.remove_folder(self.folder)
        return self.rows

    # ---- pulls ----

    def changed(self):
        """A workload whose pages that differ are the wanted number, about. (name, differing, pages)"""
        count = self.options.daemon_pages
        for _ in range(12):
            name = "upd%d" % count
            differing, pages = self.works.differing(name)
            if abs(differing - self.options.daemon_pages) < self.options.daemon_pages / 20:
                break
            count = min(work.schedules(self.options.daemon_scale), count * self.options.daemon_pages // differing)
        return name, differing, pages

    def prepare(self):
        """The folder data with the database as it was, and replica, which pulled that."""
        data = os.path.join(self.folder, "data")
        replica = os.path.join(self.folder, "replica")
        for path in (data, replica):
            work.remove_folder(path)
            os.makedirs(path)
        work.copy(self.works.base(), os.path.join(data, NAME))
        with Daemon(self.bin, self.folder, data) as daemon:
            check(daemon.client("pull", daemon.url(), os.path.join(replica, NAME)))
        return data, replica

    def replicas(self, replica, count):
        folders = [os.path.join(self.folder, "replicas", str(i)) for i in range(count)]
        work.remove_folder(os.path.join(self.folder, "replicas"))
        os.makedirs(os.path.join(self.folder, "replicas"))
        for folder in folders:
            work.copy_folder(replica, folder)
        os.sync()
        return [os.path.join(folder, NAME) for folder in folders]

    def pull_at_once(self, daemon, replicas):
        """(wall seconds, the daemon's processor seconds, its peak)"""
        daemon.forget_peak()
        began, cpu = time.monotonic(), daemon.cpu_seconds()
        await_all([subprocess.Popen(daemon.client("pull", "-q", daemon.url(), path), stderr=subprocess.PIPE)
                   for path in replicas])
        return time.monotonic() - began, daemon.cpu_seconds() - cpu, daemon.memory("VmHWM")

    def pulls(self):
        """One replica, then many at once, pull the same change; each from a daemon that was just started, which has to scan."""
        name, differing, pages = self.changed()
        data, replica = self.prepare()
        canonical = os.path.join(data, NAME)
        # Another replica pushes the change, so the page-version log has the old pages.
        with Daemon(self.bin, self.folder, data) as daemon:
            pusher = self.replicas(replica, 1)[0]
            check([self.works.maker, "apply", pusher, name])
            check(daemon.client("push", pusher, daemon.url()))
        one = None
        for count in (1, self.options.daemon_replicas):
            copies = self.replicas(replica, count)
            with Daemon(self.bin, self.folder, data) as daemon:
                seconds, cpu, peak = self.pull_at_once(daemon, copies)
            for path in copies:
                if self.works.differ(path, canonical)[0] != 0:
                    raise Failed("%s is not what the origin has" % path)
            what = "%d pulling %d of %d pages: " % (count, differing, pages)
            self.row(what + "wall time", seconds, "s")
            self.row(what + "origin's processor time", cpu, "s")
            self.row(what + "origin's memory", peak / 1048576, "MiB")
            if one is not None:
                self.row(what + "origin's processor time, of one's", cpu / one, "times")
            one = cpu
        work.remove_folder(os.path.join(self.folder, "replicas"))

    # ---- idle connections ----

    def context(self, daemon):
        context = ssl.create_default_context(cafile=daemon.key("ca.pem"))
        context.load_cert_chain(daemon.key("worker.pem"), daemon.key("worker.key"))
        return context

    @staticmethod
    def open_message():
        """OPEN, as protocol/PROTOCOL.md has it: protocol 1, software, name, instance, token, flags, waited."""
        def text(value):
            return bytes([0xa0 | len(value)]) + value.encode()
        payload = b"\x98\x0f\x01" + text("bench") + text(NAME) + text("idle") + text("") + b"\0\0"
        return struct.pack(">I", len(payload)) + payload

    def idle(self):
        """Connections that have shown who they are, were greeted, and say nothing."""
        count = self.options.daemon_idle
        data, _ = self.prepare()
        with Daemon(self.bin, self.folder, data, "--idle-timeout", "600s") as daemon:
            context = self.context(daemon)
            sockets = []

            def connect():
                plain = socket.create_connection(("127.0.0.1", daemon.port), timeout=60)
                sockets.append(context.wrap_socket(plain, server_hostname="localhost"))
                sockets[-1].sendall(self.open_message())
                # The first byte of HELLO.
                if not sockets[-1].recv(1):
                    raise Failed("the daemon did not greet: %s" % daemon.said().decode()[-500:])

            # What all share, and what the allocator keeps, is there by then.
            for _ in range(count // 10):
                connect()
            before = daemon.memory()
            for _ in range(count):
                connect()
            self.row("%d idle connections: origin's memory for each" % count, (daemon.memory() - before) / count / 1024, "KiB")
            cpu, began = daemon.cpu_seconds(), time.monotonic()
            time.sleep(5)
            self.row("%d idle connections: origin's processor time, share of one" % len(sockets),
                     100 * (daemon.cpu_seconds() - cpu) / (time.monotonic() - began), "%")
            for sock in sockets:
                sock.close()

    # ---- pushes ----

    def pushes(self):
        """Replicas take turns: each pulls, changes a row, pushes. Then the same pushes by sqlite3_rsync over ssh."""
        data, replica = self.prepare()
        replicas = self.replicas(replica, 8)
        count = self.options.daemon_pushes
        with Daemon(self.bin, self.folder, data) as daemon:
            seconds = cpu = 0.0
            for i in range(count):
                path = replicas[i % len(replicas)]
                check(daemon.client("pull", "-q", daemon.url(), path))
                change_one_row(path, i)
                began, before = time.monotonic(), daemon.cpu_seconds()
                check(daemon.client("push", "-q", path, daemon.url()))
                seconds += time.monotonic() - began
                cpu += daemon.cpu_seconds() - before
        self.row("one-row pushes by 8 replicas in turn over TLS", count / seconds, "a second")
        self.row("one-row push: origin's processor time", 1000 * cpu / count, "ms")
        self.peer_pushes(os.path.join(data, NAME), replicas, count)

    def peer_pushes(self, canonical, replicas, count):
        program = shutil.which("sqlite3_rsync")
        if program is None or shutil.which("sshd", path="/usr/sbin:/usr/bin") is None:
            print("sqlite3_rsync or sshd: not there, its row is left out")
            return
        with Sshd(os.path.join(self.folder, "ssh")) as sshd:
            seconds = 0.0
            for i in range(count):
                path = replicas[i % len(replicas)]
                work.copy(canonical, path)
                change_one_row(path, 1000000 + i)
                began = time.monotonic()
                check([program, "-vv", "--ssh", sshd.script, "--exe", program, path, "localhost:" + canonical])
                seconds += time.monotonic() - began
        self.row("the same by sqlite3_rsync over ssh", count / seconds, "a second")

    # ---- round trips ----

    def round_trips(self):
        data, replica = self.prepare()
        path = self.replicas(replica, 1)[0]
        change_one_row(path, 4711)
        with Daemon(self.bin, self.folder, data) as daemon:
            told = json.loads(check(daemon.client("push", "--json", path, daemon.url())))
        self.row("one-row push: round trips after the handshake", told["round_trips"], "")


class Sshd:
    """An sshd on a loopback port, for root's or this user's key, and an ssh command that reaches it."""

    def __init__(self, folder):
        os.makedirs(folder, mode=0o700)
        self.script = os.path.join(folder, "ssh.sh")
        host, user = os.path.join(folder, "host"), os.path.join(folder, "user")
        for key in (host, user):
            check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        shutil.copy(user + ".pub", os.path.join(folder, "authorized"))
        with open(os.path.join(folder, "config"), "w", encoding="ascii") as file:
            file.write("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s/authorized\nStrictModes no\n"
                       "PidFile none\nUsePAM no\nPermitRootLogin yes\nMaxStartups 100\n" % (port, host, folder))
        with open(self.script, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexec ssh -F none -i %s -p %d -o BatchMode=yes -o StrictHostKeyChecking=no "
                       "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \"$@\"\n" % (user, port))
        os.chmod(self.script, 0o755)
        os.makedirs("/run/sshd", exist_ok=True)
        self.process = subprocess.Popen([shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-e", "-f",
                                         os.path.join(folder, "config")], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise Failed("sshd did not start") from None
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def add_options(parser):
    parser.add_argument("--daemon-scale", type=float, default=0.15,
                        help="section daemon: size of the database (default 0.15: 68 MB; each of the replicas has a copy)")
    parser.add_argument("--daemon-pages", type=int, default=10000, help="section daemon: pages that the pulls are about (default 10000)")
    parser.add_argument("--daemon-replicas", type=int, default=200, help="section daemon: pulls at once (default 200)")
    parser.add_argument("--daemon-idle", type=int, default=1000, help="section daemon: idle connections (default 1000)")
    parser.add_argument("--daemon-pushes", type=int, default=80, help="section daemon: pushes in turn (default 80)")


def write(folder, rows):
    """daemon.md, into folder."""
    with open(os.path.join(folder, "daemon.md"), "w", encoding="utf-8") as out:
        out.write("| what | | |\n|---|---:|---|\n")
        for what, value, unit in rows:
            out.write("| %s | %s | %s |\n" % (what, "%.0f" % value if value >= 1000 else "%.3g" % value, unit))

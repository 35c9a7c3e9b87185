"""A real sshd for tests: its own port, host keys, configuration and authorized_keys, all below one folder.

    with Sshd() as sshd:
        key = sshd.make_key("ed25519")          # a user key, allowed to log in
        sshd.allow(key, 'command="..."')        # allow it with options, instead
        sshd.known_hosts                        # a file that knows the host keys
        sshd.client_config                      # an ssh_config for the host "origin": address, port, user, files

It runs as the user that runs the tests, who is also the one that logs in. No password, no PAM.
"""
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time

import processes

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Sshd:
    def __init__(self, host_key_types=("ed25519", "ecdsa", "rsa"), options=()):
        """host_key_types: of ssh-keygen -t. options: lines for sshd_config, which win over the usual ones."""
        self.folder = tempfile.mkdtemp(prefix="lockstep-sshd-")
        self.user = getpass.getuser()
        self.host_key_types = host_key_types
        self.options = list(options)
        self.known_hosts = self.path("known_hosts")
        self.authorized_keys = self.path("authorized_keys")
        self.client_config = self.path("client_config")
        self.log = self.path("log")
        self.process = None
        self.port = 0
        self.key_count = 0
        open(self.authorized_keys, "w", encoding="utf-8").close()

    def path(self, name):
        return os.path.join(self.folder, name)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        if SSHD is None:
            raise RuntimeError("there is no sshd: install openssh-server")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd's privilege separation needs it
        for kind in self.host_key_types:
            self.make_host_key(kind)
        if self.port == 0:
            self.port = free_port()
        self.write_config()
        # A free port may have been taken meanwhile: then sshd ends, and another one is tried.
        for _ in range(5):
            self.process = subprocess.Popen([SSHD, "-D", "-f", self.path("sshd_config"), "-E", self.log],
                                            preexec_fn=processes.end_with_parent)
            if self.wait_until_ready():
                break
            self.port = free_port()
            self.write_config()
        else:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                raise RuntimeError("sshd did not start: " + file.read())
        self.write_known_hosts()
        self.write_client_config()

    def wait_until_ready(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    if connection.recv(4) == b"SSH-":
                        return True
            except OSError:
                time.sleep(0.02)
        return False

    def stop(self):
        """End sshd and every session of it."""
        if self.process is None:
            return
        self.end_sessions()
        self.process.kill()
        self.process.wait()
        self.process = None

    def end_sessions(self):
        """Cut all connections, as a crash would."""
        processes.kill_below(self.process.pid)

    def session_pids(self):
        """The processes below sshd, youngest last: one or two for each connection, and what they started."""
        return processes.below(self.process.pid) if self.process else []

    # ---- keys ----

    def host_key(self, kind):
        return self.path(f"host_{kind}")

    def make_host_key(self, kind):
        """A host key, if there is none of that kind yet. Delete the files to have it changed."""
        if not os.path.exists(self.host_key(kind)):
            keygen("-t", kind, "-f", self.host_key(kind))

    def make_key(self, kind="ed25519", passphrase="", allowed=True, extra=()):
        """A user's key; the path of the private one. extra: more arguments for ssh-keygen."""
        self.key_count += 1
        path = self.path(f"user_{self.key_count}_{kind}")
        keygen("-t", kind, "-f", path, "-N", passphrase, *extra)
        if allowed:
            self.allow(path)
        return path

    def allow(self, key, options=""):
        """Let the key log in. options: of authorized_keys(5), such as 'command="..."'."""
        with open(key + ".pub", encoding="utf-8") as file:
            public = file.read().strip()
        with open(self.authorized_keys, "a", encoding="utf-8") as file:
            file.write(f"{options} {public}\n" if options else public + "\n")

    def forget_keys(self):
        open(self.authorized_keys, "w", encoding="utf-8").close()

    def known_host_line(self, kind, name=None):
        """A line for known_hosts. name: instead of [127.0.0.1]:PORT."""
        with open(self.host_key(kind) + ".pub", encoding="utf-8") as file:
            public = " ".join(file.read().split()[:2])
        return f"{name or f'[127.0.0.1]:{self.port}'} {public}\n"

    # ---- files ----

    def write_config(self):
        lines = self.options + [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            *(f"HostKey {self.host_key(kind)}" for kind in self.host_key_types),
            f"PidFile {self.path('pid')}",
            f"AuthorizedKeysFile {self.authorized_keys}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "PrintMotd no",
            "UseDNS no",
            "MaxStartups 100",
            "LogLevel VERBOSE",
            "SetEnv SHLVL=1",  # bash then reads no ~/.bashrc: what a user has there is no part of a test
        ]
        with open(self.path("sshd_config"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def write_known_hosts(self):
        with open(self.known_hosts, "w", encoding="utf-8") as file:
            file.writelines(self.known_host_line(kind) for kind in self.host_key_types)

    def write_client_config(self):
        with open(self.client_config, "w", encoding="utf-8") as file:
            file.write(f"Host origin\n  HostName 127.0.0.1\n  Port {self.port}\n  User {self.user}\n"
                       f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile none\n"
                       "  IdentityAgent none\n")


def keygen(*args):
    """ssh-keygen, quick ones: a small RSA key, and few rounds for a passphrase."""
    extra = [] if "-N" in args else ["-N", ""]
    if "rsa" in args and "-b" not in args:
        extra += ["-b", "2048"]
    subprocess.run(["ssh-keygen", "-q", "-a", "4", "-C", "lockstep test", *extra, *args], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


reservations = []


def free_port():
    """A TCP port that nobody listens on. It is this process's until it ends: it holds the UDP port of that number, and tests that run
    beside it leave such a one alone. LOCKSTEP_TEST_PORTS=FIRST-LAST limits which; else the kernel chooses."""
    first, _, last = os.environ.get("LOCKSTEP_TEST_PORTS", "0-0").partition("-")
    candidates = range(int(first), int(last) + 1) if int(first) else [0] * 100
    for candidate in candidates:
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", candidate))
                reservation.bind(("127.0.0.1", listener.getsockname()[1]))
            except OSError:
                reservation.close()
                continue
            reservations.append(reservation)
            return listener.getsockname()[1]
    raise RuntimeError("no port is free")

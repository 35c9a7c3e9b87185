"""
Replicas as separate hosts: each in a network namespace of its own, with an Ethernet of its own to the origin's.

Everything is in a network and mount namespace of this test's, which vanish with it; it needs root, or a kernel that lets users have namespaces,
and fails where it has neither.
"""
import os
import subprocess
import sys
import time
import unittest

INSIDE = "LOCKSTEP_TEST_INSIDE"


def enter_namespaces():
    """Start again in namespaces of our own; where we are not root, as root of a user namespace."""
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        words[1:1] = ["--user", "--map-root-user"]
    probe = subprocess.run([*words, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        sys.exit(f"these tests need network namespaces ({' '.join(words)}), which this machine refuses: {probe.stderr}"
                 "run them as root, in a container with CAP_SYS_ADMIN")
    os.environ[INSIDE] = "1"
    os.execvp(words[0], [*words, *sys.orig_argv])


if INSIDE not in os.environ:
    enter_namespaces()

from daemon import LOCKSTEP, Case, change, integrity, make_database, text_of  # pylint: disable=wrong-import-position


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr}")


class Host:
    """A network namespace: its eth0 is 10.66.N.2 and fd66:N::2, and the other end here is 10.66.N.1 and fd66:N::1."""

    def __init__(self, case, number):
        self.case, self.name, self.here = case, f"replica{number}", f"to{number}"
        self.four, self.six = f"10.66.{number}.1", f"fd66:{number}::1"
        self.folder = os.path.join(case.folder, self.name)
        os.mkdir(self.folder)
        self.local = os.path.join(self.folder, "copy.db")
        ip("netns", "add", self.name)
        case.addCleanup(ip, "netns", "delete", self.name)
        ip("link", "add", self.here, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        # Not left to the namespace's end, which comes some time after it was deleted.
        case.addCleanup(ip, "link", "delete", self.here)
        ip("address", "add", f"{self.four}/24", "dev", self.here)
        ip("address", "add", f"{self.six}/64", "dev", self.here, "nodad")
        ip("link", "set", "dev", self.here, "up")
        ip("-n", self.name, "address", "add", f"10.66.{number}.2/24", "dev", "eth0")
        ip("-n", self.name, "address", "add", f"fd66:{number}::2/64", "dev", "eth0", "nodad")
        ip("-n", self.name, "link", "set", "dev", "eth0", "up")
        ip("-n", self.name, "link", "set", "dev", "lo", "up")
        self.write_hosts(self.six, self.four)

    def write_hosts(self, *addresses):
        """What /etc/hosts of the namespace says about origin.internal."""
        with open(os.path.join(self.folder, "hosts"), "w", encoding="ascii") as file:
            file.write("127.0.0.1 localhost\n" + "".join(f"{address} origin.internal\n" for address in addresses))

    def plug(self, is_in):
        """Put the cable in, or pull it out. Nobody is told: what was connected is half-open."""
        ip("link", "set", "dev", self.here, "up" if is_in else "down")
        if is_in:  # the kernel takes IPv6 addresses off a device that goes down
            ip("address", "replace", f"{self.six}/64", "dev", self.here, "nodad")

    def start(self, *words, who=None):
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return subprocess.Popen(["ip", "netns", "exec", self.name, "unshare", "--mount", "sh", "-c", script, os.path.join(self.folder, "hosts"), LOCKSTEP,
                                 words[0], *self.case.identity(who), "--instance", f"lab/{self.name}", *words[1:]],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder)

    def finish(self, process, status=0):
        stdout, stderr = process.communicate(timeout=60)
        self.case.assertEqual(process.returncode, status, stderr + stdout)
        return stderr

    def lockstep(self, *words, status=0, **kwargs):
        return self.finish(self.start(*words, **kwargs), status)


class Hosts(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ip("link", "set", "dev", "lo", "up")
        cls.cert, cls.key = cls.ca.sign("origin", "DNS:origin.internal,IP:fd66:1::1,IP:10.66.1.1", usage="serverAuth")

    def hosts(self, count):
        return [Host(self, number) for number in range(1, count + 1)]

    def far(self, name="a.db", host="origin.internal"):
        return self.url(name, host)

    def test_three_hosts_and_one_that_is_cut_off(self):
        """One loses its network in the middle of a push; the others are not held up by it, and it goes on when it is back."""
        hosts = self.hosts(3)
        daemon = self.start("--idle-timeout", "4s")
        for host in hosts:
            host.lockstep("pull", self.far(), host.local)
        self.assertEqual(daemon.log().count(" from [fd66:"), daemon.log().count(" from "))

        # More than the sockets hold, so that it is under way when the cable goes.
        cut = hosts[0]
        script = ("import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
                  "c.executemany('insert into t(text) values(?)', ((os.urandom(50000),) for _ in range(400))); c.commit()")
        subprocess.run([sys.executable, "-c", script, cut.local], check=True)
        ip("link", "set", "dev", cut.here, "txqueuelen", "1000")
        subprocess.run(["ip", "netns", "exec", cut.name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "16mbit", "burst", "32k",
                        "latency", "100ms"], check=True)
        push = cut.start("push", cut.local, self.far())
        daemon.wait_for(f"lab/{cut.name}, from", 2)
        time.sleep(2)
        self.assertIsNone(push.poll())
        cut.plug(False)
        # Its turn is over as soon as it was silent for the time-out; then it is another one's.
        change(hosts[1].local, "from the second")
        began = time.monotonic()
        hosts[1].lockstep("push", hosts[1].local, self.far())
        self.assertLess(time.monotonic() - began, 40)
        hosts[2].lockstep("pull", self.far(), hosts[2].local)
        self.assertEqual((text_of(self.origin), text_of(hosts[2].local)), ("from the second",) * 2)
        self.assertEqual(integrity(self.origin), "ok")
        self.assert_idle(daemon)
        push.kill()
        push.communicate()
        # Back again, it learns that the origin moved on, and can go on from there.
        cut.plug(True)
        self.assertIn("version", cut.lockstep("push", cut.local, self.far(), status=82))
        cut.lockstep("pull", "--discard", self.far(), cut.local)
        change(cut.local, "from the first")
        cut.lockstep("push", cut.local, self.far())
        self.assertEqual(text_of(self.origin), "from the first")
        self.assertEqual(daemon.stop(), 0)

    def test_addresses(self):
        """IPv6 first; IPv4 where IPv6 is not to be had, at once where that is refused, soon where it is silent."""
        host = self.hosts(1)[0]
        daemon = self.start()
        host.write_hosts(host.four, host.six)  # the order in the file is no matter
        host.lockstep("pull", self.far(), host.local)
        self.assertIn("from [fd66:1::2]:", daemon.log())
        for name in (f"[{host.six}]", host.four):
            host.lockstep("pull", self.far(host=name), host.local)
        self.assertRegex(daemon.log(), r"from 10\.66\.1\.2:\d+\) opens")
        self.assertEqual(daemon.stop(), 0)

        # Nobody listens at the IPv6 address.
        words = self.words()
        words[1] = f"{host.four}:{self.port}"
        daemon = self.start(words=words)
        host.lockstep("pull", self.far(), host.local)
        self.assertIn("from 10.66.1.2:", daemon.log())
        # Packets to it get lost.
        ip("-n", host.name, "-6", "route", "replace", "blackhole", f"{host.six}/128")
        host.lockstep("pull", self.far(), host.local)
        ip("-n", host.name, "-6", "route", "delete", "blackhole", f"{host.six}/128")
        ip("-n", host.name, "neighbour", "replace", host.six, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent")
        began = time.monotonic()
        host.lockstep("pull", "--connect-timeout", "2s", self.far(), host.local)
        self.assertTrue(1.5 < time.monotonic() - began < 20)
        self.assertEqual(daemon.log().count("from 10.66.1.2:"), 2 * 3)  # opens, and is gone
        self.assertEqual(daemon.stop(), 0)

    def test_the_origin_moves(self):
        """The name leads elsewhere from one connect to the next, as it does when a machine is replaced."""
        host, other = self.hosts(2)
        daemon = self.start()
        host.lockstep("pull", self.far(), host.local)
        host.write_hosts(other.four)  # no way there
        host.lockstep("pull", "--connect-timeout", "2s", self.far(), host.local, status=68)
        host.write_hosts(other.four, host.four)
        host.lockstep("pull", self.far(), host.local)
        self.assertIn("from 10.66.1.2:", daemon.log())
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()

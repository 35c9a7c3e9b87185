"""bench_link_proxy: what it carries, counts and delays. Times are only ever checked from below: a slow machine
makes a link slower, never faster."""

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import processes

PROXY = os.path.join(os.environ["LOCKSTEP_BIN"], "bench_link_proxy")


class Proxy(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.count_path = os.path.join(folder.name, "count.json")

    def counts(self):
        with open(self.count_path, encoding="utf-8") as file:
            return json.load(file)

    def start(self, *arguments, **streams):
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **streams}
        proxy = subprocess.Popen([PROXY, "--count", self.count_path, *arguments], **streams)
        self.addCleanup(self.stop, proxy)
        return proxy

    @staticmethod
    def stop(proxy):
        if proxy.poll() is None:
            proxy.kill()
            proxy.wait()
        for stream in (proxy.stdin, proxy.stdout, proxy.stderr):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


class BeforeACommand(Proxy):
    def run_through(self, data, *arguments):
        """(what came out, seconds, exit status)"""
        started = time.monotonic()
        proxy = self.start(*arguments)
        output, _ = proxy.communicate(data, timeout=100)
        return output, time.monotonic() - started, proxy.returncode

    def test_carries_every_byte_and_counts_them(self):
        data = os.urandom(300001)
        output, _, status = self.run_through(data, "--", "sh", "-c", "cat; printf 1234567")
        self.assertEqual(output, data + b"1234567")
        self.assertEqual(status, 0)
        self.assertEqual((self.counts()["near_sent"], self.counts()["far_sent"]), (300001, 300008))

    def test_rate(self):
        output, seconds, _ = self.run_through(bytes(100000), "--rate", "4mbit", "--", "cat")
        self.assertEqual(len(output), 100000)
        self.assertGreaterEqual(seconds, 0.2)
        self.assertGreaterEqual(self.counts()["seconds"], 0.2)

    def test_delay(self):
        _, seconds, _ = self.run_through(b"question", "--rtt", "300", "--", "cat")
        self.assertGreaterEqual(seconds, 0.3)

    def test_counts_the_round_trips_that_were_waited_for(self):
        proxy = self.start("--rtt", "50", "--", "cat")
        started = time.monotonic()
        for _ in range(4):
            proxy.stdin.write(b"question\n")
            proxy.stdin.flush()
            self.assertEqual(proxy.stdout.readline(), b"question\n")
        self.assertGreaterEqual(time.monotonic() - started, 0.2)
        proxy.stdin.close()
        self.assertEqual(proxy.wait(100), 0)
        self.assertEqual((self.counts()["legs"], self.counts()["round_trips"]), (8, 4))

    def test_one_way_is_one_leg(self):
        self.run_through(bytes(1000000), "--rtt", "20", "--", "sh", "-c", "cat >/dev/null")
        self.assertEqual((self.counts()["legs"], self.counts()["round_trips"]), (1, 1))

    def test_exit_status(self):
        self.assertEqual(self.run_through(b"", "--", "sh", "-c", "exit 7")[2], 7)
        self.assertEqual(self.run_through(b"", "--", "sh", "-c", "kill -TERM $$")[2], 128 + signal.SIGTERM)

    def test_what_the_command_said_before_it_ended_arrives(self):
        output, _, _ = self.run_through(b"", "--rtt", "300", "--", "echo", "last words")
        self.assertEqual(output, b"last words\n")

    def test_ends_with_the_command_though_stdin_stays_open(self):
        proxy = self.start("--rtt", "10", "--", "true")
        self.assertEqual(proxy.wait(100), 0)

    def test_command_ends_when_nobody_reads_it(self):
        proxy = self.start("--rtt", "10", "--", "yes")
        self.assertEqual(proxy.stdout.read(2), b"y\n")
        proxy.stdout.close()
        self.assertNotEqual(proxy.wait(100), 0)

    def test_holds_little_when_the_command_does_not_read(self):
        proxy = self.start("--rtt", "100", "--rate", "10mbit", "--", "sleep", "100", stderr=subprocess.DEVNULL)
        pipe = proxy.stdin.fileno()
        os.set_blocking(pipe, False)
        taken = 0
        while select.select([], [pipe], [], 0.5)[1]:
            taken += os.write(pipe, bytes(4096))
            self.assertLess(taken, 2000000, "far more than a line of 125,000 bytes, its slack and two pipes")
        self.addCleanup(processes.kill, processes.below(proxy.pid))
        proxy.send_signal(signal.SIGTERM)

    def test_refusals(self):
        for arguments, status in (
                (["--rate", "fast", "--", "cat"], 64), (["--rate", "-5mbit", "--", "cat"], 64),
                (["--rtt", "-1", "--", "cat"], 64), ([], 64), (["--listen", "0"], 64),
                (["--listen", "0", "--connect", "127.0.0.1:1", "cat"], 64),
                (["--listen", "0", "--connect", "nowhere"], 64), (["--", "/no/such/program"], 69)):
            with self.subTest(arguments=arguments):
                proxy = self.start(*arguments, stderr=subprocess.PIPE)
                _, complaint = proxy.communicate(b"", timeout=100)
                self.assertEqual(proxy.returncode, status)
                self.assertTrue(complaint)


class BetweenSockets(Proxy):
    def connect(self, *arguments):
        """A socket through a proxy to a server that answers what it got, when it got all of it."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        threading.Thread(target=self.answer, args=(server,), daemon=True).start()
        proxy = self.start(*arguments, "--listen", "0", "--connect", "127.0.0.1:%d" % server.getsockname()[1])
        port = int(proxy.stdout.readline().split()[1])
        client = socket.create_connection(("127.0.0.1", port), timeout=100)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def answer(server):
        client, _ = server.accept()
        with client, client.makefile("rb") as stream:
            client.sendall(stream.read()[::-1])

    @staticmethod
    def read_all(client):
        with client.makefile("rb") as stream:
            return stream.read()

    def test_both_directions_and_a_half_closed_socket(self):
        data = os.urandom(500000)
        started = time.monotonic()
        client = self.connect("--rtt", "100")
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.read_all(client), data[::-1])
        self.assertGreaterEqual(time.monotonic() - started, 0.1)
        client.close()
        deadline = time.monotonic() + 100
        while not os.path.exists(self.count_path) or not os.path.getsize(self.count_path):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        self.assertEqual((self.counts()["near_sent"], self.counts()["far_sent"]), (500000, 500000))
        self.assertEqual(self.counts()["legs"], 2)

    def test_nobody_there(self):
        closed = socket.create_server(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        closed.close()
        proxy = self.start("--listen", "0", "--connect", "127.0.0.1:%d" % port, stderr=subprocess.DEVNULL)
        listening = int(proxy.stdout.readline().split()[1])
        with socket.create_connection(("127.0.0.1", listening), timeout=100) as client:
            self.assertEqual(self.read_all(client), b"")
        self.assertIsNone(proxy.poll())

"""lockstep-origin serve, with those who may not, who stall, who lie, who vanish, and who are too many."""
import os
import re
import socket
import sqlite3
import ssl
import struct
import time
import unittest

from daemon import Case, change, make_database, readable, text_of

OPEN_A = bytes.fromhex("980f01") + b"\xa4test" + b"\xa4a.db" + b"\xa4me.1" + b"\xa0" + b"\0\0"


def frame(payload):
    return struct.pack(">I", len(payload)) + payload


class Strangers(Case):
    def connect(self, who=None, ca=None):
        """A TLS connection by Python's ssl, with a client certificate or none."""
        context = ssl.create_default_context(cafile=ca or self.ca.path)
        if who:
            context.load_cert_chain(*who)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        wrapped = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        self.addCleanup(wrapped.close)
        return wrapped

    def everything(self, sock):
        """All that comes until the other side ends; an alert or a reset counts as the end."""
        got = b""
        try:
            while True:
                more = sock.recv(65536)
                if not more:
                    return got
                got += more
        except (ssl.SSLError, ConnectionError):
            return got

    def token_words(self):
        path = os.path.join(self.folder, "tokens")
        with open(path, "w", encoding="ascii") as file:
            file.write("somebody " + "ab" * 32 + "\n")
        return [*self.words(), "--tokens", path]

    def test_nothing_is_told_to_who_is_not_known(self):
        expired = self.ca.sign("worker", days=-1)
        foreign = self.other_ca.sign("worker")
        for_servers = self.ca.sign("worker", usage="serverAuth")
        daemon = self.start()
        for who in (None, expired, foreign, for_servers):
            with self.subTest(who):
                sock = self.connect(who)
                try:
                    sock.sendall(frame(OPEN_A))
                except OSError:
                    pass
                self.assertEqual(self.everything(sock), b"")
        self.lockstep("pull", self.url(), self.local, who=expired, status=78, text="certificate expired")
        self.lockstep("pull", self.url(), self.local, who=foreign, status=78, text="refused our certificate")
        self.lockstep("pull", self.url(), self.local, identity=["--ca", self.ca.path], status=78, text="refused our certificate")
        self.assertNotIn("opens a.db", daemon.log())

    def test_with_tokens_a_certificate_is_not_needed_but_something_is(self):
        daemon = self.start(words=self.token_words())
        with_bad_token = OPEN_A[:-3] + b"\xa3bad\0\0"
        # No token, a wrong one, another message first, one that is none, a header of 4 GB, none of it all.
        for words in (frame(OPEN_A), frame(with_bad_token), frame(b"\x91\x0b"), frame(b"\xc1"), b"\xff\xff\xff\xff" + bytes(100),
                      struct.pack(">I", 8193) + bytes(100), b"GET / HTTP/1.0\r\n\r\n", frame(bytes([0x92, 2]))):
            with self.subTest(words[:12]):
                sock = self.connect()
                sock.sendall(words)
                self.assertEqual(self.everything(sock), b"")
        self.assertNotIn("opens a.db", daemon.log())
        sock = self.connect(self.worker)
        sock.sendall(frame(OPEN_A))
        self.assertIn(b"\x01", sock.recv(100))  # HELLO
        # Half a proof is none: the certificate is good, the token is not.
        sock = self.connect(self.worker)
        sock.sendall(frame(with_bad_token))
        self.assertEqual(self.everything(sock), b"")

    def test_who_is_known_is_told(self):
        self.start()
        sock = self.connect(self.worker)
        sock.sendall(frame(OPEN_A.replace(b"a.db", b"b.d/")))
        self.assertIn(b"NO_DATABASE", self.everything(sock))
        sock = self.connect(self.reader)
        sock.sendall(frame(OPEN_A.replace(b"a.db", b"b.db")))
        self.assertIn(b"NOT_ALLOWED", self.everything(sock))
        # Another version of the protocol, with the fields of ours, with fewer, with other ones.
        other = b"\x0f\x02" + OPEN_A[3:-2]
        for payload in (b"\x98" + other + b"\0\0", b"\x96" + other, b"\x97" + other + b"\xa3new"):
            sock = self.connect(self.worker)
            sock.sendall(frame(payload))
            self.assertIn(b"(test) speaks version 2 of the protocol, this origin speaks 1: upgrade the older one", self.everything(sock))

    def test_a_header_of_4_gb_behind_open(self):
        daemon = self.start()
        sock = self.connect(self.worker)
        sock.sendall(frame(OPEN_A) + b"\xff\xff\xff\xff")
        self.assertIn(b"PROTOCOL", self.everything(sock))
        self.assert_idle(daemon)
        self.lockstep("pull", self.url(), self.local)

    def test_a_stranger_is_not_listened_to_for_long(self):
        """A frame that only who is known may send is refused by its header, before more of it comes."""
        self.start("--handshake-timeout", "60s")
        sock = self.connect(self.worker)
        started = time.monotonic()
        sock.sendall(struct.pack(">I", 8193))
        self.assertEqual(self.everything(sock), b"")
        self.assertLess(time.monotonic() - started, 30)
        sock = self.connect(self.worker)
        sock.sendall(frame(OPEN_A))
        self.assertIn(b"\x01", sock.recv(100))  # HELLO
        sock.sendall(struct.pack(">I", 8193))
        sock.settimeout(1)
        with self.assertRaises(TimeoutError):
            while sock.recv(65536):
                pass

    def test_slowloris(self):
        daemon = self.start("--handshake-timeout", "2s", words=self.token_words())
        started = time.monotonic()
        plain = socket.create_connection(("127.0.0.1", self.port))   # says nothing
        slow = self.connect()                                       # a byte of OPEN now and then
        silent = self.connect()                                     # TLS, then nothing
        ended = set()
        data = frame(OPEN_A)
        while len(ended) < 3 and time.monotonic() - started < 30:
            try:
                slow.sendall(data[:1])
                data = data[1:] if len(data) > 2 else data
            except OSError:
                ended.add(slow)
            for sock in (plain, slow, silent):
                try:
                    if sock not in ended and readable(sock, 0.1) and sock.recv(1) == b"":
                        ended.add(sock)
                except OSError:
                    ended.add(sock)
        plain.close()
        self.assertEqual(len(ended), 3)
        # Which of the two clocks strikes first for the handshake is no matter.
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and len(re.findall("did not say in time who it is|no answer in time", daemon.log())) < 3:
            time.sleep(0.05)
        self.assertEqual(len(re.findall("did not say in time who it is|no answer in time", daemon.log())), 3)
        self.lockstep("status", self.url(), self.local)

    def test_half_open(self):
        # A client that says OPEN, and is then silent without an end: its session goes with the time-out.
        daemon = self.start("--idle-timeout", "1s")
        sock = self.connect(self.worker)
        sock.sendall(frame(OPEN_A))
        self.assertGreater(len(sock.recv(1000)), 50)
        self.assert_idle(daemon)
        self.assertIn(b"TIMEOUT", self.everything(sock))

    def root_of(self, hello):
        """The database's root, the second of the two fields of 32 bytes in HELLO."""
        return re.findall(rb"\xc4\x20(.{32})", hello, re.S)[1]

    def test_what_is_passed_over_does_not_undo_a_wake(self):
        """One makes the stream that another waits for; what that one says of its pages meanwhile is not needed. It must go on all the same."""
        self.origin = os.path.join(self.data, "d.db")
        make_database(self.origin, rows=2, mode="delete")
        daemon = self.start()
        open_d = frame(OPEN_A.replace(b"\xa4a.db", b"\xa4d.db"))

        def greeted():
            sock = self.connect(self.worker)
            sock.settimeout(30)
            sock.sendall(open_d)
            return sock, sock.recv(1000)

        self.lockstep("pull", self.url("d.db"), self.local)
        old_root = self.root_of(greeted()[1])
        # Each pull gives the content its number. From the first to the third, a stream was not made yet.
        for text in ("second", "third"):
            change(self.origin, text)
            self.lockstep("pull", self.url("d.db"), self.local)
        (first, hello), (second, _) = greeted(), greeted()
        self.assertNotEqual(self.root_of(hello), old_root)
        pull = frame(b"\x9b\x03\x00\xc4\x10" + bytes(16) + b"\xcd\x10\x00\x02\xc4\x20" + old_root + b"\x00\xc4\x10" + bytes(16) + b"\xa2me\x00\x00")
        blocker = sqlite3.connect(self.origin, isolation_level=None)
        blocker.execute("begin exclusive")
        for i, sock in enumerate((first, second)):
            sock.sendall(pull)
            daemon.wait_for("me pulls version 3", i + 1)
        time.sleep(0.5)
        second.sendall(frame(b"\x93\x05\x00\xc4\x10" + bytes(16)))  # CELLS
        time.sleep(0.5)
        blocker.execute("rollback")
        blocker.close()
        deadline = time.monotonic() + 30  # one that hangs is told WAIT again and again
        for sock in (first, second):
            got = b""
            while self.root_of(hello) not in got:  # END, which has the root
                more = sock.recv(65536)
                self.assertNotEqual(more, b"", got)
                self.assertLess(time.monotonic(), deadline)
                got += more
            self.assertIn(b"\x93\x08", got)  # PAGES before it
        for sock in (first, second):
            sock.close()
        self.assert_idle(daemon)

    def test_a_client_that_is_killed_frees_its_snapshot(self):
        daemon = self.start()
        sock = self.connect(self.worker)
        sock.sendall(frame(OPEN_A))
        self.assertGreater(len(sock.recv(1000)), 50)
        sock.close()
        self.assert_idle(daemon)

    def test_a_reader_that_does_not_read(self):
        # 64 MiB are asked for and not read: what waits for them is bounded, and the time-out ends it.
        connection = sqlite3.connect(os.path.join(self.data, "big.db"))
        connection.execute("create table t(x)")
        connection.executemany("insert into t values(?)", ((os.urandom(1 << 20),) for _ in range(64)))
        connection.commit()
        connection.close()
        daemon = self.start("--idle-timeout", "3s", "--compress-level", "0", env={"ASAN_OPTIONS": "quarantine_size_mb=1"})
        sock = self.connect(self.worker)
        sock.sendall(frame(OPEN_A.replace(b"\xa4a.db", b"\xa6big.db")))
        self.assertGreater(len(sock.recv(1000)), 50)
        before = self.memory(daemon)
        zeros = b"\xc4\x10" + bytes(16)
        sock.sendall(frame(b"\x9b\x03\x00" + zeros + b"\x00\x00\xc4\x20" + bytes(32) + b"\x00" + zeros + b"\xa2me\x00\x00"))
        time.sleep(2)
        self.assertLess(self.memory(daemon) - before, 24 << 20)
        self.assert_idle(daemon)
        self.assertIn("nothing came from the replica", daemon.log())

    def memory(self, daemon):
        with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    def test_the_cap_pauses_accept_and_goes_on(self):
        daemon = self.start("--max-connections", "3")
        held = [self.connect(self.worker) for _ in range(3)]
        daemon.wait_for("others wait")
        late = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        context = ssl.create_default_context(cafile=self.ca.path)
        context.load_cert_chain(*self.worker)
        late.settimeout(1)
        with self.assertRaises(TimeoutError):
            context.wrap_socket(late, server_hostname="localhost")
        held[0].close()
        self.lockstep("status", self.url(), self.local)
        for sock in held:
            sock.close()

    def test_the_cap_of_one_client(self):
        self.start("--max-per-client", "2")
        held = []
        for _ in range(2):
            held.append(self.connect(self.worker))
            held[-1].sendall(frame(OPEN_A))
            self.assertGreater(len(held[-1].recv(1000)), 50)
        sock = self.connect(self.worker)
        sock.sendall(frame(OPEN_A))
        self.assertIn(b"TRY_LATER", self.everything(sock))
        # Others are not kept out by it.
        self.lockstep("pull", self.url(), self.local, who=self.reader)
        held[0].close()
        self.lockstep("pull", self.url(), self.local)
        self.assertEqual(text_of(self.local), text_of(self.origin))


if __name__ == "__main__":
    unittest.main()

"""link_tls, through tls_probe on both sides, and with sockets that do what TLS does not allow."""
import concurrent.futures
import os
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from fixture_certificates import Authority, fingerprint, openssl

PROGRAM = os.path.join(os.environ["LOCKSTEP_BIN"], "tls_probe")
BIG = os.urandom(1 << 20) * 6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Result:
    """What one side said: opened, a list of (resumed, names); codes and texts of its links; the bytes that it got."""

    def __init__(self, status, stdout, stderr):
        text = stderr.decode("utf-8", "backslashreplace")
        self.status, self.stdout, self.stderr = status, stdout, text
        self.opened = re.findall(r"^open: (\d) (.*)$", text, re.M)
        self.closed = re.findall(r"^closed: (\w+): (.*)$", text, re.M)
        self.traffic = [(int(a), int(b)) for a, b in re.findall(r"^traffic: (\d+) (\d+)$", text, re.M)]
        self.code, self.text = self.closed[-1] if self.closed else (None, text)


class Server:
    """tls_probe serve. With `with`; result is there afterwards."""

    def __init__(self, *words, address=None):
        self.port = free_port()
        self.address = address or str(self.port)
        self.process = subprocess.Popen([PROGRAM, "serve", *words, self.address], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        if line != b"listening\n":
            raise RuntimeError(line + self.process.stderr.read())

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        try:
            stdout, stderr = self.process.communicate(timeout=None if kind is None else 0.1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            stdout, stderr = self.process.communicate()
        self.result = Result(self.process.returncode, stdout, stderr)


def client(*words, stdin=b"hello", host="localhost", port=0, timeout=60):
    done = subprocess.run([PROGRAM, "client", *words, host, str(port)], input=stdin, capture_output=True,
                          timeout=timeout, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.ca = Authority(cls.folder.name, "one")
        cls.other_ca = Authority(cls.folder.name, "two")
        cls.cert, cls.key = cls.ca.sign("origin", "DNS:localhost,IP:127.0.0.1")
        cls.mine, cls.my_key = cls.ca.sign("worker-1", "DNS:worker.example,URI:spiffe://x/w,email:w@x.example")
        cls.server_words = [f"cert={cls.cert}", f"key={cls.key}"]
        cls.trust = f"ca={cls.ca.path}"

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_copies_both_ways(self):
        with Server(*self.server_words) as server:
            result = client(self.trust, stdin=BIG, port=server.port)
        self.assertEqual((result.status, result.code), (0, "NONE"), result.stderr)
        self.assertEqual(result.stdout, BIG)
        self.assertEqual(result.traffic, [(len(BIG), len(BIG))])
        self.assertEqual(server.result.code, "NONE", server.result.stderr)
        self.assertEqual(server.result.traffic, [(len(BIG), len(BIG))])

    def test_one_thing_in_each_turn_of_the_loop(self):
        """As where a turn has no time left: clients at once get all that they get else, and those that break off go, too."""
        with Server(*self.server_words, "slow=1", "times=6", "timeout_ms=60000") as server:
            commands = [[PROGRAM, "client", self.trust, *words, "localhost", str(server.port)]
                        for words in ([], [], ["pause_ms=1"], ["pause_ms=1"])]
            clients = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                       for command in commands]
            for i in range(2):
                with socket.create_connection(("127.0.0.1", server.port)) as plain:
                    plain.sendall(b"\x16\x03\x01" if i == 0 else b"GET / HTTP/1.0\r\n\r\n")
            wanted = BIG[:1 << 20]
            with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
                outputs = list(pool.map(lambda process: process.communicate(wanted, timeout=60), clients))
        for process, (stdout, stderr) in zip(clients, outputs):
            self.assertEqual((process.returncode, stdout), (0, wanted), stderr)
        self.assertEqual(server.result.traffic.count((len(wanted), len(wanted))), 4, server.result.stderr)
        self.assertEqual(server.result.stderr.count("closed: NO_LINK"), 2, server.result.stderr)

    def test_an_address_is_verified_as_one(self):
        with Server(*self.server_words) as server:
            result = client(self.trust, host="127.0.0.1", port=server.port)
        self.assertEqual((result.code, result.stdout), ("NONE", b"hello"), result.stderr)

    def test_pause_holds_back_and_loses_nothing(self):
        for words in ([], ["pause_ms=1"]):
            with Server(*self.server_words, *words) as server:
                result = client(self.trust, "pause_ms=1", stdin=BIG[:3 << 20], port=server.port)
            self.assertEqual(result.stdout, BIG[:3 << 20], result.stderr)
            self.assertEqual(server.result.code, "NONE", server.result.stderr)

    def test_what_waits_is_bounded_where_the_other_side_does_not_read(self):
        # The server echoes and pauses its reading at LIMIT_LINK_QUEUE; its client sends and never reads.
        with Server(*self.server_words, "timeout_ms=60000") as server:
            context = ssl.create_default_context(cafile=self.ca.path)
            with socket.create_connection(("127.0.0.1", server.port)) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                    wrapped.settimeout(2)
                    sent = 0
                    with self.assertRaises(TimeoutError):
                        while sent < 256 << 20:
                            sent += wrapped.send(BIG[:65536])
        queued = int(re.search(r"^queued: (\d+)$", server.result.stderr, re.M)[1])
        self.assertGreater(queued, 1 << 20)
        self.assertLess(queued, (1 << 20) + 65536)

    def test_resumes(self):
        with Server(*self.server_words, "times=3", f"client_ca={self.ca.path}", "needed=1") as server:
            result = client(self.trust, f"cert={self.mine}", f"key={self.my_key}", "times=3", port=server.port)
        self.assertEqual([resumed for resumed, _ in result.opened], ["0", "1", "1"], result.stderr)
        names = "worker-1,worker.example,spiffe://x/w,w@x.example"
        self.assertEqual(server.result.opened, [("0", names), ("1", names), ("1", names)])

    def test_the_server_is_checked(self):
        expired = self.ca.sign("origin", "DNS:localhost", days=-1)
        not_yet = self.ca.sign("origin", "DNS:localhost", in_days=2)
        elsewhere = self.ca.sign("origin", "DNS:elsewhere.example")
        for_clients = self.ca.sign("origin", "DNS:localhost", usage="clientAuth")
        rows = [
            (expired, [self.trust], "expired at"),
            (not_yet, [self.trust], "is valid only from"),
            (elsewhere, [self.trust], "is for origin, elsewhere.example, not for localhost"),
            (for_clients, [self.trust], "purpose"),
            ((self.cert, self.key), [f"ca={self.other_ca.path}"], "give the file of the CA"),
            ((self.cert, self.key), [], "--pin " + fingerprint(self.cert).replace(":", "").lower()),
            ((self.cert, self.key), ["pin=" + fingerprint(self.mine)], "is not the one that --pin names"),
            (elsewhere, [self.trust, "pin=" + fingerprint(elsewhere[0])], "not for localhost"),
        ]
        for (cert, key), words, text in rows:
            with self.subTest(text), Server(f"cert={cert}", f"key={key}") as server:
                result = client(*words, port=server.port)
                self.assertEqual((result.status, result.code), (78, "AUTH"), result.stderr)
                self.assertIn(text, result.text)
                self.assertEqual(result.opened, [])
            self.assertEqual(server.result.traffic, [(0, 0)])

    def test_pins(self):
        elsewhere = self.other_ca.sign("origin", "DNS:elsewhere.example", days=-1)
        key_pin = openssl("pkey", "-pubin", "-outform", "DER", "-in", "/dev/stdin", "-out", self.folder.name + "/spki",
                          input=openssl("x509", "-noout", "-pubkey", "-in", elsewhere[0]))
        key_pin = openssl("dgst", "-sha256", "-r", self.folder.name + "/spki").split()[0]
        for pin in (fingerprint(elsewhere[0]), "sha256:" + key_pin):
            with Server(f"cert={elsewhere[0]}", f"key={elsewhere[1]}", "times=2") as server:
                result = client("pin=" + pin, "times=2", port=server.port)
            self.assertEqual((result.code, result.stdout), ("NONE", b"hello" * 2), result.stderr)
            self.assertEqual([resumed for resumed, _ in result.opened], ["0", "1"])
        result = client("pin=abc", port=1)
        self.assertEqual((result.status, result.code), (64, "USAGE"))

    def test_the_client_is_checked(self):
        expired = self.ca.sign("worker-1", days=-1)
        not_yet = self.ca.sign("worker-1", in_days=2)
        foreign = self.other_ca.sign("worker-1")
        for_servers = self.ca.sign("worker-1", usage="serverAuth")
        rows = [(None, "showed no certificate"), (expired, "expired at"), (not_yet, "is valid only from"), (foreign, "unable to get local issuer"),
                (for_servers, "purpose")]
        for mine, text in rows:
            with self.subTest(text):
                words = [f"cert={mine[0]}", f"key={mine[1]}"] if mine else []
                with Server(*self.server_words, f"client_ca={self.ca.path}", "needed=1") as server:
                    # More than sockets buffer: the alert must be read although what was sent never is.
                    result = client(self.trust, *words, stdin=BIG, port=server.port)
                self.assertEqual((result.status, result.code), (78, "AUTH"), result.stderr)
                self.assertIn("refused our certificate", result.text)
                self.assertEqual(server.result.code, "AUTH")
                self.assertIn(text, server.result.text)
                self.assertEqual(server.result.opened, [])
                self.assertEqual(server.result.traffic, [(0, 0)])

    def test_a_certificate_that_is_not_needed(self):
        with Server(*self.server_words, f"client_ca={self.ca.path}") as server:
            result = client(self.trust, port=server.port)
        self.assertEqual(result.code, "NONE", result.stderr)
        self.assertEqual(server.result.opened, [("0", "")])

    def test_a_server_that_ends_without_a_word(self):
        def serve():
            peer, _ = listener.accept()
            with context.wrap_socket(peer, server_side=True) as wrapped:
                wrapped.recv(100)
                wrapped.unwrap()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve)
            thread.start()
            result = client(self.trust, port=listener.getsockname()[1])
            thread.join()
        self.assertEqual((result.status, result.code), (78, "AUTH"), result.stderr)
        self.assertIn("without a word", result.text)

    def test_older_tls_is_refused(self):
        context = ssl.create_default_context(cafile=self.ca.path)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with Server(*self.server_words) as server, socket.create_connection(("127.0.0.1", server.port)) as plain:
            with self.assertRaisesRegex(ssl.SSLError, "protocol version"):
                context.wrap_socket(plain, server_hostname="localhost")
        self.assertEqual(server.result.code, "NO_LINK")

    def test_what_is_no_tls(self):
        for words in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\xff\xff\xff\xff" * 4096):
            with Server(*self.server_words) as server:
                with socket.create_connection(("127.0.0.1", server.port)) as plain:
                    plain.sendall(words)
                    plain.settimeout(10)
                    answer = b"".join(iter(lambda: plain.recv(1000), b""))
            self.assertIn((len(answer), answer[:1]), ((0, b""), (7, b"\x15")))  # nothing but an alert
            self.assertEqual(server.result.code, "NO_LINK")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=lambda: listener.accept()[0].sendall(b"SSH-2.0-OpenSSH_9.2\r\n")).start()
            result = client(self.trust, port=listener.getsockname()[1])
        self.assertEqual((result.status, result.code), (68, "NO_LINK"), result.stderr)
        self.assertIn("is it a lockstep-origin", result.text)

    def test_a_handshake_that_stalls(self):
        started = time.monotonic()
        with Server(*self.server_words, "timeout_ms=700") as server:
            with socket.create_connection(("127.0.0.1", server.port)) as plain:
                plain.settimeout(20)
                with self.assertRaises((ConnectionError, TimeoutError)):
                    for byte in b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc\x03\x03" + bytes(90):
                        plain.sendall(bytes([byte]))  # one byte now and then does not put it off
                        time.sleep(0.1)
        self.assertLess(time.monotonic() - started, 15)
        self.assertEqual(server.result.code, "TIMEOUT")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            result = client(self.trust, "timeout_ms=500", port=listener.getsockname()[1])
        self.assertEqual((result.status, result.code), (75, "TIMEOUT"), result.stderr)

    def test_cut_off(self):
        # Without close_notify the end is no orderly one: somebody else can make it.
        context = ssl.create_default_context(cafile=self.ca.path)
        with Server(*self.server_words) as server, socket.create_connection(("127.0.0.1", server.port)) as plain:
            wrapped = context.wrap_socket(plain, server_hostname="localhost")
            wrapped.sendall(b"x")
            self.assertEqual(wrapped.recv(10), b"x")
            wrapped.close()
        self.assertEqual(server.result.code, "NO_LINK")
        self.assertIn("broke off", server.result.text)

    def test_nobody_listens(self):
        result = client(self.trust, port=free_port())
        self.assertEqual((result.status, result.code), (68, "NO_LINK"), result.stderr)
        self.assertIn("refused", result.text)
        result = client(self.trust, host="nobody.invalid", port=7433)
        self.assertEqual(result.code, "NO_LINK", result.stderr)
        self.assertIn("check the name in tls://", result.text)

    def test_files_that_are_of_no_use(self):
        nothing = os.path.join(self.folder.name, "nothing.pem")
        with open(nothing, "w", encoding="ascii") as file:
            file.write("nothing\n")
        rows = [([f"ca={nothing}"], "USAGE", "certificate of a CA"), (["ca=/nonexistent"], "IO", "/nonexistent"),
                ([f"cert={self.mine}", f"key={self.key}"], "USAGE", "that fits the certificate"),
                ([f"key={self.key}"], "USAGE", "without --cert"), ([f"cert={nothing}"], "USAGE", "no usable PEM")]
        for words, code, text in rows:
            result = client(*words, port=1)
            self.assertEqual(result.code, code, result.stderr)
            self.assertIn(text, result.text)

    def test_unix_socket(self):
        path = os.path.join(self.folder.name, "socket")
        context = ssl.create_default_context(cafile=self.ca.path)
        with Server(*self.server_words, address=path) as server:
            with socket.socket(socket.AF_UNIX) as plain:
                plain.connect(path)
                with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                    wrapped.sendall(b"x")
                    self.assertEqual(wrapped.recv(10), b"x")
                    wrapped.unwrap()
        self.assertEqual(server.result.code, "NONE", server.result.stderr)


if __name__ == "__main__":
    unittest.main()

"""lockstep-origin serve, with those who may: pulls, pushes and runs over tls://, queues, reloads, the end."""
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import unittest

from daemon import LOCKSTEP, ORIGIN, Case, change, integrity, make_database, text_of


class Sync(Case):
    def test_pull_push_verify_status(self):
        daemon = self.start()
        self.lockstep("pull", self.url(), self.local)
        self.assertEqual(text_of(self.local), text_of(self.origin))
        change(self.local, "from afar")
        self.lockstep("push", self.local, self.url())
        self.assertEqual(text_of(self.origin), "from afar")
        self.lockstep("verify", self.url(), self.local)
        self.assertIn("in sync", self.lockstep("status", self.url(), self.local).stdout)
        self.assertEqual(integrity(self.origin), "ok")
        self.assert_idle(daemon)
        self.assertEqual(daemon.stop(), 0)

    def test_run(self):
        daemon = self.start()
        lock = f"file://{self.folder}/lock"
        job = ["--", "python3", "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
               "c.execute(\"update t set text = 'by the job' where id = 1\"); c.commit()", self.local]
        self.lockstep("run", "--lock", lock, self.url(), self.local, *job)
        self.assertEqual(text_of(self.origin), "by the job")
        self.assertEqual(daemon.stop(), 0)
        self.assertGreaterEqual(daemon.last_log.count("opens a.db"), 2)

    def test_new_database_by_push(self):
        self.start()
        make_database(self.local)
        self.lockstep("push", self.local, self.url("new.db"))
        self.assertEqual(text_of(os.path.join(self.data, "new.db")), text_of(self.local))

    def test_many_at_once(self):
        make_database(os.path.join(self.data, "big.db"), rows=20000)
        daemon = self.start()
        names = [os.path.join(self.folder, f"copy{i}.db") for i in range(12)]
        processes = [subprocess.Popen([LOCKSTEP, "pull", *self.identity(), self.url("big.db"), name], stderr=subprocess.PIPE)
                     for name in names]
        for process in processes:
            stderr = process.communicate(timeout=120)[1]
            self.assertEqual(process.returncode, 0, stderr)
        self.assertEqual({text_of(name, 20000) for name in names}, {text_of(os.path.join(self.data, "big.db"), 20000)})
        self.assert_idle(daemon)

    def test_many_clients_come_in_one_moment(self):
        """All their first messages are there before the daemon looks: it shakes hands with all, a few at a time."""
        daemon = self.start()
        context = ssl.create_default_context(cafile=self.ca.path)
        context.load_cert_chain(*self.worker)
        guests = []
        daemon.process.send_signal(signal.SIGSTOP)
        for _ in range(40):
            plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with self.assertRaises(ssl.SSLWantReadError):
                tls.do_handshake()
            plain.sendall(outgoing.read())
            guests.append((plain, tls, incoming, outgoing))
            self.addCleanup(plain.close)
        daemon.process.send_signal(signal.SIGCONT)
        for plain, tls, incoming, outgoing in guests:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(plain.recv(65536))
            plain.sendall(outgoing.read())
        # They are in: the daemon still answers others, too.
        self.lockstep("pull", self.url(), self.local)
        # They go in one moment, and as many come who say nothing.
        daemon.process.send_signal(signal.SIGSTOP)
        for plain, *_ in guests:
            plain.close()
        silent = [socket.create_connection(("127.0.0.1", self.port), timeout=60) for _ in guests]
        daemon.process.send_signal(signal.SIGCONT)
        self.lockstep("pull", self.url(), self.local)
        for plain in silent:
            plain.close()
        self.assert_idle(daemon)

    def test_a_scan_is_shared_until_something_changes(self):
        make_database(os.path.join(self.data, "big.db"), rows=20000)
        daemon = self.start()
        scanned = f"scanned {self.data}/big.db"
        names = [os.path.join(self.folder, f"copy{i}.db") for i in range(6)]
        processes = [subprocess.Popen([LOCKSTEP, "pull", *self.identity(), self.url("big.db"), name], stderr=subprocess.PIPE)
                     for name in names]
        for process in processes:
            stderr = process.communicate(timeout=120)[1]
            self.assertEqual(process.returncode, 0, stderr)
        self.assertEqual(daemon.log().count(scanned), 1)
        # What a replica pushes is known: neither its push nor the pulls after it cost a scan.
        change(names[0], "pushed")
        self.lockstep("push", names[0], self.url("big.db"))
        self.lockstep("pull", self.url("big.db"), names[1])
        self.assertEqual(text_of(names[1]), "pushed")
        self.assertEqual(daemon.log().count(scanned), 1)
        # Another program's commit costs one.
        change(os.path.join(self.data, "big.db"), "by another program")
        for name in names[:3]:
            self.lockstep("pull", self.url("big.db"), name)
            self.assertEqual(text_of(name), "by another program")
        self.assertEqual(daemon.log().count(scanned), 2)
        self.assert_idle(daemon)

    def pull_at_once(self, names, *words):
        processes = [subprocess.Popen([LOCKSTEP, "pull", *words, *self.identity(), self.url("big.db"), name], stderr=subprocess.PIPE)
                     for name in names]
        for process in processes:
            stderr = process.communicate(timeout=120)[1]
            self.assertEqual(process.returncode, 0, stderr)
        for name in names:
            self.lockstep("verify", self.url("big.db"), name)

    def test_streams_are_shared(self):
        """Replicas with the same old content pull the same change at once: where the origin remembers what they have, where it was
        restarted since, where streams may not wait on disk, and without WAL."""
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                big = os.path.join(self.data, "big.db")
                names = [os.path.join(self.folder, f"{mode}{i}.db") for i in range(5)]
                make_database(big, rows=20000, mode=mode)
                daemon = self.start()
                self.pull_at_once(names)

                def change_many(value):
                    connection = sqlite3.connect(big, timeout=20)
                    connection.execute("update t set text = text || ? where id % 10 = 0", (value,))
                    connection.commit()
                    connection.close()

                change_many("remembered")
                self.pull_at_once(names)
                daemon.stop()
                change_many("forgotten")
                daemon = self.start()
                self.pull_at_once(names)
                daemon.stop()
                change_many("alone")
                daemon = self.start("--max-spool", "0")
                self.pull_at_once(names)
                self.assert_idle(daemon)
                daemon.stop()
                for path in (big, big + "-wal", big + "-shm", big + "-lockstep", big + "-lockstep-history"):
                    if os.path.exists(path):
                        os.remove(path)

    def test_changes_between_greeting_and_request(self):
        """The daemon holds nothing while a replica makes up its mind; what it was told may have moved by then."""
        self.start()
        self.lockstep("pull", self.url(), self.local)
        stop = threading.Event()

        def write():
            count = 0
            while not stop.is_set():
                count += 1
                change(self.origin, f"write {count}", row=7)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(15):
                self.lockstep("pull", self.url(), self.local)
                self.assertEqual(integrity(self.local), "ok")
        finally:
            stop.set()
            writer.join()
        self.lockstep("pull", self.url(), self.local)
        self.assertEqual(text_of(self.local, 7), text_of(self.origin, 7))

    def test_named_databases_and_addresses(self):
        path = os.path.join(self.folder, "else.sqlite")
        shutil.copy(self.origin, path)
        words = ["--listen", f"127.0.0.1:{self.port}", "--listen", f"[::1]:{self.port}", "--listen", f"unix:{self.folder}/sock",
                 "--cert", self.cert, "--key", self.key, "--client-ca", self.ca.path, "--db", f"org/main={path}",
                 "--allow", "worker=pull:org/main"]
        daemon = self.start(words=words)
        for host in ("127.0.0.1", "[::1]", "localhost"):
            self.lockstep("pull", self.url("org/main", host), self.local)
        self.assertIn("from [::1]:", daemon.log())
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{self.folder}/sock")
        self.lockstep("pull", self.url("org/other"), self.local, status=77, text="may neither pull nor push")
        # Killed, it leaves its socket's file; the next one takes its place.
        daemon.stop(signal.SIGKILL)
        self.assertEqual(self.start(words=words).stop(), 0)

    def test_rights(self):
        self.start()
        self.lockstep("pull", self.url(), self.local, who=self.reader)
        change(self.local)
        self.lockstep("push", self.local, self.url(), who=self.reader, status=77)
        self.lockstep("pull", self.url("b.db"), self.local, who=self.reader, status=77, text="reader may neither pull nor push b.db")
        self.lockstep("pull", self.url("../a.db"), self.local, status=66)
        self.lockstep("pull", self.url("a.db-wal"), self.local, status=66)
        self.assertNotEqual(text_of(self.origin), "changed")

    def test_token(self):
        lines = subprocess.run([ORIGIN, "token", "batch"], capture_output=True, text=True, check=True).stdout.splitlines()
        token, entry = lines[1], lines[3]
        paths = {name: os.path.join(self.folder, name) for name in ("tokens", "good", "bad")}
        for name, text in (("tokens", entry), ("good", token), ("bad", token[:-1] + ("0" if token[-1] != "0" else "1"))):
            with open(paths[name], "w", encoding="ascii") as file:
                file.write(text + "\n")
        self.assertNotIn(token, entry)
        words = ["--listen", f"[::]:{self.port}", "--cert", self.cert, "--key", self.key, "--root", self.data,
                 "--tokens", paths["tokens"], "--allow", "batch=pull,push:a.db"]
        daemon = self.start(words=words)
        ca = ["--ca", self.ca.path]
        self.lockstep("pull", self.url(), self.local, identity=[*ca, "--token-file", paths["good"]])
        self.lockstep("status", self.url(), self.local, identity=ca, env={"LOCKSTEP_TOKEN_FILE": paths["good"]})
        for identity in ([*ca, "--token-file", paths["bad"]], ca):
            done = self.lockstep("pull", self.url(), self.local, identity=identity, status=78, text="does not know who this is")
            self.assertNotIn(token, done.stderr)
        self.assertIn("the token is not known", daemon.log())
        self.assertNotIn(token, daemon.log())
        self.assertEqual(daemon.stop(), 0)
        # A token is sent to nobody but the server that was meant.
        with self.assertRaises(AssertionError):
            self.lockstep("pull", self.url(), self.local, identity=["--token-file", paths["good"]], timeout=30)

    def test_the_server_must_be_the_right_one(self):
        self.start()
        self.lockstep("pull", self.url(), self.local, identity=self.identity()[2:], status=78, text="give the file of the CA")
        self.lockstep("pull", self.url(), self.local, identity=["--ca", self.other_ca.path, *self.identity()[2:]], status=78)
        self.assertFalse(os.path.exists(self.local))

    def test_keygen(self):
        folder = os.path.join(self.folder, "keys")
        subprocess.run([ORIGIN, "keygen", folder, "--client", "c-1", "--client", "c-2"], check=True, stdout=subprocess.DEVNULL)
        before = {name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in os.listdir(folder)}
        self.assertEqual(set(before), {f"{name}.{kind}" for name in ("ca", "origin", "c-1", "c-2") for kind in ("pem", "key")})
        for name in before:
            mode = os.stat(os.path.join(folder, name)).st_mode & 0o777
            self.assertEqual(mode & 0o077 if name.endswith(".key") else 0, 0, name)
        # Once more: nothing is overwritten, what is new is added.
        subprocess.run([ORIGIN, "keygen", folder, "--client", "c-3"], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual({name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in before}, before)
        path = lambda name: os.path.join(folder, name)
        self.start(words=["--listen", f"[::]:{self.port}", "--cert", path("origin.pem"), "--key", path("origin.key"),
                          "--client-ca", path("ca.pem"), "--root", self.data, "--allow", "c-3=pull:*"])
        for host in ("localhost", "127.0.0.1", "[::1]"):
            self.lockstep("pull", self.url(host=host), self.local,
                          identity=["--ca", path("ca.pem"), "--cert", path("c-3.pem"), "--key", path("c-3.key")])
        done = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", path("ca.pem"), path("origin.pem"), path("c-3.pem")],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_command_lines_that_are_wrong(self):
        good = self.words()
        rows = [(good[2:], "where to listen"), (good[:2] + good[6:], "--cert FILE is missing"),
                (good[:6] + good[8:], "show who they are"), (good[:8] + good[10:], "which databases"),
                (good[:10], "nobody may do anything"), (good + ["--allow", "x"], "WHO=pull|push:NAME"),
                (good + ["--listen", "nowhere"], "none of ADDRESS:PORT"), (good + ["extra"], "options only"),
                (good + ["--db", "x"], "NAME=PATH"), (good + ["--key", self.worker[1]], "fits the certificate")]
        for words, text in rows:
            with self.subTest(text):
                done = subprocess.run([ORIGIN, "serve", *words], capture_output=True, text=True, timeout=30, check=False)
                self.assertEqual(done.returncode, 64, done.stderr)
                self.assertIn(text, done.stderr)


class Turns(Case):
    def test_pushes_wait_for_each_other_in_order(self):
        make_database(os.path.join(self.data, "q.db"), rows=2000)
        daemon = self.start()
        copies = [os.path.join(self.folder, f"copy{i}.db") for i in range(4)]
        for copy in copies:
            self.lockstep("pull", self.url("q.db"), copy)
        # Each changes the same base; the first push holds its turn while another program holds the database.
        for i, copy in enumerate(copies):
            change(copy, f"by {i}")
        blocker = sqlite3.connect(os.path.join(self.data, "q.db"), isolation_level=None)
        blocker.execute("begin immediate")
        pushes = []
        for i, copy in enumerate(copies):
            pushes.append(subprocess.Popen([LOCKSTEP, "push", "-v", *self.identity(), copy, self.url("q.db")],
                                           stderr=subprocess.PIPE, text=True))
            daemon.wait_for("opens q.db", len(copies) + i + 1)
            time.sleep(1)
        blocker.execute("rollback")
        blocker.close()
        results = [(push.communicate(timeout=120)[1], push.returncode) for push in pushes]
        self.assertEqual([status for _, status in results], [0, 82, 82, 82], results)
        self.assertEqual(text_of(os.path.join(self.data, "q.db")), "by 0")
        self.assertNotIn("in the queue", results[0][0])
        for i, (stderr, _) in enumerate(results[1:], 1):
            self.assertIn(f"place {i} in the queue", stderr)
        self.assert_idle(daemon)

    def test_one_that_waits_and_goes_is_passed_over(self):
        daemon = self.start()
        copies = [os.path.join(self.folder, f"copy{i}.db") for i in range(3)]
        for i, copy in enumerate(copies):
            self.lockstep("pull", self.url(), copy)
            change(copy, f"by {i}")
        blocker = sqlite3.connect(self.origin, isolation_level=None)
        blocker.execute("begin immediate")
        pushes = []
        for i, copy in enumerate(copies):
            pushes.append(subprocess.Popen([LOCKSTEP, "push", "-v", *self.identity(), copy, self.url()],
                                           stderr=subprocess.PIPE, text=True))
            daemon.wait_for("opens a.db", 3 + i + 1)
            time.sleep(1)
        pushes[1].kill()
        pushes[1].communicate()
        daemon.wait_for("broke off")
        time.sleep(1)
        blocker.execute("rollback")
        blocker.close()
        self.assertIn("place 1 in the queue", pushes[2].communicate(timeout=60)[1])
        self.assertEqual(pushes[2].returncode, 82)
        pushes[0].communicate(timeout=60)
        self.assertEqual(pushes[0].returncode, 0)
        self.assert_idle(daemon)


class Reload(Case):
    def test_certificate_and_lists(self):
        allow = os.path.join(self.folder, "allow")
        cert, key = (os.path.join(self.folder, name) for name in ("cert.pem", "key.pem"))

        def write(rules, identity):
            with open(allow, "w", encoding="ascii") as file:
                file.write(rules)
            shutil.copy(identity[0], cert)
            shutil.copy(identity[1], key)

        write("# who\nreader=pull:a.db\n", (self.cert, self.key))
        daemon = self.start(words=["--listen", f"[::]:{self.port}", "--cert", cert, "--key", key, "--client-ca", self.ca.path,
                                   "--root", self.data, "--allow-file", allow])
        self.lockstep("pull", self.url(), self.local, who=self.reader)
        self.lockstep("pull", self.url(), self.local, who=self.worker, status=77)

        write("worker=pull:a.db\n", self.other_ca.sign("origin", "DNS:localhost"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("were read again")
        self.lockstep("pull", self.url(), self.local, who=self.worker, status=78)
        trust = ["--ca", self.other_ca.path]
        self.lockstep("pull", self.url(), self.local, identity=[*trust, *self.identity()[2:]])
        self.lockstep("pull", self.url(), self.local, identity=[*trust, *self.identity(self.reader)[2:]], status=77)

        # What cannot be read changes nothing.
        write("worker=pull:a.db\nnonsense\n", (self.cert, self.key))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("allow, line 2")
        self.lockstep("pull", self.url(), self.local, identity=[*trust, *self.identity()[2:]])
        self.assertEqual(daemon.stop(), 0)

    def test_under_load(self):
        daemon = self.start()
        failures = []
        done = threading.Event()

        def pull(number):
            local = os.path.join(self.folder, f"load{number}.db")
            while not done.is_set():
                result = subprocess.run([LOCKSTEP, "pull", *self.identity(), self.url(), local], capture_output=True, text=True,
                                        timeout=60, check=False)
                if result.returncode != 0:
                    failures.append(result.stderr)

        threads = [threading.Thread(target=pull, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for count in range(8):
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("were read again", count + 1)
            time.sleep(0.2)
        done.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(daemon.stop(), 0)


class Stop(Case):
    def test_the_commit_at_hand_is_finished(self):
        make_database(os.path.join(self.data, "q.db"), rows=200)
        daemon = self.start()
        self.lockstep("pull", self.url("q.db"), self.local)
        change(self.local, "after the restart")
        blocker = sqlite3.connect(os.path.join(self.data, "q.db"), isolation_level=None)
        blocker.execute("begin immediate")
        first = subprocess.Popen([LOCKSTEP, "push", "-v", *self.identity(), self.local, self.url("q.db")], stderr=subprocess.PIPE,
                                 text=True)
        daemon.wait_for("opens q.db", 2)
        time.sleep(1)
        daemon.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        self.assertIsNone(daemon.process.poll(), "the commit at hand was not waited for")
        blocker.execute("rollback")
        blocker.close()
        stderr = first.communicate(timeout=60)[1]
        self.assertEqual(first.returncode, 0, stderr)
        self.assertNotIn("trying again", stderr)
        self.assertEqual(daemon.ended(), 0)
        self.assertEqual(text_of(os.path.join(self.data, "q.db")), "after the restart")

    def test_one_that_waits_is_told_to_come_back(self):
        daemon = self.start()
        copies = [os.path.join(self.folder, f"copy{i}.db") for i in range(2)]
        for copy in copies:
            self.lockstep("pull", self.url(), copy)
        change(copies[0], "first")
        change(copies[1], "second")
        blocker = sqlite3.connect(self.origin, isolation_level=None)
        blocker.execute("begin immediate")
        pushes = []
        for i, copy in enumerate(copies):
            pushes.append(subprocess.Popen([LOCKSTEP, "push", "-v", *self.identity(), copy, self.url()], stderr=subprocess.PIPE,
                                           text=True))
            daemon.wait_for("opens a.db", 3 + i)
            time.sleep(1)
        daemon.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        blocker.execute("rollback")
        blocker.close()
        self.assertEqual(daemon.process.wait(30), 0)
        again = self.start()
        results = [(push.communicate(timeout=90)[1], push.returncode) for push in pushes]
        self.assertEqual([status for _, status in results], [0, 82], results)
        self.assertIn("the origin is being stopped; try again in a moment", results[1][0])
        self.assertIn("trying again in", results[1][0])
        self.assertEqual(text_of(self.origin), "first")
        self.assertEqual(again.stop(), 0)

    def test_nothing_listens_after_sigterm(self):
        daemon = self.start()
        self.assertEqual(daemon.stop(), 0)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port)).close()


class Systemd(Case):
    def test_socket_activation_and_notification(self):
        words = self.words()[2:]
        path = os.path.join(self.folder, "notify")
        with socket.socket(socket.AF_INET6) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            listener.bind(("::", self.port))
            listener.listen()
            notify.bind(path)
            notify.settimeout(20)
            fd = os.dup(listener.fileno())
            # As systemd does: the socket is descriptor 3, LISTEN_PID is the process itself.
            script = 'exec 3<&"$0"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
            process = subprocess.Popen(["bash", "-c", script, str(fd), ORIGIN, "serve", *words], pass_fds=[fd],
                                       env=dict(os.environ, NOTIFY_SOCKET=path))
            os.close(fd)
            try:
                self.assertEqual(notify.recv(100), b"READY=1")
                self.lockstep("pull", self.url(), self.local)
            finally:
                process.terminate()
                self.assertEqual(process.wait(30), 0)
            self.assertEqual(notify.recv(100), b"STOPPING=1")


if __name__ == "__main__":
    unittest.main()

"""link_process and link_stdio, through link_probe."""
import hashlib
import os
import pty
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import probe
import processes

BIG = os.urandom(1 << 20) * 8


class Process(unittest.TestCase):
    def test_copies_both_ways(self):
        result = probe.run("process", "cat", stdin=BIG)
        self.assertEqual((result.status, result.code), (0, "NONE"), result.stderr)
        self.assertEqual(hashlib.sha256(result.stdout).digest(), hashlib.sha256(BIG).digest())
        self.assertEqual((result.sent, result.received), (len(BIG), len(BIG)))

    def test_pause_holds_back_and_loses_nothing(self):
        result = probe.run("--pause-ms", "2", "process", "cat", stdin=BIG[:3 << 20])
        self.assertEqual(result.code, "NONE", result.stderr)
        self.assertEqual(result.stdout, BIG[:3 << 20])

    def test_no_such_program(self):
        result = probe.run("process", "/nonexistent/lockstep-origin")
        self.assertEqual((result.status, result.code), (69, "NO_PROGRAM"))
        self.assertIn("/nonexistent/lockstep-origin", result.text)
        self.assertIn("no such file", result.text)
        self.assertIn("give another one", result.text)
        self.assertFalse(result.opened)

    def test_status_127_before_a_byte_is_a_missing_program(self):
        for status in (126, 127):
            result = probe.run("process", "sh", "-c", f"echo lost it >&2; exit {status}")
            self.assertEqual(result.code, "NO_PROGRAM")
            self.assertIn("lost it", result.text)
            self.assertIn("give another one", result.text)

    def test_status_127_after_a_byte_is_a_broken_link(self):
        result = probe.run("process", "sh", "-c", "echo x; exit 127")
        self.assertEqual((result.code, result.stdout), ("NO_LINK", b"x\n"))
        self.assertIn("127", result.text)

    def test_other_status_says_status_and_last_line(self):
        result = probe.run("--no-stdin", "process", "sh", "-c", "echo one >&2; echo two >&2; exit 9")
        self.assertEqual((result.status, result.code), (68, "NO_LINK"))
        self.assertIn("status 9 before it said anything: two", result.text)
        self.assertEqual(result.far, ["one", "two"])

    def test_killed_by_a_signal(self):
        result = probe.run("--no-stdin", "process", "sh", "-c", "kill -9 $$")
        self.assertEqual(result.code, "NO_LINK")
        self.assertIn("signal 9", result.text)

    def test_last_words_are_read_after_a_broken_write(self):
        # It reads nothing, so that writes to it fail; what it said before must arrive all the same.
        result = probe.run("process", "sh", "-c", "exec 0<&-; sleep 0.3; echo last words; exit 3", stdin=BIG)
        self.assertEqual((result.code, result.stdout), ("NO_LINK", b"last words\n"))
        self.assertIn("status 3", result.text)

    def test_far_lines_are_sanitized(self):
        script = r"printf 'a\033[31mb\033]0;title\007c\r\n\nno newline\200' >&2"
        result = probe.run("process", "sh", "-c", script)
        self.assertEqual(result.far, ["abc", "no newline"])

    def test_a_far_line_without_end_is_cut(self):
        result = probe.run("process", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x >&2")
        self.assertEqual(len(result.far), 1)
        self.assertEqual(set(result.far[0]), {"x"})
        self.assertLessEqual(len(result.far[0]), 1024)

    def test_close_ends_what_ignores_the_end_of_its_stdin(self):
        result = probe.run("--close-after", "1", "process", "sh", "-c", "echo x; exec sleep 60")
        self.assertEqual((result.status, result.code), (0, "NONE"), result.stderr)

    def test_close_ends_what_ignores_sigterm(self):
        with tempfile.TemporaryDirectory() as folder:
            pid_path = os.path.join(folder, "pid")
            script = f"trap '' TERM; echo $$ >{pid_path}; echo x; while :; do sleep 0.1; done"
            result = probe.run("--close-after", "1", "process", "sh", "-c", script)
            self.assertEqual(result.code, "NONE", result.stderr)
            with open(pid_path, encoding="ascii") as file:
                pid = int(file.read())
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_a_grandchild_that_holds_the_streams_does_not_hold_the_link(self):
        started = time.monotonic()
        result = probe.run("--no-stdin", "process", "sh", "-c", "sleep 20 & echo $!; exit 4")
        grandchild = int(result.stdout)
        self.assertTrue(processes.is_alive(grandchild))
        self.addCleanup(processes.kill, [grandchild])
        self.assertEqual(result.code, "NO_LINK")
        self.assertIn("status 4", result.text)

    def test_program_does_not_inherit_an_ignored_sigpipe(self):
        result = probe.run("process", "sh", "-c", "grep SigIgn /proc/self/status")
        ignored = int(result.stdout.split()[1], 16)
        self.assertEqual(ignored & (1 << (signal.SIGPIPE - 1)), 0)


class Stdio(unittest.TestCase):
    def test_pipes(self):
        result = probe.run("stdio", stdin=BIG)
        self.assertEqual(result.code, "NONE", result.stderr)
        self.assertEqual(result.stdout, BIG)

    def test_files(self):
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            source.write(BIG)
            source.seek(0)
            result = probe.run("stdio", stdin=source, stdout=target)
            self.assertEqual(result.code, "NONE", result.stderr)
            target.seek(0)
            self.assertEqual(target.read(), BIG)

    def test_dev_null(self):
        with open("/dev/null", "rb") as null:
            result = probe.run("stdio", stdin=null)
        self.assertEqual((result.code, result.stdout), ("NONE", b""))

    def test_one_socket_for_both(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            child = subprocess.Popen([probe.PROGRAM, "stdio"], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
            theirs.close()
            ours.sendall(b"hello")
            self.assertEqual(ours.recv(100), b"hello")
            ours.shutdown(socket.SHUT_WR)
            self.assertEqual(ours.recv(100), b"")
            _, stderr = child.communicate(timeout=10)
            self.assertIn(b"closed: NONE", stderr)

    def test_stray_output_goes_to_stderr(self):
        """What the process prints to descriptor 1 while the link is open must not get into the stream."""
        result = probe.run("--print", "stdio", stdin=b"x")
        self.assertEqual((result.code, result.stdout), ("NONE", b"x"))
        self.assertIn("stray", result.stderr)

    def test_refuses_a_terminal(self):
        leader, follower = pty.openpty()
        try:
            with os.fdopen(follower, "rb") as terminal:
                result = probe.run("stdio", stdin=terminal)
        finally:
            os.close(leader)
        self.assertEqual((result.status, result.code), (64, "USAGE"))
        self.assertIn("not by hand", result.text)

    def test_reader_gone(self):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as output:
            result = probe.run("stdio", stdin=BIG, stdout=output)
        self.assertEqual((result.status, result.code), (68, "NO_LINK"))
        self.assertIn("broken pipe", result.text)

    def test_gives_the_shared_descriptor_its_mode_back(self):
        reader, writer = os.pipe()
        try:
            with os.fdopen(os.dup(reader), "rb") as source:
                os.write(writer, b"x")
                os.close(writer)
                probe.run("stdio", stdin=source)
            self.assertTrue(os.get_blocking(reader))
        finally:
            os.close(reader)


if __name__ == "__main__":
    unittest.main()

"""Programs that read and write both databases while a sync is under way, and two real pushes at once."""
import os
import unittest

import harness
import processes
from harness import FOREIGN_LINEAGE, MOVED, STALE_BASE, UNPUSHED, Case, ask, connect, content, rows, sql

# Writes counted rows until its stdin ends, each in a transaction of its own; waits at most its busy time-out, and takes
# nothing but being busy beyond that for a failure of the test. Prints how many rows, and the longest that one took, in ms.
WRITER = """
import select
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
c.execute("CREATE TABLE IF NOT EXISTS written(n INTEGER PRIMARY KEY, filler)")
print('ready', flush=True)
n = longest = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    begin = time.monotonic()
    c.execute("BEGIN IMMEDIATE")
    n = c.execute("SELECT coalesce(max(n), 0) + 1 FROM written").fetchone()[0]
    c.execute("INSERT INTO written VALUES(?, hex(randomblob(100)))", (n,))
    c.execute("COMMIT")
    longest = max(longest, time.monotonic() - begin)
    time.sleep(float(sys.argv[2]))
print(n, int(longest * 1000), flush=True)
"""

# Reads everything, again and again, in one transaction each: rows without a gap, and the same count twice.
READER = """
import select
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
print('ready', flush=True)
n = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    c.execute("BEGIN")
    first = c.execute("SELECT count(*), total(length(note)) FROM contact").fetchone()
    assert c.execute("SELECT count(*), total(length(note)) FROM contact").fetchone() == first
    c.execute("COMMIT")
    assert c.execute("SELECT count(*) FROM schedule").fetchone()[0] >= 0
    n += 1
    time.sleep(0.002)
assert c.execute("PRAGMA integrity_check").fetchone()[0] == 'ok'
print(n, flush=True)
"""


class Live(Case):
    def setUp(self):
        super().setUp()
        self.origin, self.replica = self.path("origin.db"), self.path("replica.db")

    def stop(self, process):
        """End a helper in good order; what it printed last, as numbers."""
        process.stdin.close()
        process.stdin = None
        result = self.finish(process)
        self.assertEqual(result.code, 0, str(result))
        return [int(word) for word in result.out.split()]

    def check_rows_without_gap(self, path):
        self.check_whole(path)
        if ask(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'written'"):
            self.assertEqual(ask(path, "SELECT count(*) FROM written"), ask(path, "SELECT coalesce(max(n), 0) FROM written"))

    def test_pull_with_a_writer_and_a_reader_at_the_origin(self):
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                self.fresh()
                sql(self.origin, f"PRAGMA journal_mode = {mode};" + rows(1500))
                writer = self.python(WRITER, self.origin, "0.03")
                reader = self.python(READER, self.origin)
                done = 0
                for _ in range(6):
                    result = self.pull(self.origin, self.replica, expect=None)
                    self.assertIn(result.code, (0, MOVED), str(result))
                    done += result.code == 0
                    if os.path.exists(self.replica):
                        self.check_rows_without_gap(self.replica)
                self.stop(reader)
                written, _ = self.stop(writer)
                self.assertGreater(done, 3 if mode == "wal" else 0)
                self.assertEqual(ask(self.origin, "SELECT count(*) FROM written"), written)
                self.pull(self.origin, self.replica)
                self.check_equal(self.origin, self.replica)

    def test_pull_with_a_reader_at_the_replica(self):
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                self.fresh()
                sql(self.origin, f"PRAGMA journal_mode = {mode};" + rows(500))
                self.pull(self.origin, self.replica)
                reader = self.python(READER, self.replica)
                for i in range(5):
                    sql(self.origin, f"UPDATE contact SET note = hex(randomblob({50 + i})) WHERE id % 5 = {i}")
                    self.pull(self.origin, self.replica)
                self.assertGreater(self.stop(reader)[0], 0)
                self.check_equal(self.origin, self.replica)

    def test_push_with_a_reader_at_the_origin(self):
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                self.fresh()
                sql(self.origin, f"PRAGMA journal_mode = {mode};" + rows(500))
                self.pull(self.origin, self.replica)
                reader = self.python(READER, self.origin)
                for i in range(5):
                    sql(self.replica, f"UPDATE contact SET note = hex(randomblob({50 + i})) WHERE id % 5 = {i}")
                    self.push(self.replica, self.origin)
                self.assertGreater(self.stop(reader)[0], 0)
                self.check_equal(self.origin, self.replica)

    def test_push_against_a_writer_at_the_origin(self):
        """A push is taken on top of exactly what the replica had, or refused: no row of the writer is ever lost."""
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                self.fresh()
                sql(self.origin, f"PRAGMA journal_mode = {mode};" + rows(300))
                writer = self.python(WRITER, self.origin, "0.15")
                taken = refused = 0
                for i in range(8):
                    self.assertIn(self.pull(self.origin, self.replica, "--discard", expect=None).code, (0, MOVED))
                    if not os.path.exists(self.replica):
                        continue
                    sql(self.replica, f"INSERT INTO contact VALUES({5000 + i}, 'pushed', NULL)")
                    result = self.push(self.replica, self.origin, expect=None)
                    self.assertIn(result.code, (0, STALE_BASE, MOVED), str(result))
                    taken += result.code == 0
                    refused += result.code != 0
                    self.assertEqual(ask(self.origin, f"SELECT count(*) FROM contact WHERE id = {5000 + i}"), int(result.code == 0))
                written, _ = self.stop(writer)
                self.check_rows_without_gap(self.origin)
                self.assertEqual(ask(self.origin, "SELECT count(*) FROM written"), written)
                self.assertGreater(taken + refused, 0)

    def test_a_writer_waits_for_the_apply_alone(self):
        """While a push waits for its bytes, the origin is free to others."""
        for mode in ("wal", "delete"):
            with self.subTest(mode):
                self.fresh()
                sql(self.origin, f"PRAGMA journal_mode = {mode};" + rows(3000))
                self.pull(self.origin, self.replica)
                sql(self.replica, "UPDATE contact SET note = hex(randomblob(60))")
                # The far program, with its input held up for good after the first 40,000 bytes.
                slow = self.path("slow-origin")
                with open(slow, "w", encoding="utf-8") as file:
                    file.write(f"#!{harness.sys.executable}\nimport os, subprocess, sys, time\n"
                               f"p = subprocess.Popen(['{harness.ORIGIN}'] + sys.argv[1:], stdin=subprocess.PIPE)\n"
                               "left = 40000\n"
                               "while left > 0:\n    data = os.read(0, min(left, 4096))\n    left -= len(data)\n"
                               "    p.stdin.write(data)\n    p.stdin.flush()\n"
                               f"open('{self.path('stalled')}', 'w').close()\n"
                               "time.sleep(600)\n")
                os.chmod(slow, 0o755)
                push = self.start(harness.LOCKSTEP, "push", "--exe", slow, "--no-compress", self.replica, self.origin)
                self.wait_until(lambda: os.path.exists(self.path("stalled")))
                writer = connect(self.origin, timeout=0)
                for i in range(20):
                    writer.execute("INSERT INTO schedule VALUES(?, 1, 'meanwhile', NULL)", (100000 + i,))
                writer.close()
                self.assertIsNone(push.poll())
                processes.kill([push.pid, *processes.below(push.pid)])
                self.check_whole(self.origin)
                self.assertEqual(ask(self.origin, "SELECT count(*) FROM schedule WHERE kind = 'meanwhile'"), 20)

    def test_two_pushes_at_once(self):
        for _ in range(4):
            self.fresh()
            second = self.path("second.db")
            sql(self.origin, "PRAGMA journal_mode = wal;" + rows(500))
            self.pull(self.origin, self.replica)
            self.pull(self.origin, second)
            for path, name in (self.replica, "one"), (second, "two"):
                sql(path, f"UPDATE contact SET name = '{name}' WHERE id % 3 = 0")
            pushes = [self.start(harness.LOCKSTEP, "push", path, self.origin) for path in (self.replica, second)]
            results = [self.finish(push) for push in pushes]
            self.assertEqual(sorted(result.code for result in results), [0, STALE_BASE], "\n".join(map(str, results)))
            winner = self.replica if results[0].code == 0 else second
            self.check_equal(self.origin, winner)
            loser = second if winner == self.replica else self.replica
            self.pull(self.origin, loser, expect=UNPUSHED)
            self.pull(self.origin, loser, "--discard")
            self.check_equal(self.origin, loser)

    def test_two_first_pushes_at_once(self):
        second = self.path("second.db")
        sql(self.replica, rows(500))
        sql(second, rows(400))
        pushes = [self.start(harness.LOCKSTEP, "push", path, self.origin) for path in (self.replica, second)]
        results = [self.finish(push) for push in pushes]
        done = [path for path, result in zip((self.replica, second), results) if result.code == 0]
        self.assertEqual(len(done), 1, "\n".join(map(str, results)))
        self.assertIn(max(result.code for result in results), (harness.BUSY, STALE_BASE, FOREIGN_LINEAGE, MOVED))
        self.check_equal(self.origin, done[0])

    def test_two_pulls_into_one_file_at_once(self):
        sql(self.origin, rows(500))
        pulls = [self.start(harness.LOCKSTEP, "pull", self.origin, self.replica) for _ in range(3)]
        codes = [self.finish(pull).code for pull in pulls]
        self.assertIn(0, codes)
        self.assertTrue(all(code in (0, harness.BUSY, MOVED) for code in codes), codes)
        self.check_equal(self.origin, self.replica)
        self.assertEqual(content(self.origin), content(self.replica))


if __name__ == "__main__":
    unittest.main()

"""Every kind of database that SQLite makes goes there and back: content, integrity and roots are equal afterwards."""
import os
import unittest

from harness import Case, ask, connect, content, rows, sql

TEXTS = "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES(1, 'Grüße'), (2, '日本語 😀'), (3, '');"
CHANGE = "DELETE FROM contact WHERE id % 5 = 0; UPDATE schedule SET status = 'sent' WHERE id % 7 = 0;"

# name: what makes it, what changes it, a question and its answer at the other side.
KINDS = {
    "utf-16le": ("PRAGMA encoding = 'UTF-16le';" + TEXTS, "INSERT INTO t VALUES(9, 'ÄÖ');",
                 "SELECT group_concat(b, '|') FROM t", "Grüße|日本語 😀||ÄÖ"),
    "utf-16be": ("PRAGMA encoding = 'UTF-16be';" + TEXTS, "INSERT INTO t VALUES(9, 'ÄÖ');", "PRAGMA encoding", "UTF-16be"),
    "auto_vacuum full": ("PRAGMA auto_vacuum = full;" + rows(300), "DELETE FROM contact WHERE id > 40;" + CHANGE,
                         "PRAGMA auto_vacuum", 1),
    "auto_vacuum incremental": ("PRAGMA auto_vacuum = incremental;" + rows(300),
                                "DELETE FROM contact WHERE id > 40; PRAGMA incremental_vacuum(3);" + CHANGE, "PRAGMA auto_vacuum", 2),
    "without rowid": ("CREATE TABLE w(a TEXT, b INT, c, PRIMARY KEY(a, b)) WITHOUT ROWID;"
                      "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
                      "INSERT INTO w SELECT 'key ' || (i * 7919 % 401), i, hex(randomblob(20)) FROM n;",
                      "DELETE FROM w WHERE b % 3 = 0;", "SELECT count(*) FROM w", 267),
    "fts5": ("CREATE VIRTUAL TABLE f USING fts5(title, body);"
             "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
             "INSERT INTO f SELECT 'title ' || i, 'the quick brown fox ' || (i % 10) FROM n;",
             "DELETE FROM f WHERE rowid % 4 = 0; INSERT INTO f VALUES('late', 'wombat');",
             "SELECT title FROM f WHERE f MATCH 'wombat'", "late"),
    "r-tree": ("CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1);"
               "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
               "INSERT INTO r SELECT i, i, i + 1, -i, 1 - i FROM n;",
               "DELETE FROM r WHERE id % 2 = 0;", "SELECT count(*) FROM r WHERE x0 >= 10 AND x1 <= 20", 5),
    "after vacuum": (rows(400), "DELETE FROM contact WHERE id < 250; VACUUM;", "SELECT count(*) FROM contact", 151),
    "strange names": ('CREATE TABLE "a ""b" ("c d" TEXT DEFAULT \'x\', e GENERATED ALWAYS AS ("c d" || 1) STORED);'
                      'CREATE VIEW v AS SELECT 1; CREATE TRIGGER g AFTER INSERT ON "a ""b" BEGIN SELECT 1; END;'
                      'INSERT INTO "a ""b" VALUES(\'q\');', 'INSERT INTO "a ""b" VALUES(NULL);', 'SELECT count(*) FROM "a ""b"', 2),
    "one row": ("CREATE TABLE real_one(a); INSERT INTO real_one VALUES(5);", "UPDATE real_one SET a = 6;",
                                     "SELECT a FROM real_one", 6),
    "large blobs": ("CREATE TABLE b(a, c); INSERT INTO b VALUES(1, randomblob(200000)), (2, zeroblob(300000));",
                    "UPDATE b SET c = randomblob(100000) WHERE a = 2;", "SELECT length(c) FROM b WHERE a = 2", 100000),
}


def make_reserved(path, reserved=32):
    """A database that keeps bytes at the end of each page: the header of an empty one is changed, before anything is in it."""
    sql(path, "PRAGMA user_version = 1;")
    with open(path, "r+b") as file:
        page = bytearray(file.read(4096))
        page[20] = reserved
        page[105:107] = (4096 - reserved).to_bytes(2, "big")
        file.seek(0)
        file.write(page)


class Kinds(Case):
    def round_trip(self, change, question, answer, mode):
        """First copy, a change that is pulled, a change that is pushed."""
        origin, replica = self.path("origin.db"), self.path("replica.db")
        self.pull(origin, replica)
        self.check_equal(origin, replica)
        sql(replica, f"PRAGMA journal_mode = {'delete' if mode == 'wal' else 'wal'};")
        sql(origin, change)
        self.pull(origin, replica)
        self.check_equal(origin, replica)
        self.assertEqual(ask(replica, question), answer)
        sql(replica, "CREATE TABLE later(a); INSERT INTO later VALUES('from the replica');")
        self.push(replica, origin)
        self.check_equal(origin, replica)
        self.assertEqual(ask(origin, "SELECT a FROM later"), "from the replica")
        self.assertEqual(ask(origin, "PRAGMA journal_mode"), mode)

    def test_kinds(self):
        for number, (name, (make, change, question, answer)) in enumerate(KINDS.items()):
            mode = ("wal", "delete")[number % 2]
            with self.subTest(name, mode=mode):
                self.fresh()
                sql(self.path("origin.db"), make + f"PRAGMA journal_mode = {mode};")
                self.round_trip(change, question, answer, mode)

    def test_reserved_bytes(self):
        make_reserved(self.path("origin.db"))
        sql(self.path("origin.db"), rows(200))
        with open(self.path("origin.db"), "rb") as file:
            self.assertEqual(file.read(100)[20], 32)
        self.round_trip(CHANGE + "VACUUM;", "SELECT count(*) FROM contact", 160, "delete")
        with open(self.path("replica.db"), "rb") as file:
            self.assertEqual(file.read(100)[20], 32)

    def test_uncheckpointed_wal(self):
        """Content that is in the WAL alone, with the connection that wrote it still open, on either side."""
        origin, replica = self.path("origin.db"), self.path("replica.db")
        sql(origin, "PRAGMA journal_mode = wal;" + rows(50))
        writer = connect(origin)
        self.addCleanup(writer.close)
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE contact SET note = 'only in the WAL'")
        self.assertGreater(os.path.getsize(origin + "-wal"), 4096)
        before = os.path.getsize(origin)
        self.pull(origin, replica)
        self.check_equal(origin, replica)
        self.assertEqual(ask(replica, "SELECT count(*) FROM contact WHERE note = 'only in the WAL'"), 50)
        writer.execute("INSERT INTO contact VALUES(1000, 'x', 'also in the WAL')")
        self.pull(origin, replica)
        self.check_equal(origin, replica)
        self.assertEqual(os.path.getsize(origin), before)

        local = connect(replica)
        self.addCleanup(local.close)
        local.execute("PRAGMA wal_autocheckpoint = 0")
        local.execute("UPDATE contact SET note = 'local WAL' WHERE id = 7")
        self.push(replica, origin)
        self.assertEqual(writer.execute("SELECT note FROM contact WHERE id = 7").fetchone()[0], "local WAL")
        self.check_equal(origin, replica)

    def test_wal_left_by_a_killed_writer(self):
        origin, replica = self.path("origin.db"), self.path("replica.db")
        sql(origin, "PRAGMA journal_mode = wal;" + rows(50))
        writer = self.hold(origin, "PRAGMA wal_autocheckpoint = 0", "UPDATE contact SET note = 'survives'")
        writer.kill()
        writer.wait()
        self.pull(origin, replica)
        self.check_equal(origin, replica)
        self.assertEqual(ask(replica, "SELECT count(*) FROM contact WHERE note = 'survives'"), 50)

    def test_hot_journal_left_by_a_killed_writer(self):
        """A half-written transaction is undone first, on either side."""
        origin, replica = self.path("origin.db"), self.path("replica.db")
        sql(origin, rows(300))
        self.pull(origin, replica)
        for path in (origin, replica):
            before = content(path)
            writer = self.hold(path, "PRAGMA cache_size = 1", "PRAGMA cache_spill = 1", "BEGIN", "UPDATE contact SET note = hex(randomblob(60))")
            self.assertTrue(os.path.exists(path + "-journal"))
            writer.kill()
            writer.wait()
            self.pull(origin, replica)
            self.assertEqual(content(path), before)
            self.check_equal(origin, replica)


if __name__ == "__main__":
    unittest.main()

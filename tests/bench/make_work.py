"""bench_make_work: the same database from the same seed, and changes that are those of their names."""

import datetime
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

MAKER = os.path.join(os.environ["LOCKSTEP_BIN"], "bench_make_work")
CONTACTS = 2000
SCALE = "0.005"


def make(*arguments):
    return subprocess.run([MAKER, *arguments], capture_output=True, text=True, check=False)


WORDS = ("alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo sierra"
         " tango uniform victor whiskey xray yankee zulu").split()
STATES = "CA TX NY MO OR FL WA NV ID KY MA CT".split()
MADE = "2025-01-01T00:00:00Z"


def day(first, days):
    return str(datetime.date.fromisoformat(first) + datetime.timedelta(random.randint(0, days)))


def contact(number):
    first, last = random.choice(WORDS), random.choice(WORDS)
    return (number, f"{first}.{last}{number}@example.com", first, last, random.choice(STATES), str(random.randint(10000, 99999)),
            day("1940-01-01", 18000), day("2015-01-01", 3600), f"+1{random.randint(2000000000, 9999999999)}",
            " ".join(random.choice(WORDS) for _ in range(random.randint(5, 40))), MADE, MADE)


def schedule(number, kind):
    return (number, (number + 3) // 4, kind, day("2025-01-01", 365), "08:30:00",
            random.choice(["pre-scheduled", "sent", "skipped"]), None, random.randint(1, 10),
            f"tpl_{kind}_{random.randint(1, 40)}", None, f"run_{random.getrandbits(64):016x}", MADE, MADE)


def query(path, sql):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


class Work(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.base = cls.path("base.db")
        cls.create(cls.base)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @staticmethod
    def create(path, *options):
        done = make("create", path, "--scale", SCALE, *options)
        assert done.returncode == 0, done.stderr

    def differ(self, one, other):
        done = make("differ", one, other)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [int(word) for word in done.stdout.split()]

    def changed(self, name):
        path = self.path(name + ".db")
        shutil.copyfile(self.base, path)
        done = make("apply", path, name)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(query(path, "PRAGMA integrity_check"), [("ok",)])
        self.assertFalse(os.path.exists(path + "-wal"))
        return path

    def test_same_seed_same_bytes(self):
        self.create(self.path("again.db"))
        self.create(self.path("other.db"), "--seed", "8")
        with open(self.base, "rb") as one, open(self.path("again.db"), "rb") as again, \
                open(self.path("other.db"), "rb") as other:
            first = one.read()
            self.assertEqual(first, again.read())
            self.assertNotEqual(first, other.read())

    def test_rows(self):
        self.assertEqual(query(self.base, "PRAGMA integrity_check"), [("ok",)])
        self.assertEqual(query(self.base, "PRAGMA journal_mode"), [("wal",)])
        self.assertEqual(query(self.base, "SELECT count(*), max(id) FROM contacts"), [(CONTACTS, CONTACTS)])
        self.assertEqual(query(self.base, "SELECT count(*), max(id), count(DISTINCT batch_run_id),"
                                          " sum(contact_id != (id + 3) / 4) FROM email_schedules"),
                         [(4 * CONTACTS, 4 * CONTACTS, 4 * CONTACTS, 0)])
        self.assertEqual(query(self.base, "SELECT min(birth_date) >= '1940-01-01' AND max(birth_date)"
                                          " <= '1989-04-13' FROM contacts"), [(1,)])
        self.assertEqual(query(self.base, "SELECT min(scheduled_send_date), max(scheduled_send_date)"
                                          " FROM email_schedules"), [("2025-01-01", "2026-01-01")])

    def test_the_numbers_are_those_of_pythons_random(self):
        """As in the script that made the database of the figures to be compared with."""
        kinds = ("birthday", "effective_date", "aep", "post_window")
        for seed in 7, 8, 1 << 40:
            with self.subTest(seed=seed):
                path = self.path(f"seed-{seed}.db")
                self.create(path, "--seed", str(seed))
                random.seed(seed)
                self.assertEqual(query(path, "SELECT * FROM contacts ORDER BY id"), [contact(i + 1) for i in range(CONTACTS)])
                self.assertEqual(query(path, "SELECT * FROM email_schedules ORDER BY id"),
                                 [schedule(i + 1, kinds[i % 4]) for i in range(4 * CONTACTS)])

    def test_deleted_content_is_overwritten(self):
        """Else what a page that was split leaves in its free space, and the deleted rows, would be there to be sent."""
        with open(self.base, "rb") as base, open(self.changed("batchjob"), "rb") as changed:
            old, new = base.read(), changed.read()
        self.assertLess(old.count(b"@example.com"), 2 * CONTACTS + 20)
        gone = query(self.base, "SELECT batch_run_id FROM email_schedules WHERE status = 'pre-scheduled' AND contact_id <= 200")
        self.assertGreater(len(gone), 150)
        self.assertEqual([run for (run,) in gone if run.encode() in new], [])

    def test_every_workload(self):
        for name, sql, expected in (
                ("nochange", "SELECT 0", 0),
                ("upd100", "SELECT count(*) FROM email_schedules WHERE status = 'sent' AND"
                           " updated_at = '2025-02-02T00:00:00Z'", 100),
                ("upd1pct", "SELECT count(*) FROM email_schedules WHERE status = 'sent' AND"
                            " updated_at = '2025-02-02T00:00:00Z'", 80),
                ("batchjob", "SELECT count(*) FROM email_schedules WHERE status = 'pre-scheduled' AND"
                             " contact_id <= 200 AND batch_run_id = 'run_20250602'", 200),
                ("append", "SELECT count(*) FROM email_send_tracking", 250),
                ("index", "SELECT count(*) FROM sqlite_schema WHERE name = 'idx_zip'", 1),
                ("vacuum", "SELECT count(*) FROM email_schedules", 7200),
                ("vacuum-head", "SELECT min(id) FROM email_schedules", 401)):
            with self.subTest(name=name):
                path = self.changed(name)
                self.assertEqual(query(path, sql), [(expected,)])
                self.assertEqual(self.differ(self.base, path)[0] > 0, name != "nochange")

    def test_updates_are_spread_over_the_table(self):
        rows = query(self.changed("upd200"), "SELECT id FROM email_schedules WHERE updated_at LIKE '2025-02%'")
        tenths = {row * 10 // (4 * CONTACTS) for (row,) in rows}
        self.assertEqual(len(tenths), 10)

    def test_no_row_is_met_twice(self):
        """Where the scaled stride has a factor in common with the number of rows, too."""
        path = self.path("even.db")
        self.assertEqual(make("create", path, "--scale", "0.006325").returncode, 0)
        self.assertEqual(make("apply", path, "upd2000").returncode, 0)
        self.assertEqual(query(path, "SELECT count(*) FROM email_schedules WHERE updated_at LIKE '2025-02%'"),
                         [(2000,)])

    def test_differ(self):
        pages = os.path.getsize(self.base) // 4096
        self.assertEqual(self.differ(self.base, self.base), [0, pages, pages])
        path = self.path("touched.db")
        for offset, expected in ((18, 0), (27, 0), (95, 0), (60, 1), (91, 1), (107, 1), (100 * 4096 + 9, 1), (102 * 4096 - 1, 1)):
            with self.subTest(offset=offset):
                shutil.copyfile(self.base, path)
                with open(path, "r+b") as file:
                    file.seek(offset)
                    old = file.read(1)[0]
                    file.seek(offset)
                    file.write(bytes([1 if offset == 18 else old ^ 1]))
                self.assertEqual(self.differ(self.base, path), [expected, pages, pages])

    def test_differ_counts_what_is_new_in_the_second(self):
        longer = self.changed("append")
        new, old_pages, new_pages = self.differ(self.base, longer)
        back, _, _ = self.differ(longer, self.base)
        self.assertEqual(new - back, new_pages - old_pages)
        self.assertGreater(new_pages, old_pages)

    def test_refusals(self):
        text = self.path("text.db")
        with open(text, "w", encoding="utf-8") as file:
            file.write("no database\n" * 100)
        for arguments, status in (
                (["create", self.base], 64), (["create", self.path("x.db"), "--scale", "0"], 64),
                (["create", self.path("x.db"), "--scale", "nan"], 64), ([], 64), (["apply", self.base], 64),
                (["apply", self.base, "upd"], 64), (["apply", self.base, "upd0"], 64),
                (["apply", self.base, "upd9x"], 64), (["apply", self.base, "upd99999999"], 64),
                (["apply", self.base, "vac"], 64), (["apply", text, "upd1"], 74),
                (["apply", self.changed("index"), "index"], 74), (["apply", self.path("absent.db"), "upd1"], 74), (["differ", self.base, text], 74)):
            with self.subTest(arguments=arguments):
                done = make(*arguments)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertTrue(done.stderr)
        self.assertFalse(os.path.exists(self.path("absent.db")))

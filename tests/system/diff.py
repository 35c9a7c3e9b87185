"""What differs, and what a sync would bring, without one: `diff` by table and index, and dry runs, which change nothing on either side."""
import hashlib
import json
import os
import unittest

import cli


class Case(cli.Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("there"))
        os.mkdir(self.path("here"))
        self.origin, self.local = self.path("there", "origin.db"), self.path("here", "local.db")
        cli.execute(self.origin, "pragma auto_vacuum=none", "create table small(n integer)", "insert into small values(1)",
                    "create table rows(id integer primary key, a integer, text)", "create index rows_by_a on rows(a)",
                    "create table long(id integer primary key, bytes blob)",
                    "with recursive c(i) as (select 1 union all select i+1 from c where i<3000) "
                    "insert into rows select i, i, hex(randomblob(50)) from c",
                    "insert into long values(1, randomblob(50000))", wal=True)

    def does(self, *words, **kwargs):
        return self.assert_status(self.lockstep(*words, **kwargs), 0)

    def diff(self, *words):
        return json.loads(self.does("diff", "--json", *words, self.origin, self.local).stdout)

    def rows(self, told):
        return {(row["kind"], row["name"]): row["pages_differing"] for row in told["rows"]}

    def state(self):
        """Every file of both sides but those that SQLite makes for any reader."""
        found = {}
        for folder in ("there", "here"):
            for name in sorted(os.listdir(self.path(folder))):
                if not name.endswith(("-shm", "-wal")):
                    with open(self.path(folder, name), "rb") as file:
                        found[folder, name] = hashlib.sha256(file.read()).hexdigest()
        return found


class Diff(Case):
    def test_tables_and_indexes(self):
        self.does("pull", self.origin, self.local)
        self.assertEqual((self.diff()["equal"], self.diff()["rows"]), (True, []))
        cli.execute(self.local, "update rows set text='x' where id in (1, 1000, 2000, 3000)")
        self.assertEqual(self.rows(self.diff()), {("table", "rows"): 4})
        cli.execute(self.local, "update rows set a=a+1 where id=1500")
        found = self.rows(self.diff())
        self.assertEqual(found[("table", "rows")], 5)
        self.assertEqual(found[("index", "rows_by_a")], 1)
        # Overflow pages are the table's; both sides' page counts are told.
        pages = cli.execute(self.local, "pragma page_count")[0][0]
        cli.execute(self.local, "update long set bytes=randomblob(50000)")
        before = self.state()
        told = self.diff()
        self.assertEqual(self.state(), before)
        self.assertEqual(self.rows(told)[("table", "long")], 13)
        self.assertEqual((told["page_count"], told["local_page_count"]), (pages, pages))
        self.assertEqual(told["pages_differing"], sum(row["pages_differing"] for row in told["rows"]))
        index = [row for row in told["rows"] if row["kind"] == "index"][0]
        self.assertEqual((index["table"], index["pages"] > 1), ("rows", True))
        # No page crosses.
        self.assertLess(told["bytes_sent"] + told["bytes_received"], 12000)
        text = self.does("diff", self.origin, self.local).stdout
        self.assertRegex(text, r"(?m)^ +13 +13 +53,248  table long$")
        self.assertRegex(text, r"(?m)^ +1 +\d+ +4,096  index rows_by_a on rows$")
        self.assertRegex(text, r"(?m)^19 pages differ, 77,824 bytes; version 1 of the origin has \d+ pages, the local copy \d+$")

    def test_what_only_one_side_has(self):
        def more(than, path):
            return cli.execute(path, "pragma page_count")[0][0] - cli.execute(than, "pragma page_count")[0][0]

        self.does("pull", self.origin, self.local)
        cli.execute(self.origin, "insert into long values(2, randomblob(40000))")
        told = self.diff()
        self.assertGreater(more(self.local, self.origin), 9)
        self.assertEqual((told["only_origin"], told["only_local"]), (more(self.local, self.origin), 0))
        self.assertEqual(self.rows(told)[("only-origin", "")], more(self.local, self.origin))
        cli.execute(self.local, "insert into long values(2, randomblob(80000))")
        told = self.diff()
        self.assertGreater(more(self.origin, self.local), 5)
        self.assertEqual((told["only_origin"], told["only_local"]), (0, more(self.origin, self.local)))
        self.assertGreaterEqual(self.rows(told)[("table", "long")], 18)

    def test_free_pages_and_pointer_maps(self):
        cli.execute(self.origin, "pragma journal_mode=delete", "pragma auto_vacuum=incremental", "vacuum", wal=True)
        self.does("pull", self.origin, self.local)
        cli.execute(self.local, "pragma secure_delete=on", "delete from long")
        found = self.rows(self.diff())
        self.assertGreaterEqual(found[("free", "")], 12)
        self.assertEqual(found[("pointer-maps", "")], 1)

    def test_a_table_that_is_called_as_the_one_that_is_asked(self):
        cli.execute(self.origin, "create table dbstat(name, pageno)", "insert into dbstat values('wrong', 3)")
        self.does("pull", self.origin, self.local)
        cli.execute(self.local, "update dbstat set name='still wrong'")
        self.assertEqual(self.rows(self.diff()), {("table", "dbstat"): 1})

    def test_rollback_mode_and_copies_that_were_never_synced(self):
        cli.execute(self.origin, wal=False)
        with open(self.origin, "rb") as there, open(self.local, "wb") as here:
            here.write(there.read())
        self.assertTrue(self.diff()["equal"])
        cli.execute(self.local, "update small set n=2")
        self.assertEqual(self.rows(self.diff()), {("table", "small"): 1})

    def test_refusals(self):
        self.assert_status(self.lockstep("diff", self.origin, self.local), "NO_DATABASE", self.local)
        self.does("pull", self.origin, self.local)
        exe = cli.write_script(self.path("exe"), f"#!/bin/sh\nexec {cli.ORIGIN} --allow push \"$@\"\n")
        self.assert_status(self.lockstep("diff", "--exe", exe, self.origin, self.local), "NOT_ALLOWED", "may pull")
        cli.execute(self.local, "pragma journal_mode=delete", "pragma page_size=8192", "vacuum")
        self.assert_status(self.lockstep("diff", self.origin, self.local), "PAGE_SIZE", "8192", "4096")


class DryRun(Case):
    def dry(self, *words, status=0):
        """Its object; neither side has changed, not even in its bookkeeping."""
        before = self.state()
        result = self.assert_status(self.lockstep(*words, "--dry-run", "--json"), status)
        self.assertEqual(self.state(), before)
        return json.loads(result.stdout)

    def test_pull(self):
        told = self.dry("pull", self.origin, self.local)
        pages = cli.execute(self.origin, "pragma page_count")[0][0]
        self.assertEqual((told["done"], told["dry_run"], told["at_most"], told["pages_differing"]), ("nothing", True, True, pages))
        self.does("pull", self.origin, self.local)
        told = self.dry("pull", self.origin, self.local)
        self.assertEqual((told["pages_differing"], told["at_most"]), (0, False))
        cli.execute(self.origin, "update rows set text='x' where id in (1, 1000, 2000)")
        told = self.dry("pull", self.origin, self.local)
        self.assertEqual((told["pages_differing"], told["version"]), (3, 2))
        self.assertLess(told["bytes_received"], 3000)
        # What it said is what comes.
        done = json.loads(self.does("pull", "--json", self.origin, self.local).stdout)
        self.assertEqual((done["pages_differing"], done["version"], done["root"]), (3, 2, told["root"]))
        self.assertLess(abs(done["bytes_received"] - told["bytes_received"] - told["stream_bytes"]), 20)

    def test_push(self):
        self.does("pull", self.origin, self.local)
        self.assertEqual(self.dry("push", self.local, self.origin)["pages_differing"], 0)
        cli.execute(self.local, "update rows set text='x' where id in (1, 1000, 2000)")
        for words in ([], ["--base", "none"]):
            told = self.dry("push", *words, self.local, self.origin)
            self.assertEqual((told["done"], told["pages_differing"], told["version"]), ("nothing", 3, 2))
        # An origin whose pages are not known here, and one without a database.
        os.remove(self.local + "-lockstep-base")
        told = self.dry("push", self.local, self.origin)
        self.assertEqual(told["pages_differing"], 3)
        told = self.dry("push", self.local, self.path("there", "new.db"))
        self.assertEqual((told["at_most"], told["pages_differing"]), (True, told["page_count"]))
        done = json.loads(self.does("push", "--json", self.local, self.origin).stdout)
        self.assertEqual((done["pages_differing"], done["version"]), (3, 2))

    def test_the_form_of_sqlite3_rsync(self):
        self.does("pull", self.origin, self.local)
        cli.execute(self.origin, "update small set n=9")
        before = self.state()
        result = self.does(self.origin, self.local, "-n")
        self.assertEqual(self.state(), before)
        self.assertRegex(result.stdout, r"\Adry run: 1 of \d+ pages would be copied, \d+ bytes; nothing was changed\n\Z")

    def test_guards_speak(self):
        """What would be refused is refused."""
        self.does("pull", self.origin, self.local)
        cli.execute(self.local, "update small set n=2")
        cli.execute(self.origin, "update small set n=3")
        self.dry("push", self.local, self.origin, status="STALE_BASE")
        self.dry("pull", self.origin, self.local, status="UNPUSHED")
        cli.execute(self.local, "pragma journal_mode=delete", "pragma page_size=8192", "vacuum")
        self.dry("push", "--force-reset", self.local, self.origin, status="PAGE_SIZE")
        told = self.dry("push", "--force-reset", "--replace", self.local, self.origin)
        self.assertEqual((told["at_most"], told["page_size"], told["pages_differing"]), (True, 8192, told["page_count"]))
        told = self.dry("pull", "--discard", "--replace", self.origin, self.local)
        self.assertEqual((told["at_most"], told["page_size"]), (True, 4096))

    def test_run(self):
        """Its pull alone: no lock, no job; the unpushed work that it would keep beside is said, and stays where it is."""
        words = ["run", "--lock", "file://" + self.path("lock"), "--no-compress"]
        job = [self.origin, self.local, "--", "touch", self.path("started")]
        self.does("pull", self.origin, self.local)
        cli.execute(self.origin, "update small set n=2")
        cli.execute(self.local, "update small set n=3")
        before = self.state()
        result = self.assert_status(self.lockstep(*words, "--dry-run", "--json", *job), 0, f"{self.local} has changes that were never pushed",
                                    "dry run: 1 of")
        told = json.loads(result.stdout)
        self.assertEqual((told["done"], told["dry_run"], told["pages_differing"]), ("nothing", True, 1))
        self.assertEqual(self.state(), before)
        exe = cli.write_script(self.path("exe"), f"#!/bin/sh\nexec {cli.ORIGIN} --allow pull \"$@\"\n")
        self.assert_status(self.lockstep(*words, "-n", "--exe", exe, *job), "NOT_ALLOWED", "may push")
        for name in ("lock", "started"):
            self.assertFalse(os.path.exists(self.path(name)), name)

    def test_a_person_is_told(self):
        result = self.does("pull", "--dry-run", self.origin, self.local)
        self.assertRegex(result.stderr, r"\Alockstep: dry run: at most \d+ of \d+ pages would be pulled, [\d,]+ bytes; nothing was changed "
                         r"\(the file would be made anew, so all pages were counted\)\n\Z")


class Limits(Case):
    def test_bwlimit(self):
        """At 128 KiB a second, about 350 KB take more than two seconds, whichever side sends them."""
        cli.execute(self.origin, "insert into long values(3, randomblob(100000))")
        for words in (["pull", "--bwlimit", "128", self.origin, self.local],
                      ["push", "--bwlimit=131072b", self.local, self.path("there", "new.db")]):
            told = json.loads(self.does(*words, "--json", "--no-compress").stdout)
            moved = told["bytes_sent"] + told["bytes_received"]
            self.assertGreater(moved, 300000)
            # What is ahead at the end: half a second, and what one step brings.
            self.assertGreater(told["phases"]["moving"], (moved - 65536 - 132000) / 131072)
            self.assertEqual(cli.content(self.local), cli.content(words[-1] if words[0] == "push" else self.origin))

    def test_rates(self):
        for value in ("fast", "-1", "1b", "5T", ""):
            self.assert_status(self.lockstep("pull", "--bwlimit", value, self.origin, self.local), "USAGE", "--bwlimit", "is not a rate")
        for value in ("0", "1.5m", "2MB", "512b", "1GiB"):
            self.does("pull", "--bwlimit", value, self.origin, self.local)

    def test_io_timeout(self):
        exe = cli.write_script(self.path("exe"), "#!/bin/sh\nexec sleep 100\n")
        self.assert_status(self.lockstep("pull", "--io-timeout", "9s", self.origin, self.local), "USAGE", "less than 10 seconds")
        result = self.lockstep("pull", "--io-timeout", "10s", "--exe", exe, self.origin, self.local)
        self.assert_status(result, "TIMEOUT", "nothing came from the origin for 10 seconds")


if __name__ == "__main__":
    unittest.main()

"""What changes nothing, at a daemon: history, diff and dry runs, their rights, and that they leave nothing behind; resolve; a rate that the daemon keeps to."""
import json
import os
import sqlite3
import threading
import unittest

from daemon import Case, change, text_of


class Looks(Case):
    def setUp(self):
        super().setUp()
        self.daemon = self.start()
        self.lockstep("pull", self.url(), self.local)

    def told(self, *words, **kwargs):
        return json.loads(self.lockstep(words[0], "--json", *words[1:], **kwargs).stdout)

    def test_who_may_pull_may_look(self):
        change(self.local)
        self.lockstep("push", "--instance", "ams/app/1", self.local, self.url())
        before = self.book()
        change(self.local, "again")
        for who in (self.worker, self.reader):
            entry = self.told("history", self.url(), who=who)["versions"][0]
            self.assertEqual((entry["version"], entry["instance"], entry["region"]), (2, "ams/app/1", "ams"))
            self.assertEqual([row["name"] for row in self.told("diff", self.url(), self.local, who=who)["rows"]], ["t"])
            self.assertEqual(self.told("pull", "-n", "--discard", self.url(), self.local, who=who)["pages_differing"], 1)
        self.assertEqual(self.told("push", "-n", self.local, self.url())["version"], 3)
        self.lockstep("push", "-n", self.local, self.url(), who=self.reader, status=77)
        self.assertEqual(self.book(), before)
        # They end as they should: nothing in the log is an error but the one that was refused.
        self.assert_idle(self.daemon)
        self.assertNotIn("before it was through", self.daemon.log())

    def book(self):
        """The origin's bookkeeping."""
        connection = sqlite3.connect(self.origin + "-lockstep", timeout=20)
        try:
            return list(connection.iterdump())
        finally:
            connection.close()

    def test_a_dry_run_waits_for_nobody(self):
        """A push holds the turn and its time: it sends a little, slowly. A dry run of another one is through before it."""
        connection = sqlite3.connect(self.local)
        connection.executemany("insert into t(text) values(?)", ((os.urandom(30000).hex(),) for _ in range(12)))
        connection.commit()
        connection.close()
        other = os.path.join(self.folder, "other.db")
        self.lockstep("pull", self.url(), other)
        change(other, "other")
        done = []
        pushing = threading.Thread(target=lambda: done.append(self.lockstep("push", "--bwlimit", "32", self.local, self.url())))
        pushing.start()
        try:
            self.daemon.wait_for("opens a.db", 3)
            self.assertEqual(self.told("push", "-n", other, self.url())["pages_differing"], 1)
            self.assertEqual(done, [])
        finally:
            pushing.join()

    def test_conflict_and_resolve(self):
        other = os.path.join(self.folder, "other.db")
        self.lockstep("pull", self.url(), other)
        change(other, "theirs")
        self.lockstep("push", "--instance", "nrt/app/9", other, self.url())
        change(self.local, "ours")
        self.lockstep("push", self.local, self.url(), status=82, text="version 2 was pushed by nrt/app/9 at ")
        told = self.told("resolve", "--keep-local", self.url(), self.local)
        self.assertEqual([text_of(path) for path in (self.origin, self.local, told["kept"])], ["ours", "ours", "theirs"])
        change(other, "theirs again")
        told = self.told("resolve", "--take-origin", self.url(), other)
        self.assertEqual([text_of(path) for path in (other, told["kept"])], ["ours", "theirs again"])

    def test_the_daemon_keeps_to_the_rate(self):
        connection = sqlite3.connect(self.origin)
        connection.executemany("insert into t(text) values(?)", ((os.urandom(40000).hex(),) for _ in range(4)))
        connection.commit()
        connection.close()
        told = self.told("pull", "--bwlimit", "128", "--no-compress", self.url(), self.local)
        self.assertGreater(told["bytes_received"], 150000)
        self.assertGreater(told["phases"]["moving"], (told["bytes_received"] - 65536 - 132000) / 131072)


if __name__ == "__main__":
    unittest.main()

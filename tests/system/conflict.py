"""Two copies that both moved: who moved the origin, and the ways out."""
import json
import os
import unittest

import cli


class Conflict(cli.Case):
    def setUp(self):
        super().setUp()
        self.origin, self.local, self.other = self.path("origin.db"), self.path("local.db"), self.path("other.db")
        cli.make_counter(self.origin, 7, rows=20)

    def does(self, *words, **kwargs):
        return self.assert_status(self.lockstep(*words, **kwargs), 0)

    def diverge(self):
        """Two copies; the other one's change is pushed, ours (+100) is not."""
        self.does("pull", self.origin, self.local)
        self.does("pull", self.origin, self.other)
        cli.add(self.other, 10)
        self.does("push", "--instance", "ams/app/other", self.other, self.origin)
        cli.add(self.local, 100)

    def history(self, *words):
        return json.loads(self.does("history", "--json", *words, self.origin).stdout)


class History(Conflict):
    def test_versions(self):
        self.does("pull", self.origin, self.local)
        lock = "file://" + self.path("lock")
        self.does("run", "--instance", "iad/app/1", "--lock", lock, self.origin, self.local, "--", "sqlite3-free-of",
                  env={"PATH": self.job_path()})
        cli.add(self.origin, 1)
        told = self.history()
        self.assertEqual([(row["version"], row["how"], row["instance"], row["region"], row["token"]) for row in told["versions"]],
                         [(2, "pushed", "iad/app/1", "iad", 1), (1, "changed", "", "", 0)])
        # The change that nobody has noticed is counted, and told as what it is.
        self.assertEqual(told["version"], 3)
        self.assertGreater(told["versions"][0]["pages"], 0)
        self.assertGreater(told["versions"][0]["bytes"], 20)
        text = self.does("history", self.origin).stdout
        self.assertRegex(text, r"(?m)^ +3 +a change without Lockstep, noticed only now$")
        self.assertRegex(text, r"(?m)^ +2  20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ +1 +\d+ +[\d,]+  iad/app/1$")
        self.assertRegex(text, r"(?m)^ +1  20\S+ +a change without Lockstep, noticed then$")
        self.assertEqual([row["version"] for row in self.history("--limit", "1")["versions"]], [2])

    def job_path(self):
        """A folder with a job that changes its database."""
        os.makedirs(self.path("bin"), exist_ok=True)
        cli.write_script(self.path("bin", "sqlite3-free-of"), "#!/bin/sh\nexec /usr/bin/env -i /usr/bin/python3 -c "
                         "'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(\"update counter set n = n + 1\"); "
                         "c.commit()' \"$LOCKSTEP_DB\"\n")
        return self.path("bin") + ":/usr/bin:/bin"

    def test_of_nothing(self):
        self.assertEqual(self.history(), {"v": 1, "kind": "history", "version": 1, "versions": []})
        self.assert_status(self.lockstep("history", self.path("no", "such.db")), "NO_DATABASE", "asking", "versions")

    def test_needs_the_right_to_pull(self):
        exe = cli.write_script(self.path("exe"), f"#!/bin/sh\nexec {cli.ORIGIN} --allow push \"$@\"\n")
        self.assert_status(self.lockstep("history", "--exe", exe, self.origin), "NOT_ALLOWED", "may not pull")


class Refused(Conflict):
    def test_who_moved_the_origin(self):
        self.diverge()
        result = self.assert_status(self.lockstep("push", self.local, self.origin), "STALE_BASE", self.origin)
        self.assertRegex(result.stderr, r"is at version 2 now \(version 2 was pushed by ams/app/other at 20\S+Z, \d+ seconds? ago\), "
                         r"and the replica's copy was made from version 1; nothing was changed")
        for text in ("`lockstep history`", "`lockstep resolve --take-origin`", "`lockstep resolve --keep-local`"):
            self.assertIn(text, result.stderr)
        self.assertEqual(cli.count(self.origin), 17)

    def test_somebody_without_lockstep(self):
        self.does("pull", self.origin, self.local)
        cli.add(self.origin, 1)
        cli.add(self.local, 100)
        self.assert_status(self.lockstep("push", self.local, self.origin), "STALE_BASE",
                           "(version 2 was made on the origin's machine, without Lockstep, and is noticed only now)")
        # Once it was noticed, it is told when.
        self.does("pull", self.origin, self.other)
        self.assert_status(self.lockstep("push", self.local, self.origin), "STALE_BASE",
                           "(version 2 was made on the origin's machine, without Lockstep (noticed 20")


if __name__ == "__main__":
    unittest.main()

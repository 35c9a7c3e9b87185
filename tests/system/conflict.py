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
        self.assertRegex(text, r"(?m)^ +1  20\S+ +as it was at the first sync$")
        self.does("pull", self.origin, self.other)
        self.assertRegex(self.does("history", self.origin).stdout, r"(?m)^ +3  20\S+ +a change without Lockstep, noticed then$")
        self.assertEqual([row["version"] for row in self.history("--limit", "1")["versions"]], [3])

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


class TakeOrigin(Conflict):
    def test_the_local_work_is_kept_beside(self):
        self.diverge()
        result = self.does("resolve", "--take-origin", "--json", self.origin, self.local)
        told = cli.json_of(result)
        self.assertEqual((told["way"], told["pulled"]["version"], told["pushed"]), ("take-origin", 2, None))
        self.assertEqual([cli.count(path) for path in (self.origin, self.local, told["kept"])], [17, 17, 107])
        self.assertRegex(told["kept"], r"/local\.db\.unpushed-20\S+Z$")
        self.assertIn(f"it is no longer in {self.local} and remains in {told['kept']}", result.stderr)
        cli.add(self.local, 1)
        self.does("push", self.local, self.origin)

    def test_what_is_written_meanwhile_is_kept_too(self):
        """The origin's program, at the second conversation, the pull that would replace the local content, has somebody change it first."""
        self.diverge()
        exe = cli.write_script(self.path("exe"), f"#!/bin/sh\necho x >>{self.path('calls')}\n"
                               f"[ $(wc -l <{self.path('calls')}) = 2 ] && python3 -c 'import sqlite3; "
                               f"c = sqlite3.connect(\"{self.local}\"); c.execute(\"update counter set n = n + 1000\"); c.commit()'\n"
                               f"exec {cli.ORIGIN} \"$@\"\n")
        told = cli.json_of(self.does("resolve", "--take-origin", "--exe", exe, "--json", self.origin, self.local))
        self.assertEqual((cli.count(self.local), cli.count(told["kept"])), (17, 1107))
        kept = [name for name in os.listdir(self.folder) if name.startswith("local.db.unpushed-")]
        self.assertEqual(sorted(cli.count(self.path(name)) for name in kept), [107, 1107])

    def test_without_local_work_it_is_a_pull(self):
        self.does("pull", self.origin, self.local)
        cli.add(self.origin, 1)
        told = cli.json_of(self.does("resolve", "--take-origin", "--json", self.origin, self.local))
        self.assertEqual((told["kept"], told["pulled"]["pages_differing"]), (None, 1))
        self.assertEqual(cli.count(self.local), 8)


class KeepLocal(Conflict):
    def test_the_origins_content_is_kept_beside(self):
        self.diverge()
        result = self.does("resolve", "--keep-local", "--over", "2", "--json", self.origin, self.local)
        told = cli.json_of(result)
        self.assertEqual((told["way"], told["pulled"], told["replaced_version"], told["pushed"]["version"]), ("keep-local", None, 2, 3))
        self.assertEqual([cli.count(path) for path in (self.origin, self.local, told["kept"])], [107, 107, 17])
        self.assertRegex(told["kept"], r"/local\.db\.origin-20\S+Z$")
        self.assertIn(f"version 2 of the origin was replaced: its changes are no longer there; they remain in {told['kept']}",
                      result.stderr)
        # The other one is now the one who is behind.
        cli.add(self.other, 1)
        self.assert_status(self.lockstep("push", self.other, self.origin), "STALE_BASE", "version 3 was pushed by test ")

    def test_over_another_version(self):
        self.diverge()
        self.assert_status(self.lockstep("resolve", "--keep-local", "--over", "1", self.origin, self.local), "STALE_BASE",
                           "is at version 2, not at version 1; nothing was changed")
        self.assertEqual(cli.count(self.origin), 17)
        self.assertEqual([name for name in os.listdir(self.folder) if ".origin-" in name], [])

    def test_a_third_change_in_between_is_a_conflict_again(self):
        """The origin's program at the third conversation, the push, is one that lets somebody change the database first."""
        self.diverge()
        exe = cli.write_script(self.path("exe"), f"#!/bin/sh\necho x >>{self.path('calls')}\n"
                               f"[ $(wc -l <{self.path('calls')}) = 3 ] && python3 -c 'import sqlite3; "
                               f"c = sqlite3.connect(\"{self.origin}\"); c.execute(\"update counter set n = n + 1000\"); c.commit()'\n"
                               f"exec {cli.ORIGIN} \"$@\"\n")
        self.assert_status(self.lockstep("resolve", "--keep-local", "--exe", exe, self.origin, self.local), "STALE_BASE",
                           "the origin changed again while this was being resolved", "without Lockstep")
        self.assertEqual((cli.count(self.origin), cli.count(self.local)), (1017, 107))
        # What was kept is still there, and another attempt keeps what there is now.
        told = cli.json_of(self.does("resolve", "--keep-local", "--json", self.origin, self.local))
        self.assertEqual([cli.count(path) for path in (self.origin, told["kept"])], [107, 1017])

    def test_the_lock_is_respected(self):
        self.diverge()
        lock = "file://" + self.path("lock")
        self.does("run", "--lock", lock, self.origin, self.other, "--", "true")
        self.assert_status(self.lockstep("resolve", "--keep-local", self.origin, self.local), "FENCED", "lockstep lock acquire")
        lease = cli.json_of(self.does("lock", "acquire", "--json", lock))
        words = ["--token", str(lease["token"]), "--lease", lease["lease"]]
        self.does("resolve", "--keep-local", *words, self.origin, self.local)
        self.does("lock", "release", *words, lock)
        self.assertEqual(cli.count(self.origin), 107)

    def test_nothing_to_resolve(self):
        self.does("pull", self.origin, self.local)
        told = cli.json_of(self.does("resolve", "--keep-local", "--json", self.origin, self.local))
        self.assertEqual((told["kept"], told["pushed"]["pages_differing"]), (None, 0))

    def test_which_way_must_be_said(self):
        for words in ([], ["--keep-local", "--take-origin"]):
            self.assert_status(self.lockstep("resolve", *words, self.origin, self.local), "USAGE", "say: lockstep resolve")
        self.assert_status(self.lockstep("resolve", "--take-origin", "--over", "3", self.origin, self.local), "USAGE", "--over goes with")


if __name__ == "__main__":
    unittest.main()

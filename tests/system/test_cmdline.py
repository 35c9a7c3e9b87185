"""Command lines: every command and option, help, usage errors, and the form of sqlite3_rsync with its options and output."""
import itertools
import json
import os
import re
import unittest

import cli

COMMANDS = ("run", "pull", "push", "status", "verify", "diff", "resolve", "history", "lock")
LINK_OPTIONS = ("--exe", "--ssh", "-p", "--port", "-i", "--identity", "-F", "--ssh-config", "--accept-new-host-key",
                "--connect-timeout", "--retry-for", "--timeout",
                "--ca", "--pin", "--cert", "--key", "--token-file", "--progress", "--io-timeout")
MOVE_OPTIONS = ("--compress-level", "--no-compress", "--base", "--stats", "--bwlimit")
SYNC_OPTIONS = MOVE_OPTIONS + ("--adopt", "--force-reset", "--replace", "--wal-only")
COMMON_OPTIONS = ("--instance", "-v", "--verbose", "-q", "--quiet", "--json", "--version", "-h", "--help", "-?")
OPTIONS = {
    "run": LINK_OPTIONS + SYNC_OPTIONS + COMMON_OPTIONS + ("--lock", "--lock-wait", "--lock-timeout", "--kill-after", "--discard",
                                                           "-n", "--dry-run"),
    "pull": LINK_OPTIONS + SYNC_OPTIONS + COMMON_OPTIONS + ("--discard", "-n", "--dry-run"),
    "push": LINK_OPTIONS + SYNC_OPTIONS + COMMON_OPTIONS + ("--token", "--lease", "-n", "--dry-run"),
    "status": LINK_OPTIONS + COMMON_OPTIONS,
    "verify": LINK_OPTIONS + COMMON_OPTIONS,
    "diff": LINK_OPTIONS + COMMON_OPTIONS,
    "resolve": LINK_OPTIONS + MOVE_OPTIONS + COMMON_OPTIONS + ("--take-origin", "--keep-local", "--over", "--token", "--lease"),
    "history": LINK_OPTIONS + COMMON_OPTIONS + ("--limit",),
    "lock": COMMON_OPTIONS + ("--lock-wait", "--lock-timeout", "--token", "--lease"),
}
# A value that the option takes; the others take none.
VALUES = {"--exe": cli.ORIGIN, "--ssh": "ssh", "-p": "22", "--port": "22", "-i": "/k", "--identity": "/k", "-F": "/c",
          "--ssh-config": "/c", "--connect-timeout": "5s", "--retry-for": "1m", "--timeout": "30", "--compress-level": "9", "--base": "none", "--instance": "me",
          "--lock": "file:///l", "--lock-wait": "1m", "--lock-timeout": "1h", "--kill-after": "250ms", "--token": "1",
          "--lease": "00" * 16, "--ca": "/ca", "--pin": "00" * 32, "--cert": "/c", "--key": "/k", "--token-file": "/t", "--limit": "7", "--bwlimit": "1M", "--io-timeout": "20s",
          "--over": "7"}


class Help(cli.Case):
    def test_of_the_program_names_every_command(self):
        for word in ("--help", "-help", "-h", "--h", "-?", "--?"):
            result = self.assert_status(self.lockstep(word), 0)
            self.assertEqual(result.stderr, "")
            for command in COMMANDS:
                self.assertRegex(result.stdout, rf"lockstep {command} .*")
            self.assertIn("sqlite3_rsync", result.stdout)

    def test_of_each_command_names_every_option(self):
        for command, options in OPTIONS.items():
            result = self.assert_status(self.lockstep(command, "--help"), 0)
            words = re.findall(r"(?<![\w-])--?[\w?][\w-]*", result.stdout)
            self.assertEqual(sorted(set(words)), sorted(options), command)
            self.assertIn(f"lockstep {command} ", result.stdout)

    def test_wins_over_missing_arguments_and_stands_anywhere(self):
        self.assert_status(self.lockstep("pull", "a", "-help"), 0)
        self.assert_status(self.lockstep("pull", "--help", "a", "b", "c", "d", "e"), 0)

    def test_without_a_word_is_a_usage_error(self):
        result = self.assert_status(self.lockstep(), "USAGE")
        self.assertIn("lockstep pull ORIGIN LOCAL", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_version(self):
        texts = set()
        for words in (["--version"], ["-version"], *([command, "--version"] for command in COMMANDS)):
            result = self.assert_status(self.lockstep(*words), 0)
            self.assertRegex(result.stdout, r"\Alockstep \d+\.\d+\.\d+\n\Z")
            texts.add(result.stdout)
        self.assertEqual(len(texts), 1)

    def test_of_the_origin(self):
        result = self.assert_status(self.run_program(cli.ORIGIN, "--help"), 0)
        for word in ("--stdio", "--root", "--allow", "--timeout", "authorized_keys"):
            self.assertIn(word, result.stdout)
        self.assertRegex(self.run_program(cli.ORIGIN, "-version").stdout, r"\Alockstep-origin \d")


class UsageErrors(cli.Case):
    def refused(self, *words, text):
        result = self.assert_status(self.lockstep(*words), "USAGE", text)
        self.assertEqual(result.stdout, "")
        return result

    def test_unknown_option(self):
        for words in (("pull", "--nonsense", "a", "b"), ("--nonsense", "a", "b"), ("lock", "--nonsense", "show", "file:///x")):
            self.refused(*words, text="there is no option --nonsense; --help tells which there are")
        self.refused("pull", "-vx", "a", "b", text="there is no option -vx")

    def test_option_of_another_command(self):
        for command, options in OPTIONS.items():
            for other in sorted({option for group in OPTIONS.values() for option in group} - set(options)):
                words = [other, VALUES[other]] if other in VALUES else [other]
                self.refused(command, *words, "a", "b", text=f"there is no option {other}")
        # One that another command has: that is said.
        self.refused("status", "--discard", "a", "b", text="`lockstep run` has it")

    def test_value_is_missing_or_too_much(self):
        self.refused("pull", "a", "b", "--timeout", text="--timeout needs a value: TIME")
        self.refused("pull", "--adopt=yes", "a", "b", text="--adopt takes no value")

    def test_values_that_are_none(self):
        for option, value, text in (
                ("--port", "0", "from 1 to 65535"), ("--port", "65536", "from 1 to 65535"), ("-p", "ssh", "from 1 to 65535"),
                ("--timeout", "soon", "is not a duration: say 30, 30s, 250ms, 5m or 2h"),
                ("--timeout", "-1", "is not a duration"), ("--timeout", "nan", "is not a duration"),
                ("--timeout", "", "is not a duration"),
                ("--compress-level", "20", "from 1 to 19"), ("--compress-level", "3x", "from 1 to 19")):
            self.refused("pull", "a", "b", option, value, text=text)
        self.refused("run", "--lock-timeout", "never", "a", "b", "--", "true", text="--lock-timeout: \"never\" is not a duration")
        self.refused("push", "a", "b", "--token", "0", "--lease", "00" * 16, text="--token")

    def test_arguments(self):
        self.refused("pull", "a", text="say: lockstep pull ORIGIN LOCAL")
        self.refused("pull", "a", "b", "c", text="say: lockstep pull ORIGIN LOCAL")
        self.refused("pull", "a", "b", "c", "d", text="\"d\" is one argument too many")
        self.refused("push", "a", text="say: lockstep push LOCAL ORIGIN")
        self.refused("status", "a", text="say: lockstep status ORIGIN LOCAL")
        self.refused("diff", "a", text="say: lockstep diff ORIGIN LOCAL")
        self.refused("history", text="say: lockstep history ORIGIN")
        self.refused("verify", "a", text="say: lockstep verify ORIGIN LOCAL")
        self.refused("run", "a", "b", text="say: lockstep run [--lock URL] ORIGIN LOCAL -- COMMAND")
        self.refused("run", "a", "b", "--", text="say: lockstep run [--lock URL] ORIGIN LOCAL -- COMMAND")
        self.refused("lock", "show", text="say: lockstep lock show|acquire|release|break|doctor URL")
        self.refused("lock", "steal", "file:///x", text="say: lockstep lock show|acquire|release|break|doctor URL")

    def test_local_side_must_be_local(self):
        for words in (("pull", "a.db", "host:b.db"), ("push", "host:a.db", "b.db"), ("status", "a.db", "host:b.db"),
                      ("verify", "a.db", "ssh://host/b.db"), ("run", "a.db", "host:b.db", "--", "true")):
            self.refused(*words, text="must be a file on this machine")
        self.assertEqual(sorted(os.listdir(self.folder)), ["home"])

    def test_command_that_there_is_not_or_comes_late(self):
        self.refused("pul", "a", "b", text="there is no command pul")
        self.refused("-v", "pull", "a", "b", text="the command comes first: lockstep pull")
        self.refused("help", text="there is no command help")

    def test_token_without_lease(self):
        self.refused("push", "a", "b", "--token", "3", text="--token and --lease go together")
        self.refused("push", "a", "b", "--token", "3", "--lease", "xyz", text="--token and --lease go together")
        self.refused("lock", "release", "file://" + self.path("l"), text="give --token N --lease ID")

    def test_endpoints(self):
        for endpoint, text in (("", "an empty path"), ("http://x/y", "scheme"), ("ssh://host", "no database behind it"),
                               ("host:", "no path behind the ':'"), ("-oProxyCommand=x:y", "there is no option"),
                               ("ssh://-oProxyCommand=x/y", "begins with '-'"), ("a b:c", "is not taken"),
                               ("tls://host", "no database behind it"), ("tls://me@host/name", "takes no user name")):
            self.refused("pull", endpoint, self.path("local.db"), text=text)

    def test_as_json(self):
        result = self.lockstep("pull", "--json", "a")
        self.assertEqual(result.status, 64)
        told = json.loads(result.stdout)
        self.assertEqual((told["error"], told["exit_status"]), ("USAGE", 64))
        self.assertIn(told["message"], result.stderr)

    def test_of_the_origin(self):
        for words, text in ((["x.db"], "say --stdio PATH"), (["--stdio"], "which database? give its PATH"),
                            (["--stdio", "a", "b"], "one PATH is served"),
                            (["--stdio", "--allow", "write", "a"], "neither pull nor push"),
                            (["--nonsense"], "there is no option --nonsense")):
            self.assert_status(self.run_program(cli.ORIGIN, *words), "USAGE", text)


class Options(cli.Case):
    """One or two dashes, in any place, with = or the next word."""

    def setUp(self):
        super().setUp()
        self.origin, self.local = self.path("origin.db"), self.path("local.db")
        cli.make_counter(self.origin, 7)

    def works(self, *words):
        result = self.assert_status(self.lockstep(*words), 0)
        self.assertEqual(cli.content(self.origin), cli.content(self.local))
        return result

    def test_dashes_and_places(self):
        self.works("pull", "--timeout", "5s", self.origin, self.local)
        cli.add(self.origin)
        self.works("pull", "-timeout", "5s", self.origin, "-v", self.local)
        cli.add(self.origin)
        self.works("pull", self.origin, "--timeout=5s", self.local, "--no-compress")
        cli.add(self.origin)
        self.works("pull", self.origin, self.local, "-compress-level=19", "-vv")
        cli.add(self.local)
        self.works("push", self.local, "-adopt", self.origin, "--exe", cli.ORIGIN)

    def test_every_option_is_taken(self):
        """All of them at once, with a file that is not there: the options are read before it is looked for."""
        for command, options in OPTIONS.items():
            taken = [option for option in options if option not in ("--version", "-h", "--help", "-?", "--take-origin")]
            words = sum(([option, VALUES[option]] if option in VALUES else [option] for option in taken), [])
            none, nowhere = self.path("none.db"), self.path("no-origin.db")
            arguments = {"push": [none, nowhere], "lock": ["show", "file://" + none],
                         "history": [nowhere], "run": [nowhere, none, "--", "true"]}.get(command, [nowhere, none])
            result = self.lockstep(command, *words, *arguments)
            self.assert_status(result, 0 if command in ("lock", "status", "history") else
                               "STALE_BASE" if command == "resolve" else "NO_DATABASE")

    def test_files_whose_names_begin_with_a_dash(self):
        self.assert_status(self.lockstep("pull", "--", self.origin, "-local.db", cwd=self.folder), 0)
        self.assertEqual(cli.content(self.origin), cli.content(self.path("-local.db")))

    def test_quiet_says_nothing_and_json_is_one_object(self):
        result = self.works("pull", "-q", self.origin, self.local)
        self.assertEqual((result.stdout, result.stderr), ("", ""))
        cli.add(self.origin)
        told = json.loads(self.works("pull", "-q", "--json", self.origin, self.local).stdout)
        self.assertEqual((told["done"], told["page_size"], told["pages_differing"]), ("pulled", 4096, 1))
        for command in ("status", "verify"):
            told = json.loads(self.works(command, "--json", self.origin, self.local).stdout)
            self.assertEqual(told["equal"], True)
        cli.add(self.local)
        result = self.assert_status(self.lockstep("verify", "--json", self.origin, self.local), "VERIFY_FAILED")
        self.assertEqual(json.loads(result.stdout)["error"], "VERIFY_FAILED")

    def test_status_tells_which_side_moved(self):
        def state():
            return re.search(r"^state: +(.*)$", self.assert_status(self.lockstep("status", self.origin, self.local), 0).stdout,
                             re.M).group(1)

        self.assertEqual(state(), "no local copy: pull")
        os.rename(self.origin, self.path("away"))
        self.assertEqual(state(), "there is no database on either side")
        os.rename(self.path("away"), self.origin)
        self.works("pull", self.origin, self.local)
        self.assertEqual(state(), "in sync")
        cli.add(self.local)
        self.assertEqual(state(), "local changes not yet pushed: push")
        cli.add(self.origin, 5)
        self.assertEqual(state(), "diverged: local changes, and the origin moved on")
        self.works("pull", "--discard", self.origin, self.local)
        cli.add(self.origin)
        self.assertEqual(state(), "the origin is ahead: pull")

    def test_verify_prints_both_digests(self):
        self.works("pull", self.origin, self.local)
        here = re.findall(r"^(origin|local) +([0-9a-f]{64})$", self.works("verify", self.origin, self.local).stdout, re.M)
        self.assertEqual(len(here), 2)
        self.assertEqual(here[0][1], here[1][1])
        cli.add(self.local)
        result = self.assert_status(self.lockstep("verify", self.origin, self.local), "VERIFY_FAILED", self.origin, self.local,
                                    "`lockstep status`")
        there = re.findall(r" ([0-9a-f]{64})$", result.stdout, re.M)
        self.assertNotEqual(there[0], there[1])


class Sqlite3Rsync(cli.Case):
    """`lockstep ORIGIN REPLICA`, and the same under the name sqlite3_rsync."""

    def setUp(self):
        super().setUp()
        self.origin, self.replica = self.path("origin.db"), self.path("replica.db")
        cli.make_counter(self.origin, 7, rows=100)
        self.program = self.path("sqlite3_rsync")
        os.symlink(cli.LOCKSTEP, self.program)

    def rsync(self, *words, **kwargs):
        return self.run_program(self.program, *words, **kwargs)

    def works(self, *words, **kwargs):
        result = self.assert_status(self.rsync(*words, **kwargs), 0)
        self.assertEqual(cli.content(self.origin), cli.content(self.replica))
        return result

    def test_both_names(self):
        result = self.works(self.origin, self.replica)
        self.assertEqual((result.stdout, result.stderr), ("", ""))
        cli.add(self.origin)
        result = self.assert_status(self.lockstep(self.origin, self.replica), 0)
        self.assertEqual((result.stdout, result.stderr), ("", ""))
        self.assertEqual(cli.count(self.replica), 8)

    def test_commands_are_files_under_that_name(self):
        os.rename(self.origin, self.path("pull"))
        self.assert_status(self.rsync("pull", "push", cwd=self.folder), 0)
        self.assertEqual(cli.count(self.path("push")), 7)

    def test_every_option_with_one_and_two_dashes_in_any_place(self):
        pair = [self.origin, self.replica]
        places = itertools.cycle(range(3))
        for words in (["--exe", cli.ORIGIN], ["--protocol", "1"], ["--protocol", "99"], ["--ssh", "ssh"], ["-p", "2222"],
                      ["--port", "2222"], ["-v"], ["-vv"], ["-vvv"], ["-v", "-v"], ["--wal-only"]):
            for dashes in ("-", "--"):
                given = [dashes + words[0].lstrip("-"), *words[1:]]
                place = next(places)
                self.works(*pair[:place], *given, *pair[place:])
        for word in ("--help", "-help", "-?", "--?"):
            result = self.assert_status(self.rsync(word), 0)
            for option in ("--exe PATH", "--help", "-p|--port PORT", "--protocol N", "--ssh PROGRAM", "-v", "--version",
                           "--wal-only"):
                self.assertIn(option, result.stdout)
        for word in ("--version", "-version"):
            self.assertRegex(self.assert_status(self.rsync(word), 0).stdout, r"\Asqlite3_rsync \(lockstep\) \d+\.\d+\.\d+\n\Z")

    def test_usage_errors(self):
        for words, text in (([], "ORIGIN REPLICA"), ([self.origin], "ORIGIN REPLICA"), (["a", "b", "c"], "ORIGIN REPLICA"),
                            (["--nonsense", "a", "b"], "there is no option --nonsense"), (["-p"], "needs a value: PORT"),
                            (["-p", "0", "a", "b"], "from 1 to 65535"),
                            (["host:a", "user@other:b"], "at least one of ORIGIN and REPLICA must be a local database"),
                            (["ssh://h/a", "h:b"], "at least one of ORIGIN and REPLICA must be a local database")):
            self.assert_status(self.rsync(*words), "USAGE", text)

    def test_verbose_lines(self):
        quiet = r"sent [\d,]+ bytes, received [\d,]+ bytes(, [\d,]+\.\d\d bytes/sec)?\n"
        total = r"total size ([\d,]+)(  speedup is \d+\.\d\d)?\n"
        first = self.works(self.origin, self.replica, "-v")
        self.assertRegex(first.stdout, rf"\A{quiet}{total}\Z")
        size = int(re.search(r"total size ([\d,]+)", first.stdout).group(1).replace(",", ""))
        page_size, page_count = [cli.execute(self.origin, "pragma " + name)[0][0] for name in ("page_size", "page_count")]
        self.assertEqual(size, page_size * page_count)
        cli.add(self.origin)
        second = self.works(self.origin, self.replica, "-v")
        sent, received = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) bytes,? ", second.stdout + " ")[:2]]
        speedup = float(re.search(r"speedup is ([\d.]+)", second.stdout).group(1))
        self.assertAlmostEqual(speedup, size / (sent + received), delta=0.011)
        self.assertRegex(self.works(self.origin, self.replica, "-vvv").stdout, rf"\A(.*\n)*{quiet}{total}.*page updates: \d+.*\n\Z")

    def test_a_failure_says_that_nothing_was_synced(self):
        result = self.assert_status(self.rsync(self.path("none.db"), self.replica), "NO_DATABASE", "none.db")
        self.assertEqual(result.stdout, "Databases were not synced due to errors\n")
        self.assertFalse(os.path.exists(self.replica))

    def test_replica_is_overwritten_as_its_users_expect(self):
        """Local changes, and a database that came from elsewhere: both become a copy, without another word."""
        cli.make_counter(self.replica, 99)
        self.works(self.origin, self.replica)
        cli.add(self.replica, 1000)
        cli.add(self.origin)
        self.works(self.origin, self.replica)
        self.assertEqual(cli.count(self.replica), 8)

    def test_an_empty_origin_never_replaces_a_full_replica(self):
        self.works(self.origin, self.replica)
        before = cli.content(self.replica)
        for make in (lambda path: open(path, "wb").close(),
                     lambda path: cli.execute(path, "create table t(x)", "drop table t", "vacuum")):
            empty = self.path("empty.db")
            if os.path.exists(empty):
                os.remove(empty)
            make(empty)
            result = self.rsync(empty, self.replica)
            self.assertIn(result.status, (66, 83), result)
            self.assertEqual(cli.content(self.replica), before)
        self.assert_status(result, "FOREIGN_LINEAGE", "--force-reset", self.replica)
        self.assert_status(self.rsync(empty, self.replica, "--force-reset"), 0)
        self.assertEqual(cli.content(self.replica), cli.content(empty))

    def test_wal_only(self):
        cli.make_counter(self.replica, 1, wal=False)
        self.assert_status(self.rsync("--wal-only", self.origin, self.replica), "USAGE", "--wal-only", self.replica)
        self.assertEqual(cli.count(self.replica), 1)
        cli.execute(self.replica, wal=True)
        self.works("--wal-only", self.origin, self.replica)
        cli.execute(self.origin, wal=False)
        self.assert_status(self.rsync("--wal-only", self.origin, self.replica), "USAGE", "--wal-only", "origin")

    def test_what_is_a_host(self):
        """A ':' before any '/' or '\\' ends a host: the genuine program's rule. SSH is a program that says its arguments."""
        ssh = cli.write_script(self.path("say-ssh"), "#!/bin/sh\necho \"arguments: $*\" >&2\nexit 3\n")
        for name, host in (("host:x.db", "host"), ("me@host:x.db", "host"), ("C:x.db", "C"), ("ssh://host/x.db", "host")):
            result = self.rsync("--ssh", ssh, name, self.replica)
            self.assert_status(result, "NO_LINK", "arguments: ")
            self.assertRegex(result.stderr, rf"arguments: .*\b{host}\b", name)
        for name in ("./host:x.db", "dir/host:x.db", "back\\slash:x.db", "x.db"):
            os.makedirs(self.path("dir"), exist_ok=True)
            cli.make_counter(self.path(name), 5)
            replica = self.path("copy.db")
            result = self.assert_status(self.rsync("--ssh", ssh, name, replica, cwd=self.folder), 0)
            self.assertNotIn("arguments", result.stderr)
            self.assertEqual(cli.count(replica), 5)
            os.remove(replica)
            for tail in ("-lockstep", "-wal", "-shm"):
                if os.path.exists(replica + tail):
                    os.remove(replica + tail)


if __name__ == "__main__":
    unittest.main()

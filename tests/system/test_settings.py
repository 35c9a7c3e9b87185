"""Settings from the environment: each option has its variable, the command line wins, errors name the variable, and `config` tells."""
import json
import os
import re
import unittest

import cli
import test_manual


class Settings(cli.Case):
    def setUp(self):
        super().setUp()
        self.origin, self.local = self.path("origin.db"), self.path("local.db")
        cli.make_counter(self.origin)

    def config(self, *words, env=None, program=cli.LOCKSTEP, status=0):
        """{name: (value, source, variable)} of `config --json`, and the names that are ignored."""
        told = json.loads(self.assert_status(self.run_program(program, "config", *words, "--json", env=env), status).stdout)
        return {row["name"]: (row["value"], row["source"], row["variable"]) for row in told["settings"]}, told["ignored"]

    def test_a_variable_does_what_its_option_does(self):
        """A pull whose origin is a script that says what it was asked; and flags, durations, choices."""
        exe = cli.write_script(self.path("exe"), f"#!/bin/sh\necho \"$*\" >{self.path('asked')}\nexec {cli.ORIGIN} \"$@\"\n")
        env = {"LOCKSTEP_EXE": exe, "LOCKSTEP_TIMEOUT": "7s", "LOCKSTEP_JSON": "yes", "LOCKSTEP_BASE": "none"}
        result = self.assert_status(self.lockstep("pull", self.origin, self.local, env=env), 0)
        self.assertEqual(json.loads(result.stdout)["done"], "pulled")
        with open(self.path("asked"), encoding="utf-8") as file:
            self.assertIn("--timeout 7000ms", file.read())
        self.assertFalse(os.path.exists(self.local + "-lockstep-base"))
        self.assert_status(self.lockstep("pull", "--timeout", "2s", self.origin, self.local, env=env), 0)
        with open(self.path("asked"), encoding="utf-8") as file:
            self.assertIn("--timeout 2000ms", file.read())

    def test_every_option_has_its_variable(self):
        """All of --help, but for those that the manual excepts."""
        page = test_manual.section(test_manual.source("man", "lockstep.1"), "ENVIRONMENT").replace("\\-", "-")
        excepted = set(re.findall(r"-[a-z-]+", re.search(r"^No variable have\n(.*?)\n[A-Z]", page, re.M | re.S).group(1)))
        values = {" TIME": "20s", " RATE": "5M", " N": "7", " PORT": "77", "": "1"}
        rows = {}
        for command in ("", "run", "pull", "push", "history", "resolve", "diff"):
            rows.update(test_manual.help_rows(self.lockstep(*command.split(), "--help").stdout))
        found = set()
        for names, (argument, _) in rows.items():
            name = next(name for name in names if name.startswith("--"))[2:]
            if name in ("help", "version", "json"):
                continue
            variable = "LOCKSTEP_" + name.upper().replace("-", "_")
            value = re.split(r"[|\]]", argument.strip(" [="))[0] if "|" in argument else values.get(argument, "x")
            told, _ = self.config(env={variable: value})
            if told[name][1:] != ("environment", variable):
                found.add("-" + name)
        self.assertEqual(found, excepted)

    def test_every_option_of_the_origin_has_its_variable(self):
        """Shown before it is found wrong: the values are any. What --stdio permits is on the command line alone."""
        page = test_manual.section(test_manual.source("man", "lockstep-origin.8"), "ENVIRONMENT").replace("\\-", "-")
        excepted = set(re.findall(r" -([a-z-]+)", re.search(r"^No variable have\n?(.*?)an SSH client", page, re.M | re.S).group(1)))
        for command, expected in ((["serve"], set()), (["keygen"], set()), ([], excepted)):
            found = set()
            for names in test_manual.help_rows(self.run_program(cli.ORIGIN, *command, "--help").stdout):
                name = next(name for name in names if name.startswith("--"))[2:]
                variable = "LOCKSTEP_ORIGIN_" + name.upper().replace("-", "_")
                told = json.loads(self.run_program(cli.ORIGIN, "config", *command, "--json", env={variable: "1"}).stdout)
                rows = {row["name"]: (row["source"], row["variable"]) for row in told["settings"]}
                if name in rows and rows[name] != ("environment", variable):
                    found.add(name)
            self.assertEqual(found, expected, command)

    def test_run_takes_its_lock_from_the_environment(self):
        url = "file://" + self.path("the.lock")
        env = {"LOCKSTEP_LOCK": url, "LOCKSTEP_INSTANCE": "iad-1", "LOCKSTEP_LOCK_WAIT": "0"}
        self.assert_status(self.lockstep("run", self.origin, self.local, "--", "true", env=env), 0)
        self.assertIn("iad-1", self.lockstep("lock", "show", url).stdout)
        self.assert_status(self.lockstep("lock", "acquire", url, env={"LOCKSTEP_INSTANCE": "other"}), 0)
        self.assert_status(self.lockstep("run", self.origin, self.local, "--", "true", env=env), "LOCK_HELD", url)

    def test_what_run_tells_its_job_is_no_setting_of_what_the_job_calls(self):
        """LOCKSTEP_TOKEN is that of the job's lock; a push to another database inside the job has nothing to do with it."""
        other, copy = self.path("other.db"), self.path("copy.db")
        cli.make_counter(other)
        self.assert_status(self.lockstep("pull", other, copy), 0)
        cli.add(copy)
        job = cli.write_script(self.path("job"), f"#!/bin/sh\n[ -n \"$LOCKSTEP_TOKEN$LOCKSTEP_DB$LOCKSTEP_VERSION\" ] || exit 9\n"
                               f"exec {cli.LOCKSTEP} push '{copy}' '{other}'\n")
        self.assert_status(self.lockstep("run", self.origin, self.local, "--", job), 0)
        self.assertEqual(cli.count(other), 1)

    def test_the_origin_has_variables_of_its_own(self):
        """What a daemon on this machine is told is not what a local origin may do, nor is a replica's certificate the daemon's."""
        env = {"LOCKSTEP_ORIGIN_ROOT": "/nowhere", "LOCKSTEP_ORIGIN_ALLOW": "iad=pull:*", "LOCKSTEP_CERT": "/mine"}
        self.assert_status(self.lockstep("pull", self.origin, self.local, env=env), 0)
        told, ignored = self.config("serve", program=cli.ORIGIN, env=env, status="USAGE")
        self.assertEqual(told["cert"], (None, "default", None))
        self.assertEqual(told["allow"], (["iad=pull:*"], "environment", "LOCKSTEP_ORIGIN_ALLOW"))
        self.assertEqual(ignored, [])
        self.assert_status(self.lockstep("pull", self.origin, self.local, env={"LOCKSTEP_ORIGIN_HISTORY_BYTES": "much"}), "NO_LINK",
                           "LOCKSTEP_ORIGIN_HISTORY_BYTES: --history-bytes: \"much\"")

    def test_errors_name_the_variable(self):
        for name, value, text in (("LOCKSTEP_TIMEOUT", "soon", "--timeout: \"soon\" is not a duration"),
                                  ("LOCKSTEP_ADOPT", "maybe", "\"maybe\" is neither yes nor no"),
                                  ("LOCKSTEP_PORT", "0", "from 1 to 65535"), ("LOCKSTEP_BASE", "x", "none of auto")):
            self.assert_status(self.lockstep("pull", self.origin, self.local, env={name: value}), "USAGE", name + ": ", text)
            self.assert_status(self.lockstep("pull", "--help", env={name: value}), 0)
        result = self.run_program(cli.ORIGIN, "serve", env={"LOCKSTEP_ORIGIN_DB": "noname"})
        self.assert_status(result, "USAGE", "LOCKSTEP_ORIGIN_DB: ")

    def test_verbose_and_quiet_the_command_line_wins(self):
        self.assert_status(self.lockstep("pull", self.origin, self.local), 0)
        cli.add(self.origin)
        loud = self.assert_status(self.lockstep("pull", "-v", self.origin, self.local, env={"LOCKSTEP_QUIET": "1"}), 0)
        self.assertIn("pulled version", loud.stderr)
        silent = self.assert_status(self.lockstep("pull", "-q", self.origin, self.local, env={"LOCKSTEP_VERBOSE": "2"}), 0)
        self.assertEqual(silent.stderr, "")

    def test_config_tells_where_each_comes_from(self):
        env = {"LOCKSTEP_LOCK_WAIT": "5m", "LOCKSTEP_IDENTITY": "a b", "LOCKSTEP_INSTANCE": None, "FLY_MACHINE_ID": "148e",
               "FLY_REGION": "iad", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_REGION": "auto", "LOCKSTEP_LOCKWAIT": "1",
               "LOCKSTEP_DB": "x", "LOCKSTEP_TOKEN_FILE": "/t"}
        told, ignored = self.config("run", "--lock", "s3://b/k", "-v", self.origin, self.local, env=env)
        self.assertEqual(told["lock"], ("s3://b/k", "command line", None))
        self.assertEqual(told["lock-wait"], ("5m", "environment", "LOCKSTEP_LOCK_WAIT"))
        self.assertEqual(told["identity"], (["a", "b"], "environment", "LOCKSTEP_IDENTITY"))
        self.assertEqual(told["timeout"], ("30s", "default", None))
        self.assertEqual(told["verbose"], (1, "command line", None))
        self.assertEqual(told["instance"], ("iad/148e", "environment", "FLY_MACHINE_ID"))
        self.assertEqual(told["AWS_SECRET_ACCESS_KEY"], ("********", "environment", "AWS_SECRET_ACCESS_KEY"))
        self.assertEqual(ignored, ["LOCKSTEP_LOCKWAIT"])
        text = self.assert_status(self.lockstep("config", env=env), 0).stdout
        self.assertIn("LOCKSTEP_LOCKWAIT is ignored", text)
        self.assertNotIn("very-secret", text)
        self.assertNotIn("secret", json.dumps(self.config("pull", env=env)[0]))
        self.assertNotIn("lock", self.config("pull", env=env)[0])
        self.assert_status(self.lockstep("config", "nonsense"), "USAGE", "there is no command nonsense")
        self.assert_status(self.lockstep("config", "pull", env={"LOCKSTEP_PORT": "x"}), "USAGE", "LOCKSTEP_PORT")

    def test_config_of_the_origin_says_what_the_command_would(self):
        result = self.run_program(cli.ORIGIN, "config", "serve", "--cert", "c", env={"LOCKSTEP_ORIGIN_IDLE_TIMEOUT": "3s"})
        self.assert_status(result, "USAGE", "which databases?")
        self.assertRegex(result.stdout, r"(?m)^idle-timeout +3s +environment LOCKSTEP_ORIGIN_IDLE_TIMEOUT$")
        self.assert_status(self.run_program(cli.ORIGIN, "config", "token"), "USAGE", "token has no settings")
        for words in (["config", "--help"], ["token", "--help"], ["config", "serve", "-h"]):
            self.assertIn("lockstep-origin " + words[0], self.assert_status(self.run_program(cli.ORIGIN, *words), 0).stdout)


if __name__ == "__main__":
    unittest.main()

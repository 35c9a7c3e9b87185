"""The files of deploy/: what they name exists, and every setting in them is an option."""
import json
import os
import re
import tomllib
import unittest

import cli

DEPLOY = os.path.join(os.environ["LOCKSTEP_SOURCE"], "deploy")


def text_of(*names):
    with open(os.path.join(DEPLOY, *names), encoding="utf-8") as file:
        return file.read()


class Deploy(cli.Case):
    def fly(self, app):
        return tomllib.loads(text_of(app, "fly.toml"))

    def test_images(self):
        stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text_of("Dockerfile"), re.MULTILINE))
        for app in ("origin", "job"):
            build = self.fly(app)["build"]
            self.assertTrue(os.path.exists(os.path.join(DEPLOY, app, build["dockerfile"])))
            self.assertIn(build["build-target"], stages)
        for name in re.findall(r"^COPY (?!--from)(.+) \S+$", text_of("Dockerfile"), re.MULTILINE):
            self.assertTrue(os.path.exists(os.path.join(DEPLOY, "..", name)), name)

    def assert_in_force(self, program, words, env):
        """Each variable of env is a setting of the command that words begin, and is what decides."""
        config = json.loads(self.assert_status(self.run_program(program, "config", *words, "--json", env=env), 0).stdout)
        settings = {setting["variable"]: setting for setting in config["settings"]}
        self.assertEqual(config["ignored"], [])
        for name, value in env.items():
            self.assertIn(name, settings)
            self.assertEqual(settings[name]["source"], "environment", name)
            told = settings[name]["value"]
            self.assertIn(value, [str(told)] + (told if isinstance(told, list) else []), name)

    def test_variables_are_options(self):
        serve = json.loads(re.search(r"^CMD (.*)", text_of("Dockerfile"), re.MULTILINE)[1])
        for program, words, app in ((cli.ORIGIN, serve, "origin"), (cli.LOCKSTEP, ["run"], "job")):
            env = {name: value for name, value in self.fly(app)["env"].items() if name.startswith("LOCKSTEP_")}
            self.assertGreater(len(env), 3)
            self.assert_in_force(program, words, env)

    def test_files_are_secrets_that_the_walk_through_sets(self):
        walk = text_of("README.md")
        for app in ("origin", "job"):
            fly = self.fly(app)
            paths = {file["guest_path"] for file in fly["files"]}
            for file in fly["files"]:
                self.assertRegex(walk, rf'\b{file["secret_name"]}="\$\(base64')
            for name, value in fly["env"].items():
                if value.startswith("/etc/lockstep/"):
                    self.assertIn(value, paths, name)

    def test_the_daemon_listens_where_checks_and_metrics_look(self):
        ports = set(re.findall(r"\[::\]:(\d+)", text_of("Dockerfile")))
        fly = self.fly("origin")
        self.assertIn(str(fly["metrics"]["port"]), ports)
        self.assertIn(str(fly["checks"]["health"]["port"]), ports)
        self.assertEqual(fly["mounts"]["destination"], re.search(r'"--root", "([^"]+)"', text_of("Dockerfile"))[1])

    def test_a_stop_is_waited_for(self):
        for app in ("origin", "job"):
            self.assertEqual(self.fly(app)["kill_signal"], "SIGTERM")
            self.assertGreaterEqual(self.fly(app)["kill_timeout"], 120)


if __name__ == "__main__":
    unittest.main()

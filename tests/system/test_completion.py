"""The completions: real shells complete command lines, and each script offers exactly the commands and options of the help."""
import os
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

import cli

PROGRAMS = {"lockstep": cli.LOCKSTEP, "lockstep-origin": cli.ORIGIN}


class Terminal:
    """A shell at a terminal of its own, for what only happens there."""

    def __init__(self, argv, env, cwd):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(argv[0], argv, env)
        self.seen = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, pattern):
        """The match of pattern in what was printed since the last one."""
        deadline = time.monotonic() + cli.PATIENCE
        while True:
            match = re.search(pattern, self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            if time.monotonic() > deadline or not select.select([self.fd], [], [], deadline - time.monotonic())[0]:
                raise AssertionError(f"no {pattern} in {self.seen!r}")
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError as error:
                raise AssertionError(f"the shell ended: {self.seen!r}") from error

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


class Case(cli.Case):
    def script(self, shell, program="lockstep"):
        return self.assert_status(self.run_program(PROGRAMS[program], "completion", shell), 0).stdout

    def written(self, shell, program="lockstep"):
        """The path of a file with the script."""
        path = self.path(f"{program}.{shell}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.script(shell, program))
        return path

    def help(self, program, *command):
        """The options that the help of a command has, "-?" left out: no shell can be asked to complete it."""
        text = self.assert_status(self.run_program(PROGRAMS[program], *command, "--help"), 0).stdout
        rows = re.findall(r"^  (-\S+)", text, re.M)
        return {re.match(r"-+[\w-]+", name).group() for row in rows for name in row.split("|") if re.match(r"-+\w", name)}

    def commands(self, program):
        text = self.assert_status(self.run_program(PROGRAMS[program], "--help"), 0).stdout
        return re.findall(rf"^  {program} ([a-z]+) ", text, re.M)


class Bash(Case):
    def complete(self, line, program="lockstep"):
        """What the function offers for a line whose last word is being typed; None: file names."""
        words = line.split(" ")
        call = (f"compopt() {{ echo \"compopt $*\"; }}; . {self.written('bash', program)}; "
                f"COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _{program.replace('-', '_')}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        return self.assert_status(self.run_program("bash", "-c", call, "bash", *words, cwd=self.folder), 0).stdout.split("\n")[:-1]

    def test_every_command_and_option(self):
        for program in PROGRAMS:
            self.assertEqual(sorted(self.complete(f"{program} ", program)), sorted(self.commands(program)))
            for command in self.commands(program):
                offered = self.complete(f"{program} {command} -", program)
                expected = self.help(program, command)
                if (program, command) == ("lockstep", "config"):
                    self.assertLess(expected, set(offered))
                else:
                    self.assertEqual(set(offered), expected, command)
                self.assertEqual(len(offered), len(set(offered)))
            self.assertEqual(set(self.complete(f"{program} -", program)), self.help(program))

    def test_values(self):
        os.mkdir(self.path("folder"))
        self.assertEqual(self.complete("lockstep pull --base re"), ["reflink"])
        self.assertEqual(self.complete("lockstep pull --base = n"), ["none"])
        self.assertEqual(self.complete("lockstep pull --progress = j"), ["json"])
        self.assertEqual(self.complete("lockstep pull --progress "), [""])
        self.assertEqual(self.complete("lockstep pull --ca x"), [""])
        self.assertEqual(self.complete("lockstep pull --timeout "), ["compopt +o default", ""])
        self.assertEqual(self.complete("lockstep-origin serve --root f", "lockstep-origin"), ["compopt -o filenames", "folder"])
        self.assertEqual(self.complete("lockstep lock re"), ["release"])
        self.assertEqual(self.complete("lockstep config pu"), ["pull", "push"])
        self.assertEqual(self.complete("lockstep completion "), ["bash", "zsh", "fish"])

    def test_a_job(self):
        self.assertIn("sha256sum", self.complete("lockstep run a b -- sha256"))
        self.assertEqual(self.complete("lockstep run a b -- true --ad"), [""])
        self.assertEqual(self.complete("lockstep pull a -- --ad"), [""])

    def test_at_a_terminal(self):
        """Tab, for real: an option, a file name with a space, a folder's slash."""
        os.makedirs(self.path("data dir"))
        shell = Terminal(["bash", "--norc", "--noprofile", "-i"], self.environment({"PS1": "$ ", "TERM": "dumb", "HISTFILE": ""}), self.folder)
        self.addCleanup(shell.close)
        shell.type(f"bind 'set enable-bracketed-paste off'; lockstep() {{ echo \"GOT[$*]\"; }}; . {self.written('bash')}; echo rea''dy\n")
        shell.wait_for("ready\r\n")
        for typed, got in (("lockstep pul\t--ado\tx\n", "pull --adopt x"), ("lockstep verify dat\tx\n", "verify data dir/x"),
                           ("lockstep run --lock-w\t5\n", "run --lock-wait 5")):
            shell.type(typed)
            self.assertEqual(shell.wait_for(r"GOT\[(.*)\]\r\n").group(1), got)


@unittest.skipUnless(shutil.which("zsh"), "no zsh")
class Zsh(Case):
    def test_every_option_is_told(self):
        for program in PROGRAMS:
            text = self.script("zsh", program)
            for command in self.commands(program):
                part = re.search(rf"^    {command}\)\n(.*?)^        ;;", text, re.M | re.S).group(1)
                told = set(re.findall(r"^            '(?:\*|\([^)]*\))(--?[\w-]+)[=[]", part, re.M))
                self.assertLessEqual(self.help(program, command), told, command)

    def test_at_a_terminal(self):
        os.makedirs(self.path("some-folder"))
        shell = Terminal(["zsh", "-f", "-i"], self.environment({"TERM": "dumb", "ZDOTDIR": self.folder}), self.folder)
        self.addCleanup(shell.close)
        shell.type("PROMPT='$ '; unsetopt zle_bracketed_paste prompt_cr; autoload -U compinit; compinit -u -D\n"
                   f". {self.written('zsh')}; . {self.written('zsh', 'lockstep-origin')}; unsetopt list_beep auto_menu\n"
                   "lockstep() { echo \"GOT[$*]\"; }; lockstep-origin() { echo \"GOT[$*]\"; }; echo rea''dy\n")
        shell.wait_for("ready\r+\n")
        for typed, got in (("lockstep pul\t--ado\tx\n", "pull --adopt x"), ("lockstep lock rel\tx\n", "lock release x"),
                           ("lockstep pull --base refl\tx\n", "pull --base reflink x"), ("lockstep run --lock-w\t5\n", "run --lock-wait=5"),
                           ("lockstep verify some\tx\n", "verify some-folder/x"), ("lockstep run a b -- sha256s\tx\n", "run a b -- sha256sum x"),
                           ("lockstep-origin serve --root some\t\n", "serve --root some-folder"),
                           ("lockstep-origin --st\tx\n", "--stdio x")):
            shell.type(typed)
            self.assertEqual(shell.wait_for(r"GOT\[(.*)\]\r+\n").group(1).rstrip("/"), got)

    def test_autoloaded(self):
        """As it is installed: a file _lockstep in a folder of $fpath."""
        os.rename(self.written("zsh"), self.path("_lockstep"))
        shell = Terminal(["zsh", "-f", "-i"], self.environment({"TERM": "dumb", "ZDOTDIR": self.folder}), self.folder)
        self.addCleanup(shell.close)
        shell.type(f"PROMPT='$ '; fpath=({self.folder} $fpath); autoload -U compinit; compinit -u -D\n"
                   "lockstep() { echo \"GOT[$*]\"; }; echo rea''dy\n")
        shell.wait_for("ready\r+\n")
        for word in ("adop", "disc"):
            shell.type(f"lockstep pull --{word}\tx\n")
            self.assertRegex(shell.wait_for(r"GOT\[(.*)\]\r+\n").group(1), rf"^pull --{word}\w+ x$")


@unittest.skipUnless(shutil.which("fish"), "no fish")
class Fish(Case):
    def complete(self, lines, program="lockstep"):
        """{line: what is offered for it}."""
        code = f"source {self.written('fish', program)}; for line in $argv; echo \"== $line\"; complete -C \"$line\"; end"
        done = subprocess.run(["fish", "--no-config", "-c", code, *lines], env=self.environment({"XDG_DATA_HOME": self.home}), cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=cli.PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        parts = re.split(r"^== (.*)\n", done.stdout, flags=re.M)
        return {line: [row.split("\t")[0] for row in rows.splitlines()] for line, rows in zip(parts[1::2], parts[2::2])}

    def test_every_command_and_option(self):
        for program in PROGRAMS:
            commands = self.commands(program)
            offered = self.complete([f"{program} {command} -{dash}" for command in commands for dash in ("", "-")], program)
            for command in commands:
                both = set(offered[f"{program} {command} -"]) | set(offered[f"{program} {command} --"])
                expected = self.help(program, command)
                if (program, command) == ("lockstep", "config"):
                    self.assertLess(expected, both)
                else:
                    self.assertEqual({name.rstrip("=") for name in both if re.fullmatch(r"-\w|--[\w-]+=?", name)}, expected, command)

    def test_values(self):
        offered = self.complete(["lockstep pull --base re", "lockstep lock re", "lockstep completion ", "lockstep pull --progress=js", "lockstep pus"])
        self.assertEqual(offered, {"lockstep pull --base re": ["reflink"], "lockstep lock re": ["release"],
                                   "lockstep completion ": ["bash", "fish", "zsh"], "lockstep pull --progress=js": ["--progress=json"],
                                   "lockstep pus": ["push"]})


class Command(Case):
    def test_another_shell(self):
        for program in PROGRAMS.values():
            self.assert_status(self.run_program(program, "completion", "csh"), "USAGE", "csh", "bash, zsh, fish")
            self.assert_status(self.run_program(program, "completion"), "USAGE", "for which shell?")


if __name__ == "__main__":
    unittest.main()

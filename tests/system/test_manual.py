"""The manual pages, --help and the tables agree: every command, option, argument, default and exit status, both ways."""
import os
import re
import shutil
import subprocess
import unittest

import cli

SOURCE = os.environ["LOCKSTEP_SOURCE"]


def source(*names):
    with open(os.path.join(SOURCE, *names), encoding="utf-8") as file:
        return file.read()


def section(page, name, macro="Sh"):
    """What stands in a section, or a subsection (which a section ends, too)."""
    end = r"^\.Sh " if macro == "Sh" else r"^\.S[hs] "
    return re.search(rf"^\.{macro} {re.escape(name)}\n(.*?)(?={end}|\Z)", page, re.M | re.S).group(1)


def heads(text):
    """The options of a list: {names: (argument, what stands below it)}."""
    found = {}
    for line, body in re.findall(r"^\.It (Fl .*)\n((?:(?!\.It |\.El).*\n)*)", text, re.M):
        names, argument = [], ""
        words = line.replace(r"\-", "-").replace(r"\&", "").split(" ")
        for i, word in enumerate(words):
            if words[i - 1] == "Fl":
                names.append("-" + word)
            elif words[i - 1] == "Ar":
                argument = f"[={word}]" if "Op" in words else f" {word}"
        found[tuple(names)] = (argument, body)
    return found


def help_rows(text):
    """The options that a help tells: {names: (argument, what is said of it)}."""
    found = {}
    for row in re.findall(r"^  (-.*(?:\n {26}.*)*)", text, re.M):
        first, *rest = row.split("\n")
        # Names too long for their column have all of the text on the lines below.
        head, body = (first[:24].rstrip(), first[24:]) if first[23:24] == " " else (first, "")
        names, argument = re.fullmatch(r"((?:--?[\w?-]+\|?)+)(.*)", head).groups()
        found[tuple(names.split("|"))] = (argument, " ".join(line.strip() for line in [body, *rest]))
    return found


class Pages(cli.Case):
    def help(self, *words, program=cli.LOCKSTEP):
        return self.assert_status(self.run_program(program, *words, "--help"), 0).stdout

    def commands(self, program):
        return re.findall(rf"^  {os.path.basename(program)} ([a-z]+) ", self.help(program=program), re.M)

    def check_rows(self, told, manual):
        """The same options with the same arguments, defaults and repeats."""
        self.assertEqual(sorted(told), sorted(manual))
        for names, (argument, text) in told.items():
            self.assertEqual(manual[names][0], argument, names)
            default = re.search(r"; default ([^:;]+)$", text)
            in_manual = re.search(r"^Default: (.*)\.$", manual[names][1], re.M)
            self.assertEqual(default and default.group(1), in_manual and in_manual.group(1), names)
            if argument:
                self.assertEqual("may be repeated" in text, "may be repeated" in manual[names][1].replace("\n", " "), names)

    def test_commands_of_lockstep(self):
        page = source("man", "lockstep.1")
        commands = self.commands(cli.LOCKSTEP)
        in_synopsis = re.findall(r"^\.Nm\n\.Cm ([a-z]+)$", section(page, "SYNOPSIS"), re.M)
        self.assertEqual(sorted(in_synopsis), sorted(commands))
        listed = re.findall(r"^\.It Cm ([a-z]+)(?: Cm ([a-z]+))?$", section(page, "COMMANDS"), re.M)
        self.assertEqual({name for name, _ in listed}, set(commands))
        verbs = re.search(r"lockstep lock (\S+) URL", self.help()).group(1).split("|")
        self.assertEqual([verb for name, verb in listed if name == "lock"], verbs)

    def test_options_of_lockstep(self):
        """Each option tells the commands that have it."""
        manual = heads(section(source("man", "lockstep.1"), "OPTIONS"))
        rows, owners = {}, {}
        for command in [*self.commands(cli.LOCKSTEP), "sync"]:
            for names, row in help_rows(self.help(*([] if command == "sync" else [command]))).items():
                rows[names] = row
                owners.setdefault(names, set()).add(command)
        self.check_rows(rows, manual)
        page = section(source("man", "lockstep.1"), "OPTIONS")
        groups = {name: text.split(" , ") for name, text in re.findall(r"^\.It Cm (\w+)\n\.Cm (.*)$", page, re.M)}

        def members(names):
            return {one for name in names for one in (members(groups[name]) if name in groups else [name])}

        for names, (_, body) in manual.items():
            told = re.match(r"\.Pq Cm (.*)\n", body).group(1).split(" , ")
            self.assertEqual(members(told), owners[names], names)

    def test_lockstep_origin(self):
        page = source("man", "lockstep-origin.8")
        commands = self.commands(cli.ORIGIN)
        in_synopsis = re.findall(r"^\.Nm\n\.Cm ([a-z]+)$", section(page, "SYNOPSIS"), re.M)
        self.assertEqual(sorted(in_synopsis), sorted(commands))
        self.assertEqual(re.findall(r"^\.Ss (.*)$", section(page, "OPTIONS"), re.M), ["--stdio", *commands])
        for command in commands:
            self.check_rows(help_rows(self.help(command, program=cli.ORIGIN)), heads(section(page, command, "Ss")))
        self.check_rows(help_rows(self.help(program=cli.ORIGIN)), heads(section(page, "--stdio", "Ss")))

    def test_exit_statuses(self):
        text = section(source("man", "lockstep.1"), "EXIT STATUS")
        rows = {name: int(status) for status, name in re.findall(r"^\.It (\d+) Li (\w+)$", text, re.M)}
        self.assertEqual(rows, cli.EXIT)

    def test_variables_of_a_job(self):
        text = section(source("man", "lockstep.1"), "ENVIRONMENT")
        job = source("replica", "job.c")
        self.assertEqual(set(re.findall(r"^\.It Ev (LOCKSTEP_\w+)$", text, re.M)), set(re.findall(r'"(LOCKSTEP_\w+)=', job)))

    def test_mandoc_finds_nothing(self):
        self.assertIsNotNone(shutil.which("mandoc"), "mandoc is needed: tools/install-deps.sh test")
        for name in ("lockstep.1", "lockstep-origin.8"):
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(SOURCE, "man", name)], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, ""), name)


if __name__ == "__main__":
    unittest.main()

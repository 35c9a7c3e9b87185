"""README.md, tried as a new user would: its tour, which are the blocks marked ```sh, is run word for word by one shell; what it points to exists."""
import os
import re
import unittest

import cli

SOURCE = os.environ["LOCKSTEP_SOURCE"]


def text_of(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
        return file.read()


def documents():
    for folder in ("", "docs", "deploy", "bench", "protocol"):
        for name in sorted(os.listdir(os.path.join(SOURCE, folder))):
            if name.endswith(".md"):
                yield os.path.join(folder, name)


class Readme(cli.Case):
    def test_the_tour(self):
        """Everything in it succeeds, says something, and shows what the text around it says."""
        blocks = re.findall(r"^```sh\n(.*?)^```$", text_of("README.md"), re.MULTILINE | re.DOTALL)
        self.assertGreaterEqual(len(blocks), 4)
        os.makedirs(self.path("build", "release"))
        os.symlink(cli.BIN, self.path("build", "release", "bin"))
        # Where the shell ends early, what it left in the background must not be waited for.
        script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "".join(blocks)
        result = self.run_program("bash", "-c", script, cwd=self.folder, env={"LOCKSTEP_INSTANCE": None}, timeout=120)
        self.assert_status(result, 0)
        told = result.stdout + result.stderr
        for text in ("pulled version 1", "state:", "pushed version 2", "refused with 82", "the job ended with status 0", "released token"):
            self.assertIn(text, told)
        names = cli.execute(self.path("tour", "far", "org.db"), "select name from contacts order by id")
        self.assertEqual([name for name, in names], ["Ada", "Grace", "Edsger", "Barbara"])

    def test_links(self):
        """Each relative link leads to a file, and its anchor to a heading there."""
        checked = 0
        for document in documents():
            for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text_of(document)):
                path, _, anchor = link.partition("#")
                target = os.path.normpath(os.path.join(os.path.dirname(document), path)) if path else document
                with self.subTest(document=document, link=link):
                    self.assertTrue(os.path.exists(os.path.join(SOURCE, target)))
                    if anchor:
                        headings = re.findall(r"^#+ (.*)$", text_of(target), re.MULTILINE)
                        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
                        self.assertIn(anchor, slugs)
                checked += 1
        self.assertGreater(checked, 10)

    def test_commands_in_the_documents_exist(self):
        """A command of ours that a document shows is one that the program knows, and so is each of its options."""
        helps = {}
        for document in documents():
            for program, words in re.findall(r"^    (lockstep|lockstep-origin) (.*)$", text_of(document), re.MULTILINE):
                words = re.split(r" -- | # | \|\| ", words)[0].split()
                command = words[0] if re.fullmatch(r"[a-z]+", words[0]) else ""
                options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
                with self.subTest(document=document, program=program, words=words):
                    if (program, command) not in helps:
                        path = cli.ORIGIN if program == "lockstep-origin" else cli.LOCKSTEP
                        helps[program, command] = self.assert_status(self.run_program(path, *filter(None, [command]), "--help"), 0).stdout
                    for option in options:
                        self.assertRegex(helps[program, command], rf"(?m)(^|[\s|]){re.escape(option.lstrip('-'))}\b|{re.escape(option)}\b")


if __name__ == "__main__":
    unittest.main()

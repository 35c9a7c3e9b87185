"""The SPIN models of the lease: the sound ones hold in every state, the sabotaged ones do not.

Needs the Debian packages spin and gcc.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent


def check(model, *defines):
    """Search all states of MODEL.pml. Returns (errors, states, output)."""
    with tempfile.TemporaryDirectory() as folder:
        def run(*command):
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            if done.returncode != 0:
                raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}")
            return done.stdout

        run("spin", *(f"-D{define}" for define in defines), "-a", str(HERE / f"{model}.pml"))
        run("gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=2048", "-o", "pan", "pan.c")
        output = run("./pan", "-m200000", "-n")
    errors = int(re.search(r"errors: (\d+)", output).group(1))
    states = int(re.search(r"(\d+) states, stored", output).group(1))
    return errors, states, output


# Model, what is defined, and the states that there are at least where it holds; None where it must not.
ROWS = (
    ("lease", None, 1_000_000),
    ("lease", "NO_REV", None),
    ("lease", "LATE_DEADLINE", None),
    ("lease", "DELETE_ON_RELEASE", None),
    ("lease", "NO_CHECK", None),
    ("fence", None, 100_000),
    ("fence", "LIAR", 100_000),  # a store that ignores its conditions costs no update
    ("fence", "TOKEN_ONLY", None),
    ("fence", "LATE_FENCE", None),
    ("fence", "NO_FENCE", None),
)


class Models(unittest.TestCase):
    def test_models(self):
        with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count(), 4)) as pool:
            runs = [(row, pool.submit(check, *filter(None, row[:2]))) for row in ROWS]
            for (model, define, at_least), run in runs:
                with self.subTest(model=model, define=define):
                    errors, states, output = run.result()
                    if at_least is None:
                        self.assertEqual(errors, 1, output)
                        self.assertIn("assertion violated", output)
                    else:
                        self.assertEqual(errors, 0, output)
                        self.assertNotIn("too small", output)  # a cut search proves nothing
                        self.assertNotIn("out of memory", output)
                        self.assertGreater(states, at_least)


if __name__ == "__main__":
    unittest.main()

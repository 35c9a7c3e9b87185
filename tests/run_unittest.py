"""Runs the unittest file that is named, and fails where every test of it was skipped or there was none.

Python 3.11's own runner calls that a success. It also fails a test that leaves processes behind: they would outlive it, and take
from the next one whatever they hold.
"""
import os
import sys
import unittest

import processes

PATIENCE = 5  # seconds in which what lost its peer or its parent ends by itself


class Result(unittest.TextTestResult):
    """What runs before a test began, such as the server of its class, may run on after it, and so may what that starts."""

    def startTest(self, test):
        super().startTest(test)
        self.before = processes.below(os.getpid())

    def stopTest(self, test):
        left = processes.wait_for_end(processes.below(os.getpid(), but=self.before), PATIENCE)
        if left:
            text = "left behind, and killed now:\n" + "".join(f"  {pid} {processes.command(pid)}\n" for pid in left)
            processes.kill(left)
            self.addFailure(test, (AssertionError, AssertionError(text), None))
        super().stopTest(test)


sys.path.insert(0, os.getcwd())
processes.adopt_orphans()
name = sys.argv[1].removesuffix(".py")
runner = unittest.TextTestRunner(verbosity=2, resultclass=Result)
result = unittest.main(module=None, argv=["unittest", name], testRunner=runner, exit=False).result
ran = result.testsRun - len(result.skipped)
if ran <= 0:
    print(f"{name}: no test was run", file=sys.stderr)
sys.exit(0 if result.wasSuccessful() and ran > 0 else 1)

"""Runs the unittest file that is named, and fails where every test of it was skipped or there was none.

Python 3.11's own runner calls that a success.
"""
import os
import sys
import unittest

sys.path.insert(0, os.getcwd())
name = sys.argv[1].removesuffix(".py")
result = unittest.main(module=None, argv=["unittest", "--verbose", name], exit=False).result
ran = result.testsRun - len(result.skipped)
if ran <= 0:
    print(f"{name}: no test was run", file=sys.stderr)
sys.exit(0 if result.wasSuccessful() and ran > 0 else 1)

"""bench/line.py runs through: it checks by itself that all get their turn, in order, and that nobody looks at a lock that another holds. No time
is asserted."""
import os
import subprocess
import sys
import unittest


class Line(unittest.TestCase):
    def test_ten(self):
        done = subprocess.run([sys.executable, os.path.join(os.environ["LOCKSTEP_SOURCE"], "bench", "line.py"), "--runs", "10"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("10 runs waited, all got their turn in order", done.stdout)
        self.assertIn("from released to acquired: median", done.stdout)


if __name__ == "__main__":
    unittest.main()

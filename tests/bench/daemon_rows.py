"""bench/run.sh --sections daemon runs through at a small size, and what it says fits. No time is asserted."""

import os
import subprocess
import tempfile
import unittest

RUN = os.path.join(os.environ["LOCKSTEP_SOURCE"], "bench", "run.sh")


class Daemon(unittest.TestCase):
    def test_rows(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([RUN, "--sections", "daemon", "--out", folder, "--daemon-scale", "0.01", "--daemon-pages", "100",
                                   "--daemon-replicas", "3", "--daemon-idle", "20", "--daemon-pushes", "4"],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with open(os.path.join(folder, "daemon.md"), encoding="utf-8") as file:
                rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in file if line.startswith("| ")][1:]
        values = {what: float(value) for what, value, _ in rows}
        self.assertEqual(values["one-row push: round trips after the handshake"], 1)
        idle = values["20 idle connections: origin's memory for each"]
        self.assertTrue(0 <= idle, rows)
        self.assertEqual(len([what for what in values if "3 pulling" in what]), 4)
        self.assertGreater(values["one-row pushes by 8 replicas in turn over TLS"], 0)


if __name__ == "__main__":
    unittest.main()

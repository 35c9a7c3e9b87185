"""./demo.sh regions, on a small database: real namespaces, a real S3 server, an origin daemon over TLS, and the drawing."""
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree


class Regions(unittest.TestCase):
    def test_two_regions_contend(self):
        with tempfile.TemporaryDirectory() as folder:
            drawing = os.path.join(folder, "regions.svg")
            script = os.path.join(os.environ["LOCKSTEP_SOURCE"], "demo", "regions.py")
            done = subprocess.run([sys.executable, script, "--runs", "2", "--rows", "3000", "--out", drawing], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=200, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("counter 4, 4 runs in it, 4 were told that theirs arrived; integrity check: ok", done.stdout)
            self.assertIn("No update was lost.", done.stdout)
            tokens = re.findall(r"(ams|nrt)  run \d  lock acquired, token (\d)", done.stdout)
            self.assertEqual(sorted(token for _, token in tokens), list("1234"))
            root = xml.etree.ElementTree.parse(drawing).getroot()
        titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
        for region in ("ams", "nrt"):
            for number in (1, 2):
                self.assertIn(f"{region}, run {number}", titles)  # held the lock
        self.assertEqual(len([title for title in titles if ": pushing, " in title]), 4, titles)


if __name__ == "__main__":
    unittest.main()

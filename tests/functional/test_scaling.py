# SPDX-License-Identifier: MIT
"""What "./dev scaling" measures can still be measured."""

import os
import re
import subprocess
import sys

import harness

SCRIPT = os.path.join(harness.SRCDIR, "tests/bench/scaling.py")
CONNECTIONS = 300


class Scaling(harness.Test):
    @classmethod
    def setUpClass(cls):
        p = subprocess.run([sys.executable, SCRIPT, "--quick", "--connections", str(CONNECTIONS), "--seconds", "0.1"],
                           capture_output=True, text=True, timeout=4 * harness.DEADLINE)
        if p.returncode != 0 or p.stderr:
            raise AssertionError(p.stderr + p.stdout)
        cls.seen = p.stdout

    def test_steps(self):
        """one echod, then two, each with its connections, and every byte right"""
        steps = re.findall(r"^\| (\d+) +\| +([\d,]+) \|.* ([\d,]+) \|$", self.seen, re.M)
        number = lambda text: int(text.replace(",", ""))
        self.assertEqual([(number(n), number(connections)) for n, connections, _ in steps],
                         [(1, CONNECTIONS), (2, 2 * CONNECTIONS)])
        for _, _, verified in steps:
            self.assertGreater(number(verified), 0)
        self.assertIn(f"each of the {2 * CONNECTIONS} connections echoed once more", self.seen)
        self.assertIn(f"A restart with {CONNECTIONS} connections", self.seen)

    def test_told(self):
        """docs/scaling.md computes what is computed now"""
        with open(os.path.join(harness.SRCDIR, "docs/scaling.md")) as f:
            told = f.read()
        rows = self.seen.split("| computed ")[1].splitlines()[2:]
        self.assertGreater(len(rows), 5)
        for title in (row.split("|")[1].strip() for row in rows):
            self.assertIn(f"| {title} ", told)


if __name__ == "__main__":
    harness.main()

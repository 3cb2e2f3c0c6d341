# SPDX-License-Identifier: MIT
"""A very short `./dev soak` finds nothing, and what it judges by would find something."""

import json
import os
import subprocess
import sys
import tempfile

import harness

sys.path.insert(0, os.path.join(harness.SRCDIR, "tests/soak"))
import soak  # noqa: E402

PAGE = soak.PAGE
FLAT = soak.Point(0, 20, 5, 1000 * PAGE)


def points(**values):
    """Points that differ in some values: lists of the same length."""
    rows = zip(*values.values())
    return [FLAT._replace(seconds=i, **dict(zip(values, row))) for i, row in enumerate(rows)]


class Soak(harness.Test):
    def test_short(self):
        """eighteen seconds of everything: all adds up, nothing is lost, nothing grows"""
        with tempfile.NamedTemporaryFile("r") as f:
            p = subprocess.run([sys.executable, soak.__file__, "0.005", "--output", f.name],
                               capture_output=True, text=True, timeout=5 * harness.DEADLINE)
            self.assertEqual(p.returncode, 0, p.stderr + p.stdout)
            seen = json.load(f)
        self.assertEqual(seen["failures"], [])
        self.assertEqual(seen["bytes_sent"], seen["bytes_verified"])
        for name in "messages", "connections", "restarts", "reloads", "reloads_refused", "resets_announced":
            self.assertGreater(seen[name], 0, name)
        for name, times in seen["faults"].items():
            self.assertGreater(times, 0, name)
        self.assertGreater(seen["besieged"]["looks"], 0)
        for daemon in seen["daemons"].values():
            self.assertGreater(daemon["points"], 2)
            self.assertEqual(daemon["descriptors_per_hour"], 0)


class Judge(harness.Test):
    def test_flat(self):
        """what stays the same, or goes up and down alike, is no growth"""
        self.assertEqual(soak.judge(points(descriptors=[20] * 8)), [])
        up_and_down = [1000 * PAGE, 1600 * PAGE] * 4
        self.assertEqual(soak.judge(points(anonymous=up_and_down)), [])

    def test_leaks(self):
        """one descriptor, one thread, or two pages at each point"""
        self.assertIn("descriptors at rest: 20 to 21", soak.judge(points(descriptors=[20] * 7 + [21])))
        self.assertIn("threads at rest: 5 to 6", soak.judge(points(threads=[5] * 7 + [6])))
        creeping = [(1000 + 2 * i) * PAGE for i in range(40)]
        self.assertIn("memory at rest", soak.judge(points(anonymous=creeping))[0])

    def test_slopes(self):
        """slopes are those of the points, in an hour"""
        growing = points(descriptors=[20, 21, 22], anonymous=[0, PAGE, 2 * PAGE])
        self.assertEqual(soak.slopes(growing), {"descriptors_per_hour": 3600, "bytes_per_hour": 3600 * PAGE})


if __name__ == "__main__":
    harness.main()

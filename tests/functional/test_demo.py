# SPDX-License-Identifier: MIT
"""What "./dev demo" shows and explains is so."""

import os
import re
import subprocess
import sys

import harness

BENCH = os.path.join(harness.SRCDIR, "tests/bench")
sys.path.insert(0, os.path.join(BENCH, "demo"))
import events  # noqa: E402


def demo(name):
    """What it prints; its end is not in order if something could not be explained."""
    return subprocess.run([sys.executable, os.path.join(BENCH, f"demo/{name}.py")], check=True,
                          stdout=subprocess.PIPE, text=True, timeout=4 * harness.DEADLINE).stdout


class Demo(harness.Test):
    def test_triggers(self):
        """level reports as long as something is unread, edge what has come, or after MOD, as docs tell"""
        shown = demo("triggers").splitlines()
        told = [line.strip() for line in harness.read(harness.SRCDIR, "docs/comparison.md").splitlines()]
        self.assertEqual([line for line in shown if line.strip() not in told], [])
        steps = [re.split(r"  +", line)[2:4] for line in shown[1:]]
        both, level, none = ["EPOLLIN", "EPOLLIN"], ["EPOLLIN", "nothing"], ["nothing", "nothing"]
        self.assertEqual(steps, [both, level, level, both, level, both, none, none, both])

    def test_events(self):
        """every step shows its events, and every line has its explanation"""
        seen = demo("events")
        for why in (events.CONNECTION, events.FRESH, events.MESSAGE, events.FULL, events.FIN,
                    events.RESET):
            self.assertIn(why, seen)
        self.assertTrue(events.ROOM in seen or events.BOTH in seen)


if __name__ == "__main__":
    harness.main()

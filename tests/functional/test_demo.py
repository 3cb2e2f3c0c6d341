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
        """level reports as long as something is unread, edge what has come, or after MOD"""
        steps = [re.split(r"  +", line) for line in demo("triggers").splitlines()[1:]]
        self.assertEqual([(what, level, edge) for what, _, level, edge, _ in steps], [
            ("100 kB arrive", "EPOLLIN", "EPOLLIN"),
            ("nothing is done", "EPOLLIN", "nothing"),
            ("50 kB are read", "EPOLLIN", "nothing"),
            ("one more byte arrives", "EPOLLIN", "EPOLLIN"),
            ("1 kB is read", "EPOLLIN", "nothing"),
            ("EPOLL_CTL_MOD, the same events", "EPOLLIN", "EPOLLIN"),
            ("the rest is read, until EAGAIN", "nothing", "nothing"),
            ("EPOLL_CTL_MOD, the same events", "nothing", "nothing"),
            ("one more byte arrives", "EPOLLIN", "EPOLLIN"),
        ])

    def test_triggers_as_told(self):
        """docs/comparison.md shows what the demo prints"""
        with open(os.path.join(harness.SRCDIR, "docs/comparison.md")) as f:
            told = [line.strip() for line in f]
        for line in demo("triggers").splitlines():
            self.assertIn(line.strip(), told)

    def test_events(self):
        """every step shows its events, and every line has its explanation"""
        seen = demo("events")
        for why in (events.CONNECTION, events.FRESH, events.MESSAGE, events.FULL, events.FIN,
                    events.RESET):
            self.assertIn(why, seen)
        self.assertTrue(events.ROOM in seen or events.BOTH in seen)


if __name__ == "__main__":
    harness.main()

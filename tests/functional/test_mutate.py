"""`./dev mutate`: its mutations fit the sources, and what it says of them is so."""

import os
import re
import subprocess
import sys
import tempfile

import harness

sys.path.append(os.path.join(harness.SRCDIR, "tests/mutate"))
import mutations  # noqa: E402

# One of each outcome; the file is none that anyone else would change for it.
EXAMPLES = """
[caught]
file = "src/reactor/connections.c"
old = "m->ready.tail = index;"
new = ""
brings = "a queue that holds one"
tests = ["unit/connections queue_order"]

[equivalent]
file = "src/reactor/connections.c"
old = "c->ready = true;"
new = "c->ready = !false;"
brings = "nothing"
tests = ["unit/connections queue_order"]

[gone]
file = "src/reactor/connections.c"
old = "no such text"
new = ""
brings = "nothing"
tests = ["unit/connections queue_order"]

[wrong]
file = "src/reactor/connections.c"
old = "c->ready = true;"
new = "c->ready = ;"
brings = "nothing that could run"
tests = ["unit/connections queue_order"]
"""


class Mutations(harness.Test):
    def test_places(self):
        """the text of each mutation is in its file, once, and something else stands there instead"""
        for m in mutations.load().values():
            with open(os.path.join(harness.SRCDIR, m.file)) as f:
                text = f.read()
            self.assertEqual(text.count(m.old), 1, f"{m.name}: {m.old}")
            self.assertNotEqual(m.apply(text), text, m.name)

    def test_tests(self):
        """each mutation names tests, which exist, and says in one line what it brings"""
        for m in mutations.load().values():
            self.assertTrue(m.tests, m.name)
            self.assertEqual([t for t in m.tests if not mutations.exists(t)], [], m.name)
            self.assertTrue(m.brings and "\n" not in m.brings, m.name)

    def test_rooms(self):
        """each part of the daemon has its set, and they are more than a hundred"""
        known = mutations.load()
        self.assertLessEqual({"client", "data", "edge", "handoff", "limits", "log", "reload", "restart",
                              "service", "stop", "timeouts"}, {m.set for m in known.values()})
        self.assertGreater(len(known), 100)


class Campaign(harness.Test):
    def setUp(self):
        if not os.path.exists(os.path.join(harness.BUILDDIR, "tests/unit/connections")):
            self.skipTest("built without unit tests")

    def run_campaign(self, *args):
        """Status, the outcomes by name, and the score."""
        p = subprocess.run([sys.executable, os.path.join(harness.SRCDIR, "tests/mutate/campaign.py"),
                            *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=5 * harness.DEADLINE)
        outcomes = re.findall(r"^(\S.*?) +[\d.]+ s  ([\w-]+)", p.stdout, re.M)
        score = re.search(r"^score: (\d+) of (\d+) caught", p.stdout, re.M)
        self.assertTrue(score, p.stdout + p.stderr)
        return p.returncode, {name: kind for kind, name in outcomes}, score.groups(), p.stdout

    def test_outcomes(self):
        """who is not noticed, or fits no more, is no success"""
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "examples.toml"), "w") as f:
                f.write(EXAMPLES)
            status, outcomes, score, out = self.run_campaign("--sets", folder)
        self.assertEqual(outcomes, {"caught": "caught", "equivalent": "SURVIVED",
                                    "gone": "DOES NOT APPLY", "wrong": "DOES NOT APPLY"}, out)
        self.assertEqual((status, score), (1, ("1", "4")))

    def test_quick(self):
        """some mutations of different kinds are noticed by the tests that they name"""
        status, outcomes, score, out = self.run_campaign("--quick")
        self.assertEqual((status, score), (0, ("6", "6")), out)
        self.assertEqual(set(outcomes.values()), {"caught"})


if __name__ == "__main__":
    harness.main()

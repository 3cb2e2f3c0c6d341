# SPDX-License-Identifier: MIT
"""`./dev mutate`: the mutations that were chosen fit the sources, and what it says of any is so."""

import os
import re
import subprocess
import sys
import tempfile

import harness

sys.path.append(os.path.join(harness.SRCDIR, "tests/mutate"))
import mutations  # noqa: E402
import operators  # noqa: E402

# One of each outcome: the old text, and what stands there instead.
EXAMPLES = {
    "caught": ("m->ready.tail = index;", ""),
    "survivor": ("all->records = NULL;", ""),
    "same": ("c->ready = true;", "c->ready = !false;"),
    "gone": ("no such text", ""),
    "wrong": ("c->ready = true;", "c->ready = ;"),
}

# Of an operator each, with what must be left alone beside it.
SOURCE = """
static int table[] = { 1 < 2, };
int f(int n)
{
	int i = n; /* a == b */
	if (i < n) /* if (a) */
		g("n == 1");
	log_debug("%d", i);
	x = h(a,
	      i - 1);
	return i;
}
"""


class Mutations(harness.Test):
    def test_chosen(self):
        """each has its text in its file, once, puts another one there, and names a test that exists"""
        for m in mutations.load().values():
            text = harness.read(harness.SRCDIR, m.file)
            self.assertNotEqual(m.apply(text), text, m.name)
            self.assertTrue(mutations.exists(m.test), m.name)

    def test_operators(self):
        """operators find conditions, comparisons, statements and ones, in the code of functions only"""
        found = [(m.number, m.operator, m.old, m.new) for m in operators.mutations("src/x.c", SOURCE)]
        self.assertEqual(found, [
            (5, "off by one", "n", "n + 1"), (6, "negated", "i < n", "!(i < n)"),
            (6, "swapped", "<", "<="), (6, "off by one", "n", "n + 1"), (7, "dropped", 'g("n == 1")', ""),
            (10, "off by one", " - 1", "")])

    def test_map(self):
        """the tests of each folder exist, and each folder has some"""
        for folder in next(os.walk(os.path.join(harness.SRCDIR, "src")))[1]:
            self.assertEqual([t for t in operators.TESTS[folder] if not mutations.exists(t)], [], folder)


class Campaign(harness.Test):
    def setUp(self):
        if not os.path.exists(os.path.join(harness.BUILDDIR, "tests/unit/connections")):
            self.skipTest("built without unit tests")

    def run_campaign(self, *args):
        """Status, the kinds of outcomes by name, the score, and all that it says."""
        p = subprocess.run([sys.executable, os.path.join(harness.SRCDIR, "tests/mutate/campaign.py"),
                            *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=10 * harness.DEADLINE)
        outcomes = re.findall(r"^(\S.*?) +[\d.]+ s  (\S+)", p.stdout, re.M)
        score = re.search(r"^score: (\d+) of (\d+) caught", p.stdout, re.M)
        self.assertTrue(score, p.stdout + p.stderr)
        return p.returncode, {name: kind for kind, name in outcomes}, score.groups(), p.stdout

    def test_outcomes(self):
        """what is not noticed, or fits no more, is no success"""
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as f:
            for name, (old, new) in EXAMPLES.items():
                f.write(f'["src/reactor/connections.c".{name}]\nold = "{old}"\nnew = "{new}"\n'
                        'brings = "that"\ntest = "unit/connections queue"\n')
            f.flush()
            status, outcomes, score, out = self.run_campaign("--chosen", f.name, "*")
        self.assertEqual(outcomes, {"caught": "caught", "survivor": "SURVIVED", "same": "DOES NOT APPLY",
                                    "gone": "DOES NOT APPLY", "wrong": "DOES NOT APPLY"}, out)
        self.assertEqual((status, score), (1, ("1", "5")))
        self.assertIn("\nsurvivors:\n  survivor: that\n", out)

    def test_sample(self):
        """some are noticed: chosen ones by the test that each names, those by rule by any of their file's"""
        status, outcomes, (caught, tried), out = self.run_campaign(
            "turn-ends-idle", "accepts-blocking", "none-is-at-once", "last-bytes-unread",
            "src/reactor/limiter.c", "src/echo/connection.c", "--sample", "3",
            "--units")
        self.assertEqual((status, caught), (0, tried), out)
        self.assertGreater(int(tried), 6, out)


if __name__ == "__main__":
    harness.main()

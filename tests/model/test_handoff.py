# SPDX-License-Identifier: MIT
"""The model of the hand-off: what it promises, that it can fail, and that it is about this code."""

import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../functional"))
import harness
import spin


class Handoff(harness.Test):
    @harness.needs("spin", "gcc")
    def test_all(self):
        """no connection is lost, had twice or served after its close in any order of events, and bugs show"""
        self.assertEqual(spin.explore_all(lambda line: print(f"# {line}")), [])

    def test_about(self):
        """the functions that the model stands for are there, and each of its bugs is tried"""
        model = harness.read(spin.MODEL)
        table = model.split(" * What must hold")[0]
        named = re.findall(r"((?:\w+\(\)(?:, | and |,\n \* +)?)+) in (\w+\.c)", table)
        self.assertGreater(len(named), 10)
        for functions, path in named:
            (path,) = glob.glob(os.path.join(harness.SRCDIR, "src/*", path))
            text = harness.read(path)
            for function in re.findall(r"(\w+)\(\)", functions):
                self.assertTrue(re.search(rf"(?m)^[a-z].*\b{function}\(", text), f"{function}() in {path}")
        self.assertEqual(set(re.findall(r"\bBUG_(\w+)", model.split("#define CONNS", 1)[1])),
                         {case.what for case in spin.CASES if case.seen})


if __name__ == "__main__":
    harness.main()

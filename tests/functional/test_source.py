# SPDX-License-Identifier: MIT
"""The rules of CONTRIBUTING.md that a program can check."""

import collections
import glob
import graphlib
import os
import re
import subprocess
import sys

import harness

SPDX = "/* SPDX-License-Identifier: MIT */\n"

# The folders of src, from the top: each includes only what stands below it. The client's has base/ only.
FLOORS = ("main.c", "supervisor", "restart", "reactor listen", "echo conf systemd", "base")

# Lines of code without blanks and comments. They may only fall.
BUDGETS = {"supervisor": 654, "restart": 673, "reactor": 1305, "listen": 601, "echo": 412, "systemd": 376,
           "conf": 846, "base": 1443}


def files(*patterns):
    return sorted(f for p in patterns for f in glob.glob(os.path.join(harness.SRCDIR, p)))


def lines_of(path):
    with open(path) as f:
        return f.read().splitlines()


def floor_of(folder):
    return next(i for i, names in enumerate(FLOORS) if folder in names.split())


def room_of(path):
    return os.path.splitext(os.path.basename(path))[0]


class Source(harness.Test):
    def test_function_length(self):
        """no function of src is longer than 40 lines, none of the tests than 60"""
        for path in files("src/*.c", "src/*/*.c", "tests/*/*.c", "tests/bench/*/*.c"):
            start, most = None, 40 if "/src/" in path.removeprefix(harness.SRCDIR) else 60
            for number, line in enumerate(lines_of(path), 1):
                if line == "{":
                    start = number
                elif line == "}" and start:
                    self.assertLessEqual(number - start - 1, most, f"{path}:{start}")
                    start = None

    def test_file_length(self):
        """no file of the daemon is longer than 350 lines, of the client than 400, no header than 120"""
        for path in files("src/*.[ch]", "src/*/*.[ch]", "tests/bench/models/*.[ch]"):
            most = 120 if path.endswith(".h") else 400 if "/src/echoc/" in path else 350
            self.assertLessEqual(len(lines_of(path)), most, path)

    def test_budgets(self):
        """no folder of the daemon has more lines of code than its budget"""
        lines = collections.Counter()
        for path in files("src/*/*.[ch]"):
            with open(path) as f:
                code = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), f.read(), flags=re.S)
            lines[path.split("/")[-2]] += sum(bool(line.strip()) for line in code.splitlines())
        print("# lines of code:", ", ".join(f"{folder} {n}" for folder, n in lines.items()))
        for folder, most in BUDGETS.items():
            self.assertLessEqual(lines[folder], most, folder)

    @harness.needs("pmccabe")
    def test_complexity(self):
        """no function of the daemon has a cyclomatic complexity over 12"""
        out = subprocess.run(["pmccabe", *files("src/*.c", "src/*/*.c")], capture_output=True, text=True, check=True)
        found = [line.split("\t") for line in out.stdout.splitlines()]
        self.assertGreater(len(found), 400)
        self.assertEqual([row for row in found if int(row[0]) > 12], [])

    def test_license(self):
        """each source file begins with its license"""
        for path in files("src/*.[ch]", "src/*/*.[ch]", "tests/*/*.[ch]", "tests/*/*.py", "tests/*/*/*.py", "docs/*.py"):
            self.assertIn("SPDX-License-Identifier: MIT", "".join(lines_of(path)[:2]), path)

    def test_pictures(self):
        """the pictures of folders and threads are what the sources say"""
        p = subprocess.run([sys.executable, os.path.join(harness.SRCDIR, "docs/draw.py"), "-c"],
                           capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p.stderr)

    def test_includes_point_down(self):
        """a folder includes only folders that stand below it, and no room itself by way of others"""
        graph = collections.defaultdict(set)
        for path in files("src/*.[ch]", "src/*/*.[ch]"):
            here = os.path.relpath(path, harness.SRCDIR + "/src")
            folder = here.partition("/")[0]
            for there in re.findall(r'^#include "(.*)\.h"', "\n".join(lines_of(path)), re.M):
                other = there.partition("/")[0]
                self.assertTrue(os.path.exists(f"{harness.SRCDIR}/src/{there}.h"), f"{here}: {there}")
                if here[:-2] != there:
                    graph[here[:-2]].add(there)
                if folder == "echoc":
                    self.assertIn(other, ("echoc", "base"), f"{here}: {there}")
                elif other != folder:
                    self.assertGreater(floor_of(other), floor_of(folder), f"{here}: {there}")
        list(graphlib.TopologicalSorter(graph).static_order())  # fails if there is a circle

    def test_guards(self):
        """every header has its guard and begins with what it is"""
        for path in files("src/*/*.h"):
            prefix = "ECHOC" if "/echoc/" in path else "ECHOD"
            guard = f"{prefix}_{room_of(path).upper()}_H"
            text = "\n".join(lines_of(path))
            self.assertIn(f"#ifndef {guard}\n#define {guard}\n", text)
            self.assertTrue(text.startswith(f"{SPDX}/*\n * {room_of(path)}: "), path)

    def test_names(self):
        """a room exports only names that begin with its own"""
        objects = glob.glob(os.path.join(harness.BUILDDIR, "src/*/*.o"))
        symbols = subprocess.run(["nm", "-A", "-g", "--defined-only", *objects], check=True,
                                 capture_output=True, text=True).stdout
        self.assertGreater(len(symbols.splitlines()), 100)
        for path, name in re.findall(r"^(\S+\.o):.* (\w+)$", symbols, re.M):
            room = room_of(path)
            prefixes = {"counters": ("refusal_", "closing_")}.get(room, (room + "_",))
            self.assertTrue(name.startswith(("_", *prefixes)) or room == "main", f"{room}: {name}")

    @harness.needs("clang-format")
    def test_format(self):
        """clang-format, of the version that the layout is made with, would change nothing"""
        version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout
        if " version 14." not in version:
            self.skipTest(f"the layout is that of clang-format 14, and this is {version.strip()}")
        p = subprocess.run(["clang-format", "--dry-run", "--Werror", *files(
            "src/*.[ch]", "src/*/*.[ch]", "tests/*/*.[ch]", "tests/bench/*/*.[ch]", "tests/bench/*/*.cc")],
            capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p.stderr[:1000])

    @harness.needs("shellcheck")
    def test_shell(self):
        """shellcheck has nothing to say"""
        scripts = files("dev", ".ci/run", "tests/*/*.sh")
        p = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
        self.assertEqual(p.stdout, "")

    def test_unfinished(self):
        """no word says that something is not finished"""
        words = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
        for path in files("src/*", "src/*/*", "man/*", "conf/*", "systemd/*", "tests/*/*.c", "tests/*/*.py",
                          "tests/bench/*/*"):
            if os.path.isfile(path):
                for number, line in enumerate(lines_of(path), 1):
                    self.assertIsNone(words.search(line), f"{path}:{number}")


if __name__ == "__main__":
    harness.main()

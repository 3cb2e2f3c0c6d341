"""The rules of the house that a machine can check."""

import glob
import os
import re
import subprocess

import harness

# Each room includes only what stands below it.
ROOMS = [
    {"main"},
    {"cmdline", "server"},
    {"reactor", "report"},
    {"acceptor"},
    {"worker", "listeners"},
    {"list", "limiter", "listener", "poller"},
    {"table", "conf", "trace"},
    {"option", "connection"},
    {"settings", "service"},
    {"address", "clock", "comments", "counters", "descriptors", "log", "signals"},
]


def files(*patterns):
    return sorted(f for p in patterns for f in glob.glob(os.path.join(harness.SRCDIR, p)))


def lines_of(path):
    with open(path) as f:
        return f.read().splitlines()


def floor_of(room):
    return next((i for i, rooms in enumerate(ROOMS) if room in rooms), None)


class Source(harness.Test):
    def test_function_length(self):
        """no function is longer than 60 lines"""
        for path in files("src/*.c", "tests/*/*.c"):
            start = None
            for number, line in enumerate(lines_of(path), 1):
                if line == "{":
                    start = number
                elif line == "}" and start:
                    self.assertLessEqual(number - start - 1, 60, f"{path}:{start}")
                    start = None

    def test_file_length(self):
        """no file is longer than 400 lines, no header than 120"""
        for path in files("src/*.[ch]"):
            self.assertLessEqual(len(lines_of(path)), 120 if path.endswith(".h") else 400, path)

    def test_includes_point_down(self):
        """a room includes only rooms that stand below it"""
        for path in files("src/*.[ch]"):
            room = os.path.splitext(os.path.basename(path))[0]
            self.assertIsNotNone(floor_of(room), f"{room} has no floor")
            for line in lines_of(path):
                match = re.match(r'#include "(.*)\.h"', line)
                if match and match.group(1) != room:
                    self.assertGreater(floor_of(match.group(1)), floor_of(room), f"{path}: {line}")

    def test_guards(self):
        """every header has its guard and begins with what it is"""
        for path in files("src/*.h"):
            name = os.path.basename(path)[:-2]
            text = "\n".join(lines_of(path))
            self.assertIn(f"#ifndef ECHOD_{name.upper()}_H\n#define ECHOD_{name.upper()}_H\n", text)
            self.assertTrue(text.startswith(f"/*\n * {name}: "), path)

    def test_names(self):
        """a room exports only names that begin with its own"""
        for path in files("src/*.c"):
            room = os.path.splitext(os.path.basename(path))[0]
            obj = os.path.join(harness.BUILDDIR, "src", room + ".o")
            if room == "main" or not os.path.exists(obj):
                continue
            symbols = subprocess.run(["nm", "-g", "--defined-only", obj], check=True,
                                     capture_output=True, text=True).stdout
            names = [line.split()[-1] for line in symbols.splitlines()]
            prefixes = {"counters": ("refusal_", "closing_")}.get(room, (room + "_",))
            for name in names:
                self.assertTrue(name.startswith(prefixes) or name.startswith("_"), f"{room}: {name}")

    @harness.needs("clang-format")
    def test_format(self):
        """clang-format would change nothing"""
        for path in files("src/*.[ch]", "tests/*/*.[ch]"):
            p = subprocess.run(["clang-format", "--dry-run", "--Werror", path], capture_output=True,
                               text=True)
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
        for path in files("src/*", "man/*", "conf/*", "systemd/*", "tests/*/*.c", "tests/*/*.py"):
            if os.path.isfile(path):
                for number, line in enumerate(lines_of(path), 1):
                    self.assertIsNone(words.search(line), f"{path}:{number}")


if __name__ == "__main__":
    harness.main()

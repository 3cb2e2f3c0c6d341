# SPDX-License-Identifier: MIT
"""The mutations that a person chose: one place of the sources each, how to break it, and a test that must notice.

chosen.toml is a file of tables; what operators.py does by itself is not in it:

    ["src/...".name]  what is changed
    old = "..."       a text that is there exactly once
    new = "..."       what stands there instead
    brings = "..."    the failure that follows, in one line
    test = "..."      "unit/ROOM NAME" or "functional/FILE CLASS.NAME", which must fail
"""

import functools
import importlib
import os
import re
import sys
import tomllib
import typing

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
CHOSEN = os.path.join(HERE, "chosen.toml")


class Mutation(typing.NamedTuple):
    name: str
    file: str
    old: str
    new: str
    brings: str
    test: str

    def apply(self, text):
        """The text of the file as it is then; ValueError if the place is not there once."""
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"{self.file} has the text {found} times, not once")
        return text.replace(self.old, self.new)


def load(path=CHOSEN):
    """All mutations of a file, by their names."""
    with open(path, "rb") as f:
        return {name: Mutation(name, file, **values) for file, rows in tomllib.load(f).items()
                for name, values in rows.items()}


@functools.cache
def names_of_unit(room):
    """The tests of a unit program."""
    with open(os.path.join(TESTS, "unit", room + ".c")) as f:
        return set(re.findall(rf"^T(?:EST|est)\({room}, (\w+)\)", f.read(), re.M))


def exists(test):
    """True if there is a test of that name: a file of tests, or one of its tests."""
    program, _, name = test.partition(" ")
    folder, file = program.split("/")
    if not name:
        return os.path.exists(os.path.join(TESTS, program + ("" if file.endswith(".py") else ".c")))
    if folder == "unit":
        return name in names_of_unit(file)
    if os.path.join(TESTS, folder) not in sys.path:
        sys.path.append(os.path.join(TESTS, folder))
    case, method = name.split(".")
    module = importlib.import_module(file.removesuffix(".py"))
    return hasattr(getattr(module, case, None), method)

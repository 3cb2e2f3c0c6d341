"""The mutations: one place of the sources each, how to break it, and the tests that must notice.

A set is a file of tables:

    [name]
    file = "src/..."   what is changed
    old = "..."        a text that is there exactly once
    new = "..."        what stands there instead
    brings = "..."     the failure that follows, in one line
    tests = ["unit/ROOM NAME", "functional/FILE CLASS.NAME", ...]   each of them must fail
"""

import functools
import glob
import importlib
import os
import re
import sys
import tomllib
import typing

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)


class Mutation(typing.NamedTuple):
    name: str
    set: str  # the file that has it
    file: str
    old: str
    new: str
    brings: str
    tests: list

    def apply(self, text):
        """The text of the file as it is then; ValueError if the place is not there once."""
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"{self.file} has the text {found} times, not once")
        return text.replace(self.old, self.new)


def load(folder=HERE):
    """All mutations of the sets in a folder, by their names."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.toml"))):
        with open(path, "rb") as f:
            tables = tomllib.load(f)
        room = os.path.splitext(os.path.basename(path))[0]
        for name, values in tables.items():
            if name in found:
                raise ValueError(f"{name} is in {found[name].set} and in {room}")
            found[name] = Mutation(name=name, set=room, **values)
    return found


@functools.cache
def names_of_unit(room):
    """The tests of a unit program."""
    with open(os.path.join(TESTS, "unit", room + ".c")) as f:
        return set(re.findall(rf"^T(?:EST|est)\({room}, (\w+)\)", f.read(), re.M))


def exists(test):
    """True if there is a test of that name."""
    program, name = test.split(" ")
    folder, file = program.split("/")
    if folder == "unit":
        return name in names_of_unit(file)
    if os.path.join(TESTS, folder) not in sys.path:
        sys.path.append(os.path.join(TESTS, folder))
    case, method = name.split(".")
    module = importlib.import_module(file.removesuffix(".py"))
    return hasattr(getattr(module, case, None), method)

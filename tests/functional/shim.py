# SPDX-License-Identifier: MIT
"""The library of tests/shim, and what it is told to do while a program runs."""

import functools
import mmap
import os
import re
import subprocess
import tempfile

import harness

SHIM = os.path.join(harness.BUILDDIR, "tests/shim/shim.so")


@functools.cache
def libraries():
    """What is loaded before echod's own; that of a sanitizer must stay the first one."""
    needed = subprocess.run(["ldd", harness.ECHOD], check=True, capture_output=True, text=True).stdout
    return ":".join([*re.findall(r"=> (\S*/lib[at]san\.\S+)", needed), SHIM])


class Control:
    """What the library is told, by names, and what it says that it has done; as in shim.c."""

    FIELDS = ("most", "eagain", "eintr", "late", "close_error", "descriptors", "first", "last",
              "allocations", "failed", "shortened", "postponed", "interrupted", "delayed", "closed")

    def __init__(self, **wanted):
        self.file = tempfile.NamedTemporaryFile(prefix="echod-test-")
        self.file.truncate(mmap.PAGESIZE)
        self.map = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.values = memoryview(self.map).cast("Q")
        self.set(**wanted)

    def __getitem__(self, name):
        return self.values[self.FIELDS.index(name)]

    def set(self, **values):
        for name, value in values.items():
            self.values[self.FIELDS.index(name)] = value

    def prefix(self):
        """What starts echod with the library."""
        return ("env", f"LD_PRELOAD={libraries()}", f"ECHOD_SHIM={self.file.name}")

    def close(self):
        self.values.release()
        self.map.close()
        self.file.close()

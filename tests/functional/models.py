# SPDX-License-Identifier: MIT
"""The models of tests/bench/models, for the tests and for "./dev compare"."""

import os
import subprocess
import tempfile

import harness

NAMES = ("thread", "select", "poll", "level", "edge", "rearm", "uring")
FOLDER = os.path.join(harness.BUILDDIR, "tests/bench/models")
SKIPPED = 77  # exit status


class Skipped(Exception):
    """This model cannot run here; says why."""


class Model(harness.Server):
    """A running model; a context that ends it, and checks that it had not ended before."""

    def __init__(self, name, prefix=()):
        path = os.path.join(FOLDER, name)
        if name == "uring" and not os.path.exists(path):
            raise Skipped("built without liburing")
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([*prefix, path], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.pid = self.process.pid
        port = self.process.stdout.readline()
        if not port:
            status = self.end()
            raise Skipped(self.log()) if status == SKIPPED else AssertionError(self.log())
        self.port = int(port)
        self.own_descriptors = self.descriptors()

    def log(self):
        self.errors.seek(0)
        return self.errors.read().strip()

    def wait_open(self, n):
        """Waits until it has n connections."""
        harness.wait_until(lambda: self.holdings()["socket"] == n, f"{n} open connections")

    def wait_asleep(self):
        """Waits until its (first) thread waits in the kernel, which one that spins never does."""
        harness.wait_until(lambda: harness.task_state(self.pid, self.pid) == "S", "it to sleep")

    def end(self):
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(harness.DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        ended = self.process.poll()
        self.end()
        if kind is None and (ended is not None or harness.FINDING.search(self.log())):
            raise AssertionError(f"exit status {ended}: {self.log()}")
        self.errors.close()

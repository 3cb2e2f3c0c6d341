# SPDX-License-Identifier: MIT
"""The models of tests/bench/models, for the tests and for "./dev compare"."""

import os

import harness
import peers

EPOLL = ("level", "edge", "rearm")  # ways of one program
NAMES = ("thread", "select", "poll", *EPOLL, "uring")
FOLDER = os.path.join(harness.BUILDDIR, "tests/bench/models")
SKIPPED = 77  # exit status


class Model(peers.Peer):
    """A running model; a context that ends it, and checks that it had not ended before."""

    def __init__(self, name, prefix=()):
        command = ["epoll", name] if name in EPOLL else [name]
        command[0] = os.path.join(FOLDER, command[0])
        if name == "uring" and not os.path.exists(command[0]):
            raise peers.LeftOut("built without liburing")
        try:
            super().__init__(command, prefix=prefix)
        except peers.LeftOut as reason:
            if self.process.wait() == SKIPPED:
                raise
            raise AssertionError(str(reason))
        self.own_descriptors = self.descriptors()

    def wait_open(self, n):
        """Waits until it has n connections."""
        harness.wait_until(lambda: self.holdings()["socket"] == n, f"{n} open connections")

    def wait_asleep(self):
        """Waits until its (first) thread waits in the kernel, which one that spins never does."""
        harness.wait_until(lambda: harness.task_state(self.pid, self.pid) == "S", "it to sleep")

# SPDX-License-Identifier: MIT
"""A third daemon of the soak: always under siege, at its limits, restarted now and then, and watched from outside.

What the manuals promise must hold at each look: the kernel's sockets never exceed the limits, nothing of a
connection is left behind without a process, own memory is bounded, a source that does not attack is served,
and witnesses see both timeouts.
"""

import collections
import contextlib
import random
import threading
import time

import harness
import siege
from manager import Manager

SHARE = 20  # connections of each source
SOURCES = [f"127.0.3.{n}" for n in range(1, 31)]
TALKERS = 18 * len(SOURCES)
MOST = TALKERS + SHARE + 10
BUDGET = 4 << 20
OPTIONS = dict(workers=1, max_connections=MOST, max_connections_per_source=SHARE, idle_timeout=10, stall_timeout=3,
               pending_memory=BUDGET, send_buffer=65536, receive_buffer=65536)
OTHER, WITNESS = "127.0.0.9", "127.0.0.10"
SLACK = 2  # sockets: one that is being closed, one that is being refused
ROUND_S = 30


class Besieged:
    """The daemon, and what is seen of it; done counts the looks, the witnesses and the restarts."""

    def __init__(self, stopping):
        self.stopping, self.failure = stopping, None
        self.done = dict.fromkeys(("looks", "idle_witness", "stalled_witness", "restarts"), 0)
        self.random = random.Random("besieged")

    def run(self):
        try:
            with Manager(*harness.options(**OPTIONS), expect=[harness.REFUSED]) as self.m:
                self.d = self.m.start()
                self.base = self.d.own_memory()
                while not self.stopping.is_set():
                    self.round()
                    self.d.wait_open(0)
        except Exception as e:
            self.failure = f"besieged: {type(e).__name__}: {e}"
            self.stopping.set()

    def round(self):
        """A siege, in the middle of which the daemon is restarted."""
        begin, restarted = time.monotonic(), False
        with siege.Siege(self.d, talkers=TALKERS, sources=",".join(SOURCES), threads=6,
                         seed=self.random.random()) as s:
            witnesses = [threading.Thread(target=self.witness, args=(s, w))
                         for w in (siege.idle_witness, siege.stalled_witness)]
            for t in witnesses:
                t.start()
            while not self.stopping.is_set() and time.monotonic() < begin + ROUND_S:
                self.look()
                if not restarted and time.monotonic() > begin + ROUND_S / 2:
                    s.server = self.d = self.m.restart()
                    self.done["restarts"] += 1
                    restarted = True
                self.stopping.wait(0.5)
            for t in witnesses:
                t.join(2 * harness.DEADLINE)

    def witness(self, s, witness):
        s.watch(witness, WITNESS)
        self.done[witness.__name__] += 1

    def look(self):
        held = siege.held(self.d.port)
        by_source = collections.Counter(r.peer for r in held)
        if len(held) > MOST + SLACK or max(by_source.values(), default=0) > SHARE + SLACK:
            raise AssertionError(f"{len(held)} sockets, of the sources {by_source.most_common(3)}")
        if len(siege.orphans(held)) > SLACK:  # one may be between its end and its reset
            raise AssertionError(f"left behind: {siege.orphans(held)}")
        if self.d.own_memory() > self.base + BUDGET + (8 << 20):
            raise AssertionError(f"{self.d.own_memory()} bytes of its own, {self.base} at first")
        with contextlib.suppress(ConnectionError):
            if not self.d.serves(source=OTHER):
                raise AssertionError("a source that does not attack was refused")
        self.done["looks"] += 1

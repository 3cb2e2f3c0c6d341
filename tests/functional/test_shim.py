# SPDX-License-Identifier: MIT
"""What the kernel may do but seldom does, made frequent by a library that is loaded before echod's."""

import collections
import os
import random
import signal
import socket

import harness
from harness import Echod, echo, options
from shim import Control
from test_echo import Cases

CLOSINGS = int(os.environ.get("CLOSINGS", 1000))

# What shows that the library has done what it was told.
DONE = {"most": "shortened", "eagain": "postponed", "eintr": "interrupted", "late": "delayed"}


class Shimmed(Echod):
    """An echod to which the kernel behaves as the settings say.

    It must have noticed: in this life, or in those that are counted together in seen.
    """

    def __init__(self, *args, settings, seen=None, **options):
        self.settings, self.seen = settings, seen
        self.control = Control(**settings)
        # its workers make calls that echod's do not
        super().__init__("-o", "system_call_filter=false", *args, prefix=self.control.prefix(), **options)

    def stop(self, *args):
        super().stop(*args)
        seen = {name: self.control[DONE[name]] for name in self.settings if name in DONE}
        self.control.close()
        if self.seen is not None:
            self.seen.update(seen)
        elif not all(seen.values()):
            raise AssertionError(f"never happened: {seen}")


class Unusual(Cases):
    """All that holds for an echo."""

    settings = {"most": 20000, "eagain": 10, "eintr": 10}

    @classmethod
    def setUpClass(cls):
        cls.seen = collections.Counter()

    @classmethod
    def tearDownClass(cls):
        if cls.seen["most"] > 100 and not all(cls.seen[name] for name in cls.settings):
            raise AssertionError(f"never happened: {cls.seen}")  # if not few have run, by choice

    def daemon(self):
        return Shimmed(*self.args, settings=self.settings, seen=self.seen)


class Copied(Unusual, harness.Test):
    """When each call may be short, interrupted, or find nothing to do yet. [F2 F3 F28]"""


class Streamed(Unusual, harness.Test):
    """The same with calls that are large enough to go through the pipe. [F2 F3 F28]"""

    settings = {"most": 300000, "eagain": 10, "eintr": 10}


class Peeked(Unusual, harness.Test):
    """The same when what a client does not take stays in the kernel. [F2 F4 F28]"""

    args = options(pending_memory=0, send_buffer=4608)


class Short(harness.Test):
    def check(self, size, **settings):
        data = random.Random(size).randbytes(size)
        with Shimmed(settings=settings) as d:
            with d.connect() as s:
                self.assertTrue(echo(s, data) == data)
                s.shutdown(socket.SHUT_WR)
                self.assertEnds(s)
            d.wait_open(0)
            self.assertEqual(d.counters()["closed_error"], 0)

    def test_few_bytes(self):
        """of a receive and a send of 1 to 7 bytes each, none is lost, and no edge is waited for in vain [F2]"""
        self.check(1 << (18 if harness.SANITIZERS else 20), most=7)

    def test_one_byte(self):
        """the same with one byte at a time, when a third of the calls has nothing to do yet [F3]"""
        self.check(1 << 16, most=1, eagain=3)


class Closing(harness.Test):
    """Descriptors that are free, and used again, while close(2) has not returned."""

    def talk(self, daemon, rnd):
        """One connection, which may receive only its own data."""
        name = rnd.randbytes(8)
        sent = name * rnd.choice((1, 10, 5000))
        with daemon.connect() as s:
            s.sendall(sent[:80])
            received = harness.read_exactly(s, rnd.choice((0, 8, len(sent[:80]))))
            way = rnd.randrange(3)
            if way == 0:  # with bytes on their way, none of which comes back to a client
                harness.reset(s)
            elif way == 1:
                received += harness.read_exactly(s, len(sent[:80]) - len(received)) + echo(s, sent[80:])
            self.assertTrue(sent.startswith(received), (name, received))

    def test_names(self):
        """no connection gets an event of another that had its descriptor before, however close(2) is late [F6 F32]"""
        with Shimmed("-o", "workers=2", settings={"late": 500}) as d:
            def client(seed):
                rnd = random.Random(seed)
                for _ in range(CLOSINGS // 8):
                    self.talk(d, rnd)

            harness.together(8, client)
            counters = d.wait_open(0)
            self.assertEqual(counters["accepted"], CLOSINGS // 8 * 8)

    def test_everyone_closes(self):
        """resets, timeouts and a stop at the same time: each descriptor is closed once [F32]"""
        for seed in range(2):
            rnd = random.Random(seed)
            with Shimmed(*options(workers=3, idle_timeout=1, shutdown_timeout=1), settings={"late": 2000}) as d:
                with harness.many(d.connect() for _ in range(300)) as clients:
                    d.wait_counter("closed_idle_timeout", 1)  # and the others are about to be closed
                    for s in rnd.sample(clients, 150):
                        harness.reset(s)
                    d.signal(signal.SIGTERM)
                    self.assertEqual(d.wait_exit(), 0)


class Limit(harness.Test):
    @harness.own_memory
    def test_descriptors_without_end(self):
        """a limit of a billion descriptors costs no memory [F22]"""
        used = []
        for settings in ({}, {"descriptors": 10 ** 9}):
            with Shimmed(settings=settings) as d:
                used.append(d.own_memory())
                most = int(d.wait_log(r"at most (\d+) connections").group(1))
                self.assertServes(d)
        self.assertGreater(most, 1000000)
        self.assertLess(used[1] - used[0], 1 << 18)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""idle_timeout and stall_timeout: in time, not before, and only where they are meant."""

import contextlib
import os
import time

import harness
from harness import Echod, fill, many, options


class Timeouts(harness.Test):
    def test_idle(self):
        """a client that is silent for idle_timeout gets a FIN, one that sends does not [F30]"""
        with Echod("-o", "idle_timeout=1") as d, d.connect() as active:
            self.assertEchoes(active)
            for closed in (20, 40):  # the second time with descriptors that others had before
                start = time.monotonic()
                with harness.many(d.connect() for _ in range(20)) as idle:
                    for s in idle[::2]:
                        self.assertEchoes(s)
                    while d.counters()["closed_idle_timeout"] < closed:
                        self.assertEchoes(active)
                    self.assertGreaterEqual(time.monotonic() - start, 1)
                    for s in idle:
                        self.assertEnds(s)
            self.assertEchoes(active)

    def test_half_message_is_activity(self):
        """each byte restarts the time [F30]"""
        with Echod("-o", "idle_timeout=1") as d, d.connect() as witness, d.connect() as s:
            self.assertEchoes(witness)
            for _ in range(4):
                time.sleep(0.4)  # less than the timeout, together more
                self.assertEchoes(s, b"x")
            self.assertEnds(witness)
            self.assertEchoes(s, b"x")

    def test_stall(self):
        """a client that does not read its echo for stall_timeout is reset, and its memory is free [F29]"""
        conf = "send_buffer = 4608\nstall_timeout = %d"
        with Echod(conf=conf % 0) as d, d.connect() as other:
            with d.connect(rcvbuf=4096) as s:
                fill(s)
                d.reload(conf % 1)
                while d.counters()["closed_stall_timeout"] == 0:
                    self.assertEchoes(other)
                with self.assertRaises(ConnectionError):
                    while s.recv(1 << 20):
                        pass
            self.assertEchoes(other)
            d.wait_open(1)

    def test_stall_is_a_reset(self):
        """also when all that it sent was received, so that the kernel would see no reason"""
        conf = "send_buffer = 4608\nstall_timeout = %d"
        with Echod("-o", "workers=1", conf=conf % 0) as d, d.connect(rcvbuf=4096) as s:
            d.wait_open(1)
            d.send_at_once(s, bytes(30000))
            d.wait_counter("received", 30000)
            d.reload(conf % 1)
            d.wait_counter("closed_stall_timeout", 1)
            with self.assertRaises(ConnectionError):
                harness.read_to_end(s)

    def test_slow_is_not_stalled(self):
        """a client that reads a little now and then is not stalled"""
        with Echod("-o", "stall_timeout=2", "-o", "send_buffer=65536") as d:
            with d.connect(rcvbuf=4096) as s:
                sent = fill(s)
                got = 0
                for _ in range(12):  # twice the timeout, and less than a step of the kernel's
                    time.sleep(0.4)
                    got += len(s.recv(4096))
                got += len(harness.read_exactly(s, len(sent) - got))
                self.assertEqual(got, len(sent))
                self.assertEchoes(s)

    def test_idle_does_not_count_stalled(self):
        """a stalled client is not idle: only stall_timeout applies to it"""
        with Echod(*options(idle_timeout=1, stall_timeout=0, send_buffer=4608)) as d:
            with d.connect(rcvbuf=4096) as s:
                sent = fill(s)
                with d.connect() as witness:
                    self.assertEnds(witness)
                self.assertEqual(d.wait_counter("closed_idle_timeout", 1)["closed_idle_timeout"], 1)
                d.wait_open(1)
                self.assertEqual(harness.read_exactly(s, len(sent)), sent)

    def test_pause_of_the_process(self):
        """after a pause of the whole daemon, those whose bytes wait are served, not timed out [F40]"""
        with Echod("-o", "idle_timeout=1", "-o", "workers=1") as d:
            with harness.many(d.connect() for _ in range(900)) as clients:
                d.wait_open(900)
                d.pause()
                for s in clients:
                    s.send(b"hello")
                time.sleep(1.2)  # longer than the timeout
                d.resume()
                for s in clients:
                    self.assertEqual(harness.read_exactly(s, 5), b"hello")


class Clock(harness.Test):
    """Started when the milliseconds of its machine's clock are about to need one bit more."""

    @harness.needs("unshare")
    def test_wrap(self):
        """timeouts are in time where 31 and 32 bits of milliseconds end [F40]"""
        def check(n):
            early = (3, 6, 12, 24)  # seconds, for the start
            self.assertTrue(any(Wrap(self, 31 + n, e).check() for e in early), "always too late")
        harness.together(2, check)


class Wrap:
    """A daemon whose clock is soon at the end of so many bits of milliseconds."""

    OPTIONS = options(idle_timeout=2, stall_timeout=2, send_buffer=4608, workers=1)

    def __init__(self, test, bits, early):
        self.test = test
        self.end = (1 << bits) / 1000
        self.offset = int(self.end - time.clock_gettime(time.CLOCK_MONOTONIC)) - early

    def clock(self):
        return time.clock_gettime(time.CLOCK_MONOTONIC) + self.offset

    def talk(self, s):
        """Echoes on the client that is to be kept."""
        self.test.assertEchoes(s)
        self.talked = self.clock()

    def check(self):
        """Returns False if the start took too long, or the test stood still for nearly a timeout."""
        unshare = ("unshare", "-rT", "--monotonic", str(self.offset), "--boottime", str(self.offset))
        with Echod(*self.OPTIONS, prefix=unshare, wait=False) as d:
            d.wait_log("")  # of unshare, or of echod
            if "unshare" in d.log():
                d.expected_status = d.wait_exit()
                self.test.skipTest(d.log())
            d.wait_ready()
            if os.readlink(f"/proc/{d.pid}/ns/time") == os.readlink("/proc/self/ns/time"):
                self.test.skipTest("a program that is started stays in the time of its parent here")
            self.talked = self.clock()
            try:
                return self.clock() < self.end - 1 and self.check_timeouts(d)
            except (AssertionError, OSError):
                if self.clock() - self.talked < 1.5:
                    raise
                return False

    def check_timeouts(self, d):
        with d.connect() as active:
            while self.clock() < self.end - 1:
                self.talk(active)
            spoke = self.clock()
            with many(d.connect() for _ in range(20)) as idle, d.connect(rcvbuf=4096) as stalled:
                for s in idle:
                    self.test.assertEchoes(s)
                fill(stalled)
                while (ended := d.counters())["closed_idle_timeout"] < 20 or not ended["closed_stall_timeout"]:
                    self.talk(active)
                    if ended["closed_idle_timeout"] or ended["closed_stall_timeout"]:
                        self.test.assertGreaterEqual(self.clock() - spoke, 2)
            self.test.assertGreater(self.clock(), self.end)
            self.talk(active)
        return True


class Memory(harness.Test):
    @harness.own_memory
    def test_bounded(self):
        """200 clients that never read hold pending_memory at most, and all bytes are there later [F29]"""
        budget = 1 << 20
        with Echod(*options(workers=1, pending_memory=budget, send_buffer=4608, receive_buffer=16384)) as d, \
                d.connect() as other:
            self.assertEchoes(other)
            before = d.status("VmRSS")
            with harness.many(d.connect(rcvbuf=4096, sndbuf=65536) for _ in range(200)) as clients:
                for s in clients:
                    s.setblocking(False)
                sent, more = [0] * len(clients), True
                while more:  # it takes some, and there is room again
                    fits = [self.send_all_that_fits(s) for s in clients]
                    more = sum(fits)
                    sent = [a + b for a, b in zip(sent, fits)]
                    self.assertEchoes(other)
                self.assertGreater(sum(sent), 2 * budget)
                grown = (d.status("VmRSS") - before) * 1024
                print(f"# {sum(sent)} bytes wait, {grown} of memory")
                self.assertLess(grown, budget + (1 << 20))
                for s, n in zip(clients, sent):
                    s.settimeout(harness.DEADLINE)
                    self.assertEqual(len(harness.read_exactly(s, n)), n)

    def send_all_that_fits(self, s):
        n = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                n += s.send(bytes(65536))
        return n


if __name__ == "__main__":
    harness.main()

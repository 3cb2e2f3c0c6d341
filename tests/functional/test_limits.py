# SPDX-License-Identifier: MIT
"""Limits: at each, the newcomer is refused at once, counted, and others are untouched."""

import os
import resource
import select
import signal
import time
import unittest

import harness
from harness import Echod, many, options

REFUSED = harness.REFUSED + r"127\.[\d.]+:\d+: "


class Limits(harness.Test):
    def test_max_connections(self):
        """the connection above max_connections is refused, and there is room again after one ends"""
        with Echod("-o", "max_connections=10", expect=[REFUSED + "max_connections "]) as d:
            with many(d.connect() for _ in range(10)) as first:
                for _ in range(5):
                    for s in first:
                        self.assertEchoes(s)
                    self.assertRefused(d)
                first[0].close()
                d.wait_open(9)
                self.assertServes(d)
            counters = d.wait_open(0)
            self.assertEqual((counters["accepted"], counters["refused_max_connections"]), (11, 5))
            d.wait_log(REFUSED)
            self.assertEqual(d.log().count("refused a connection"), 1)

    def test_refusal_is_a_reset(self):
        """a refused client gets a reset, not an end that looks like that of an echo"""
        with Echod("-o", "max_connections=1", expect=[REFUSED]) as d, d.connect() as first:
            self.assertEchoes(first)
            for _ in range(10):
                with self.assertRaises(ConnectionError), d.connect() as s:
                    s.recv(1)

    @harness.plain_only
    def test_told_together(self):
        """the first refusal is logged immediately, the others are summarised ten seconds later, then no more lines"""
        with Echod(*options(max_connections=2, max_connections_per_source=1), expect=[REFUSED]) as d, \
                d.connect(source="127.0.0.2") as first:
            self.assertEchoes(first)
            began = time.monotonic()
            self.assertRefused(d, source="127.0.0.2")
            d.wait_log(r"refused a connection from 127\.0\.0\.2:\d+: "
                       r"max_connections_per_source \(1 so far\)$")
            self.assertRefused(d, source="127.0.0.2")
            with d.connect(source="127.0.0.3") as second:
                self.assertEchoes(second)
                for _ in range(2):
                    self.assertRefused(d, source="127.0.0.4")
                d.wait_log(r"refused 3 connections, the last from 127\.0\.0\.4:\d+: max_connections "
                           r"2 \(2 so far\), max_connections_per_source 1 \(2 so far\)$")
                self.assertGreaterEqual(time.monotonic() - began, 10)
            self.assertEqual(d.log().count("refused a connection"), 1)

    def test_per_source(self):
        """one source's limit is its own: another source is served [F16]"""
        with Echod("-o", "max_connections_per_source=5", expect=[REFUSED]) as d:
            with many(d.connect(source="127.0.0.2") for _ in range(5)) as first:
                for s in first:
                    self.assertEchoes(s)
                self.assertRefused(d, source="127.0.0.2")
                with many(d.connect(source="127.0.0.3") for _ in range(5)) as second:
                    for s in first + second:
                        self.assertEchoes(s)
            d.wait_open(0)
            self.assertServes(d, source="127.0.0.2")
            self.assertEqual(d.counters()["refused_max_connections_per_source"], 1)

    def test_rate(self):
        """a source that connects faster than its rate is refused after its burst, others are not [F16]"""
        with Echod(*options(connection_rate_per_source=1, connection_burst_per_source=5),
                   expect=[REFUSED]) as d:
            refused = sum(not d.serves(source="127.0.0.2") for _ in range(60))
            self.assertGreater(refused, 0)
            self.assertServes(d, source="127.0.0.3")
            counters = d.wait_open(0)
            self.assertEqual(counters["refused_connection_rate_per_source"], refused)
            self.assertEqual(counters["accepted"], 61 - refused)
            self.assertGreaterEqual(counters["accepted"], 6)
            # never switched off: in time the same source is served again
            harness.wait_until(lambda: d.serves(source="127.0.0.2"), "another token")

    def test_many_sources(self):
        """thousands of sources are told apart [F16]"""
        with Echod("-o", "max_connections_per_source=1", expect=[REFUSED]) as d:
            sources = [f"127.{a}.{b}.1" for a in range(1, 21) for b in range(100)]
            harness.raise_descriptor_limit()
            with many(d.connect(source=s) for s in sources):
                d.wait_open(len(sources))
                for source in sources[::100]:
                    self.assertRefused(d, source=source)
            d.wait_open(0)
            counters = d.wait_counter("refused_max_connections_per_source", 20)
            self.assertEqual(counters["refused_max_connections_per_source"], 20)

    @harness.own_memory
    def test_memory_of_sources(self):
        """what is remembered of ten thousand sources is bounded, and costs none of them its turn [F16]"""
        with Echod(*options(connection_rate_per_source=1, workers=1),
                   prefix=("prlimit", "--nofile=100:100")) as d, d.connect() as witness:
            sources = [f"127.{a}.{b}.2" for a in range(1, 101) for b in range(100)]
            for source in sources[:500]:  # more than it remembers
                self.assertServes(d, source=source)
            before = d.own_memory()
            for source in sources[500:]:
                self.assertServes(d, source=source)
            self.assertLessEqual(d.own_memory() - before, 16384)
            self.assertEchoes(witness)


class Descriptors(harness.Test):
    def lower(self, daemon, limit=8):
        """Fewer than it has open, so that it gets no more."""
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE,
                         (limit, resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[1]))

    def test_out_of_descriptors(self):
        """without descriptors it pauses without a spin, says so once, and resumes [F12]"""
        with Echod(expect=["cannot accept: Too many open files"]) as d:
            with many(d.connect() for _ in range(5)) as first:
                d.wait_open(5)
                self.lower(d)
                with d.connect() as waiting:
                    waiting.sendall(b"later")
                    d.wait_log("cannot accept")
                    before, pauses = d.cpu_seconds(), d.counters()["pauses"]
                    began = time.monotonic()
                    d.wait_counter("pauses", pauses + 10)  # a second
                    self.assertLess(d.cpu_seconds() - before, 0.3)
                    self.assertGreater(time.monotonic() - began, 0.7)
                    for s in first:
                        self.assertEchoes(s)
                    self.lower(d, 1000)
                    self.assertEqual(harness.read_exactly(waiting, 5), b"later")
            self.assertEqual(d.log().count("cannot accept"), 1)
            d.wait_open(0)

    def test_stop_without_descriptors(self):
        """it can be stopped while it has no descriptors"""
        with Echod(expect=["cannot accept", "cannot accept from a removed listener"]) as d:
            self.lower(d)
            with d.connect():
                d.wait_log("cannot accept")
                d.signal(signal.SIGTERM)
                self.assertEqual(d.wait_exit(), 0)

    def test_few_descriptors(self):
        """max_connections is what the descriptors leave, and so they never run out [F22]"""
        with Echod(prefix=("prlimit", "--nofile=64:64"), expect=[harness.REFUSED]) as d:
            most = int(d.wait_log(r"at most (\d+) connections").group(1))
            self.assertLess(most, 64)
            with many(d.connect() for _ in range(most)):
                for _ in range(100):
                    self.assertRefused(d)
                counters = d.wait_counter("refused_max_connections", 100)
                self.assertEqual(counters["open"], most)
                self.assertEqual(counters["refused_max_connections"], 100)
                self.assertEqual(counters["pauses"], 0)
            d.wait_open(0)
            self.assertServes(d)

    def test_too_few_descriptors(self):
        """with too few descriptors to serve one client it does not start [F22]"""
        status, _, err = harness.run("-o", "listen=127.0.0.1:0", preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (20, 20)))
        self.assertEqual(status, 71, err)
        self.assertIn("Too many open files", err)

    def test_limit_is_raised(self):
        """the soft limit of descriptors does not count, only the hard one"""
        with Echod(prefix=("prlimit", "--nofile=40:200")) as d:
            self.assertGreater(int(d.wait_log(r"at most (\d+) connections").group(1)), 100)
            with many(d.connect() for _ in range(100)) as clients:
                for s in clients:
                    self.assertEchoes(s)

    def test_limit_above_descriptors(self):
        """a max_connections that the descriptors do not allow is lowered, with a warning [F22]"""
        with Echod("-o", "max_connections=1000", prefix=("prlimit", "--nofile=100:100"),
                   expect=["max_connections is 1000, but 100 descriptors allow only"]) as d:
            d.wait_log("max_connections is 1000")
            self.assertServes(d)

    def test_system_limit(self):
        """where the system allows a process fewer than its hard limit, these are the limit [F22]"""
        with harness.Disguise({"/proc/sys/fs/nr_open": "150\n"}) as prefix:
            with Echod("-o", "workers=1", prefix=("prlimit", "--nofile=100:300", *prefix)) as d:
                self.assertIn(int(d.wait_log(r"at most (\d+) connections").group(1)), range(100, 150))
                self.assertEqual(resource.prlimit(d.pid, resource.RLIMIT_NOFILE), (150, 150))

    def test_inherited(self):
        """what it inherited by mistake is closed, and takes no connection's place [F22]"""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)

        def before():
            for fd in range(10, 50):
                os.dup2(writer, fd)
        with Echod(prefix=("prlimit", "--nofile=80:80"), preexec_fn=before, close_fds=False,
                   expect=[harness.REFUSED]) as d:
            os.close(writer)
            self.assertTrue(select.select([reader], [], [], harness.DEADLINE)[0], "it holds the pipe")
            most = int(d.wait_log(r"at most (\d+) connections").group(1))
            with many(d.connect() for _ in range(most)) as clients:
                for s in clients:
                    self.assertEchoes(s)
                self.assertRefused(d)

    def test_descriptors_are_private(self):
        """every descriptor beyond the standard ones closes on exec, no socket blocks, and all are returned [F10 F15]"""
        with Echod() as d:
            before = d.descriptors()
            with many(d.connect() for _ in range(20)):
                d.wait_open(20)
                for fd in os.listdir(f"/proc/{d.pid}/fd"):
                    info = harness.read(f"/proc/{d.pid}/fdinfo/{fd}")
                    flags = int(info.split("flags:")[1].split()[0], 8)
                    if int(fd) > 2:
                        self.assertTrue(flags & os.O_CLOEXEC, f"descriptor {fd}")
                    if os.readlink(f"/proc/{d.pid}/fd/{fd}").startswith("socket:"):
                        self.assertTrue(flags & os.O_NONBLOCK, f"descriptor {fd}")
            d.wait_open(0)
            self.assertEqual(d.descriptors(), before)


class Stack(harness.Test):
    """The limit of stacks (ulimit -s) is that of the main thread only, which needs less than 64 KiB."""

    @unittest.skipIf(harness.SANITIZERS, "sanitizers have demands of their own on the first thread's stack")
    def test_limits(self):
        """the limit of stacks may be tiny or huge: every thread has what it needs"""
        for limit, what in ((1 << 40, "a size that no thread can have"), (1 << 16, "64 KiB")):
            hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
            if hard != resource.RLIM_INFINITY and hard < limit and os.geteuid() != 0:
                self.skipTest("the hard limit is lower")
            with self.subTest(what), Echod(conf="max_connections = 2\n", prefix=("prlimit", f"--stack={limit}:"),
                                           expect=[harness.REFUSED, "workers = .x", "more errors"]) as d:
                with d.connect() as s, d.connect() as stream:
                    self.assertRefused(d)
                    self.assertEchoes(s)
                    self.assertEchoes(stream, os.urandom(1 << 20))
                    d.reload()
                    d.reload("workers = x\n" * 30, "there are more errors")
                    d.counters()


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""The client's load: against the daemon, against liars, and against echoes of others."""

import contextlib
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time

import harness
import liars
import peers
from client import Client, read_terminal, target_of
from harness import ECHOC, Echod

SMALL = bool(harness.SANITIZERS)
CPU = str(min(os.sched_getaffinity(0)))


class Load(Client):
    def test_json(self):
        """the sums of the object agree with each other, and with the server's"""
        with Echod() as d:
            r = self.run_client("load", "--json", "--connections", 5, "--duration", 1, target_of(d))
            self.assertEqual((r.status, r.err), (0, ""))
            o = r.json
            for name in ("latency_us", "connect_us"):
                values = [time for t, time in o[name].items() if t not in ("mean", "stddev") and time is not None]
                self.assertEqual(values, sorted(values), name)
                self.assertLessEqual(o[name]["min"], o[name]["mean"])
                self.assertLessEqual(o[name]["mean"], o[name]["max"])
                self.assertGreater(o[name]["min"], 0)
            self.assertAllBack(o)
            self.assertEqual(o["target"], target_of(d))
            self.assertEqual(o["connections"], 5)
            self.assertEqual(o["bytes_sent"], 64 * o["messages_sent"])
            self.assertGreaterEqual(o["duration_s"], 1)
            for name, seconds in (("offered_rate", "duration_s"), ("achieved_rate", "answered_s")):
                self.assertAlmostEqual(o[name] * o[seconds], o["messages_sent"],
                                       delta=o["messages_sent"] * 1e-6)
            counters = d.wait_open(0)
            self.assertEqual(counters["accepted"], 5)
            self.assertEqual(counters["echoed"], o["bytes_sent"])

    def test_text(self):
        """without --json a person reads the same numbers"""
        with Echod() as d:
            r = self.run_client("load", "--messages", 100, target_of(d))
            self.assertEqual((r.status, r.err), (0, ""))
            self.assertIn("100 sent, 100 verified, 0 corrupt, 0 lost", r.out)
            self.assertIn("6,400 sent, 6,400 verified", r.out)
            self.assertRegex(r.out, r"(?s) latency +connect\nmin +[\d.]+ [mu]s .*\nmax +[\d.]+ [mu]s +[\d.]+ [mu]?s\n$")

    def test_messages(self):
        """--messages is exact, however they are spread over connections and threads"""
        with Echod() as d:
            for args in ((), ("--connections", 7), ("--connections", 7, "--threads", 3),
                         ("--connections", 20, "--threads", 4, "--pipeline", 9),
                         ("--connections", 2000, "--threads", 2), ("--rate", 5000),
                         ("--connections", 7, "--threads", 3, "--rate", 5000),
                         ("--connections", 7, "--threads", 3, "--churn")):
                with self.subTest(args=args):
                    o = self.load(target_of(d), "--messages", 1001, *args)
                    self.assertEqual(o["messages_verified"], 1001)
                    self.assertAllBack(o)

    def test_messages_and_duration(self):
        """when --messages are all back before --duration, no error is reported"""
        with Echod() as d:
            o = self.load(target_of(d), "--messages", 10, "--duration", 60)
            self.assertEqual(o["messages_verified"], 10)
            self.assertEqual(o["result"].err, "")

    def test_size(self):
        """--size is a size, or a range whose sizes all messages have"""
        with Echod() as d:
            o = self.load(target_of(d), "--messages", 100, "--size", 1000)
            self.assertEqual(o["bytes_verified"], 100000)
            o = self.load(target_of(d), "--messages", 3, "--size", 1 << 22)
            self.assertEqual(o["bytes_verified"], 3 << 22)
        with liars.Recorder() as server:  # with --churn a connection is a message
            self.load(server.target, "--messages", 100, "--size", "10-20", "--churn")
            sizes = {len(heard) for heard in server.heard.values()}
            self.assertEqual((len(server.heard), min(sizes), max(sizes)), (100, 10, 20))
            self.assertGreater(len(sizes), 5)

    def test_pipeline(self):
        """--pipeline messages are on their way at once, and no more"""
        with liars.Silent() as server:
            o = self.load(server.target, "--duration", 0.5, "--timeout", 0.2, "--pipeline", 8,
                          status=1)
            self.assertEqual((o["messages_sent"], o["lost"]), (8, 8))
        with Echod() as d:
            self.assertAllBack(self.load(target_of(d), "--messages", 20000, "--pipeline", 64,
                                         "--size", "1-3000", "--connections", 4))

    def test_threads(self):
        """--threads is the number of threads, if there are connections for them"""
        with Echod() as d:
            for connections, loaders in ((8, 3), (2, 2)):
                p = self.start("load", "--json", "--duration", 600, "--threads", 3,
                               "--connections", connections, target_of(d))

                def comms():
                    names = []
                    for tid in os.listdir(f"/proc/{p.pid}/task"):
                        with contextlib.suppress(OSError):
                            with open(f"/proc/{p.pid}/task/{tid}/comm") as f:
                                names.append(f.read().strip())
                    return names.count("loader")

                before = d.wait_open(connections)["echoed"]
                harness.wait_until(lambda: comms() == loaders, "the threads")
                d.wait_counter("echoed", before + 64)
                self.interrupt(p)
                self.assertEqual(self.finish(p).status, 0)

    def test_churn(self):
        """--churn makes a connection for each message"""
        with Echod() as d:
            o = self.load(target_of(d), "--messages", 200, "--churn")
            self.assertAllBack(o)
            counters = d.wait_open(0)
            self.assertEqual(counters["accepted"], 200)
            self.assertEqual(counters["closed_client"], 200)
            o = self.load(target_of(d), "--rate", 300, "--duration", 1, "--churn", "--connections",
                          10)
            self.assertAllBack(o)
            self.assertGreater(o["messages_sent"], 100)
            self.assertEqual(d.wait_open(0)["accepted"],
                             200 + max(10, o["messages_sent"]))

    def test_ramp(self):
        """--ramp spreads the connecting over its time"""
        with Echod() as d:
            began = time.monotonic()
            o = self.load(target_of(d), "--ramp", 1, "--connections", 10, "--messages", 10)
            self.assertGreaterEqual(time.monotonic() - began, 0.9)  # the last one begins then
            self.assertAllBack(o)

    def test_source(self):
        """--source makes the connections come from those addresses, round-robin"""
        with Echod("-o", "max_connections_per_source=5", expect=[harness.REFUSED]) as d:
            o = self.load(target_of(d), "--connections", 15, "--messages", 15, "--duration", 1,
                          "--source", "127.0.0.2,127.0.0.3,127.0.0.4")
            self.assertAllBack(o)
            self.assertEqual(d.wait_open(0)["accepted"], 15)
            # A reset may come before the connect is seen to have succeeded, or after.
            r = self.run_client("load", "--json", "--connections", 15, "--duration", 0.5,
                                "--source", "127.0.0.2", target_of(d))
            self.assertIn(r.status, (1, 2))
            self.assertEqual(r.json["connect_failures"] + r.json["resets"], 10)
            self.assertEqual(d.wait_open(0)["refused_max_connections_per_source"],
                             10)

    def heard(self, *args):
        with liars.Recorder() as server:
            self.load(server.target, "--messages", 20, "--size", 1000, *args)
            return bytes(server.heard[0])

    def test_seed(self):
        """the same seed gives the same bytes, another one others"""
        first = self.heard("--seed", 5)
        self.assertEqual(len(first), 20000)
        self.assertEqual(self.heard("--seed", 5), first)
        other = self.heard("--seed", 6)
        same = sum(a == b for a, b in zip(first, other))
        self.assertLess(same, 200)  # one of 256 by chance

    def test_connections_differ(self):
        """no two connections of a load send the same bytes"""
        with liars.Recorder() as server:
            self.load(server.target, "--messages", 50, "--connections", 50, "--size", 16)
            self.assertEqual(len({bytes(heard) for heard in server.heard.values()}), 50)

    def test_rate(self):
        """--rate is what is offered; and achieved, by a server that keeps up"""
        with Echod() as d:
            o = self.load(target_of(d), "--rate", 500, "--duration", 2, "--connections", 3,
                          "--threads", 2)
            self.assertAllBack(o)
            self.assertLessEqual(o["messages_sent"], 500 * o["duration_s"] + 1)
            self.assertGreater(o["messages_sent"], 500)  # of 1000: a slow machine plans late
            self.assertLessEqual(o["achieved_rate"], o["offered_rate"])

    @harness.needs("taskset")
    def test_end_of_plan(self):
        """what was due before the end is sent, though the loader is interrupted by the end itself"""
        with Echod() as d:
            for _ in range(5 if SMALL else 30):  # main and the loader share a CPU: the end comes at any moment
                p = self.start("load", "--connections", 300, "--rate", 200000, "--duration", 0.01, "--json",
                               "--timeout", harness.DEADLINE, f"127.0.0.1:{d.port}", prefix=("taskset", "-c", CPU))
                r = self.finish(p)
                self.assertEqual((r.status, r.json["lost"]), (0, 0), r.err)

    def test_tiny_rate(self):
        """a message in many years is one message, not a flood"""
        with Echod() as d:
            o = self.load(target_of(d), "--rate", "1e-10", "--duration", 0.2)
            self.assertEqual((o["messages_sent"], o["messages_verified"]), (1, 1))

    def test_histogram(self):
        """--histogram writes what HdrHistogram's tools read: it rises to 1.0, then the footer"""
        with Echod() as d, tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "latency.hgrm")
            o = self.load(target_of(d), "--messages", 5000, "--histogram", path)
            with open(path) as f:
                lines = f.read().splitlines()
            self.assertEqual(lines[0].split(),
                             ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"])
            self.assertEqual(lines[1], "")
            footer = [i for i, line in enumerate(lines) if line.startswith("#")]
            self.assertEqual(footer, list(range(len(lines) - 3, len(lines))))
            rows = [[float(n) for n in line.split()] for line in lines[2:footer[0]]]
            for column in range(3):
                values = [row[column] for row in rows]
                self.assertEqual(values, sorted(values), column)
            for value, share, count, inverse in rows[:-1]:
                self.assertGreaterEqual(count, share * 5000 * 0.999999)
                self.assertAlmostEqual(inverse, 1 / (1 - share), delta=0.01)
            self.assertEqual(rows[-1][1:], [1.0, 5000])
            self.assertAlmostEqual(rows[-1][0], o["latency_us"]["max"], delta=0.001)
            self.assertRegex(lines[-3], r"^#\[Mean    = +[\d.]+, StdDeviation   = +[\d.]+\]$")
            self.assertRegex(lines[-2], r"^#\[Max     = +[\d.]+, Total count    = +5000\]$")
            self.assertRegex(lines[-1], r"^#\[Buckets = +\d+, SubBuckets     = +\d+\]$")
            r = self.run_client("load", "--messages", 1, "--histogram", directory, target_of(d))
            self.assertEqual((r.status, r.out), (2, ""))  # and it did not even connect
            self.assertIn("Is a directory", r.err)
            self.assertEqual(d.counters()["accepted"], 1)

    def progress(self, daemon, *args):
        """What a terminal on standard error is told in two seconds and a half."""
        master, slave = pty.openpty()
        p = self.start("load", "--json", "--duration", 2.5, *args, target_of(daemon), stderr=slave)
        os.close(slave)
        text = read_terminal(master)
        self.assertEqual(self.finish(p).status, 0)
        return text.splitlines()

    def test_progress(self):
        """a terminal gets a line of progress each second, unless --quiet is given; a pipe gets none"""
        with Echod() as d:
            lines = self.progress(d, "--connections", 3)
            self.assertEqual(len(lines), 3, lines)
            for n, line in enumerate(lines[1:], 1):
                self.assertRegex(line, rf"^ +{n} s +3( +[\d,.]+){{2}}( +[\d.]+ [mu]s){{3}}( +0){{3}}$")
            self.assertEqual(self.progress(d, "--quiet"), [])
            self.assertEqual(self.load(target_of(d), "--duration", 1.5)["result"].err, "")

    def test_interrupt(self):
        """^C and SIGTERM end a load gracefully, with the summary and the status of what was done"""
        with Echod() as d:
            for number, args in ((signal.SIGINT, ("--json",)), (signal.SIGTERM, ("--json",)),
                                 (signal.SIGINT, ("--json", "--rate", 1000, "--churn"))):
                before = d.counters()["echoed"]
                p = self.start("load", *args, "--duration", 600, "--connections", 5, target_of(d))
                d.wait_counter("echoed", before + 6400)
                p.send_signal(number)
                r = self.finish(p)
                self.assertEqual((r.status, r.err), (0, ""))
                self.assertAllBack(r.json)
                self.assertGreater(r.json["messages_verified"], 0)
                self.assertLess(r.json["duration_s"], 600)

    def test_interrupt_connecting(self):
        """an interrupt before all are connected ends a planned load of which nothing was due yet"""
        with Echod() as d:
            p = self.start("load", "--connections", 2, "--ramp", 3600, "--rate", 1000, "--json", f"127.0.0.1:{d.port}")
            d.wait_open(1)
            p.send_signal(signal.SIGINT)
            r = self.finish(p)
            self.assertEqual((r.status, r.json["lost"], r.json["messages_sent"], r.json["duration_s"]), (2, 0, 0, 0))

    def test_interrupt_twice(self):
        """a second ^C ends it at once; what was on its way is not called verified"""
        with liars.Recorder() as server:
            server.echo = server.drain
            server.talk = lambda s, number: server.heard.update({number: s.recv(64)}) or s.recv(1)
            p = self.start("load", "--json", "--duration", 600, "--timeout", 600, server.target)
            harness.wait_until(lambda: server.heard, "a message")
            self.interrupt(p)
            self.assertIsNone(p.poll(), "it waits for the message")
            self.interrupt(p)
            r = self.finish(p)
            self.assertEqual((r.json["messages_sent"], r.json["messages_verified"]), (1, 0))
            self.assertEqual((r.status, r.json["in_flight"], r.json["lost"]), (0, 1, 0))

    def test_many(self):
        """10,000 connections talk for some seconds, and every byte is right"""
        n = 500 if SMALL else 10000
        if harness.raise_descriptor_limit() < n + 200:
            self.skipTest("too few descriptors")
        with Echod("-o", "max_connections=0") as d:
            o = self.load(target_of(d), "--connections", n, "--duration", 3, "--threads", 2,
                          "--timeout", 60, timeout=3 * harness.DEADLINE)
            self.assertAllBack(o)
            self.assertGreaterEqual(o["messages_verified"], n)
            self.assertEqual(d.wait_open(0)["accepted"], n)

    def test_cannot_start(self):
        """without descriptors for itself it says so, and ends"""
        # LeakSanitizer needs descriptors of its own at the end
        p = self.start("load", "--messages", 1, "127.0.0.1:9",
                       env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5)))
        r = self.finish(p, 10)
        self.assertEqual(r.status, 2)
        self.assertIn("Too many open files", r.err)


class Connect(Client):
    def assertFails(self, reason, *args):
        for command in (("load", "--messages", 1), ("load", "--json", "--messages", 1),
                        ("ping", "-c", 1)):
            with self.subTest(command=command):
                r = self.run_client(*command, *args)
                self.assertEqual(r.status, 2, r.err)
                self.assertRegex(r.err, reason)

    def test_refused(self):
        """where no process listens, status 2 and the reason"""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))  # taken, and not listening
            self.assertFails("Connection refused", f"127.0.0.1:{s.getsockname()[1]}")

    def test_timeout(self):
        """a connect that hangs ends after --connect-timeout, with status 2 and the reason"""
        with liars.deaf() as target:
            self.assertFails("timed out", "--connect-timeout", 0.2, target)

    def test_interrupted(self):
        """^C while all connects hang ends it at once, and that is said"""
        with liars.deaf() as target:
            p = self.start("load", "--connect-timeout", 1000, target)
            threads = 3 if "thread" in harness.SANITIZERS else 2  # which has one of its own
            harness.wait_until(lambda: len(os.listdir(f"/proc/{p.pid}/task")) == threads, "its thread")
            p.send_signal(signal.SIGINT)
            r = self.finish(p)
            self.assertEqual((r.status, r.out), (2, ""))
            self.assertIn("interrupted before there was a result", r.err)

    def test_name(self):
        """a name that is none: status 2 and the reason"""
        self.assertFails("no-such-host.invalid", "no-such-host.invalid:7")

    def test_next_address(self):
        """a name with several addresses: the one that answers is taken"""
        if {a[4][0] for a in socket.getaddrinfo("localhost", 7)} < {"::1", "127.0.0.1"}:
            self.skipTest("localhost has one address only")
        with Echod() as d:
            o = self.load(f"localhost:{d.port}", "--messages", 10, "--connections", 3)
            self.assertAllBack(o)
            self.assertEqual(self.run_client("ping", "-c", 1, f"localhost:{d.port}").status, 0)

    def test_ipv6(self):
        """an IPv6 address in brackets"""
        try:
            with socket.socket(socket.AF_INET6) as s:
                s.bind(("::1", 0))
        except OSError as e:
            self.skipTest(f"no IPv6: {e}")
        with Echod(listen="[::1]:0") as d:
            self.assertAllBack(self.load(f"[::1]:{d.port}", "--messages", 10))
            self.assertEqual(self.run_client("ping", "-c", 1, f"[::1]:{d.port}").status, 0)

    @harness.needs("unshare", "ip")
    def test_self(self):
        """a connect that meets itself, where the kernel has one port only, is no echo"""
        script = ('ip link set lo up && echo "40000 40000" >/proc/sys/net/ipv4/ip_local_port_range'
                  ' || exit 77; exec "$@"')
        for command in (("load", "--messages", "1"), ("ping", "-c", "1")):
            r = subprocess.run(["unshare", "-rn", "sh", "-c", script, "-", ECHOC, *command,
                                "127.0.0.1:40000"], capture_output=True, text=True,
                               timeout=harness.DEADLINE)
            if r.returncode in (77, 1) and "echoc" not in r.stderr:
                self.skipTest("no network namespace: " + r.stderr)
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn("echoc: 127.0.0.1:40000: ", r.stderr)


class Liars(Client):
    """Every fault is found, counted in its place, and reported."""

    def test_honest(self):
        """a correct server has no fault"""
        with liars.Honest() as server:
            o = self.load(server.target, "--messages", 500, "--connections", 5, "--size", "1-5000")
            self.assertAllBack(o)

    def test_flip(self):
        """one flipped bit anywhere in a message is found, with its place and both values"""
        for position in (0, 1, 7, 8, 63, 64, 1000, 6399):
            for bit in (0, 7):
                with self.subTest(position=position, bit=bit), \
                     liars.Flips(position, bit) as server:
                    o = self.load(server.target, "--messages", 100, status=1)
                    self.assertEqual((o["corrupt"], o["lost"]), (1, 0))
                    self.assertEqual(o["messages_verified"], 99)
                    self.assertEqual(o["bytes_verified"], o["bytes_sent"] - 1)
                    self.assertEqual(o["result"].reports, [
                        (0, position, f"0x{server.expected:02x}", f"0x{server.found:02x}")])

    def test_flip_gib(self):
        """one flipped bit in a gigabyte is found"""
        mib = 64 if SMALL else 1024
        with liars.Flips((mib << 20) - 12345, 3) as server:
            o = self.load(server.target, "--messages", mib, "--size", 1 << 20, "--pipeline", 4,
                          "--timeout", 60, status=1, timeout=5 * harness.DEADLINE)
            self.assertEqual((o["corrupt"], o["lost"]), (1, 0))
            self.assertEqual(o["bytes_sent"], mib << 20)
            self.assertEqual(o["bytes_verified"], (mib << 20) - 1)
            self.assertEqual(o["result"].reports, [
                (0, (mib << 20) - 12345, f"0x{server.expected:02x}", f"0x{server.found:02x}")])

    def test_reports_end(self):
        """the first few wrong bytes are reported, not all"""
        with liars.Flips(10) as server:
            o = self.load(server.target, "--messages", 100, "--connections", 100, "--threads", 2,
                          status=1)
            self.assertEqual(o["corrupt"], 100)
            self.assertTrue(2 <= len(o["result"].reports) <= 10, o["result"].err)

    def test_swap(self):
        """two connections with each other's bytes, at the same positions"""
        with liars.Swaps(640, 64) as server:
            # Twenty planned messages for each: both come to the place of the swap.
            o = self.load(server.target, "--rate", 1000, "--messages", 40, "--connections", 2,
                          status=1)
            self.assertEqual((o["corrupt"], o["messages_verified"], o["lost"]), (2, 38, 0))
            reports = o["result"].reports
            self.assertEqual({r[0] for r in reports}, {0, 1})
            self.assertTrue(all(640 <= r[1] < 704 for r in reports), reports)

    def test_repeat(self):
        """a segment that comes twice"""
        with liars.Repeats(640, 64) as server:
            o = self.load(server.target, "--messages", 100, "--pipeline", 1, status=1)
            self.assertGreaterEqual(o["corrupt"], 1)
            self.assertEqual(o["result"].reports[0][1], 704)
        with liars.Repeats(640, 10) as server:  # in the middle of a message
            o = self.load(server.target, "--messages", 100, "--pipeline", 100, status=1)
            self.assertGreaterEqual(o["corrupt"], 1)
            # Where the surplus is received together with what is before it, only its place is told.
            self.assertIn(o["result"].reports[0][1], (650, 6400))

    def test_drop(self):
        """a byte that is left out is a wrong byte there, and a message that does not come back"""
        with liars.Drops(650) as server:
            o = self.load(server.target, "--duration", 1, "--timeout", 0.3, status=1)
            self.assertEqual((o["lost"], o["corrupt"], o["messages_verified"]), (1, 1, 10))
            connection, offset, expected, found = o["result"].reports[0]
            self.assertEqual((connection, offset), (0, 650))
            self.assertNotEqual(expected, found)
        with liars.Drops(650) as server:  # what follows completes the message
            o = self.load(server.target, "--messages", 100, "--pipeline", 100, "--duration", 1,
                          "--timeout", 0.5, status=1)
            self.assertEqual((o["corrupt"], o["lost"]), (90, 1))

    def test_late(self):
        """an answer after --timeout is a lost message, though its bytes are right"""
        with liars.Stops(640, 1) as server:
            o = self.load(server.target, "--messages", 100, "--timeout", 0.2, status=1)
            self.assertEqual((o["lost"], o["corrupt"], o["messages_verified"]), (1, 0, 99))
            self.assertEqual(o["bytes_verified"], o["bytes_sent"])

    def test_close(self):
        """an early FIN is an early close, and what was on its way is lost"""
        with liars.Closes(650) as server:
            o = self.load(server.target, "--messages", 100, "--connections", 2, status=1)
            self.assertEqual((o["early_closes"], o["lost"], o["resets"]), (2, 2, 0))

    def test_reset(self):
        """a reset is counted, and what was on its way is lost"""
        with liars.Resets(650) as server:
            o = self.load(server.target, "--messages", 100, "--connections", 2, status=1)
            self.assertEqual((o["resets"], o["lost"], o["early_closes"]), (2, 2, 0))

    def test_silent(self):
        """what is never answered is lost after --timeout"""
        with liars.Silent() as server:
            o = self.load(server.target, "--duration", 0.5, "--timeout", 0.2, "--connections", 10,
                          status=1)
            self.assertEqual((o["messages_sent"], o["lost"], o["messages_verified"]), (10, 10, 0))

    def test_silent_messages(self):
        """--messages come to an end with a server that never answers, too"""
        with liars.Silent() as server:
            r = self.finish(self.start("load", "--json", "--messages", 10, "--timeout", 0.2,
                                       server.target), 15)
            self.assertEqual(r.status, 1)
            self.assertGreater(r.json["lost"], 0)

    def test_unasked_before(self):
        """bytes before anything was sent are reported, and not taken for an answer"""
        with liars.Chatty(before=b"welcome") as server:
            o = self.load(server.target, "--duration", 1, status=1)
            self.assertGreaterEqual(o["corrupt"], 1)
            if o["messages_sent"] == 0:
                self.assertEqual(o["result"].reports, [(0, 0, "nothing", "0x77")])

    def test_unasked_after(self):
        """bytes after all was answered are reported"""
        with liars.Chatty(after=b"bye") as server:
            o = self.load(server.target, "--messages", 10, status=1)
            self.assertEqual((o["corrupt"], o["messages_verified"]), (1, 10))
            self.assertEqual(o["result"].reports, [(0, 640, "nothing", "0x62")])

    def test_gone(self):
        """a server that goes away ends the load early, and that is reported"""
        for args in (("--duration", 600), ("--duration", 600, "--rate", 1000),
                     ("--duration", 600, "--churn")):
            with self.subTest(args=args), liars.Vanishes(6400 if "--churn" not in args else 32) \
                 as server:
                r = self.run_client("load", "--json", *args, "--connections", 4, server.target)
                self.assertIn(r.status, (1, 2))
                self.assertIn("all connections have ended: ", r.err)
                self.assertGreater(r.json["early_closes"] + r.json["resets"], 0)
                self.assertLess(r.json["duration_s"], 600)

    def test_gone_messages(self):
        """the same with --messages"""
        with liars.Vanishes(6400) as server:
            r = self.run_client("load", "--json", "--messages", 1000000, server.target)
            self.assertEqual(r.status, 1)
            self.assertGreater(r.json["early_closes"] + r.json["resets"], 0)
            self.assertIn("all connections have ended: ", r.err)


class Latency(Client):
    def test_distribution(self):
        """percentiles are those of a known distribution: never below, and not a band above"""
        plan = ([0.01] * 17 + [0.05] * 3) * 5
        plan[30] = plan[70] = 0.2  # of a hundred: 83 to 85 take 10 ms, 13 or more 50 ms, 2 200 ms
        with liars.Delays(64, plan) as server:
            o = self.load(server.target, "--messages", 200)
        times = o["latency_us"]
        for name, least, below in (("min", 10, 50), ("p50", 10, 50), ("p90", 50, 200),
                                   ("p99", 200, 5000), ("max", 200, 5000)):
            self.assertGreaterEqual(times[name], least * 1000, name)
            self.assertLess(times[name], below * 1000, name)
        self.assertGreaterEqual(times["mean"], 1000 * 1000 * sum(plan) / len(plan))

    def test_coordinated_omission(self):
        """a server that stops for a second shows in all messages that were due in that second"""
        # A thousand of 3,000 messages are due while it stops; half of those wait for more than
        # half a second.  A client that only counts from when it could send would tell of one.
        with liars.Stops(6400, 1) as server:
            planned = self.load(server.target, "--rate", 1000, "--messages", 3000)
        self.assertGreaterEqual(planned["latency_us"]["p99"], 500000)
        self.assertGreaterEqual(planned["latency_us"]["max"], 990000)
        # Without a rate nothing was due but the one message that was sent.
        with liars.Stops(6400, 1) as server:
            o = self.load(server.target, "--messages", 3000)
        self.assertGreaterEqual(o["latency_us"]["max"], 990000)
        self.assertLess(o["latency_us"]["p99"], planned["latency_us"]["p99"])


class Others(Client):
    """Echo servers that others wrote."""

    def check(self, port, largest=1 << 20):
        target = f"127.0.0.1:{port}"
        for args in (("--connections", 5, "--messages", 500, "--size", "1-20000"),
                     ("--messages", 20, "--churn"), ("--messages", 200, "--pipeline", 20),
                     ("--connections", 3, "--messages", 12, "--size", largest)):
            with self.subTest(args=args):
                self.assertAllBack(self.load(target, *args))
        self.assertEqual(self.run_client("ping", "-c", 3, "-i", 0.01, target).status, 0)

    def spawn(self, *command, **options):
        """A server in a group of its own, which ends with the test."""
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, text=True,
                             **options)

        def end():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGKILL)
            p.communicate()
        self.addCleanup(end)
        return p

    def wait_listening(self, p, port):
        def listens():
            self.assertIsNone(p.poll(), "it has ended")
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), harness.DEADLINE).close()
                return True
        harness.wait_until(listens, "the server to listen")

    def free_port(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    @harness.needs("socat")
    def test_socat(self):
        """socat with EXEC:cat, a process for each connection"""
        p = self.spawn("socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork,backlog=128",
                       "EXEC:cat", stderr=subprocess.PIPE)
        for line in p.stderr:
            if match := re.search(r"listening on .*:(\d+)$", line):
                break
        self.check(int(match.group(1)))

    @harness.needs("ncat")
    def test_ncat(self):
        """ncat with -e /bin/cat"""
        port = self.free_port()
        p = self.spawn("ncat", "-l", "-k", "-e", "/bin/cat", "127.0.0.1", str(port),
                       stderr=subprocess.DEVNULL)
        self.wait_listening(p, port)
        # It writes to cat without reading from it, and what fits into two pipes is all it can.
        self.check(port, largest=30000)

    def test_xinetd(self):
        """xinetd's own echo service"""
        try:
            server = peers.xinetd()
        except peers.LeftOut as reason:
            self.skipTest(str(reason))
        with server:
            self.check(server.port)


if __name__ == "__main__":
    harness.main()

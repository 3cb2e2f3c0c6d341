# SPDX-License-Identifier: MIT
"""Static probes: code, notes in the binary and echod.journal(7) agree, and bpftrace sees every byte."""

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import unittest

import harness
from harness import ECHOD, Echod, read, wait_until


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def manual():
    """The section PROBES of echod.journal(7)."""
    return re.search(r"^\.Sh PROBES\n(.*?)^\.Sh ", read(harness.BUILDDIR, "man/echod.journal.7"),
                     re.M | re.S).group(1)


def documented():
    """The probes of the manual with the names of their arguments."""
    entries = re.findall(r"^\.It Fn (\w+) (.*)$", manual(), re.M)
    return {name: args.split() for name, args in entries}


def notes():
    """The probes of the binary: [(name, address, semaphore, arguments)]."""
    found = re.findall(r"Provider: echod\s+Name: (\w+)\s+Location: (\w+), Base: \w+, "
                       r"Semaphore: (\w+)\s+Arguments: (.*)", output("readelf", "-nW", ECHOD))
    return [(name, int(address, 16), int(semaphore, 16), args.split())
            for name, address, semaphore, args in found]


def has_probes():
    return "#define HAVE_PROBES 1" in read(harness.BUILDDIR, "config.h")


class Tracer:
    """bpftrace, attached to a daemon with one worker.  When it ends, what it had not fetched is lost.

    bpftrace does not say when it has attached.  It attaches in order or in the
    reverse order, so it has when both the first and the last probe were seen.
    """

    def __init__(self, daemon, program):
        self.daemon = daemon
        self.lines = []
        seen = f'usdt:{ECHOD}:echod:close {{ printf("%s\\n"); }}\n'
        program = f"{seen % 'first'}{program}\n{seen % 'last'}"
        self.process = subprocess.Popen(
            ["bpftrace", "-B", "line", "-p", str(daemon.pid), "-e", program],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with self.process.stdout:
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))

    def exchange(self, *sizes):
        """Messages of these sizes, then the end; all its probes have been passed at the return."""
        with self.daemon.connect() as s:
            for size in sizes:
                s.sendall(b"x" * size)
                harness.read_exactly(s, size)
            s.shutdown(socket.SHUT_WR)
            harness.read_to_end(s)

    def __enter__(self):
        def attached():
            if self.process.poll() is not None:
                raise AssertionError("bpftrace ended: " + "\n".join(self.lines))
            self.exchange(1)
            return {"first", "last"} <= set(self.lines)
        try:
            wait_until(attached, "bpftrace to attach")
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(harness.DEADLINE)
        self.reader.join(harness.DEADLINE)


# One line for each probe, with the moment, for lines of different CPUs may change places.
EVENTS = "\n".join(
    'usdt:%s:echod:%s { printf("%%llu %s%s\\n", nsecs, %s); }'
    % (ECHOD, name, name, " %lld" * n, ", ".join(f"arg{i}" for i in range(n)))
    for name, n in (("accept", 2), ("adopt", 2), ("recv", 3), ("send", 2), ("pending", 3), ("close", 4)))

# Connections that echo as many bytes are the last before what counts, and the first after it.
BEFORE, AFTER = 777, 778


def events(lines):
    """The events between the two in order, [(name, argument...)]; None if there are more to come."""
    found = [re.fullmatch(r"(\d+) ([a-z]+)((?: -?\d+)+)", line) for line in lines]
    found = [event[1:] for event in
             sorted((int(m[1]), m[2], *map(int, m[3].split())) for m in found if m)]
    ends = [i for i, event in enumerate(found) if event[0] == "close" and event[4] in (BEFORE, AFTER)]
    if len(ends) < 2:
        return None
    return found[ends[0] + 1:max(i for i, event in enumerate(found) if event[0] == "accept")]


class Notes(harness.Test):
    def test_manual(self):
        """echod.journal(7) names each probe of the source with its arguments, and none besides"""
        macros = re.findall(r"^#define PROBE_(\w+)\((.*?)\)(?: \\\n)?\s+DTRACE_PROBE(\d)\(echod, (.*)\)$",
                            read(harness.SRCDIR, "src/base/probe.h"), re.M)
        for name, args, n, rest in macros:
            self.assertEqual(rest, f"{name.lower()}, {args}")
            self.assertEqual(int(n), len(args.split(", ")))
        self.assertEqual(list(documented().items()),
                         [(name.lower(), args.split(", ")) for name, args, _, _ in macros])
        self.assertEqual(len(macros), 6)

    def test_reasons(self):
        """echod.journal(7) gives the reasons of close their numbers"""
        names = re.findall(r"^\.It Ic closed_(\w+)$", read(harness.BUILDDIR, "man/echod.8"), re.M)
        reasons = re.findall(r"(\d+) for\n\.Ic closed_(\w+)", manual())
        self.assertEqual([(int(n), name) for n, name in reasons], list(enumerate(names)))
        self.assertGreater(len(names), 1)

    @unittest.skipUnless(has_probes(), "built without probes")
    @harness.needs("readelf", "objdump")
    def test_notes(self):
        """the binary has each probe with its arguments, as a nop, and without a semaphore"""
        found = notes()
        self.assertEqual({name: len(args) for name, _, _, args in found},
                         {name: len(args) for name, args in documented().items()})
        for name, address, semaphore, args in found:
            code = output("objdump", "-d", f"--start-address={address}", f"--stop-address={address + 4}", ECHOD)
            first = re.search(rf"^ *{address:x}:(.*)$", code, re.M).group(1)
            self.assertEqual(first.split()[-1], "nop", name)
            self.assertEqual(semaphore, 0, name)
            self.assertEqual(len(args), len(documented()[name]), name)


class Live(harness.Test):
    @classmethod
    def setUpClass(cls):
        """Skips where no process may be traced; BEGIN is a probe in bpftrace itself."""
        if not has_probes() or os.geteuid() != 0 or not shutil.which("bpftrace"):
            raise unittest.SkipTest("needs probes in the build, bpftrace, and root")
        p = subprocess.run(["bpftrace", "-e", "BEGIN { exit(); }"], capture_output=True, text=True,
                           timeout=harness.DEADLINE)
        if p.returncode != 0:
            raise unittest.SkipTest("bpftrace cannot trace here: " + p.stderr.strip()[-200:])

    def trace(self, exchange, *options):
        """The events of one connection, the descriptor of which is checked and left out."""
        # bpftrace keeps the order of the events of one CPU only.
        cpu = str(min(os.sched_getaffinity(0)))
        with Echod("-o", "workers=1", *options, prefix=("taskset", "-c", cpu)) as daemon:
            with Tracer(daemon, EVENTS) as tracer:
                tracer.exchange(BEFORE)
                exchange(tracer)
                daemon.wait_open(0)
                tracer.exchange(AFTER)
                found = wait_until(lambda: events(list(tracer.lines)), "all events")
        self.assertEqual(len({event[1] for event in found}), 1, found)
        self.assertEqual(found[:2], [("accept", found[0][1], 0), ("adopt", found[0][1], 0)])
        return [(event[0], *event[2:]) for event in found[2:]]

    def test_exchange(self):
        """messages, then the end of the client: each probe once for each, with its bytes"""
        self.assertEqual(self.trace(lambda tracer: tracer.exchange(5, 1000, 3)), [
            ("recv", 5, 0), ("send", 5), ("recv", 1000, 0), ("send", 1000),
            ("recv", 3, 0), ("send", 3), ("close", 0, 0, 1008)])

    def check_slow_reader(self, peeked, *options):
        """At each moment the probes say how many bytes wait."""
        total = 0

        def exchange(tracer):
            nonlocal total
            with tracer.daemon.connect(rcvbuf=4096) as s:
                sent = harness.fill(s)
                total = len(sent)
                self.assertEqual(harness.read_exactly(s, total), sent)
                s.shutdown(socket.SHUT_WR)
                self.assertEnds(s)

        found = self.trace(exchange, "-o", "send_buffer=4608", *options)
        waits = 0
        for name, *args in found[:-1]:
            if name == "recv":
                self.assertTrue(peeked or waits == 0, found)
                waits = args[0]
                self.assertEqual(args[1], peeked)
            elif name == "send":
                waits -= args[0]
            else:
                self.assertEqual((name, args), ("pending", [waits, peeked]))
                self.assertGreater(waits, 0)
        self.assertEqual(waits, 0)
        self.assertIn("pending", {event[0] for event in found})
        self.assertEqual(sum(event[1] for event in found if event[0] == "send"), total)
        self.assertEqual(found[-1], ("close", 0, 0, total))

    def test_pending(self):
        """a slow reader, whose echo waits in a buffer, or in the kernel"""
        self.check_slow_reader(0)
        self.check_slow_reader(1, "-o", "pending_memory=0")

    def test_reset(self):
        """a reset is closed with its reason, its errno and what was echoed before"""
        def exchange(tracer):
            s = tracer.daemon.connect()
            self.assertEchoes(s, b"x" * 10)
            harness.reset(s)

        self.assertEqual(self.trace(exchange), [("recv", 10, 0), ("send", 10),
                                                ("close", 1, errno.ECONNRESET, 10)])

    def test_example(self):
        """the example of echod.journal(7) shows what it says"""
        display = re.search(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", manual(), re.M | re.S).group(1)
        display = display.replace(r"\-", "-").replace(r"\e", "\\")
        program = re.search(r"'\n(.*)'", display, re.S).group(1)
        program, n = re.subn(r"usdt:\S+?/echod:echod:", f"usdt:{ECHOD}:echod:", program)
        self.assertGreater(n, 2)
        with Echod("-o", "workers=1") as daemon:
            with Tracer(daemon, program) as tracer:
                tracer.exchange(100000)
        shown = "\n".join(tracer.lines)
        numbers = {name: int(n) for name, n in re.findall(r"^@(\S+): (\d+)$", shown, re.M)}
        self.assertGreaterEqual(numbers["closed[0]"], 1)
        self.assertGreaterEqual(numbers["echoed[worker/0]"], 100000)
        self.assertRegex(shown, r"@dispatch_ns:\s*\n\[")


if __name__ == "__main__":
    harness.main()

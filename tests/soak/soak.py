# SPDX-License-Identifier: MIT
"""Soak: daemons under mixed loads for hours, which must neither lose a byte nor grow.

One daemon lives all the time and shows what grows; the other is restarted again and again, and every
connection goes on in the next process.  Each has a thread here (Stand) that goes through rounds: some
loads of echoc side by side, other kinds in each round, and the clients of awkward.py; meanwhile it
reloads good and broken files, asks for the counters, and makes trouble.  Each client compares every
byte.  A third daemon is always attacked and at its limits, see besieged.py.

At the end of a round, when all connections are closed, the daemon is at rest: a point that is equal to
all others.  There the counters must add up with what the clients know, no thread may use its CPU, and
descriptors, threads and memory are noted.  The first round, with all loads at once, is for warming up.

Descriptors and threads must be the same at all points.  Memory is the daemon's own, not that of files,
which the kernel maps and unmaps as it likes.  malloc(3) would keep what slow readers had, some megabytes
more or less; it is told to give back at once what is a page or more, and to write on what it gives, so
that a buffer takes all its pages from the start.  What is left still rises to its most, as rare things
coincide: a source, a line of the log, the pages of the table of connections.  So the most of the second
half of the points may not exceed that of the first half by more than PAGES.
"""

import argparse
import collections
import contextlib
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import typing

os.environ.setdefault("DEADLINE", "300")  # it may run beside other work, and be nice
os.environ.update(MALLOC_MMAP_THRESHOLD_="4096", MALLOC_TRIM_THRESHOLD_="4096", MALLOC_PERTURB_="165")
for folder in "functional", "bench":
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", folder))
import harness  # noqa: E402
import measure  # noqa: E402
from besieged import Besieged  # noqa: E402
from manager import Manager  # noqa: E402

AWKWARD = os.path.join(os.path.dirname(__file__), "awkward.py")
RESULT = os.path.join(harness.BUILDDIR, "../soak.json")
PAGE = os.sysconf("SC_PAGESIZE")
PAGES = 32

# The loads of echoc; those without a rate take what they get.
SOURCES = ",".join(f"127.0.0.{n}" for n in range(1, 9))
KINDS = {
    "small": ["--connections", "50", "--size", "1-200"],
    "streams": ["--connections", "4", "--size", "100000-1000000", "--pipeline", "4"],
    "churn": ["--connections", "50", "--churn", "--rate", "400", "--size", "1-5000", "--source", SOURCES],
    "pipelines": ["--connections", "20", "--pipeline", "64", "--size", "1-4096", "--rate", "10000"],
    "crowd": ["--connections", "", "--rate", "300"],
}
CROWD = 3000
VICTIMS = 20
VICTIM = "127.0.7.7"

# What is in force in every file; no client is to be closed for being slow.
BASE = "idle_timeout = 3600\nstall_timeout = 3600\npending_memory = 4194304\n"
GOOD = ["", "pending_memory = 0\n", "max_connections_per_source = 15000\n",
        "connection_rate_per_source = 1000000\nconnection_burst_per_source = 1000000\n",
        "tcp_keepalive = 10\n", "workers = 7\n"]
BROKEN = ["idle_timeout = many\n", "listen = {\n", "no_such_option = 1\n", "max_connections = -1\n",
          "\0", 'stall_timeout = "\n', "listen = 127.0.0.1:99999\n"]
REFUSED = "reload refused"
EXPECT = [REFUSED, "reload: workers takes effect at the next restart", "cannot accept: Too many open files"]

stopping = threading.Event()


class Point(typing.NamedTuple):
    """What a daemon takes at rest."""
    seconds: float
    descriptors: int
    threads: int
    anonymous: int  # bytes


class Load:
    """A load of echoc that goes on until it is told to stop."""

    def __init__(self, kind, port, seed):
        self.kind = kind
        self.process = harness.start_load(port, "--quiet", "--seed", seed, "--duration", 1000000,
                                          "--connect-timeout", 300, *KINDS[kind])

    def check(self):
        """Raises if it has ended by itself."""
        if self.process.poll() is not None:
            self.result()
            raise AssertionError(f"{self.kind} ended by itself")

    def stop(self):
        self.process.send_signal(signal.SIGINT)

    def result(self):
        """What was; raises if anything is missing or wrong."""
        seen = harness.end_load(self.process)
        if self.kind == "churn":  # by its plan, each message has one, and each of its links
            seen["connections"] = max(seen["connections"], seen["messages_sent"])
        return seen

    def kill(self):
        self.process.kill()
        self.process.communicate()


class Awkward(Load):
    """The clients of awkward.py; in a process of their own, as all would wait for one interpreter."""

    def __init__(self, port, seed):
        self.kind = "awkward"
        self.process = subprocess.Popen([sys.executable, AWKWARD, str(port), str(seed)], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.process.stdout.readline()  # now it can be told to stop

    def result(self):
        out, err = self.process.communicate(timeout=2 * harness.DEADLINE)
        if self.process.returncode:
            raise AssertionError(err)
        return json.loads(out)


class Stand:
    """A daemon, and all that is done to it."""

    seeds = itertools.count(1)

    def __init__(self, name, restarts, options):
        self.name, self.restarts, self.options = name, restarts, options
        self.random = random.Random(name)
        self.total = collections.Counter()
        self.done = collections.Counter()
        self.points = []
        self.acts = [self.reload, self.reload_broken, self.ask, self.lack_descriptors, self.stand_still,
                     self.stop_thread, self.kill_connections]
        self.failure = None
        self.daemon = None

    def run(self):
        try:
            with Manager("-o", "workers=2", "-o", "send_buffer=65536", conf=BASE, expect=EXPECT) as self.m:
                self.daemon = self.m.start()
                self.rounds()
        except Exception as e:
            self.failure = f"{self.name}: {type(e).__name__}: {e}"
            stopping.set()

    def rounds(self):
        pairs = itertools.cycle(itertools.combinations(KINDS, 2))
        deck = self.deck()
        self.round(KINDS, deck)
        while not stopping.is_set():
            self.points.append(self.rest())
            self.round(next(pairs), deck)
        self.points.append(self.rest())

    def deck(self):
        """What is done, for ever: each equally often, in an order of no use, and restarts between."""
        while True:
            for act in self.random.sample(self.acts, len(self.acts)):
                yield act
                if self.restarts:
                    yield self.restart

    def has_enough(self):
        """However slow the machine, there is something to judge by."""
        return len(self.points) > 2 and all(self.done[act.__name__] for act in self.acts)

    def round(self, kinds, deck):
        """Some loads at once, for a time."""
        end = time.monotonic() + self.options.round
        before = self.daemon.counters()["accepted"]  # since its start
        loads = [Load(kind, self.daemon.port, next(self.seeds)) for kind in kinds]
        try:
            asked = sum(int(KINDS[kind][1]) for kind in kinds)
            self.daemon.wait_counter("accepted", before + asked)  # all that they count as made
            loads.append(Awkward(self.daemon.port, next(self.seeds)))
            while time.monotonic() < end and not stopping.is_set():
                for load in loads:
                    load.check()
                act = next(deck)
                act()
                self.done[act.__name__] += 1
                stopping.wait(self.random.random() * self.options.pace)
            for load in loads:
                load.stop()
            for load in loads:
                self.total.update({k: v for k, v in load.result().items() if isinstance(v, int)})
        finally:
            for load in loads:
                load.kill()

    # What is done meanwhile.

    def reload(self):
        self.daemon.reload(BASE + self.random.choice(GOOD))

    def reload_broken(self):
        self.daemon.reload(BASE + self.random.choice(BROKEN), REFUSED)

    def ask(self):
        self.daemon.counters()

    def lack_descriptors(self):
        """A moment without a descriptor for new connections, which wait."""
        d = self.daemon
        soft, hard = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
        pauses = d.counters()["pauses"]
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (8, hard))
        try:
            with d.connect() as s:
                d.wait_counter("pauses", pauses + 1)
                resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (soft, hard))
                self.say(s, b"later")
        finally:
            resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (soft, hard))

    def stand_still(self):
        self.daemon.pause()
        time.sleep(self.random.random() / 3)
        self.daemon.resume()

    def stop_thread(self):
        """A moment in which one thread is stopped, and the others go on."""
        names = [name for name in self.daemon.threads().values() if name.startswith(("acceptor", "worker"))]
        with self.daemon.stuck(self.random.choice(names)):
            time.sleep(self.random.random() / 3)

    def kill_connections(self):
        """The daemon's ends of some connections are killed by the kernel, if that may be, or else by a reset."""
        with harness.many(self.daemon.connect(source=VICTIM) for _ in range(VICTIMS)) as victims:
            for s in victims:
                self.say(s, b"not for long")
            if os.geteuid() == 0 and shutil.which("ss"):
                self.kill_by_kernel(victims)
            for s in victims:
                harness.reset(s)
        self.total.update(resets_announced=VICTIMS)

    def kill_by_kernel(self, victims):
        filter_of = f"sport = :{self.daemon.port} and dst {VICTIM}"
        p = subprocess.run(["ss", "-tnHK", "state", "established", filter_of], capture_output=True, text=True)
        if len(p.stdout.splitlines()) != len(victims):
            raise AssertionError(f"ss -K killed not all: {p.stdout}{p.stderr}")
        for s in victims:
            try:
                seen = s.recv(1)
            except ConnectionError:
                continue
            raise AssertionError(f"a connection that was killed ended with {seen}")

    def say(self, s, data):
        """A connection of our own says something for the first time."""
        if harness.echo(s, data) != data:
            raise AssertionError("wrong bytes")
        self.total.update(connections=1, bytes_sent=len(data), bytes_verified=len(data))

    def restart(self, workers=None):
        """The next process takes over; it has another number of workers, unless told."""
        workers = workers or self.random.randint(1, 3)
        self.daemon = self.m.restart("-o", f"workers={workers}")

    # Points at rest.

    def rest(self):
        """Waits until no client is connected; everything must add up."""
        if self.restarts:
            self.restart(workers=2)
            self.done["restart"] += 1
        d = self.daemon
        counters = d.wait_open(0) and d.counters()
        if not self.restarts:  # each process counts from its start
            self.check_counters(counters)
        self.check_store()
        before = measure.cpu_seconds(d.pid)
        time.sleep(0.2)
        if measure.cpu_seconds(d.pid) - before > 0.1:
            raise AssertionError("a thread spins without a client")
        d.check_log()
        with d.changed:
            del d.lines[:]  # hours of it
        return Point(round(time.monotonic() - self.options.start, 3), d.descriptors(), len(d.threads()), d.own_memory())

    def check_counters(self, counters):
        """The daemon must have counted what its clients did."""
        total = self.total
        reset, given_up = total["resets_announced"], total["bytes_given_up"]
        expected = {"accepted": total["connections"], "closed_error": reset,
                    "closed_client": total["connections"] - reset}
        wrong = [f"{k} is {counters[k]}, not {v}" for k, v in expected.items() if counters[k] != v]
        wrong += [f"{k} is {v}" for k, v in counters.items()
                  if k.startswith(("refused", "closed_")) and k not in expected and v]
        if not total["bytes_sent"] <= counters["echoed"] <= counters["received"] <= total["bytes_sent"] + given_up:
            wrong.append(f"received {counters['received']} and echoed {counters['echoed']} of {total['bytes_sent']} "
                         f"and at most {given_up}")
        if wrong:
            raise AssertionError("counters: " + "; ".join(wrong))

    def check_store(self):
        if any("listener" not in name for name in self.m.names()):
            raise AssertionError(f"in the store: {self.m.names()}")


def slopes(points):
    """Growth in an hour by linear regression: descriptors and bytes."""
    if len(points) < 2:
        return {}
    hours = [p.seconds / 3600 for p in points]
    slope = lambda values: round(statistics.linear_regression(hours, values).slope, 3)
    return {"descriptors_per_hour": slope([p.descriptors for p in points]),
            "bytes_per_hour": slope([p.anonymous for p in points])}


def judge(points):
    """What is wrong with points at rest, as texts."""
    wrong = []
    for name in "descriptors", "threads":
        seen = [getattr(p, name) for p in points]
        if len(set(seen)) > 1:
            wrong.append(f"{name} at rest: {min(seen)} to {max(seen)}")
    half = len(points) // 2
    if half:
        first, second = (max(p.anonymous for p in part) for part in (points[:half], points[half:]))
        if second > first + PAGES * PAGE:
            wrong.append(f"memory at rest: {first} bytes at most in the first half, {second} in the second")
    return wrong


def added(stands):
    """What was found and done in all daemons."""
    return (sum((getattr(s, name) for s in stands), collections.Counter()) for name in ("total", "done"))


def summary(stands, besieged, options):
    """What is written."""
    total, done = added(stands)
    failures = [s.failure for s in (*stands, besieged) if s.failure]
    failures += [f"{s.name}: {text}" for s in stands for text in judge(s.points)]
    names = "connections", "bytes_sent", "bytes_verified", "resets_announced", "bytes_given_up", "corrupt", "lost"
    return {
        "machine": measure.machine(), "hours": round((time.monotonic() - options.start) / 3600, 4),
        "messages": total["messages_verified"], **{name: total[name] for name in names},
        "restarts": done["restart"], "reloads": done["reload"], "reloads_refused": done["reload_broken"],
        "faults": {name: done[name] for name in ("lack_descriptors", "stand_still", "stop_thread", "kill_connections")},
        "besieged": besieged.done,
        "failures": failures,
        "daemons": {s.name: {"points": len(s.points), **slopes(s.points), "fields": Point._fields, "at_rest": s.points}
                    for s in stands},
    }


def watch(stands, threads, options):
    """Prints a line a minute until all is over."""
    end, told = options.start + options.hours * 3600, options.start
    while any(t.is_alive() for t in threads):
        now = time.monotonic()
        if now > end and all(s.has_enough() for s in stands):
            stopping.set()
        if now > told + 60:
            told, (total, done) = now, added(stands)
            print(f"{now - options.start:7.0f} of {options.hours * 3600:.0f} s  {total['connections']:,} connections  "
                  f"{total['bytes_verified'] / 1e9:,.1f} GB verified  {done['restart']:,} restarts  "
                  f"{done.total() - done['restart']:,} other acts", file=sys.stderr, flush=True)
        threads[0].join(0.5)


def arguments():
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__.split("\n")[0])
    parser.add_argument("hours", type=float, help="how long, as 0.05")
    parser.add_argument("--output", default=RESULT, help="where the result goes, build/soak.json by default")
    options = parser.parse_args()
    options.round = min(60, options.hours * 3600 / 10)
    options.pace = min(2, options.round / 5)
    KINDS["crowd"][1] = str(min(CROWD, harness.raise_descriptor_limit() // 4))
    return options


def main():
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    options.start = time.monotonic()
    stands = [Stand("steady", False, options), Stand("restarted", True, options)]
    besieged = Besieged(stopping)
    threads = [threading.Thread(target=s.run) for s in (*stands, besieged)]
    for t in threads:
        t.start()
    watch(stands, threads, options)
    result = summary(stands, besieged, options)
    with open(options.output, "w") as f:
        json.dump(result, f, indent=1)
    for name, value in result.items():
        if name == "daemons":
            value = {n: {k: v for k, v in seen.items() if k.endswith("per_hour")} for n, seen in value.items()}
        print(f"{name + ':':18}{value}")
    sys.exit(1 if result["failures"] else 0)


if __name__ == "__main__":
    main()

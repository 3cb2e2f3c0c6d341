# SPDX-License-Identifier: MIT
"""echod against servers that others wrote, and against the least that an echo can cost.

All serve the same loads, one after the other, and in each round in the other
order.  A server stands on one CPU and the load on the others, except where
all share all CPUs.  CPU is that of the server with all its children, as the
kernel counts it; of a proxy without the echo behind it, which is echod.  Every
byte is compared by echoc.  Figures are medians, with the lowest and the
highest in brackets.  A ratio is taken in each round, and then its median.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import time
import typing
from unittest import mock

import measure
from measure import CPUS, LOAD_CPUS, SERVER_CPU, harness, on
import peers

IDLE, SPEAKERS = 19000, 50
ADDRESSES = ",".join(f"127.0.0.{i}" for i in range(1, 17))  # ports for short connections


class Server(typing.NamedTuple):
    name: str
    start: typing.Callable
    is_peer: bool = False
    loads: tuple = ()  # () is all
    most: int = 1000000  # connections


class Load(typing.NamedTuple):
    key: str
    title: str
    connections: int
    args: tuple
    metrics: tuple
    cpus: list = SERVER_CPU  # of the server
    load_cpus: list = LOAD_CPUS


class Metric(typing.NamedTuple):
    key: str
    title: str
    form: str


COST = Metric("cost", "CPU, µs/echo", "{:.2f}")
RATE = Metric("rate", "echoes/s", "{:,.0f}")
PERCENTILES = (Metric("p50", "median, µs", "{:,.0f}"), Metric("p99", "99 %, µs", "{:,.0f}"),
               Metric("p99.9", "99.9 %, µs", "{:,.0f}"))

LOADS = [
    Load("small", "Messages of 64 bytes, 50 connections", 50, (), (COST, RATE)),
    Load("planned", "Latencies at {rate:,} messages of 64 bytes a second, 50 connections", 50,
         ("--rate", "{rate}"), (*PERCENTILES, COST)),
    Load("all", "Messages of 64 bytes, 50 connections; server with a worker for each CPU, load and "
         "server on all CPUs", 50, (), (RATE, COST), CPUS, CPUS),
    Load("large", "Streams, 4 connections", 4, ("--size", 65536, "--pipeline", 16),
         (Metric("cost_mb", "CPU, µs/MB", "{:.0f}"), Metric("rate_mb", "MB/s", "{:,.0f}"))),
    Load("churn", "Connect, echo 64 bytes, close; 50 at a time", 50,
         ("--churn", "--source", ADDRESSES),
         (Metric("cost", "CPU, µs/connection", "{:.1f}"),
          Metric("rate", "connections/s", "{:,.0f}"))),
    Load("many", "Messages of 64 bytes, 10,000 connections, of which all speak", 10000, (),
         (COST, RATE)),
    Load("medium", "Messages of 4 KiB, 50 connections", 50, ("--size", 4096), (COST, RATE)),
    Load("single", "Messages of 64 bytes, 1 connection", 1, (), (COST, RATE)),
]


PLANNED = LOADS[1]


def echod(workers=1, prefix=(), **_):
    return harness.Echod("-o", f"workers={workers}", prefix=prefix)


def other_echod(spec):
    """Another build of echod, or other options: "NAME=PATH [ARGUMENT]...", see --also."""
    name, command = spec.split("=", 1)
    path, *arguments = shlex.split(command)

    def start(workers=1, prefix=(), **_):
        with mock.patch.object(harness, "ECHOD", path or harness.ECHOD):
            return harness.Echod("-o", f"workers={workers}", *arguments, prefix=prefix)
    return Server(name, start)


def reference(name):
    path = os.path.join(harness.BUILDDIR, "tests/bench", name)
    return lambda workers=1, prefix=(), **_: peers.Peer([path, workers], prefix=prefix)


# The references are no servers for others: bare needs clients that read, and sequence such
# that end.
SERVERS = [
    Server("echod", echod),
    Server("bare loop", reference("bare"),
           loads=("small", "planned", "all", "churn", "many", "medium", "single")),
    Server("bare splice loop", reference("splice"), loads=("large",)),
    Server("one after the other", reference("sequence"), loads=("churn",)),
    *(Server(name, start, True, ("small", "planned", "all", "large", "churn", "many"),
             peers.most(name)) for name, start in peers.PEERS.items()),
]


def run_load(load, server, account, options, *args):
    """One run of echoc; returns CPU seconds of the server and what echoc saw."""
    filled = [a.format(rate=options.rate) if isinstance(a, str) else a for a in load.args]
    before = account.seconds(server.pid)
    seen = measure.load(server.port, load.load_cpus, "--connections", load.connections, *filled,
                        *args)
    return account.seconds(server.pid) - before, seen


def figures_of(load, server, account, options):
    """CPU, rate and latencies.  What many connections cost to make is taken off again."""
    made, messages = 0, 0
    amount = ("--duration", options.seconds)
    if load.connections >= 1000:
        made, seen = run_load(load, server, account, options, "--messages", load.connections)
        messages = -seen["messages_verified"]
        amount = ("--messages", load.connections + int(60000 * options.seconds))
    elif load.key == "planned":
        amount = ("--duration", 3 * options.seconds)  # a high percentile needs many messages
    cpu, seen = run_load(load, server, account, options, *amount)
    messages += seen["messages_verified"]
    megabytes = seen["bytes_verified"] / 1e6
    latency = seen["latency_us"]
    return {"cost": 1e6 * (cpu - made) / messages, "rate": seen["achieved_rate"],
            "cost_mb": 1e6 * cpu / megabytes, "rate_mb": megabytes / seen["duration_s"],
            "p50": latency["p50"], "p99": latency["p99"], "p99.9": latency["p99.9"]}


def start(server, load, account):
    """The server, as many workers as it has CPUs, behind the account's prefix."""
    workers = len(load.cpus)
    if server.name in peers.FORKS and not account.is_whole:
        raise peers.LeftOut("its children's CPU time needs a control group")
    return server.start(workers=workers, prefix=[*account.prefix, *on(load.cpus)],
                        backend=lambda: echod(workers, on(load.cpus)))


def measure_one(server, load, options):
    with measure.Account() as account, start(server, load, account) as running:
        measure.load(running.port, load.load_cpus, "--connections", 10, "--messages", 1000)
        return figures_of(load, running, account, options)


class Results:
    """Figures by load and server, one for each round; which were left out or failed, and why."""

    def __init__(self):
        self.figures, self.left_out, self.failed = {}, {}, {}

    def add(self, load, server, number, figures):
        self.figures.setdefault(load, {}).setdefault(server, []).append({"round": number, **figures})

    def values(self, load, server, metric):
        return [f[metric] for f in self.figures.get(load, {}).get(server, ())]

    def ratios(self, load, metric, server, other):
        """One for each round in which both were measured."""
        others = {f["round"]: f[metric] for f in self.figures.get(load, {}).get(other, ())}
        return [f[metric] / others[f["round"]] for f in self.figures.get(load, {}).get(server, ())
                if f["round"] in others]

    def best_peer(self, load, metric, best=min):
        """The peer whose median is the best, or None."""
        medians = {s.name: statistics.median(self.values(load, s.name, metric)) for s in SERVERS
                   if s.is_peer and self.values(load, s.name, metric)}
        return best(medians, key=medians.get) if medians else None


def round_of(number, options, results):
    """All servers under all loads, once."""
    for j, load in enumerate(LOADS):
        if options.loads and load.key not in options.loads:
            continue
        for server in SERVERS if (number + j) % 2 == 0 else reversed(SERVERS):
            if (server.loads and load.key not in server.loads) or server.name in results.left_out:
                continue
            if load.connections > server.most or not keeps_rate(load, server, options, results):
                continue
            measure.tell(f"round {number + 1} of {options.runs}: {load.key}, {server.name}")
            try:
                results.add(load.key, server.name, number, measure_one(server, load, options))
            except peers.LeftOut as reason:
                results.left_out[server.name] = str(reason)
            except AssertionError as reason:
                results.failed[f"{server.name}, {load.key}"] = str(reason)
        if load.key == "small" and not options.rate:
            options.rate = half_of_slowest(results)
    measure.tell("")


def half_of_slowest(results):
    """Half of what the slowest can that serves by itself, in one process; in round numbers."""
    others = (*peers.PROXIES, *peers.FORKS)
    slowest = min(f[0]["rate"] for name, f in results.figures["small"].items() if name not in others)
    return max(1000, int(slowest / 2 / 1000) * 1000)


def keeps_rate(load, server, options, results):
    """False if the planned rate comes near to what this server can."""
    saturated = results.values("small", server.name, "rate")
    return load.key != "planned" or not saturated or saturated[0] > 1.5 * options.rate


def slept(d):
    """CPU nanoseconds and voluntary context switches of all threads."""
    return (round(1e9 * measure.cpu_seconds(d.pid)),
            sum(d.status("voluntary_ctxt_switches", tid) for tid in d.threads()))


def measure_idle(options):
    """echod with many connections, of which none or few speak."""
    speak = ("--connections", SPEAKERS, "--duration", options.seconds)
    count = min(IDLE, harness.raise_descriptor_limit() - 100) - SPEAKERS
    figures = {"connections": count, "idle_seconds": options.idle_seconds, "ratios": []}

    def cost(d):
        before = measure.cpu_seconds(d.pid)
        seen = measure.load(d.port, LOAD_CPUS, *speak)
        return (measure.cpu_seconds(d.pid) - before) / seen["messages_verified"]

    measure.tell(f"{count} idle connections")
    with echod(1, on(SERVER_CPU)) as crowded, echod(1, on(SERVER_CPU)) as alone:
        cost(crowded), cost(alone)
        before = crowded.own_memory()
        with measure.idle(crowded, count):
            figures["memory"] = (crowded.own_memory() - before) / count
            cpu, switches = slept(crowded)
            time.sleep(options.idle_seconds)
            figures["cpu_ns"], figures["switches"] = (b - a for a, b in
                                                      zip((cpu, switches), slept(crowded)))
            for i in range(options.runs):
                both = [cost(d) for d in ((crowded, alone) if i % 2 else (alone, crowded))]
                figures["ratios"].append(both[0] / both[1] if i % 2 else both[1] / both[0])
    return figures


def measure_calls(options):
    """System calls of echod for an echo at saturation."""
    with echod(1, on(SERVER_CPU)) as d:
        return measure.system_calls(d.pid, lambda prefix: measure.load(
            d.port, LOAD_CPUS, "--connections", SPEAKERS, "--duration", options.seconds, prefix=prefix))


def cell(values, form):
    if not values:
        return "-"
    spread = f" ({form.format(min(values))} to {form.format(max(values))})" if len(values) > 1 else ""
    return form.format(statistics.median(values)) + spread


class Goal(typing.NamedTuple):
    what: str
    values: list  # ratios, one for each round, or one figure
    sign: str
    bound: float
    form: str = "{:.3f}"

    def figure(self):
        return statistics.median(self.values)

    def holds(self, value):
        return value <= self.bound if self.sign == "≤" else value >= self.bound

    def verdict(self):
        """By the median; where rounds disagree, it says so."""
        median = "met" if self.holds(self.figure()) else "not met"
        rounds = sum(map(self.holds, self.values))
        all_agree = rounds in (0, len(self.values))
        return median if all_agree else f"{median} ({rounds} of {len(self.values)} rounds)"

    def row(self):
        bound = [f"{self.sign} {self.bound:g}", self.verdict()] if self.bound is not None else ["", ""]
        return [self.what, cell(self.values, self.form), *bound]


# What is compared: title, load, metric, another server or None for the best peer, bound.
RATIOS = [
    ("CPU for a 64-byte echo ÷ {}", "small", "cost", "bare loop", "≤", 1.03),
    ("CPU for a 64-byte echo ÷ best peer, {}", "small", "cost", None, "≤", 1),
    ("echoes/s on all CPUs ÷ best peer, {}", "all", "rate", None, "≥", 1),
    ("99th percentile ÷ best peer, {}", "planned", "p99", None, "≤", 1),
    ("99.9th percentile ÷ best peer, {}", "planned", "p99.9", None, "≤", 1),
    ("CPU for a MB streamed ÷ {}", "large", "cost_mb", "bare splice loop", "≤", 1.05),
    ("CPU for a MB streamed ÷ best peer, {}", "large", "cost_mb", None, "≤", 0.85),
    ("CPU for connect-echo-close ÷ {}", "churn", "cost", "bare loop", "≤", 1.05),
    ("CPU for connect-echo-close ÷ {}", "churn", "cost", "one after the other", "≤", None),
    ("CPU for connect-echo-close ÷ best peer, {}", "churn", "cost", None, "≤", None),
    ("CPU for an echo, 10,000 speak ÷ best peer, {}", "many", "cost", None, "≤", None),
    ("CPU for a 4 KiB echo ÷ {}", "medium", "cost", "bare loop", "≤", None),
    ("CPU for an echo, 1 connection ÷ {}", "single", "cost", "bare loop", "≤", None),
]


def goals_of(results, idle_figures, calls, options):
    """The goals, and the ratios that have none."""
    for what, load, metric, other, sign, bound in RATIOS:
        other = other or results.best_peer(load, metric, max if sign == "≥" else min)
        ratios = results.ratios(load, metric, "echod", other)
        if ratios:
            yield Goal(what.format(other), ratios, sign, bound)
    for load in LOADS:
        metric = load.metrics[0]
        for server in results.figures.get(load.key, {}):
            if server in options.also:
                yield Goal(f"{server} ÷ echod: {load.key}, {metric.title}",
                           results.ratios(load.key, metric.key, server, "echod"), "≤", None)
    if idle_figures:
        n, seconds = idle_figures["connections"], idle_figures["idle_seconds"]
        yield Goal(f"CPU for an echo, {n + SPEAKERS:,} connections of which {SPEAKERS} speak ÷ "
                   f"{SPEAKERS} connections", idle_figures["ratios"], "≤", 1.1)
        yield Goal("own memory for an idle connection, bytes", [idle_figures["memory"]], "≤", 64,
                   "{:.1f}")
        yield Goal(f"CPU of {n:,} idle connections in {seconds:g} s, ns",
                   [idle_figures["cpu_ns"]], "≤", 0, "{:.0f}")
        yield Goal(f"voluntary context switches of {n:,} idle connections in {seconds:g} s",
                   [idle_figures["switches"]], "≤", 0, "{:.0f}")
    if calls:
        yield Goal("system calls for a 64-byte echo", [calls], "≤", 3.1, "{:.3f}")


def report(results, goals, options):
    yield (f"{measure.machine()}; {options.runs} rounds, loads of {options.seconds:g} s; load "
           f"average before: {options.busy:.2f}, after: {os.getloadavg()[0]:.2f}.")
    yield measure.table([["of echod", "", "goal", ""], *(g.row() for g in goals)])
    for what, reason in results.failed.items():
        yield f"**Failed**: {what}: {reason}."
    for load in LOADS:
        servers = [s.name for s in SERVERS if s.name in results.figures.get(load.key, {})]
        if servers:
            title = load.title.format(rate=options.rate)
            rows = [[s, *(cell(results.values(load.key, s, m.key), m.form) for m in load.metrics)]
                    for s in servers]
            yield f"### {title}\n\n" + measure.table([["", *(m.title for m in load.metrics)], *rows])
    for name, reason in results.left_out.items():
        yield f"{name} is left out: {reason}."
    if slow := [s.name for s in SERVERS if s.name in results.figures.get("small", {})
                and not keeps_rate(PLANNED, s, options, results)]:
        yield f"{', '.join(slow)}: not with a planned rate that comes near to what they can."
    if few := [s.name for s in SERVERS if s.is_peer and s.most < 10000]:
        yield (f"{', '.join(few)}: not with 10,000 connections, for want of descriptors or because "
               "each takes a process.")


def save(results, goals, options):
    path = os.path.join(harness.BUILDDIR, "../bench.json")
    with open(path, "w") as f:
        json.dump({"machine": measure.machine(), "runs": options.runs, "seconds": options.seconds,
                   "rate": options.rate, "load_average": options.busy,
                   "goals": [{**g._asdict(), "median": g.figure()} for g in goals],
                   "left_out": results.left_out, "failed": results.failed, "figures": results.figures}, f, indent=1)
    return os.path.normpath(path)


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a minute or two, for a first look")
    parser.add_argument("--publish", action="store_true", help="put the result into docs/performance.md")
    parser.add_argument("--runs", type=int, help="rounds")
    parser.add_argument("--seconds", type=float, help="of a load")
    parser.add_argument("--rate", type=int, help="of the planned load, messages a second")
    parser.add_argument("--loads", nargs="+", choices=[load.key for load in LOADS] + ["idle"],
                        help="only these")
    parser.add_argument("--servers", nargs="*", metavar="NAME", help="only echod and these")
    parser.add_argument("--also", nargs="+", default=[], metavar="NAME=PATH [ARGUMENT]...",
                        help="another build of echod, or other options of it; in one quoted word")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 7)
    options.seconds = options.seconds or (0.3 if options.quick else 1)
    options.idle_seconds = 5 if options.quick else 60
    options.busy = os.getloadavg()[0]
    return options


def main():
    options = arguments()
    if options.servers is not None:
        SERVERS[:] = [s for s in SERVERS if s.name in ("echod", *options.servers)]
    others = [other_echod(spec) for spec in options.also]
    options.also = [s.name for s in others]
    SERVERS[1:1] = others
    results = Results()
    for i in range(options.runs):
        round_of(i, options, results)
    with_idle = not options.loads or "idle" in options.loads
    goals = list(goals_of(results, measure_idle(options) if with_idle else None,
                          measure_calls(options) if with_idle else None, options))
    text = "\n\n".join(report(results, goals, options))
    print(text)
    print(f"\n{save(results, goals, options)} has the figures of each round.")
    if options.publish:
        measure.publish("performance.md", "./dev bench", text)
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""echod beside the models: what an echo costs as the number of connections grows.

Of the connections 50 speak and the others are idle (each has spoken once).
Each server stands on one CPU and the load on the others, in three runs: at
saturation (echoes a second, CPU for each), at a planned rate (latencies, CPU
for each), and, apart from both, a short one in which perf counts system calls.
The last row is echod as it is meant to run: workers and load on all CPUs.

CPU is the kernel's own count in nanoseconds for the whole process, ended
threads included (clock_getcpuclockid(3)).  Every byte is compared by echoc.
The order of the servers alternates; figures are medians, and ± is half the
distance of the lowest and the highest.
"""

import argparse
import math
import os
import re
import statistics
import sys
import typing

from measure import (CPUS, DOCS, LOAD_CPUS, SERVER_CPU, Refused, cpu_seconds, harness, idle, load,
                     machine, on, publish, system_calls, table, tell)
import models
from peers import LeftOut

sys.path.append(DOCS)
import draw  # noqa: E402

SPEAKERS = 50
SIZE = 64  # bytes of a message
RATE = 500  # messages a second of the planned load; few, so that scans can keep it
COUNTED = 20000  # messages, at most, while system calls are counted


def echod(workers, cpus):
    return lambda: harness.Echod("-o", f"workers={workers}", prefix=on(cpus))


def model(name):
    return lambda: models.Model(name, prefix=on(SERVER_CPU))


class Server(typing.NamedTuple):
    name: str
    start: typing.Callable
    load_cpus: list = LOAD_CPUS


SERVERS = [
    Server("thread per connection", model("thread")),
    Server("select", model("select")),
    Server("poll", model("poll")),
    Server("epoll, level-triggered", model("level")),
    Server("epoll, edge-triggered", model("edge")),
    Server("epoll, re-armed", model("rearm")),
    Server("io_uring", model("uring")),
    Server("echod, 1 worker", echod(1, SERVER_CPU)),
    Server(f"echod, {len(CPUS)} workers, all CPUs", echod(len(CPUS), CPUS), CPUS),
]

# What is measured: key, title, format of a figure.
METRICS = [
    ("cost", "CPU of the server for an echo at saturation, µs", "{:.2f}"),
    ("planned_cost", f"CPU of the server for an echo at {RATE:,} a second, µs", "{:.2f}"),
    ("rate", "echoes a second at saturation", "{:,.0f}"),
    ("p50", f"latency at {RATE:,} a second, median, µs", "{:,.0f}"),
    ("p99", f"latency at {RATE:,} a second, 99th percentile, µs", "{:,.0f}"),
    ("calls", "system calls for an echo at saturation", "{:.2f}"),
    ("user", "the server's own memory for a connection, bytes", "{:,.0f}"),
    ("kernel", "the kernel's memory for a connection, both ends, bytes", "{:,.0f}"),
]


def kernel_memory():
    fields = dict(re.findall(r"^(\w+):\s+(\d+)", harness.read("/proc/meminfo"), re.M))
    return 1024 * sum(int(fields[k]) for k in ("Slab", "KernelStack", "PageTables"))


def speak(server, cpus, speakers, *args, prefix=()):
    return load(server.port, cpus, "--connections", speakers, "--size", SIZE, *args, prefix=prefix)


def measure(start, cpus, connections, seconds):
    """All figures of one server with so many connections."""
    speakers = min(SPEAKERS, connections)
    count = connections - speakers
    with start() as d:
        speak(d, cpus, 10, "--messages", 2000)  # so that it has all memory that it needs once
        own, kernel = d.own_memory(), kernel_memory()
        with idle(d, count):
            figures = {"user": None, "kernel": None}
            if count >= 900:  # pages are large, and others use the kernel's memory too
                figures["user"] = (d.own_memory() - own) / count
            if count >= 9000:
                figures["kernel"] = (kernel_memory() - kernel) / count
            before = cpu_seconds(d.pid)
            seen = speak(d, cpus, speakers, "--duration", seconds)
            after = cpu_seconds(d.pid)
            figures["cost"] = 1e6 * (after - before) / seen["messages_verified"]
            figures["rate"] = seen["achieved_rate"]
            seen = speak(d, cpus, speakers, "--duration", 2 * seconds, "--rate", RATE)
            figures["planned_cost"] = 1e6 * (cpu_seconds(d.pid) - after) / seen["messages_verified"]
            figures["p50"], figures["p99"] = seen["latency_us"]["p50"], seen["latency_us"]["p99"]
            figures["calls"] = system_calls(d.pid, lambda prefix: speak(
                d, cpus, speakers, "--messages", COUNTED, "--duration", 1, prefix=prefix))
    return figures


def measure_all(options):
    """{(server, connections): [figures of each run], None if it refuses so many}, {server: why}"""
    results, notes = {}, {}
    for i in range(options.repeats):
        for j, connections in enumerate(options.connections):
            for server in SERVERS if (i + j) % 2 == 0 else reversed(SERVERS):
                key = server.name, connections
                if results.get(key, ()) is None:
                    continue
                tell(f"run {i + 1} of {options.repeats}, {connections} connections: {server.name}")
                try:
                    figures = measure(server.start, server.load_cpus, connections, options.seconds)
                    results.setdefault(key, []).append(figures)
                except Refused as reason:
                    results[key] = None
                    notes[server.name] = str(reason)
                except LeftOut as reason:
                    notes[server.name] = str(reason)
    tell("")
    return results, notes


def values(results, server, connections, metric):
    return [r[metric] for r in results.get((server, connections)) or () if r[metric] is not None]


def cell(results, server, connections, metric, form):
    if results.get((server, connections), ()) is None:
        return "refuses"
    seen = values(results, server, connections, metric)
    if not seen:
        return "-"
    median = statistics.median(seen)
    spread = 50 * (max(seen) - min(seen)) / median if median else 0
    return form.format(median) + (f" ±{spread:.0f}%" if spread >= 0.5 else "")


def tables(results, notes, connections):
    servers = [s.name for s in SERVERS if any(name == s.name for name, _ in results)]
    for metric, title, form in METRICS:
        shown = [n for n in connections if any(values(results, s, n, metric) for s in servers)]
        if shown:
            rows = [[title, *(f"{n:,}" for n in shown)]]
            rows += [[s, *(cell(results, s, n, metric, form) for n in shown)] for s in servers]
            yield table(rows)
    for name, reason in notes.items():
        yield f"{name}, {reason}."


def figures(text, title):
    """A published table: {server: {connections: figure}}."""
    head, _, *rows = (line.strip("| ").split("|") for line in
                      re.search(rf"^\| {re.escape(title)} .*?(?=\n\n|\Z)", text, re.M | re.S).group().splitlines())
    counts = [int(n.replace(",", "")) for n in head[1:]]
    return {name.strip(): {n: float(cell.split()[0].replace(",", "")) for n, cell in zip(counts, cells)
                           if cell.split()[0][0].isdigit()} for name, *cells in rows}


# Lines in colour, from the front; the others are grey.
COLOURS = {"echod, 1 worker": "path", "poll": "poll", "select": "select"}
LEFT, TOP, WIDTH, HEIGHT = 80, 76, 560, 330


def plot(text, title, path):
    """Draws the growth of a published table, both axes logarithmic."""
    table = figures(text, title)
    most = max(table["poll"])
    ratio = table["poll"][most] / table["echod, 1 worker"][most]
    counts = sorted(table["echod, 1 worker"])
    low, high = math.log10(counts[0]), math.log10(counts[-1])
    seen = [math.log10(v) for row in table.values() for v in row.values()]
    bottom, top = min(seen) - 0.1, max(seen) + 0.1
    x = lambda n: LEFT + WIDTH * (math.log10(n) - low) / (high - low)
    y = lambda v: TOP + HEIGHT * (top - math.log10(v)) / (top - bottom)
    picture = draw.Picture(title, LEFT + WIDTH + 230, TOP + HEIGHT + 60)
    picture.text(20, 26, f"With {most:,} connections poll takes {ratio:.0f} times the CPU of epoll, and select refuses them",
                 "name", "start")
    picture.text(20, 48, f"{title}; lower is better", "small", "start")
    for decade in range(math.ceil(bottom), math.floor(top) + 1):
        picture.arrows.append(f'<path class="line" opacity=".4" d="M{LEFT},{y(10**decade):g} h{WIDTH}"/>')
        picture.text(LEFT - 8, y(10**decade) + 4, f"{10**decade:,} µs", "small", "end")
    for n in counts:
        picture.text(x(n), TOP + HEIGHT + 22, f"{n:,}", "small")
    picture.text(LEFT + WIDTH / 2, TOP + HEIGHT + 44, "connections, of which 50 speak", "small")
    for name, row in sorted(table.items(), key=lambda item: list(COLOURS)[::-1].index(item[0]) if item[0] in COLOURS else -1):
        points = " L".join(f"{x(n):.1f},{y(v):.1f}" for n, v in sorted(row.items()))
        picture.boxes.append(f'<path class="{COLOURS.get(name, "line")}" d="M{points}"/>')
        end = max(row)
        if name in COLOURS and end == most:
            picture.text(x(end) + 8, y(row[end]) + 5, name, COLOURS[name] + "-name", "start")
        elif name in COLOURS:
            picture.text(x(end), y(row[end]) - 10, name, COLOURS[name] + "-name")
    picture.text(x(counts[-1]) + 8, y(max(row[most] for name, row in table.items() if most in row and name != "poll")) - 14,
                 "epoll, io_uring, threads", "small", "start")
    with open(path, "w") as f:
        f.write(picture.svg())


def arguments():
    parser = argparse.ArgumentParser(prog="./dev compare", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a minute, for a first look")
    parser.add_argument("--publish", action="store_true",
                        help="put the tables into docs/comparison.md, and the pictures beside it")
    parser.add_argument("--redraw", action="store_true", help="only draw the pictures of docs/comparison.md again")
    parser.add_argument("--connections", type=int, nargs="+")
    options = parser.parse_args()
    options.repeats, options.seconds = (1, 0.4) if options.quick else (3, 1.2)
    options.connections = options.connections or (
        [10, 1000, 10000] if options.quick else [10, 100, 1000, 10000, 19000])
    options.busy = os.getloadavg()[0]
    return options


def draw_all(text, folder):
    for metric, name in (("cost", "cost-saturated"), ("planned_cost", "cost-planned")):
        path = os.path.join(folder, f"{name}.svg")
        plot(text, next(t for m, t, _ in METRICS if m == metric), path)
        print(f"\n{path}")


def main():
    options = arguments()
    if options.redraw:
        return draw_all(harness.read(DOCS, "comparison.md"), DOCS)
    limit = harness.raise_descriptor_limit()
    if max(options.connections) > limit - 100:
        print(f"only {limit} descriptors: fewer connections", file=sys.stderr)
        options.connections = [n for n in options.connections if n <= limit - 100]
    results, notes = measure_all(options)
    head = (f"{machine()}; loads of {options.seconds:g} s, repeats: {options.repeats}; load average "
            f"before: {options.busy:.2f}.")
    text = "\n\n".join([head, *tables(results, notes, options.connections)])
    print(text)
    if options.publish:
        publish("comparison.md", "./dev compare", text)
    if len(options.connections) > 1:
        draw_all(text, DOCS if options.publish else harness.BUILDDIR)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""Growth: several echods side by side, each with as many connections as a process may have.

The number of echods doubles as far as a quarter of the memory and a tenth of
the descriptors are left, and socket buffers under no pressure.  Each has one
worker and a crowd of its own (crowd.py), whose connections have spoken once.
At each step some talk by echoc, which compares every byte: a few of every echod
at the same time at a planned rate, then those of the first one at saturation.
After the last step every connection speaks once more.

Kernel memory is counted in slab caches, which have both ends.  At last the
clients' ends vanish without a packet, and what is left is the server's.
"""

import argparse
import concurrent.futures
import contextlib
import math
import os
import re
import socket
import statistics
import struct
import time

from compare import kernel_memory
from crowd import SIZE, Crowd
from harness import Echod, raise_descriptor_limit
from manager import RECORD, Manager
from measure import (LOAD_CPUS, SERVER_CPU, cpu_seconds, load, machine, on, own_memory, publish,
                     table, tell)

SPEAKERS = 50  # of each echod
RATE = 2000  # planned messages a second, of all echods together
PORTS = 60999 - 32768 + 1  # of a client's address, by default
ALL_PORTS = 65535 - 1024 + 1
OF_LISTED = "dentry", "lsm_inode_cache"  # that an inode of /proc has
CARRIERS = 16  # ACTIVATION_CARRIERS
SETTINGS = ("-o", "workers=1", "-o", "idle_timeout=0")


def number(path, field=0):
    with open(path) as f:
        return int(f.read().split()[field])


def meminfo(*fields):
    with open("/proc/meminfo") as f:
        seen = dict(re.findall(r"^(\w+):\s+(\d+)", f.read(), re.M))
    return [1024 * int(seen[field]) for field in fields]


def machine_memory():
    """All that is used of this machine's memory, by whomever, without what files are cached in."""
    total, *rest = meminfo("MemTotal", "MemFree", "Buffers", "Cached")
    return total - sum(rest)


def sockets():
    """Of TCP over IPv4: how many there are, and the pages of their buffers."""
    with open("/proc/net/sockstat") as f:
        seen = re.search(r"^TCP: inuse (\d+) .* mem (\d+)", f.read(), re.M)
    return int(seen.group(1)), int(seen.group(2))


def own_names():
    """{name of a slab cache: the one of its users that we are}; the kernel merges equal caches."""
    folder, merged = "/sys/kernel/slab", {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if os.path.islink(os.path.join(folder, name)):
                merged.setdefault(os.readlink(os.path.join(folder, name)), []).append(name)
    ours = re.compile("eventpoll|skbuff|sock|tcp|file|fd")
    return {name: ", ".join(filter(ours.search, sorted(names))) or name
            for names in merged.values() for name in names}


def slabs(names=own_names()):
    """{slab cache: (objects in use, bytes that each takes with its share of a slab)}, as root."""
    found = {}
    with contextlib.suppress(OSError), open("/proc/slabinfo") as f:
        for line in f.readlines()[2:]:
            name, active, _, _, per_slab, pages = line.split()[:6]
            size = int(pages) * os.sysconf("SC_PAGESIZE") / int(per_slab)
            found[names.get(name, name)] = int(active), size
    return found


def caches():
    """The same without what is not ours.

    Whoever lists /proc/PID/fd, as some monitors do all the time, leaves an inode with an entry
    for each descriptor, until the kernel wants their memory back.
    """
    found = slabs()
    listed, _ = found.pop("proc_inode_cache", (0, 0))
    for name in OF_LISTED:
        if name in found:
            found[name] = found[name][0] - listed, found[name][1]
    return found


def kernel():
    """The kernel's memory in bytes, but that."""
    found = slabs()
    listed, _ = found.get("proc_inode_cache", (0, 0))
    each = sum(found[name][1] for name in ("proc_inode_cache", *OF_LISTED) if name in found)
    return kernel_memory() - listed * each


def growth(before, after, connections):
    """{cache: (objects, bytes) for each connection}, without what is too little to be ours."""
    grown = {}
    for name, (active, size) in after.items():
        objects = (active - before.get(name, (0, 0))[0]) / connections
        if objects > 0.2:
            grown[name] = objects, objects * size
    return grown


def total(grown):
    return sum(size for _, size in grown.values())


def addresses(i, count=2):
    """Client addresses of the i-th crowd; with two, no port is hard to find."""
    return [f"127.{i + 1}.{n // 250}.{n % 250 + 1}" for n in range(count)]


class Stand:
    """An echod and its crowd."""

    def __init__(self, i, stack, connections, count_addresses=2, settings=()):
        self.i, self.connections = i, connections
        self.d = stack.enter_context(Echod(*SETTINGS, *settings, prefix=on(SERVER_CPU)))
        self.crowd = stack.enter_context(Crowd(self.d.port, on(LOAD_CPUS)))
        load(self.d.port, LOAD_CPUS, "--connections", 10, "--messages", 2000)  # needed once
        own, cpu = own_memory(self.d.pid), cpu_seconds(self.d.pid)
        self.crowd.do("open", connections, *addresses(i, count_addresses))
        self.own = (own_memory(self.d.pid) - own) / connections
        self.opening = 1e6 * (cpu_seconds(self.d.pid) - cpu) / connections

    def speak(self, *args):
        return load(self.d.port, LOAD_CPUS, "--connections", SPEAKERS, "--size", SIZE,
                    "--seed", self.i + 1, *args)["messages_verified"]


def echo_cost(stands, run):
    """Messages verified while run() ran, and CPU time of these echods for each, in µs."""
    before = sum(cpu_seconds(s.d.pid) for s in stands)
    verified = run()
    return verified, 1e6 * (sum(cpu_seconds(s.d.pid) for s in stands) - before) / verified


def talk(stands, options):
    """A few connections of each echod, all at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(stands)) as pool:
        return sum(pool.map(lambda s: s.speak("--duration", 2 * options.seconds,
                                              "--rate", max(1, RATE // len(stands))), stands))


class Step:
    """What was measured of so many echods."""

    def __init__(self, stands, base, options):
        self.echods = len(stands)
        self.connections = sum(s.connections for s in stands)
        self.own = statistics.mean(s.own for s in stands)
        self.opening = statistics.mean(s.opening for s in stands)
        self.caches = growth(base["caches"], caches(), self.connections)
        self.kernel = (kernel() - base["kernel"]) / self.connections
        self.all = (machine_memory() - base["memory"]) / self.connections
        self.pages = sockets()[1]
        verified, self.planned = echo_cost(stands, lambda: talk(stands, options))
        more, self.cost = echo_cost(stands[:1], lambda: stands[0].speak("--duration",
                                                                        options.seconds))
        self.verified = verified + more

    HEAD = ["echods", "connections", "echod's own, B", "kernel, both ends, B", "all, B",
            "a new one, µs", "echo, saturated, µs", "echo, planned, µs", "echoes verified"]

    def row(self):
        return [f"{self.echods}", f"{self.connections:,}", f"{self.own:.1f}", f"{self.kernel:,.0f}",
                f"{self.all:,.0f}", f"{self.opening:.1f}", f"{self.cost:.2f}",
                f"{self.planned:.2f}", f"{self.verified:,}"]


def obstacle(n, steps, base, options):
    """What so many echods would lack, or None."""
    connections = n * options.connections
    if steps:
        need = max(steps[-1].all, 8000) * (connections - steps[-1].connections)
        if meminfo("MemAvailable")[0] - need < base["available"] / 4:
            return "a quarter of the memory that was available would not be left"
        pages = (steps[-1].pages - base["pages"]) / steps[-1].connections
        if base["pages"] + pages * connections > number("/proc/sys/net/ipv4/tcp_mem", 1):
            return "buffers would come under pressure, see net.ipv4.tcp_mem"
    if base["files"] + 2 * connections > 0.9 * number("/proc/sys/fs/file-max"):
        return "a tenth of fs.file-max would not be left"
    return None


def next_size(steps, base, options):
    """Twice as many echods as before, or as many as there may be; None at the end."""
    before = steps[-1].echods if steps else 0
    for n in range(min(2 * before or 1, options.echods), before, -1):
        lack = obstacle(n, steps, base, options)
        if not lack:
            return n
        base["ended"] = f"with one echod more, {lack}"
    return None


def waiting_message(stand):
    """The kernel's memory for a message that waits in each of one echod's connections."""
    before = caches()
    stand.d.pause()
    try:
        stand.crowd.do("send")
        grown = growth(before, caches(), stand.connections)
    finally:
        stand.d.resume()
    stand.crowd.do("receive")
    return grown


def vanish(stands, base):
    """What is left of each connection when the clients' ends are gone; {} without permission."""
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR
        except PermissionError:
            return {}
    count = sum(s.connections for s in stands)
    for s in stands:
        tell(f"the clients of echod {s.i + 1} vanish")
        s.crowd.do("vanish")
        s.d.wait_open(s.connections)  # it has not heard of that
        s.d.at_first = None  # nor will it: it keeps their descriptors
    time.sleep(1)  # for what the kernel frees later
    return growth(base["caches"], caches(), count)


def wait_for_quiet(options):
    """Until others have few sockets, for those that go would be missed in ours; at most a minute."""
    deadline = time.monotonic() + 60
    while sockets()[0] > options.connections / 20 and time.monotonic() < deadline:
        tell(f"waiting for {sockets()[0]} sockets of others to go")
        time.sleep(0.1)


def grow(options, found):
    """The steps, and what is measured once at their end."""
    if not options.quick:
        wait_for_quiet(options)
    base = {"available": meminfo("MemAvailable")[0], "kernel": kernel(),
            "memory": machine_memory(), "caches": caches(), "pages": sockets()[1],
            "files": number("/proc/sys/fs/file-nr"), "ended": None}
    with contextlib.ExitStack() as stack:
        stands, steps = [], found["steps"]
        while n := next_size(steps, base, options):
            while len(stands) < n:
                tell(f"{n} echods: {len(stands)} are there")
                stands.append(Stand(len(stands), stack, options.connections))
            tell(f"{n} echods: some talk")
            steps.append(Step(stands, base, options))
        found["ended"] = base["ended"]
        for s in stands:
            tell(f"every connection speaks: echod {s.i + 1}")
            s.crowd.do("talk")
        found["waiting"] = waiting_message(stands[0])
        found["server"] = vanish(stands, base)


def sources(options):
    """echod's memory for a connection, each from an address of its own, with limits by source."""
    with contextlib.ExitStack() as stack:
        limit = ("-o", f"max_connections_per_source={options.connections}")
        return Stand(0, stack, options.connections, options.connections, limit).own


def carrier_capacity():
    """How many sockets a carrier takes; see src/restart/fdpass.c."""
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with a, b:
        sockets_of_a_message = struct.pack("i", a.fileno()) * 253
        a.setblocking(False)
        for n in range(1 << 20):
            try:
                a.sendmsg([b"four"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sockets_of_a_message)])
            except OSError:
                return 253 * n


def silence(options):
    """For each connection, how long nobody is served at a restart, in µs."""
    with Manager(*SETTINGS) as m:
        with Crowd(m.start().port) as crowd:
            crowd.do("open", options.connections, *addresses(0))
            seen = m.restart().wait_log(r"took over (\d+) connections after (\d+) us")
            crowd.do("talk")
    if int(seen.group(1)) != options.connections:
        raise AssertionError(seen.group(0))
    return int(seen.group(2)) / options.connections


def amount(size):
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            break
        size /= 1000
    else:
        unit = "GB"
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:,.0f} {unit}"


def duration(seconds):
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:,.3g} s"


def cache_table(found):
    """What both ends of an idle connection take, the server's end, and a message that waits."""
    both, server, waiting = found["steps"][-1].caches, found["server"], found["waiting"]
    cell = lambda grown, name: "{:.2f} x {:,.0f}".format(
        grown[name][0], grown[name][1] / grown[name][0]) if name in grown else ""
    rows = [["slab cache: objects x bytes", "both ends", "the server's", "a message that waits"]]
    names = sorted({*both, *server, *waiting}, key=lambda n: -both.get(n, (0, 0))[1])
    rows += [[n, *(cell(g, n) for g in (both, server, waiting))] for n in names]
    rows.append(["sum, B", *(f"{total(g):,.0f}" for g in (both, server, waiting))])
    return table(rows)


def far_table(found):
    """The arithmetic: rows of a title and what it says of n connections."""
    last = found["steps"][-1]
    server = total(found["server"]) or (total(last.caches) or last.kernel) / 2
    waiting = total(found["waiting"])
    rows = [
        ("echod: records", lambda n: amount(last.own * n)),
        ("echod: sources, if each has its own and they are limited",
         lambda n: amount((found["sources"] - last.own) * n)),
        ("kernel: the server's ends, idle", lambda n: amount(server * n)),
        (f"kernel: more, if {SIZE} bytes wait in each",
         lambda n: amount(waiting * n) if waiting else "only root can tell"),
        ("descriptors, and epoll registrations", lambda n: f"{n:,}"),
        (f"client addresses of {PORTS:,} ports", lambda n: f"{math.ceil(n / PORTS)}"),
        (f"client addresses of {ALL_PORTS:,} ports", lambda n: f"{math.ceil(n / ALL_PORTS)}"),
        ("CPUs, if each speaks once a minute", lambda n: f"{last.cost * n / 60e6:.2g}"),
        ("CPUs, if each speaks once a second", lambda n: f"{last.cost * n / 1e6:.2g}"),
        ("until one acceptor has let all in", lambda n: duration(last.opening * n / 1e6)),
        (f"carriers at a restart, of {CARRIERS}",
         lambda n: f"{math.ceil(n / found['carrier'])}"),
        ("what is told of connections at a restart", lambda n: amount(RECORD.size * n)),
        ("nobody is served at a restart", lambda n: duration(found["silence"] * n / 1e6)),
    ]
    sizes = 1_000_000, 10_000_000
    return table([["computed", *(f"{n:,}" for n in sizes)],
                  *([title, *map(what, sizes)] for title, what in rows)])


def singles(found, options):
    """What was measured once, as sentences."""
    steps = found["steps"]
    lines = [f"After the last step each of the {steps[-1].connections:,} connections echoed once "
             f"more. Buffers of all sockets were charged {steps[-1].pages:,} pages, of "
             f"{number('/proc/sys/net/ipv4/tcp_mem', 1):,} before there is pressure "
             "(net.ipv4.tcp_mem)."]
    if not found["server"]:
        lines.append("The clients' ends could not be taken away or slabs not be counted, which "
                     "only root may; below, the server's end is half.")
    lines.append(f"Limits by source, each connection from an address of its own: "
                 f"{found['sources']:.0f} B of echod for a connection. A carrier takes "
                 f"{found['carrier']:,} sockets. A restart with {options.connections:,} "
                 f"connections: {found['silence']:.1f} µs for each in which nobody is served.")
    if found["ended"]:
        lines.insert(1, f"There the growth ended: {found['ended']}.")
    return " ".join(lines)


def report(found, options):
    place = (f"{machine()}; {options.connections:,} connections for each echod, {SPEAKERS} more "
             f"talk; loads of {options.seconds:g} s; load average before: {options.busy:.2f}.")
    return "\n\n".join([place, table([Step.HEAD, *(s.row() for s in found["steps"])]),
                        singles(found, options), cache_table(found), far_table(found)])


def arguments():
    parser = argparse.ArgumentParser(prog="./dev scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two steps")
    parser.add_argument("--publish", action="store_true",
                        help="put the tables into docs/scaling.md")
    parser.add_argument("--connections", type=int, default=19000, help="of each echod")
    parser.add_argument("--echods", type=int, help="at most")
    parser.add_argument("--seconds", type=float, help="of the load at saturation")
    options = parser.parse_args()
    options.echods = options.echods or (2 if options.quick else 1000)
    options.seconds = options.seconds or (0.5 if options.quick else 2)
    options.connections = min(options.connections, raise_descriptor_limit() - 500)
    options.busy = os.getloadavg()[0]
    return options


def main():
    options = arguments()
    found = {"steps": []}
    grow(options, found)
    tell("limits by source, and a restart")
    found.update(sources=sources(options), carrier=carrier_capacity(), silence=silence(options))
    tell("")
    text = report(found, options)
    print(text)
    if options.publish:
        publish("scaling.md", "./dev scaling", text)


if __name__ == "__main__":
    main()

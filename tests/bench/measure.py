# SPDX-License-Identifier: MIT
"""What measurements share: CPUs, CPU time, loads, tables, and where results are written."""

import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../functional"))
import harness  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPUS = CPUS[:1], CPUS[1:] or CPUS
DOCS = os.path.join(harness.SRCDIR, "docs")


def on(cpus):
    return ["taskset", "-c", ",".join(map(str, cpus))]


def own_group():
    """The folder of this process in the hierarchy of cgroups(7), version 2, or None."""
    mount = re.search(r"^\S+ (\S+) cgroup2 ", harness.read("/proc/mounts"), re.M)
    path = re.search(r"^0::(.*)$", harness.read("/proc/self/cgroup"), re.M)
    return mount.group(1) + path.group(1) if mount and path else None


class Account:
    """A context that counts the CPU time of what is started behind its prefix.

    A control group of its own counts children and the children of these, also
    when they have ended.  Where none can be made, self.is_whole is false, and
    only the process that is asked for is counted, with all its threads.
    """

    def __enter__(self):
        self.prefix, self.folder = [], None
        with contextlib.suppress(OSError, TypeError):
            self.folder = tempfile.mkdtemp(prefix="bench-", dir=own_group())
            self.prefix = ["sh", "-c", 'echo 0 >"$0" && exec "$@"',
                           os.path.join(self.folder, "cgroup.procs")]
        self.is_whole = self.folder is not None
        return self

    def pids(self):
        return list(map(int, harness.read(self.folder, "cgroup.procs").split()))

    def seconds(self, pid):
        if not self.is_whole:
            return cpu_seconds(pid)
        return int(re.search(r"^usage_usec (\d+)", harness.read(self.folder, "cpu.stat"), re.M)[1]) / 1e6

    def __exit__(self, *_):
        if not self.is_whole:
            return
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        harness.wait_until(lambda: not self.pids(), "the end of the server")
        os.rmdir(self.folder)


def cpu_seconds(pid):
    """CPU time of a process in nanoseconds' precision, see clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2)


class Refused(Exception):
    """The server takes no more connections."""


@contextlib.contextmanager
def idle(server, count):
    """So many connections, each of which has spoken once; reset at the end: no TIME_WAIT."""
    opened = []
    try:
        while len(opened) < count:
            batch = []
            for _ in range(min(200, count - len(opened))):
                batch.append(server.connect())
                opened.append(batch[-1])
            for s in batch:
                s.send(b"x" * 64)
            for s in batch:
                if len(harness.read_exactly(s, 64)) < 64:
                    raise ConnectionError
        yield
    except ConnectionError:
        raise Refused(server.log())
    finally:
        for s in opened:
            harness.reset(s)


def load(port, cpus, *args, prefix=()):
    """What echoc's load says of a server; it has compared every byte that came back."""
    p = subprocess.run([*prefix, *on(cpus), harness.ECHOC, "load", "--json", "--timeout", "60",
                        "--threads", str(len(cpus)), *map(str, args), f"127.0.0.1:{port}"],
                       capture_output=True, text=True)
    if p.returncode != 0:
        faults = re.findall(r'"((?:corrupt|lost|resets|early_closes|connect_failures)": [1-9]\d*)',
                            p.stdout)
        raise AssertionError("; ".join([*p.stderr.splitlines()[:1], *faults]).replace('"', ""))
    return json.loads(p.stdout)


def system_calls(pid, run):
    """System calls of a process for a message of what run(prefix) has of echoc's load; None if perf cannot count."""
    if not shutil.which("perf"):
        return None
    with tempfile.NamedTemporaryFile("r") as f, contextlib.suppress(AssertionError):
        seen = run(["perf", "stat", "-x", ",", "-o", f.name, "-e", "raw_syscalls:sys_enter", "-p", str(pid), "--"])
        if match := re.search(r"^(\d+),", f.read(), re.M):
            return int(match[1]) / seen["messages_verified"]
    return None


def tell(progress):
    if sys.stderr.isatty():
        print(f"{progress:79}", end="\r", file=sys.stderr, flush=True)


def table(rows):
    """Rows of text, the first of which is the heading, as Markdown."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(row, widths))) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 1) + (":" if i else "-")
                                   for i, w in enumerate(widths)) + "|")
    return "\n".join(lines)


def machine():
    """Where and when, so that figures are compared with their like only."""
    cpu = re.search(r"^model name\s*: (.*)", harness.read("/proc/cpuinfo"), re.M)
    memory = int(harness.read("/proc/meminfo").split()[1]) / (1 << 20)
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (f"{datetime.date.today()}; {len(CPUS)} CPUs ({cpu.group(1) if cpu else 'unknown'}), "
            f"{memory:.0f} GiB; Linux {platform.release()} {platform.machine()}, {system}")


def publish(name, command, text):
    """Puts text between the marks of a file in docs."""
    begin, end = f"<!-- results: written by {command} --publish -->", "<!-- end of results -->"
    path = os.path.join(DOCS, name)
    head, rest = harness.read(path).split(begin)
    tail = rest.split(end)[1]
    with open(path, "w") as f:
        f.write(f"{head}{begin}\n\n{text}\n\n{end}{tail}")

# SPDX-License-Identifier: MIT
"""Runs the real echod for the functional tests.

Nothing here sleeps and hopes: a test waits for a line in the log, for bytes,
or for a condition that the kernel tells, with a deadline that only a broken
daemon meets.
"""

import collections
import concurrent.futures
import contextlib
import ctypes
import itertools
import json
import os
import re
import resource
import select
import signal as signals
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import typing
import unittest

SRCDIR = os.environ.get("SRCDIR", os.path.abspath(os.path.join(os.path.dirname(__file__), "../..")))
BUILDDIR = os.environ.get("BUILDDIR", os.path.join(SRCDIR, "build/plain"))
ECHOD = os.environ.get("ECHOD", os.path.join(BUILDDIR, "src/echod"))
ECHOC = os.environ.get("ECHOC", os.path.join(BUILDDIR, "src/echoc/echoc"))
SANITIZERS = os.environ.get("SANITIZERS", "")

DEADLINE = float(os.environ.get("DEADLINE", 60))  # seconds; reached only when something is broken

# The port is chosen when the peer is known: it may be in use to other peers.
IP_BIND_ADDRESS_NO_PORT = 24

# What a sanitizer says when it has found something.
FINDING = re.compile(r"Sanitizer|runtime error:|Assertion .* failed")


# What the log says of refused connections: of the first at once, of others together.
REFUSED = r"refused (a connection|\d+ connections, the last) from "


# What each start as root says first; test_cmdline.py looks at it, the other tests do not see it.
AS_ROOT = re.compile("running .*, which is not needed: .*\n?")


class Kind(typing.NamedTuple):
    """What echod.journal(7) says of a kind of records in the journal."""
    id: str
    level: str
    fields: list  # names, "*" for any word


def kinds():
    """The kinds of records in the journal by their names, in their order."""
    entries = re.findall(r"^\.It Li (\w+)\n\.Li (\w+) ,\n\.Li (\w+) [:.]\n((?:\.Va .*\n)*)",
                         read(SRCDIR, "man/echod.journal.7.in"), re.M)
    return {name: Kind(i, level, re.findall(r"[A-Z][A-Z_*]+", fields))
            for name, level, i, fields in entries}


def wait_until(condition, what):
    """Waits until condition() is true, and returns what it returned."""
    deadline = time.monotonic() + DEADLINE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {DEADLINE} s in vain for {what}")
        time.sleep(0.002)


def options(**values):
    """Arguments of the command line that set these options."""
    return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]


def raise_descriptor_limit():
    """Gives this process as many descriptors as it may have, and says how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def needs_descriptors(n):
    """Skips the test that calls it where this process cannot have so many connections."""
    if raise_descriptor_limit() < n + 200:
        raise unittest.SkipTest("too few descriptors")


def read(*path):
    with open(os.path.join(*path)) as f:
        return f.read()


def task(pid, tid, name):
    """What /proc says of a thread."""
    return read(f"/proc/{pid}/task/{tid}/{name}").strip()


def task_state(pid, tid):
    """The letter of a thread's state, as proc(5) has it."""
    return task(pid, tid, "stat").rpartition(")")[2].split()[0]


@contextlib.contextmanager
def free_port(host="0.0.0.0"):
    """A port that no other process gets there, held by a socket that is bound and does not listen."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, 0))
        yield s.getsockname()[1]


def host_and_port(text):
    """An address as /proc/net/tcp and tcp6 have it: words in this machine's order, and a port."""
    host, port = text.split(":")
    words = struct.unpack(f">{len(host) // 8}I", bytes.fromhex(host))
    family = socket.AF_INET6 if len(words) > 1 else socket.AF_INET
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words)), int(port, 16)


# States of a socket, as linux/tcp_states.h numbers them.
ESTABLISHED, FIN_WAIT1, TIME_WAIT, LAST_ACK, LISTEN, CLOSING = 1, 4, 6, 9, 10, 11


class Socket(typing.NamedTuple):
    """A TCP socket of the kernel, whether or not a process has it."""
    state: int
    send_queue: int
    receive_queue: int
    inode: str  # "0": no process has it (any more)
    address: tuple  # host and port
    peer: str
    peer_port: int


def sockets(port=None, table="/proc/net/tcp"):
    """The sockets in a table of the kernel, with this local port or all; those that listen come first."""
    with open(table) as f:
        next(f)
        for fields in map(str.split, f):
            if port is None or fields[1].endswith(f":{port:04X}"):
                queues = (int(n, 16) for n in fields[4].split(":"))
                yield Socket(int(fields[3], 16), *queues, fields[9], host_and_port(fields[1]),
                             *host_and_port(fields[2]))


def connections(port):
    """The kernel's connections of the server with this port, but TIME_WAIT.

    A client with another address may have got the same port, and is none of them.
    """
    rows = list(sockets(port))
    hosts = {s.address[0] for s in rows if s.state == LISTEN}
    return [s for s in rows if s.state not in (LISTEN, TIME_WAIT)
            and (not hosts - {"0.0.0.0"} or s.address[0] in hosts)]


class Server:
    """A process (self.pid) that serves on self.port of this machine."""

    def connect(self, port=None, source=None, host="127.0.0.1", rcvbuf=None, sndbuf=None):
        """A connected socket with a timeout, so that no test hangs."""
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        s.settimeout(DEADLINE)
        try:
            if rcvbuf:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            if sndbuf:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
            if source:
                s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                s.bind((source, 0))
            s.connect((host, port or self.port))
        except BaseException:
            s.close()
            raise
        return s

    def wait_arrived(self, n, size, port=None):
        """Waits until so many connections hold exactly size unread bytes in this machine's kernel.

        connect() and send() return to a client before its last packets have reached the
        other side's socket, even on loopback.
        """
        def arrived():
            held = [s.receive_queue for s in connections(port or self.port) if s.state == ESTABLISHED]
            return held.count(size) == n
        wait_until(arrived, f"{n} connections with {size} bytes")

    def in_kernel(self):
        """What the kernel has of our connections, also of those that we have closed."""
        return connections(self.port)

    def unread(self):
        """Bytes in the receive queues of our connections."""
        return sum(s.receive_queue for s in self.in_kernel())

    def serves(self, **options):
        """True if a fresh connection is echoed, False if it is reset."""
        try:
            with self.connect(**options) as s:
                s.sendall(b"x")
                answer = s.recv(1)
        except ConnectionError:
            return False
        if answer != b"x":
            raise AssertionError("closed in order, neither echoed nor refused")
        return True

    def status(self, field, thread=None):
        """A number of /proc/PID/status, of the process or one thread."""
        text = task(self.pid, thread or self.pid, "status")
        return int(re.search(rf"^{field}:\s+(\d+)", text, re.M).group(1))

    def threads(self):
        """Thread names by their identifiers."""
        names = {}
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended since
                names[int(tid)] = task(self.pid, tid, "comm")
        return names

    def wait_thread(self, name):
        """The identifier of the thread that has, or soon gives itself, this name."""
        def found():
            return next((tid for tid, n in self.threads().items() if n == name), None)
        return wait_until(found, f"a thread {name}")

    def stuck(self, name):
        """A context in which the thread of that name is stopped."""
        return Stuck(self.wait_thread(name))

    def cpu_seconds(self):
        fields = read(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def own_memory(self):
        """Bytes of its own; not the pages of programs and libraries, read as they are needed."""
        text = read(f"/proc/{self.pid}/smaps_rollup")
        return 1024 * int(re.search(r"^Anonymous:\s+(\d+)", text, re.M).group(1))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def files(self):
        """What each of its descriptors is, as links of /proc name it."""
        found = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed since
                found.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
        return found

    def listeners(self):
        """The (host, port) of each listening socket that it has, by its name in files()."""
        files, found = set(self.files()), {}
        for table in ("tcp", "tcp6"):
            with contextlib.suppress(FileNotFoundError):
                # they are the first ones; behind them may be tens of thousands in TIME_WAIT
                for s in itertools.takewhile(lambda s: s.state == LISTEN,
                                             sockets(table=f"/proc/{self.pid}/net/{table}")):
                    if f"socket:[{s.inode}]" in files:
                        found[f"socket:[{s.inode}]"] = s.address
        return found

    def wait_listening(self):
        """Waits until it listens, whether or not its log says so; then self.port is there."""
        self.port = wait_until(self.listeners, "a listener").popitem()[1][1]

    def holdings(self):
        """How many descriptors of each kind it has beside its listeners."""
        listeners = self.listeners()
        return collections.Counter(re.sub(r":\[\d+\]$", "", name) for name in self.files()
                                   if name not in listeners)

    def switches(self):
        """How often each thread was given or lost a CPU so far."""
        return {name: self.status("voluntary_ctxt_switches", tid) +
                self.status("nonvoluntary_ctxt_switches", tid)
                for tid, name in self.threads().items()}

    def wait_settled(self):
        """Waits until two readings of switches() a moment apart agree; returns them."""
        def settled():
            before = self.switches()
            time.sleep(0.1)
            return before if before == self.switches() else None
        return wait_until(settled, "all threads asleep")


class Echod(Server):
    """A running daemon, ready to serve on self.port; a context that stops it.

    Arguments are those of the command line.  conf is the text of its file;
    without it there is none.  A daemon that logs a warning or an error that
    was not expected, that does not exit 0, or in which a sanitizer finds
    something, fails the test when it stops; and so does one that, at the end
    of the block, does not serve or has not given back its descriptors.
    """

    at_first = None  # its holdings when it was ready
    as_root = ""  # what it said of needless privileges
    ending = False  # it was told to end

    def __init__(self, *args, conf=None, listen="127.0.0.1:0", expect=(), prefix=(), status=0,
                 env=None, wait=True, **popen):
        self.expected = [re.compile(e) for e in expect]
        self.expected_status = status
        self.lines = []
        self.changed = threading.Condition()
        self.directory = tempfile.TemporaryDirectory(prefix="echod-test-")
        self.conf_path = os.path.join(self.directory.name, "echod.conf")
        if conf is not None:
            self.write_conf(conf)
        command = [*prefix, ECHOD, "-c", self.conf_path if conf is not None else "/dev/null"]
        if listen:
            command += ["-o", f"listen={listen}"]
        self.process = subprocess.Popen(
            [*command, *args], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            stdout=popen.pop("stdout", subprocess.DEVNULL),
            env={**os.environ, **(env or {})}, **popen)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.kill()
                raise

    def _read(self):
        for line in self.process.stderr:
            line = line.decode(errors="replace").rstrip("\n")
            if AS_ROOT.search(line):
                self.as_root = line
                continue
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()
        with self.changed:
            self.lines.append(None)  # end of the log
            self.changed.notify_all()

    def write_conf(self, text):
        """Replaces the file as a careful administrator does: in one step."""
        with open(self.conf_path + ".new", "w") as f:
            f.write(text)
        os.rename(self.conf_path + ".new", self.conf_path)

    def wait_ready(self):
        self.wait_log(r"\bready: ")
        self.ports = [int(m.group(1)) for m in map(re.compile(r"listening on .*:(\d+)(?:,|$)").search,
                                                   self.log().splitlines()) if m]
        self.port = self.ports[0]
        self.at_first = self.holdings()

    def wait_log(self, pattern, count=1):
        """Waits for the count-th line that matches, and returns the match."""
        pattern = re.compile(pattern)

        def found():
            matches = [m for m in map(pattern.search, filter(None, self.lines)) if m]
            return matches[count - 1] if len(matches) >= count else None

        with self.changed:
            ended = lambda: None in self.lines
            if not self.changed.wait_for(lambda: found() or ended(), DEADLINE) or not found():
                raise AssertionError(f"no log line {pattern.pattern!r} in:\n{self.log()}")
            return found()

    def log(self):
        return "\n".join(line for line in self.lines if line is not None)

    def signal(self, number):
        self.ending |= number in (signals.SIGTERM, signals.SIGINT, signals.SIGABRT, signals.SIGKILL)
        os.kill(self.pid, number)

    def pause(self):
        """Stops the process, and waits until every thread of it is stopped."""
        self.signal(signals.SIGSTOP)

        wait_until(lambda: all(task_state(self.pid, tid) == "T" for tid in self.threads()),
                   "the process to stop")

    def resume(self):
        self.signal(signals.SIGCONT)

    def send_at_once(self, s, data):
        """Has the daemon find all that this client sends there at once, when it looks."""
        self.pause()
        s.sendall(data)
        self.wait_arrived(1, len(data))
        self.resume()

    def reload(self, conf=None, what="reloaded$"):
        """SIGHUP, with this text in the file if there is one; waits for one more such line."""
        if conf is not None:
            self.write_conf(conf)
        seen = len(re.findall(what, self.log(), re.M))
        self.signal(signals.SIGHUP)
        return self.wait_log(what, seen + 1)

    def counters(self):
        """What SIGUSR1 logs, as a dictionary; workers as lists of numbers."""
        seen = len(re.findall("counters: ", self.log()))
        self.signal(signals.SIGUSR1)
        text = self.wait_log("counters: (.*)", seen + 1).group(1)
        pairs = (field.split("=") for field in text.split())
        return {k: [int(n) for n in v.split(",")] if "/" in k else int(v) for k, v in pairs}

    def wait_counter(self, name, value):
        """Waits until the counter is at least value; returns all counters."""
        return wait_until(lambda: (c := self.counters())[name] >= value and c, f"{name} >= {value}")

    def wait_open(self, n):
        """Waits until so many connections are open; returns what all counters are then."""
        wait_until(lambda: self.counters()["open"] == n, f"{n} open connections")
        return self.counters()  # which are not of one instant

    def wait_exit(self):
        status = self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(DEADLINE)
        self.directory.cleanup()

    def check_log(self):
        for line in self.log().splitlines():
            if FINDING.search(line):
                raise AssertionError("a sanitizer found something:\n" + self.log())
            complaint = re.search(r"^<[0-4]>|^echod: (warning|error):", line)
            if complaint and not any(e.search(line) for e in self.expected):
                raise AssertionError(f"unexpected in the log: {line}")

    def serves_as_at_first(self):
        """A fresh connection is echoed, if it listens somewhere in our network."""
        # the one it began with, if it is still there: another may have been passed, but not taken
        found = sorted(self.listeners().values(), key=lambda address: address[1] != self.port)
        if not found or os.readlink(f"/proc/{self.pid}/ns/net") != os.readlink("/proc/self/ns/net"):
            return True
        host, port = found[0]
        return self.serves(host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port=port)

    def check_recovered(self):
        """Without clients it has what it had at first, and serves."""
        if self.ending or self.at_first is None or self.process.poll() is not None:
            return
        try:
            wait_until(lambda: not self.holdings() - self.at_first, "its descriptors to be closed")
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.holdings()}, at first {self.at_first}") from None
        wait_until(self.serves_as_at_first, "a fresh connection to be served")  # a rate has its time

    def stop(self, number=signals.SIGTERM):
        """Ends it and checks that it ended well."""
        try:
            if self.process.poll() is None:
                self.signal(number)
            status = self.wait_exit()
        except BaseException:
            self.kill()
            raise
        self.directory.cleanup()
        self.check_log()
        if status != self.expected_status:
            raise AssertionError(f"exit status {status}, log:\n{self.log()}")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            if os.path.exists(self.directory.name):  # else it was stopped before
                try:
                    self.check_recovered()
                except BaseException:
                    self.kill()
                    raise
                self.stop()
            return
        self.kill()
        sys.stderr.write(self.log() + "\n")


# Puts the named descriptors where sd_listen_fds(3) expects them, and says so.
PASS = """
import fcntl, os, sys
numbers, names, count, pid, *command = sys.argv[1:]
low = [int(n) for n in numbers.split(",") if n]
above = max([3, *low]) + 1
high = [fcntl.fcntl(n, fcntl.F_DUPFD, above) for n in low]
os.closerange(3, above)
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
if count or high:
    os.environ["LISTEN_FDS"] = count or str(len(high))
os.environ["LISTEN_PID"] = pid or str(os.getpid())
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.closerange(above, above + len(high))
os.execvp(command[0], command)
"""


class Passed(Echod):
    """An echod to which the given sockets are passed as descriptors 3 and on."""

    def __init__(self, *args, passed=(), names="", fds="", pid="", prefix=(), **options):
        numbers = [s.fileno() for s in passed]
        pass_on = [sys.executable, "-c", PASS, ",".join(map(str, numbers)), names, fds, pid]
        super().__init__(*args, prefix=[*pass_on, *prefix], pass_fds=numbers, **options)


class Injected(Echod):
    """An echod in which strace makes system calls fail, or sends a signal at one.

    Each of inject is what strace(1) takes after "inject="; calls are counted for each thread.
    What is traced, by default only that, goes to the file output.
    """

    def __init__(self, *args, inject=(), trace=None, output="/dev/null", prefix=(), env=None, **options):
        if any("error=" in i for i in inject):  # a call that is left out has no number, which is forbidden
            args = ("-o", "system_call_filter=false", *args)
        super().__init__(*args, prefix=(*prefix, *strace(inject, trace, output)),
                         env={**NO_LEAKS, **(env or {})}, **options)


def strace(inject=(), trace=None, output="/dev/null"):
    """A prefix: strace beside a process that stays the child of its parent."""
    trace = trace or ",".join(i.split(":")[0] for i in inject)
    return ["strace", "-D", "-f", "-qq", "-o", output, "-e", f"trace={trace}",
            *(word for i in inject for word in ("-e", f"inject={i}"))]


# LeakSanitizer does not work under ptrace(2).
NO_LEAKS = {"ASAN_OPTIONS": "detect_leaks=0"}


class Stuck:
    """A context in which one thread of a process is stopped, as by a debugger.

    While it is stopped the process cannot be waited for; see wait_gone().
    """

    PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, tid):
        self.tid = tid

    def ptrace(self, request):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long] * 4
        if libc.ptrace(request, self.tid, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self.ptrace(self.PTRACE_SEIZE)
        self.ptrace(self.PTRACE_INTERRUPT)
        os.waitpid(self.tid, self.WALL)
        self.leads = f"\nTgid:\t{self.tid}\n" in read(f"/proc/{self.tid}/status")
        return self

    def __exit__(self, *_):
        try:
            self.ptrace(self.PTRACE_DETACH)
        except OSError:
            self.reap()

    def wait_gone(self):
        """Waits until the process has been killed, and so that thread of it."""
        wait_until(lambda: task_state(self.tid, self.tid) in "ZX", "the end of a stuck thread")
        self.reap()

    def reap(self):
        if not self.leads:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.tid, self.WALL)


class Traced(Echod):
    """A daemon with one worker and small buffers that prints its events."""

    def __init__(self):
        self.traced = []
        self.trace_grows = threading.Condition()
        super().__init__("--trace", "-o", "workers=1", "-o", "send_buffer=4608",
                         stdout=subprocess.PIPE)
        threading.Thread(target=self._read_trace, daemon=True).start()
        self.wait_trace("^worker/0: 1 event: wake-up$")  # the one with the first settings

    def _read_trace(self):
        with self.process.stdout:
            for line in self.process.stdout:
                with self.trace_grows:
                    self.traced.append(line.decode().rstrip("\n"))
                    self.trace_grows.notify_all()

    def wait_trace(self, pattern):
        """Waits for a line after those that were waited for before; returns all up to it."""
        def position():
            return next((i for i, l in enumerate(self.traced) if re.search(pattern, l)), None)
        with self.trace_grows:
            if not self.trace_grows.wait_for(lambda: position() is not None, DEADLINE):
                raise AssertionError(f"no {pattern} in {self.traced}")
            end = position() + 1
            seen, self.traced[:end] = self.traced[:end], []
            return seen

    def wait_asleep(self):
        """Waits until the worker has ended the turn in which it echoed; returns its lines.

        What a client does before that, the worker learns from recv(2), not from an event.
        """
        worker = self.wait_thread("worker/0")
        wait_until(lambda: "poll" in task(self.pid, worker, "wchan"), "the worker to wait")
        self.signal(signals.SIGHUP)
        return self.wait_trace("^worker/0: .*wake-up")


def run(*args, **options):
    """Runs echod to its end; returns status, stdout and stderr."""
    p = subprocess.run([ECHOD, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=DEADLINE, **options)
    return p.returncode, p.stdout, p.stderr


def start_load(port, *args, command="load"):
    """echoc with a load that no timeout of its own ends; see end_load()."""
    words = [ECHOC, command, "--json", "--timeout", "600", *map(str, args), f"127.0.0.1:{port}"]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def end_load(p):
    """What a load reports at its end; all came back, and every connection was made and not reset."""
    out, err = p.communicate(timeout=15 * DEADLINE)
    seen = json.loads(out or "{}")
    names = "corrupt", "lost", "unsent", "resets", "early_closes", "connect_failures"
    if p.returncode or any(seen[name] for name in names) or seen["bytes_sent"] != seen["bytes_verified"]:
        raise AssertionError(f"echoc ended with {p.returncode}: {err}{out}")
    return seen


def load(port, *args):
    """Runs a load; returns its report."""
    return end_load(start_load(port, *args))


def read_exactly(s, size):
    """Receives size bytes, or fewer if the stream ends before."""
    data = bytearray()
    while len(data) < size:
        chunk = s.recv(min(1 << 20, size - len(data)))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def read_to_end(s):
    data = bytearray()
    while chunk := s.recv(1 << 20):
        data += chunk
    return bytes(data)


def echo(s, data):
    """Sends data while it receives, and returns what came back."""
    received = bytearray()
    sent = 0
    while len(received) < len(data):
        readable, writable, _ = select.select([s], [s] if sent < len(data) else [], [], DEADLINE)
        if not readable and not writable:
            raise AssertionError(f"silence after {len(received)} of {len(data)} bytes")
        if writable:
            sent += s.send(data[sent:sent + (1 << 18)], socket.MSG_DONTWAIT)
        if readable:
            chunk = s.recv(1 << 20)
            if not chunk:
                break
            received += chunk
    return bytes(received)


def fill(s):
    """Sends until the stream takes no more for a while; returns what went."""
    sent = bytearray()
    s.setblocking(False)
    quiet = 0
    while quiet < 3:
        chunk = len(sent).to_bytes(8, "big") * 2048
        try:
            n = s.send(chunk)
            sent += chunk[:n]
            quiet = 0
        except BlockingIOError:
            if not select.select([], [s], [], 0.2)[1]:
                quiet += 1
    s.settimeout(DEADLINE)
    return bytes(sent)


def reset(s):
    """Closes with a reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()


def together(n, act):
    """Calls act() with 0, 1, ... in n threads at once, and waits for them; raises what one raised."""
    with concurrent.futures.ThreadPoolExecutor(n) as threads:
        list(threads.map(act, range(n)))


@contextlib.contextmanager
def many(connections):
    """A context that closes sockets at its end."""
    opened = []
    try:
        for s in connections:
            opened.append(s)
        yield opened
    finally:
        for s in opened:
            s.close()


class Test(unittest.TestCase):
    """A test whose connections are checked in one line."""

    def assertEchoes(self, s, data=b"are you there?"):
        self.assertEqual(echo(s, data), data)

    def assertServes(self, daemon, **options):
        """A fresh connection is echoed."""
        self.assertTrue(daemon.serves(**options))

    def assertRefused(self, daemon, **options):
        """A new connection is reset, at once or a moment later."""
        self.assertFalse(daemon.serves(**options))

    def assertSleeps(self, daemon, seconds):
        """No thread wakes up for so long; a sanitizer's own thread may."""
        if not SANITIZERS:
            settled = daemon.wait_settled()
            cpu = daemon.cpu_seconds()
            time.sleep(seconds)
            self.assertEqual((daemon.switches(), daemon.cpu_seconds()), (settled, cpu))

    def assertEnds(self, s):
        """The other side has sent a FIN, and no byte before it."""
        self.assertEqual(s.recv(1), b"")


def needs(*programs):
    """Skips a test when a program is not installed."""
    from shutil import which
    missing = [p for p in programs if not which(p)]
    return unittest.skipIf(missing, f"{', '.join(missing)} not installed")


# Decorators of tests that one build, or the plain one, is enough for.
plain_only = unittest.skipIf(SANITIZERS, "the plain build is enough")
own_memory = unittest.skipIf(SANITIZERS, "sanitizers take memory of their own")


def needs_strace(test):
    """Skips a test where strace(1) cannot be used."""
    if "thread" in SANITIZERS:
        return unittest.skip("ThreadSanitizer and strace do not go together")(test)
    return needs("strace")(test)


class Disguise:
    """Runs commands that find other contents under some absolute paths: {path: text, or a folder's {name: text}}.

    "/proc/self/..." is the command's own.  As a prefix it mounts them where only that command sees them.
    """

    SCRIPT = """
        while [ "$1" != -- ]; do mount --bind "$1" "$(echo "$2" | sed "s|^/proc/self/|/proc/$$/|")" && shift 2 || exit; done
        shift; exec "$@"
    """

    def __init__(self, files):
        self.directory = tempfile.TemporaryDirectory(prefix="echod-disguise-")
        self.prefix = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", self.SCRIPT, "sh"]
        for number, (path, content) in enumerate(files.items()):
            here = os.path.join(self.directory.name, str(number))
            self.write(here, content)
            self.prefix += [here, path]
        self.prefix += ["--"]

    def write(self, path, content):
        if isinstance(content, dict):
            os.mkdir(path)
            for name, inner in content.items():
                self.write(os.path.join(path, name), inner)
        else:
            with open(path, "w") as f:
                f.write(content)

    def __enter__(self):
        p = subprocess.run([*self.prefix, "true"], capture_output=True, text=True)
        if p.returncode != 0:
            raise unittest.SkipTest(f"no mount namespace for us here: {p.stderr}")
        return self.prefix

    def __exit__(self, *_):
        self.directory.cleanup()


def enter_namespace():
    """Runs the calling file again in a network namespace of its own, with the powers of root there.

    Returns in it, or where there is none for us.
    """
    if os.environ.get("ECHOD_NAMESPACE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    enter = ["unshare", "-rn"]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run([*enter, "ip", "link"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0:
            os.execvpe(enter[0], [*enter, sys.executable, *sys.argv],
                       {**os.environ, "ECHOD_NAMESPACE": "1"})


def main():
    """Runs the tests of the calling file, and speaks TAP."""
    from tap.runner import TAPTestRunner
    for number in (signals.SIGINT, signals.SIGQUIT, signals.SIGHUP):
        signals.signal(number, signals.SIG_DFL)  # "&" and nohup(1) ignore them, and what is started here would, too
    runner = TAPTestRunner()
    runner.set_stream(True)
    runner.set_format("{short_description}")
    unittest.main(module="__main__", testRunner=runner)

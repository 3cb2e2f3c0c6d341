# SPDX-License-Identifier: MIT
"""Scenes from the life of echod, in each of which a fault can be made and its effect judged.

A fault is made by strace, which is attached to the daemon when the scene is set, or by the shim,
which is loaded into it.  Afterwards echod must be there as before: see Serve.check().
"""

import contextlib
import errno
import itertools
import json
import mmap
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import typing

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../functional"))

import harness
from calls import COSTLY, LOGGING, MEMORY
from harness import Echod, wait_until
from manager import Manager

SHIM = os.path.join(harness.BUILDDIR, "tests/faults/shim.so")

# The statuses with which a start may end, see echod(8).
START_FAILED = {71, 77, 78}

# Stops before it becomes the program, so that strace can be there first.
HELD = ("sh", "-c", 'kill -STOP $$; exec "$@"', "sh")

# The first line of main(), as strace shows it: it blocks the signals.
BEGIN = "rt_sigprocmask(SIG_BLOCK, [HUP INT ABRT USR1"

# With small buffers a client that does not read is stalled at once.
VARIANTS = {
    "plain": {},
    "pending": {"send_buffer": 4608, "receive_buffer": 65536},
    "peeking": {"send_buffer": 4608, "receive_buffer": 65536, "pending_memory": 0},
    "limits": {"max_connections_per_source": 1000, "connection_rate_per_source": 100000,
               "connection_burst_per_source": 100000, "log_level": "debug"},
}


class Wrong(Exception):
    """What must not be."""


class Cut(Wrong):
    """An end in order though not all was echoed, or silence."""


class Fault(typing.NamedTuple):
    scene: str
    variant: str
    call: str
    what: str  # as in strace's inject=, like error=EINTR; of malloc "fail", of io "shorten" or "again"
    when: str

    def __str__(self):
        return f"{self.scene}.{self.variant}/{self.call}/{self.what}/{self.when}"

    @staticmethod
    def parse(text):
        place, call, what, when = text.split("/")
        return Fault(*place.split("."), call, what, when)

    def by_shim(self):
        return self.call in ("malloc", "io") or self.call == "close" and "error" in self.what

    def value(self):
        return self.what.partition("=")[2]

    def is_error(self):
        return self.what.startswith("error") or self.what == "fail"

    def is_signal(self):
        return self.what.startswith("signal")

    def may_cost(self):
        """True if it may cost connections."""
        return self.is_error() and not COSTLY.isdisjoint(self.call.split(","))

    def may_take_pipe(self):
        """True if it may cost a worker its pipe."""
        return self.is_error() and self.call in ("read", "splice")

    def may_mute(self):
        """True if it may cost lines of the log."""
        return self.is_error() and self.call in LOGGING


class Control:
    """The file by which the shim is told what to do; fields as in shim.c."""

    FIELDS = ("allocations", "first", "last", "failed", "shorten", "again", "close_error", "shortened", "refused",
              "closed")

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="echod-test-")
        self.file.truncate(mmap.PAGESIZE)
        self.map = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.values = memoryview(self.map).cast("Q")

    def __getitem__(self, name):
        return self.values[self.FIELDS.index(name)]

    def __setitem__(self, name, value):
        self.values[self.FIELDS.index(name)] = value

    def prefix(self):
        """What starts a program with the shim."""
        return ("env", f"LD_PRELOAD={SHIM}", f"ECHOD_FAULTS={self.file.name}")

    def close(self):
        self.values.release()
        self.map.close()
        self.file.close()


class ByShim:
    """A context in which the shim makes a fault."""

    def __init__(self, control, fault):
        self.control, self.fault = control, fault

    def __enter__(self):
        c, fault = self.control, self.fault
        for name in ("failed", "closed", "shortened", "refused"):
            c[name] = 0
        self.allocations = c["allocations"]
        if fault.call == "close":
            c["close_error"] = getattr(errno, fault.value())
        elif fault.call == "malloc":
            c["first"] = c["last"] = c["allocations"] + int(fault.when)
        else:
            c[fault.what] = int(fault.when)
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.control.spent = self.control["allocations"] - self.allocations
        for name in ("first", "last", "close_error", "shorten", "again"):
            self.control[name] = 0

    def count(self):
        c = self.control
        return c["failed"] or min(c["closed"] + c["shortened"] + c["refused"], 1)


def heap_end(pid):
    """What brk(2) answers if it does nothing."""
    with open(f"/proc/{pid}/maps") as f:
        heap = re.search(r"^\w+-(\w+) .*\[heap\]$", f.read(), re.M)
    if heap:
        return int(heap[1], 16)
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rpartition(")")[2].split()[44])


def injections(fault, pid):
    """What strace is to do, an expression each."""
    calls, rest = fault.call, f"{fault.what}:when={fault.when}"
    if calls == MEMORY:
        yield f"brk:retval={heap_end(pid)}"
        calls = calls.removeprefix("brk,")
    yield f"{calls}:{rest}"


class ByStrace:
    """A context in which strace watches a process, and makes a fault if it is given one."""

    def __init__(self, pid, fault=None, log=None):
        self.pid, self.fault = pid, fault
        self.directory = tempfile.TemporaryDirectory(prefix="echod-test-")
        self.path = os.path.join(self.directory.name, "log")
        arguments = []
        if fault:
            arguments = ["-e", f"trace={fault.call},rt_sigprocmask"]
            for text in injections(fault, pid):
                arguments += ["-e", "inject=" + text]
            if log and fault.call == "write" and fault.is_error():
                arguments += ["-P", log]
        self.process = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", self.path, *arguments],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = line = self.process.stderr.readline()
        while line and "attached" not in line:  # it may warn
            line = self.process.stderr.readline()
            said += line
        if not line:
            raise RuntimeError("strace: " + said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self.directory.cleanup()

    def end(self):
        """Lets the process alone, and reads the log."""
        if self.process.returncode is not None:
            return
        if os.path.exists(f"/proc/{self.pid}"):  # else it ends by itself
            self.process.terminate()
        try:
            self.process.communicate(timeout=harness.DEADLINE)
        except subprocess.TimeoutExpired:  # strace can miss the end of a process
            self.process.kill()
            self.process.communicate()
        with open(self.path, errors="replace") as f:
            parts = [line.rstrip("\n").partition(" ") for line in f]
        self.lines = [(int(thread), text.strip()) for thread, _, text in parts]

    def count(self):
        """How many errors were made; signals and delays count as one."""
        if self.fault.is_signal():
            name = self.fault.value()
            mark = rf"^--- SIG{name} |^\+\+\+ killed by SIG{name}"
        else:
            mark = r"\((INJECTED|DELAYED)\)"
        n = sum(bool(re.search(mark, text)) for _, text in self.lines)
        return n if self.fault.is_error() else min(n, 1)

    def began(self):
        """True if main() had begun; of the log strace tells nothing else."""
        to_log = self.fault and self.fault.call == "write"
        return to_log or any(text.startswith(BEGIN) for _, text in self.lines)


class Client:
    """A connection of which every byte is known; no other one has the same."""

    numbers = itertools.count(1)

    def __init__(self, port, rcvbuf=None, host="127.0.0.1"):
        self.s = socket.socket()
        self.s.settimeout(harness.DEADLINE)
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        try:
            self.s.connect((host, port))
        except BaseException:
            self.s.close()
            raise
        self.number = next(self.numbers)
        self.sent = self.got = 0

    def text(self, begin, end):
        first, last = begin // 8, end // 8 + 1
        words = b"".join((self.number << 32 | i).to_bytes(8, "big") for i in range(first, last))
        return words[begin - 8 * first:end - 8 * first]

    def send(self, size):
        """Sends what goes at once, of so much."""
        with contextlib.suppress(BlockingIOError):
            self.sent += self.s.send(self.text(self.sent, self.sent + size), socket.MSG_DONTWAIT)

    def take(self):
        """Receives some of what is out."""
        data = self.s.recv(1 << 20)
        if not data:
            raise Cut(f"connection {self.number} ended in order after {self.got} of {self.sent} bytes")
        if data != self.text(self.got, self.got + len(data)):
            raise Wrong(f"connection {self.number} got wrong bytes in {self.got} to {self.got + len(data)}")
        self.got += len(data)

    def exchange(self, size=0):
        """Sends so much and receives, until all has come back."""
        end = self.sent + size
        while self.got < end:
            more = [self.s] if self.sent < end else []
            readable, writable, _ = select.select([self.s], more, [], harness.DEADLINE)
            if not readable and not writable:
                raise Cut(f"connection {self.number} is silent after {self.got} of {self.sent} bytes")
            if writable:
                self.send(end - self.sent)
            if readable:
                self.take()

    def finish(self):
        """Ends it: all that is out comes back, and then the other end."""
        self.s.shutdown(socket.SHUT_WR)
        self.exchange()
        if self.s.recv(1):
            raise Wrong(f"connection {self.number} got more than it sent")

    def wait_end(self):
        """Receives until the other side ends it, in order and with all echoed."""
        while self.got < self.sent:
            self.take()
        if self.s.recv(1):
            raise Wrong(f"connection {self.number} got more than it sent")

    def has_ended(self):
        """True if the other side has ended it, in order and with all echoed."""
        while self.got < self.sent and select.select([self.s], [], [], 0)[0]:
            self.take()
        return bool(select.select([self.s], [], [], 0)[0]) and self.s.recv(1, socket.MSG_PEEK) == b""


class Crowd:
    """Clients of one daemon, some of which stay; counts those that are lost."""

    def __init__(self, port, residents=4):
        self.port = port
        self.lost = 0
        self.residents = [Client(port) for _ in range(residents)]

    def survives(self, act, *args):
        """Does it; False if the connection was lost."""
        try:
            act(*args)
        except OSError as e:
            if not isinstance(e, ConnectionError) and e.errno != errno.ENOTCONN:  # shutdown(2) says that
                raise
            self.lost += 1
            return False
        return True

    def reside(self, i, size):
        if not self.survives(self.residents[i].exchange, size):
            self.residents[i].s.close()
            self.residents[i] = self.connect()

    def connect(self, **options):
        """A new client; those that are refused are lost."""
        while True:
            try:
                return Client(self.port, **options)
            except ConnectionResetError:
                self.lost += 1

    def visit(self, how, **options):
        visitor = self.connect(**options)
        self.survives(how, visitor)
        visitor.s.close()

    @staticmethod
    def short(c):
        c.exchange(50)
        c.finish()

    @staticmethod
    def slow(c):
        """Sends much before it reads."""
        for _ in range(4):
            c.send(50000)
        c.finish()

    @staticmethod
    def rude(c):
        c.exchange(10)
        harness.reset(c.s)

    def round(self, stream):
        """Traffic of every kind."""
        for i in 2 * list(range(len(self.residents))):
            self.reside(i, 100)
        for _ in range(6):
            self.visit(self.short)
        self.visit(self.slow, rcvbuf=4096)
        self.visit(self.rude)
        self.reside(0, stream)
        self.reside(1, stream)

    def after_restart(self):
        """Those that live on are echoed; the others have ended, with all echoed or with a reset."""
        for c in list(self.residents):
            try:
                ended = c.has_ended()
                if not ended:
                    c.exchange(100)
            except ConnectionError:
                ended = True
            if ended:
                c.s.close()
                self.residents.remove(c)
                self.lost += 1

    def close(self):
        for c in self.residents:
            c.s.close()
        self.residents.clear()


def serves(port, host="127.0.0.1"):
    """True if a fresh connection is echoed, False if it is refused or reset."""
    try:
        c = Client(port, host=host)
    except ConnectionError:
        return False
    try:
        c.exchange(1)
    except ConnectionError:
        return False
    finally:
        c.s.close()
    return True


def wait_held(pid):
    def held():
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] == "T"
    wait_until(held, "the program to be held")


class Scene:
    """A place for faults: its suffer() makes one, returns how often it was made, and raises if
    echod does not bear it.
    """

    def __init__(self, variant, by_shim=False):
        self.variant = variant
        self.control = Control() if by_shim else None
        self.prefix = self.control.prefix() if by_shim else ()
        self.holder = socket.socket()  # keeps the port from all others, and does not listen
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.holder.bind(("127.0.0.1", 0))
        self.port = self.holder.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.stream = 400000 if variant in ("plain", "limits") else 60000
        self.daemon = None
        self.begin()

    def begin(self):
        """What all faults of this scene have before them."""

    def suffer(self, fault):
        raise NotImplementedError

    def end(self):
        """What they all have behind them."""
        self.close()

    def close(self):
        if self.daemon and os.path.exists(self.daemon.directory.name):
            self.daemon.kill()
        if self.control:
            self.control.close()
        self.holder.close()

    def log(self):
        return self.daemon.log() if self.daemon else ""

    def options(self, **more):
        # strace makes a call that fails into number -1, which the filter would not let pass
        settings = {**VARIANTS[self.variant], "workers": 2, "shutdown_timeout": 3, "system_call_filter": "false", **more}
        return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def inject(self, fault, pid):
        return ByShim(self.control, fault) if fault and fault.by_shim() else ByStrace(pid, fault, self.log_path())

    def log_path(self):
        """What the log is written to, as /proc names it."""
        return os.readlink(f"/proc/self/fd/{self.daemon.process.stderr.fileno()}") if self.daemon else None

    def start(self, prefix=(), listen=True, **options):
        self.daemon = Echod(*self.options(), listen=self.address if listen else None, prefix=[*prefix, *self.prefix],
                            wait=False, expect=[""], **options)
        return self.daemon

    def wait_serving(self):
        """True when the daemon serves, False if it has ended."""
        with contextlib.ExitStack() as stack:
            probes = []  # a listener that the manager keeps takes one though nobody serves

            def known():
                if self.daemon.process.poll() is not None:
                    return "ended"
                with contextlib.suppress(ConnectionError, Cut):  # it may be stopping
                    if not probes:
                        probes.append(Client(self.port))
                        stack.enter_context(probes[0].s)
                        probes[0].send(1)
                    if select.select([probes[0].s], [], [], 0.01)[0]:
                        probes[0].take()
                        return "serves"
                    return None
                probes.clear()
                return None
            return wait_until(known, "the daemon to serve or to end") == "serves"

    def start_well(self, **options):
        self.start(**options)
        if not self.wait_serving():
            raise Wrong("it does not start")

    def settle(self):
        """Returns when the main thread has done what signals told it before."""
        d = self.daemon

        def answered():
            seen = d.log().count("counters:")
            d.signal(signal.SIGUSR1)
            with d.changed:
                return d.changed.wait_for(lambda: d.log().count("counters:") > seen or None in d.lines, 0.5)
        wait_until(answered, "an answer to SIGUSR1")
        if None in d.lines:
            raise Wrong(f"it has ended with {d.wait_exit()}")


class Start(Scene):
    """A start, from main()'s first line on."""

    def suffer(self, fault):
        if fault and fault.by_shim():
            self.control["allocations"] = 0
            made, began = self.attempt(fault), True
        else:
            made, began = self.attempt_held(fault)
        status = self.daemon.process.returncode
        if status is None:
            self.daemon.stop()
        elif began:
            self.check_status(fault, status)
        self.daemon.check_log()
        return made if began else 0

    def attempt(self, fault):
        with self.inject(fault, 0) as i:
            self.start()
            self.wait_serving()
            i.end()
            return i.count()

    def attempt_held(self, fault):
        self.start(prefix=HELD)
        wait_held(self.daemon.pid)
        with self.inject(fault, self.daemon.pid) as i:
            self.daemon.signal(signal.SIGCONT)
            self.wait_serving()
            i.end()
        self.lines = i.lines
        return (i.count() if fault else 0), i.began()

    def check_status(self, fault, status):
        self.daemon.wait_exit()
        if fault.is_signal():
            right = status == (0 if fault.value() == "TERM" else -signal.SIGKILL)
        else:
            right = status in START_FAILED
        if not right:
            raise Wrong(f"exit status {status}")
        if not fault.is_signal() and not fault.may_mute() and not self.daemon.log():
            raise Wrong(f"exit status {status} without a word")


class Serve(Scene):
    """Traffic of every kind."""

    def begin(self):
        self.start_well()
        self.ready()

    def ready(self):
        self.settle()
        self.daemon.wait_open(0)
        self.baseline = self.daemon.descriptors()
        self.crowd = Crowd(self.port)
        self.act()  # so that later ones find all as it will be

    def act(self):
        self.crowd.round(self.stream)

    def suffer(self, fault):
        self.crowd.lost = 0
        with self.inject(fault, self.daemon.pid) as i:
            self.act()
            i.end()
        if fault is None:
            self.lines = i.lines
            return 0
        made = i.count()
        for n in range(len(self.crowd.residents)):
            self.crowd.reside(n, 1)  # one may be lost whose bytes had all come back
        self.check(made if fault.may_cost() else 0)
        self.check_descriptors(made if fault.may_take_pipe() else 0)
        return made

    def check_descriptors(self, pipes):
        """All are there again, but for the two ends of at most so many pipes: their workers go on without."""
        d, residents = self.daemon, len(self.crowd.residents)
        due = {self.baseline + residents - 2 * n for n in range(pipes + 1)}
        wait_until(lambda: d.descriptors() in due, f"{due} descriptors (there are {d.descriptors()})")
        self.baseline = d.descriptors() - residents

    def check(self, allowed):
        d = self.daemon
        self.settle()
        if self.crowd.lost > allowed:
            raise Wrong(f"{self.crowd.lost} connections were lost, where {allowed} calls about one failed")
        if not serves(self.port):
            raise Wrong("it does not serve")
        d.check_log()

    def end(self):
        self.crowd.close()
        wait_until(lambda: self.daemon.descriptors() == self.baseline, "as many descriptors as at the start")
        self.daemon.stop()
        self.close()


class Reload(Serve):
    """Reloads, by which a listener comes and goes, with traffic between."""

    def text(self, second):
        more = ', "127.0.0.2:0"' if second else ""
        return f'listen = {{"{self.address}"{more}}}\n'

    def begin(self):
        self.start_well(listen=False, conf=self.text(False))
        self.ready()

    def reload(self, second):
        """What the log says meanwhile."""
        before = len(self.log())
        self.daemon.write_conf(self.text(second))
        self.daemon.signal(signal.SIGHUP)
        self.settle()
        return self.log()[before:]

    def act(self):
        log = self.reload(True)
        port = re.search(r"listening on 127\.0\.0\.2:([1-9]\d*)", log)
        if port and "reloaded" in log:
            wait_until(lambda: serves(int(port[1]), "127.0.0.2"), "the new listener to serve")
        self.crowd.round(1000)
        self.reload(False)

    def check(self, allowed):
        if "reloaded" not in self.reload(False):
            raise Wrong("it does not reload any more")
        super().check(allowed)


class Stop(Scene):
    """A stop, while bytes are under way."""

    def suffer(self, fault):
        self.start_well()
        crowd = Crowd(self.port, 6)
        for c in crowd.residents:
            c.exchange(100)
            c.send(3000)
        with self.inject(fault, self.daemon.pid) as i:
            self.daemon.signal(signal.SIGTERM)
            for c in crowd.residents[::2]:
                crowd.survives(c.finish)
            for c in crowd.residents[1::2]:
                crowd.survives(c.wait_end)
                c.s.close()
            status = self.daemon.wait_exit()
            i.end()
        crowd.close()
        if fault is None:
            self.lines = i.lines
            return 0
        made = i.count()
        if status != (-signal.SIGKILL if fault.what == "signal=KILL" and made else 0):
            raise Wrong(f"exit status {status}")
        if fault.what != "signal=KILL" and crowd.lost > (made if fault.may_cost() else 0):
            raise Wrong(f"{crowd.lost} connections were lost, where {made} calls failed")
        self.daemon.check_log()
        return made


class Killed(Scene):
    """Killed at a call while it serves; the next one serves at once, on the same port."""

    def suffer(self, fault):
        self.start_well()
        crowd = Crowd(self.port)
        with self.inject(fault, self.daemon.pid) as i:
            with contextlib.suppress(ConnectionError, Cut):  # its end may be anywhere
                crowd.round(self.stream)
            if self.daemon.process.poll() is None:
                self.daemon.signal(signal.SIGKILL)
            self.daemon.wait_exit()
            i.end()
        crowd.close()
        self.daemon.kill()
        self.start_well()
        self.daemon.stop()
        if fault is None:
            self.lines = i.lines
            return 0
        return i.count()


class Instant(Scene):
    """A signal at some instant of a load by echoc; `when` messages of another client before."""

    LOAD = "--connections 6 --pipeline 4 --size 1-3000 --duration 20 --timeout 20 --json --quiet"

    def suffer(self, fault):
        self.start_well()
        self.settle()
        load = subprocess.Popen([harness.ECHOC, "load", *self.LOAD.split(), "--seed", fault.when, self.address],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.daemon.wait_counter("echoed", 50000)
        c = Client(self.port)
        for _ in range(int(fault.when)):
            c.exchange(100)
        self.daemon.signal(signal.Signals["SIG" + fault.value()])
        c.s.close()
        status = self.daemon.wait_exit()
        result = json.loads(load.communicate(timeout=harness.DEADLINE)[0])
        if status != (0 if fault.value() == "TERM" else -signal.SIGKILL):
            raise Wrong(f"exit status {status}")
        if result["corrupt"]:
            raise Wrong(f"the load says: {result}")
        if fault.value() == "KILL":
            self.daemon.kill()
            self.start_well()
            self.daemon.stop()
        self.daemon.check_log()
        return 1


class Managed(Scene):
    """A daemon under a manager, who is asked to take its connections or has given them."""

    @contextlib.contextmanager
    def stage(self):
        """A manager with a daemon, and its crowd; some do not read."""
        with Manager(*self.options(), expect=[""], prefix=self.prefix) as m:
            m.listen = self.address
            self.daemon = m.start()
            crowd = Crowd(self.port)
            m.clients.callback(crowd.close)
            for c in crowd.residents:
                c.exchange(100)
            for size in (15000, 90000):  # of the first, all is in the daemon and nothing in the kernel
                slow = Client(self.port, rcvbuf=4096)
                crowd.residents.append(slow)
                slow.send(size)
            self.settle()
            yield m, crowd

    def again(self, m, crowd):
        """The next one, without a fault: it serves, and so it does who lives on."""
        self.daemon = m.start()
        crowd.after_restart()
        if not serves(self.port):
            raise Wrong("it does not serve")

    def done(self, fault, i):
        if fault is None:
            self.lines = i.lines
            return 0
        return i.count()


class HandOver(Managed):
    """Connections are given to the manager, and then taken over by the next one."""

    def suffer(self, fault):
        with self.stage() as (m, crowd):
            with self.inject(fault, self.daemon.pid) as i:
                self.daemon.expected_status = -signal.SIGABRT
                self.daemon.signal(signal.SIGABRT)
                status = self.daemon.wait_exit()
                i.end()
            if status != -signal.SIGABRT:
                raise Wrong(f"exit status {status}")
            self.daemon.directory.cleanup()
            m.settle()
            self.again(m, crowd)
            lost = crowd.lost
            m.abort()
            self.again(m, crowd)
            if crowd.lost > lost:
                raise Wrong("the restart after that lost connections")
            return self.done(fault, i)


class TakeOver(Managed):
    """Connections are taken over; and given away and taken over once more."""

    def suffer(self, fault):
        with self.stage() as (m, crowd):
            m.abort()
            ready = len(m.told("READY"))
            made = self.take(m, fault)
            if self.daemon.process.poll() is not None:
                if self.daemon.wait_exit() not in START_FAILED:
                    raise Wrong(f"exit status {self.daemon.process.returncode}")
                self.daemon.directory.cleanup()
                m.settle()
                self.again(m, crowd)
            wait_until(lambda: len(m.told("READY")) > ready, "READY")
            crowd.after_restart()
            lost = crowd.lost
            m.abort()
            self.again(m, crowd)
            if crowd.lost > lost:
                raise Wrong("the restart after that lost connections")
            return made

    def take(self, m, fault):
        held = not (fault and fault.by_shim())
        if not held:
            self.control["allocations"] = 0
            i = self.inject(fault, 0)
            i.__enter__()
        self.daemon = m.launch(prefix=[*(HELD if held else ()), *self.prefix])
        if held:
            wait_held(self.daemon.pid)
            i = self.inject(fault, self.daemon.pid)
            self.daemon.signal(signal.SIGCONT)
        with contextlib.ExitStack() as stack:
            stack.push(i)
            self.wait_serving()
            i.end()
            return self.done(fault, i)


SCENES = {"start": Start, "serve": Serve, "reload": Reload, "stop": Stop, "killed": Killed, "instant": Instant,
          "handover": HandOver, "takeover": TakeOver}

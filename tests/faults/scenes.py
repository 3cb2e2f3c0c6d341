# SPDX-License-Identifier: MIT
"""Scenes from the life of echod, in each of which a fault can be made and its effect judged.

A fault is made by strace, which is attached to the daemon when the scene is set, or by the library
of tests/shim, which is loaded into it.  Afterwards echod must be there as before: see Serve.check().
"""

import contextlib
import errno
import itertools
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
from shim import Control

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
    """A FIN though not all was echoed, or silence."""


class Fault(typing.NamedTuple):
    scene: str
    variant: str
    call: str = "none"
    what: str = ""  # as in strace's inject=, like error=EINTR; of malloc "fail", of io a name in shim.py
    when: str = ""

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


class ByShim:
    """A context in which the library of tests/shim makes a fault; spent is how many allocations there were."""

    DONE = {"malloc": "failed", "close": "closed", "most": "shortened", "eagain": "postponed"}
    began = True

    def __init__(self, control, fault):
        self.control, self.fault = control, fault
        self.done = self.DONE[fault.what if fault.call == "io" else fault.call]

    def __enter__(self):
        fault, self.before = self.fault, self.control["allocations"]
        self.control.set(**{self.done: 0})
        if fault.call == "malloc":
            number = self.before + int(fault.when)
            self.control.set(first=number, last=number)
        elif fault.call == "close":
            self.control.set(close_error=getattr(errno, fault.value()))
        else:
            self.control.set(**{fault.what: int(fault.when)})
        return self

    def __exit__(self, *_):
        self.control.set(first=0, last=0, close_error=0, most=0, eagain=0)
        self.spent = self.control["allocations"] - self.before

    def count(self):
        """How often the fault was made; all but errors of malloc count as one."""
        made = self.control[self.done]
        return made if self.fault.call == "malloc" else min(made, 1)


def heap_end(pid):
    """What brk(2) answers if it does nothing."""
    heap = re.search(r"^\w+-(\w+) .*\[heap\]$", harness.read(f"/proc/{pid}/maps"), re.M)
    if heap:
        return int(heap[1], 16)
    return int(harness.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[44])


class ByStrace:
    """A context in which strace watches a process, and makes a fault unless its call is "none"."""

    def __init__(self, pid, fault, log=None):
        self.pid, self.fault = pid, fault
        self.directory = tempfile.TemporaryDirectory(prefix="echod-test-")
        self.path = os.path.join(self.directory.name, "log")
        self.process = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", self.path, *self.injection(log)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = line = self.process.stderr.readline()
        while line and "attached" not in line:  # it may warn
            line = self.process.stderr.readline()
            said += line
        if not line:
            raise RuntimeError("strace: " + said)

    def injection(self, log):
        call, what, when = self.fault[2:]
        if call == "none":
            return
        yield from ("-e", f"trace={call},rt_sigprocmask")
        if call == MEMORY:
            yield from ("-e", f"inject=brk:retval={heap_end(self.pid)}")
            call = call.removeprefix("brk,")
        yield from ("-e", f"inject={call}:{what}:when={when}")
        if log and call == "write" and self.fault.is_error():
            yield from ("-P", log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Lets the process alone, and reads the log: lines of (thread, text)."""
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
        self.directory.cleanup()

    def count(self):
        """How many errors were made; signals and delays count as one."""
        if self.fault.is_signal():
            name = self.fault.value()
            mark = rf"^--- SIG{name} |^\+\+\+ killed by SIG{name}"
        else:
            mark = r"\((INJECTED|DELAYED)\)"
        n = sum(bool(re.search(mark, text)) for _, text in self.lines)
        return n if self.fault.is_error() else min(n, 1)

    @property
    def began(self):
        """True if main() had begun; of the log strace tells nothing else."""
        return self.fault.call == "write" or any(text.startswith(BEGIN) for _, text in self.lines)


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

    def finish(self, first=True):
        """Its end, of which it may be the first to say so: all that is out comes back, and then the other end."""
        if first:
            self.s.shutdown(socket.SHUT_WR)
        self.exchange()
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
            with contextlib.suppress(ConnectionError):
                if not c.has_ended():
                    c.exchange(100)
                    continue
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
        with c.s:
            c.exchange(1)
    except ConnectionError:
        return False
    return True


class Scene:
    """A place for faults: suffer() makes one, and raises if echod does not bear it.

    Then self.made is how often it was made, and self.maker what made it.
    """

    def __init__(self, variant, by_shim=False):
        self.variant, self.made = variant, 0
        self.control = Control() if by_shim else None
        self.prefix = self.control.prefix() if by_shim else ()
        self.held = contextlib.ExitStack()
        self.port = self.held.enter_context(harness.free_port("127.0.0.1"))
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
        self.held.close()

    def log(self):
        return self.daemon.log() if self.daemon else ""

    def options(self):
        # strace makes a call that fails into number -1, which the filter would not let pass
        return harness.options(**VARIANTS[self.variant], workers=2, shutdown_timeout=3, system_call_filter="false")

    @contextlib.contextmanager
    def under(self, fault):
        """Inside, the fault is made in the daemon."""
        if fault.by_shim():
            self.maker = ByShim(self.control, fault)
        else:  # the log's pipe, as /proc names it
            self.maker = ByStrace(self.daemon.pid, fault,
                                  os.readlink(f"/proc/self/fd/{self.daemon.process.stderr.fileno()}"))
        with self.maker:
            yield
        self.made = self.maker.count() if self.maker.began or fault.scene not in STARTS else 0

    def start(self, prefix=(), listen=True, **options):
        self.daemon = Echod(*self.options(), listen=self.address if listen else None, prefix=[*prefix, *self.prefix],
                            wait=False, expect=[""], **options)

    def start_under(self, fault, start):
        """Has start(prefix=...) start a daemon, in which the fault is made, and waits until it serves or has ended."""
        if fault.by_shim():
            self.control.set(allocations=0)
            with self.under(fault):
                start()
                self.wait_serving()
            return
        start(prefix=HELD)
        pid = self.daemon.pid
        wait_until(lambda: harness.task_state(pid, pid) == "T", "the program to be held")
        with self.under(fault):
            self.daemon.signal(signal.SIGCONT)
            self.wait_serving()

    def wait_serving(self):
        """True when the daemon serves, False if it has ended."""
        with contextlib.ExitStack() as stack:
            probes = []  # a listener that the manager keeps takes one though nothing serves it

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

    def check_lost(self, crowd, fault):
        allowed = self.made if fault.may_cost() else 0
        if crowd.lost > allowed:
            raise Wrong(f"{crowd.lost} connections were lost, where {allowed} calls about one failed")


def check_status(status, *right):
    if status not in right:
        raise Wrong(f"exit status {status}")


class Start(Scene):
    """A start, from main()'s first line on."""

    def suffer(self, fault):
        self.start_under(fault, self.start)
        if self.daemon.process.poll() is None:
            self.daemon.stop()
        elif self.maker.began:
            status = self.daemon.wait_exit()
            if fault.is_signal():
                check_status(status, 0 if fault.value() == "TERM" else -signal.SIGKILL)
            else:
                check_status(status, *START_FAILED)
                if not fault.may_mute() and not self.log():
                    raise Wrong(f"exit status {status} without a word")
        self.daemon.check_log()


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
        with self.under(fault):
            self.act()
        for n in range(len(self.crowd.residents)):
            self.crowd.reside(n, 1)  # one may be lost whose bytes had all come back
        self.check(fault)
        self.check_descriptors(self.made if fault.may_take_pipe() else 0)

    def check_descriptors(self, pipes):
        """All are there again, but for the two ends of at most so many pipes: their workers go on without."""
        d, residents = self.daemon, len(self.crowd.residents)
        due = {self.baseline + residents - 2 * n for n in range(pipes + 1)}
        wait_until(lambda: d.descriptors() in due, f"{due} descriptors (there are {d.descriptors()})")
        self.baseline = d.descriptors() - residents

    def check(self, fault):
        self.settle()
        self.check_lost(self.crowd, fault)
        if not serves(self.port):
            raise Wrong("it does not serve")
        self.daemon.check_log()

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

    def check(self, fault):
        if "reloaded" not in self.reload(False):
            raise Wrong("it does not reload any more")
        super().check(fault)


class Stop(Scene):
    """A stop, while bytes are under way."""

    def suffer(self, fault):
        self.start_well()
        crowd = Crowd(self.port, 6)
        for c in crowd.residents:
            c.exchange(100)
            c.send(3000)
        with self.under(fault):
            self.daemon.signal(signal.SIGTERM)
            for i, c in enumerate(crowd.residents):
                crowd.survives(c.finish, i % 2 == 0)
                c.s.close()
            status = self.daemon.wait_exit()
        killed = fault.what == "signal=KILL"
        check_status(status, -signal.SIGKILL if killed and self.made else 0)
        if not killed:
            self.check_lost(crowd, fault)
        self.daemon.check_log()


class Killed(Scene):
    """Killed at a call while it serves; the next one serves at once, on the same port."""

    def suffer(self, fault):
        self.start_well()
        crowd = Crowd(self.port)
        with self.under(fault):
            with contextlib.suppress(ConnectionError, Cut):  # its end may be anywhere
                crowd.round(self.stream)
            if self.daemon.process.poll() is None:
                self.daemon.signal(signal.SIGKILL)
            self.daemon.wait_exit()
        crowd.close()
        self.daemon.kill()
        self.start_well()
        self.daemon.stop()


class Managed(Scene):
    """A daemon under a manager, which is asked to take its connections or has given them."""

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
        """The next one, without a fault: it serves, new clients and those that live on."""
        self.daemon = m.start()
        crowd.after_restart()
        if not serves(self.port):
            raise Wrong("it does not serve")

    def check_next(self, m, crowd):
        """A restart without a fault loses nothing."""
        lost = crowd.lost
        m.abort()
        self.again(m, crowd)
        if crowd.lost > lost:
            raise Wrong("the restart after that lost connections")


class HandOver(Managed):
    """Connections are given to the manager, and then taken over by the next one."""

    def suffer(self, fault):
        with self.stage() as (m, crowd):
            with self.under(fault):
                self.daemon.expected_status = -signal.SIGABRT
                self.daemon.signal(signal.SIGABRT)
                status = self.daemon.wait_exit()
            check_status(status, -signal.SIGABRT)
            self.daemon.directory.cleanup()
            m.settle()
            self.again(m, crowd)
            self.check_next(m, crowd)


class TakeOver(Managed):
    """Connections are taken over; and given away and taken over once more."""

    def suffer(self, fault):
        with self.stage() as (m, crowd):
            m.abort()
            ready = len(m.told("READY"))

            def start(prefix=()):
                self.daemon = m.launch(prefix=[*prefix, *self.prefix])

            self.start_under(fault, start)
            if self.daemon.process.poll() is not None:
                check_status(self.daemon.wait_exit(), *START_FAILED)
                self.daemon.directory.cleanup()
                m.settle()
                self.again(m, crowd)
            wait_until(lambda: len(m.told("READY")) > ready, "READY")
            crowd.after_restart()
            self.check_next(m, crowd)


SCENES = {"start": Start, "serve": Serve, "reload": Reload, "stop": Stop, "killed": Killed,
          "handover": HandOver, "takeover": TakeOver}

# Those that begin with main(); what comes before it, in the loader, is not echod's.
STARTS = ("start", "takeover")

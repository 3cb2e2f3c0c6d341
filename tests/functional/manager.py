# SPDX-License-Identifier: MIT
"""A service manager with a descriptor store, as far as echod can tell.

It does what systemd 252 does with sd_notify(3)'s FDSTORE, FDSTOREREMOVE and
BARRIER, and starts the next echod with what is stored, in an order of no use.
A restart is what comes after a watchdog: SIGABRT, for what is asked at SIGTERM
only a real manager answers.
"""

import array
import contextlib
import fcntl
import os
import random
import resource
import select
import signal
import socket
import struct
import tempfile
import threading

import harness
from harness import Passed, Stuck

# What a daemon may say without a real manager, which it asks at its start and its end, or by SIGABRT.
NO_MANAGER = "cannot ask the service manager"
AT_SIGABRT = "SIGABRT: handing over"

# No beat of the watchdog comes while a test runs, but there is one.
WATCHDOG_USEC = "3600000000"


class Stored:
    """A descriptor and its name."""

    def __init__(self, name, fd, poll=True):
        self.name, self.fd, self.poll = name, fd, poll

    def fileno(self):
        return self.fd

    def inode(self):
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino

    def hung_up(self):
        """True if the manager would have dropped it, having watched it."""
        poll = select.poll()
        poll.register(self.fd, 0)
        return self.poll and bool(poll.poll(0))


class Manager:
    """Keeps a store, and one daemon after the other; a context that stops the last one.

    Arguments are those of every daemon.  After the last one, which ends by SIGTERM, nothing may
    be left in the store.
    """

    def __init__(self, *args, **options):
        self.args, self.options = args, options
        self.daemon = None
        self.listen = "127.0.0.1:0"
        self.store = []
        self.clients = contextlib.ExitStack()  # closed before the last daemon stops
        self.messages = []  # all that was told, as dictionaries
        self.changed = threading.Condition()
        self.random = random.Random(1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGABRT would leave many
        self.directory = tempfile.TemporaryDirectory(prefix="echod-test-")
        self.path = os.path.join(self.directory.name, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4 * 253))
            if text == b"end":
                return
            fds = array.array("i")
            for level, kind, data in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data[:len(data) - len(data) % 4])
            message = dict(line.split("=", 1) for line in text.decode().splitlines())
            with self.changed:
                self._obey(message, list(fds))
                self.messages.append(message)
                self.changed.notify_all()

    def _obey(self, message, fds):
        if message.get("FDSTOREREMOVE") == "1":
            self.remove(message["FDNAME"])
        elif message.get("FDSTORE") == "1":
            for fd in fds:
                self.add(message.get("FDNAME", "stored"), fd, message.get("FDPOLL") != "0")
            return
        for fd in fds:  # of a barrier: when they are closed, all before has been looked at
            os.close(fd)

    def add(self, name, fd, poll=False):
        """Stores a descriptor, which is the store's then; once only, whatever its name."""
        new = Stored(name, fd, poll)
        if any(s.inode() == new.inode() for s in self.store):
            os.close(fd)
        else:
            self.store.append(new)

    def remove(self, name):
        for s in [s for s in self.store if s.name == name]:
            os.close(s.fd)
            self.store.remove(s)

    def clear(self):
        for name in self.names():
            self.remove(name)

    def names(self):
        return sorted(s.name for s in self.store)

    def stored(self, name):
        """The descriptor of that name."""
        return next(s.fd for s in self.store if s.name == name)

    def stored_addresses(self):
        """Where the listeners in the store are bound, in the order of the store."""
        with contextlib.ExitStack() as stack:
            some = [stack.enter_context(socket.socket(fileno=os.dup(s.fd))) for s in self.store
                    if s.name.startswith("stored.listener")]
            return [s.getsockname()[:2] for s in some]

    def stored_ports(self):
        return [port for _, port in self.stored_addresses()]

    def stored_at(self, port):
        """The stored listener that is bound to this port."""
        listeners = [s for s in self.store if s.name.startswith("stored.listener")]
        return listeners[self.stored_ports().index(port)]

    def told(self, key):
        """What was told so far under this key, in order."""
        return [m[key] for m in self.messages if key in m]

    def launch(self, *args, listen=None, env=None, expect=(), **options):
        """Starts a daemon with what is stored, and does not wait for anything it does.

        It listens where the last one did, unless told otherwise; "" is for what its file says.
        """
        with self.changed:
            for s in [s for s in self.store if s.hung_up()]:
                self.remove(s.name)
            passed = self.random.sample(self.store, len(self.store))
        options = {**self.options, "wait": False, **options}
        expect = [NO_MANAGER, AT_SIGABRT, *options.pop("expect", ()), *expect]
        env = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": WATCHDOG_USEC, **(env or {})}
        self.daemon = Passed(*self.args, *args, passed=passed, names=":".join(s.name for s in passed),
                             listen=self.listen if listen is None else listen, env=env, expect=expect, **options)
        return self.daemon

    def start(self, *args, **options):
        """Launches a daemon; returns it when it has said READY."""
        ready = len(self.told("READY"))
        self.launch(*args, wait=True, **options)
        self.listen = self.listen_again()
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.told("READY")) > ready, harness.DEADLINE):
                raise AssertionError(f"READY was not told in:\n{self.daemon.log()}")
        harness.wait_until(lambda: {"acceptor", "rescue"} <= set(self.daemon.threads().values()),
                           "the names of threads")
        return self.daemon

    def listen_again(self):
        """What the next one must be told to listen on the same addresses."""
        return "{" + ",".join(f"127.0.0.1:{port}" for port in self.daemon.ports) + "}"

    def stuck(self, name):
        """A context in which the daemon's thread of that name is stopped."""
        return Stuck({n: tid for tid, n in self.daemon.threads().items()}[name])

    def abort(self, stuck=None):
        """Ends the daemon as a watchdog does; returns when it has handed over."""
        self.daemon.expected_status = -signal.SIGABRT
        if stuck:
            self.daemon.signal(signal.SIGABRT)
            stuck.wait_gone()
        self.daemon.stop(signal.SIGABRT)
        self.settle()

    def settle(self):
        """Waits until all that was sent to the manager has been looked at."""
        seen = len(self.told("SETTLED"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.path)
            s.send(b"SETTLED=1")
        with self.changed:
            self.changed.wait_for(lambda: len(self.told("SETTLED")) > seen, harness.DEADLINE)

    def restart(self, *args, **options):
        """Ends the daemon and starts the next one."""
        self.abort()
        return self.start(*args, **options)

    def stop(self):
        """Stops the daemon gracefully."""
        self.daemon.stop()
        self.settle()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        try:
            self.clients.close()
            if self.daemon and os.path.exists(self.daemon.directory.name):
                self.daemon.__exit__(kind, value, traceback)
                self.settle()
            if kind is None and self.names():
                raise AssertionError(f"left in the store: {self.names()}")
        finally:
            self.close()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.path)
            s.send(b"end")
        self.thread.join()
        self.socket.close()
        self.clear()
        self.directory.cleanup()


# What is stored, taken apart and forged; see src/restart/state.h and src/restart/fdpass.h.

HEADER = struct.Struct("=8sIIIIIIq")
RECORD = struct.Struct("=qQQIHH")
MAGIC = b"echodst\0"
VERSION = 3


class Record:
    """What is told of a connection."""

    def __init__(self, since=0, echoed=0, pending=0, unacknowledged=0, worker=0, stalled=0):
        self.since, self.echoed, self.pending = since, echoed, pending
        self.unacknowledged, self.worker, self.stalled = unacknowledged, worker, stalled

    def pack(self):
        return RECORD.pack(self.since, self.echoed, self.pending, self.unacknowledged, self.worker,
                           self.stalled)


class State:
    """A state that was read out of the store."""

    def __init__(self, manager):
        fd = manager.stored("stored.state")
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        (self.magic, self.version, self.readable_since, at, size, connections, self.n_workers,
         _) = HEADER.unpack_from(data)
        self.records = [Record(*RECORD.unpack_from(data, at + i * size)) for i in range(connections)]


def state(records=(), magic=MAGIC, version=VERSION, since=VERSION, records_at=None, record_size=None,
          connections=None, workers=1, section=b"", field=b"", pending=b""):
    """The bytes of a state; a later version has another section, and a field more in each record."""
    header = HEADER.pack(magic, version, since,
                         HEADER.size + len(section) if records_at is None else records_at,
                         RECORD.size + len(field) if record_size is None else record_size,
                         len(records) if connections is None else connections, workers, 0)
    return header + section + b"".join(r.pack() + field for r in records) + pending


def state_2(records=(), magic=MAGIC, refused=4, closed=5, workers=1, connections=None, sources=0,
            counters=b"", pending=b""):
    """The bytes of a state as 0.1.0 wrote it, with counters of one worker and no source."""
    header = HEADER.pack(magic, 2, refused, closed, workers,
                         len(records) if connections is None else connections, sources, 0)
    return header + (counters or bytes(8 * (4 + 1 + 5 + 2))) + b"".join(r.pack() for r in records) + pending


def memory_file(data, seals=0):
    """A memfd with these bytes."""
    fd = os.memfd_create("state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def carrier(*messages, kind=socket.SOCK_SEQPACKET):
    """A carrier with messages, each of which is (bytes or a number, objects with a descriptor)."""
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with left:
        for number, sockets in messages:
            data = struct.pack("=I", number) if isinstance(number, int) else number
            fds = array.array("i", [s.fileno() for s in sockets])
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if sockets else []
            left.sendmsg([data], control)
    return right.detach()


@contextlib.contextmanager
def pairs(n):
    """n connections without a daemon: (client's socket, server's socket), closed at the end."""
    made = []
    with socket.create_server(("127.0.0.1", 0), backlog=n) as server:
        for _ in range(n):
            client = socket.create_connection(server.getsockname(), harness.DEADLINE)
            made.append((client, server.accept()[0]))
    try:
        yield made
    finally:
        for pair in made:
            for s in pair:
                s.close()

# SPDX-License-Identifier: MIT
"""What is passed at a start may be any program's work: nothing of it does harm, and nothing of it stays.

The shapes of states and carriers that are refused are in unit/state.c, unit/fdpass.c and
fuzz/handover.c; here a whole daemon meets one of each kind.
"""

import array
import contextlib
import fcntl
import os
import select
import socket
import struct
import tempfile
import threading

import harness
import manager
from manager import Manager, Record

N = 3  # connections in a forgery, with the names a, b and c
FIRST, LAST = struct.pack("=I", 0), (1 << 32) - 1

# The messages of a carrier, each a number and connections; and those that go on.
CARRIERS = {
    "good": ([(0, "abc")], "abc"),
    "a number twice": ([(0, "a"), (0, "b"), (1, "c")], "ac"),
    "a number that is lower": ([(1, "a"), (0, "b"), (2, "c")], "ac"),
    "numbers that descend": ([(2, "a"), (1, "b"), (0, "c")], "a"),
    "a number without a record": ([(0, "a"), (1, "b"), (3, "c")], "ab"),
    "that first": ([(3, "a"), (0, "b"), (1, "c")], ""),
    "the last of all numbers first": ([(LAST, "a"), (0, "b"), (1, "c")], ""),
    "a number left out": ([(0, "a"), (2, "b"), (2, "c")], "ab"),
    "a number that may be negative": ([(0, "a"), (1 << 31, "b"), (1, "c")], "a"),
    "no number": ([(b"", "abc")], ""),
    "a short number": ([(FIRST[:3], "abc")], ""),
    "a number and more": ([(FIRST + b"more", "abc")], "abc"),
    "a message without sockets": ([(0, "a"), (0, ""), (1, "bc")], "abc"),
}


def refused_states():
    """Files that are no state, by what is wrong with them, and files that are none."""
    records = [Record()] * N
    good = manager.state(records)
    yield "of another magic", manager.state(records, magic=b"echodsT\0")
    yield "too short", good[:-1]
    yield "too long", good + b"x"
    yield "too new", manager.state(records, version=4, since=4)
    yield "with more connections than records", manager.state(records, connections=1 << 31)
    yield "with too much pending", manager.state([Record(stalled=1, pending=6), *records[1:]], pending=b"12345")
    yield "of 0.1.0, with too few counters", manager.state_2(records, workers=2)
    large, unreadable = manager.memory_file(good), manager.memory_file(good)
    os.ftruncate(large, 1 << 40)
    yield "of a terabyte", large
    yield "that is only writable", os.open(f"/proc/self/fd/{unreadable}", os.O_WRONLY)
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as f:  # /tmp may be in memory
        f.write(good)
        f.flush()
        yield "in a file", os.open(f.name, os.O_RDONLY)
    yield "that is a directory", os.open("/", os.O_RDONLY)
    yield "that is a device", os.open("/dev/zero", os.O_RDWR)
    yield "that is a pipe", os.pipe()[0]
    yield "that is a socket", socket.socket().detach()
    yield "that is not there", None


class Hostile(harness.Test):
    def setUp(self):
        self.m = self.enterContext(Manager(
            *harness.options(workers=2, idle_timeout=0, stall_timeout=0),
            expect=["cannot take over", "lost at the restart", "was passed, but"]))
        self.m.start().counters()  # main is through with all that comes before
        self.baseline = self.m.daemon.descriptors()

    def start(self, state=None, carriers=(), meanwhile=None):
        """The next process, with a state of these bytes, or this descriptor, and carriers."""
        self.m.abort()
        self.m.remove("stored.state")
        if isinstance(state, bytes):
            state = manager.memory_file(state)
        if state is not None:
            self.m.add("stored.state", state)
        for i, c in enumerate(carriers):
            self.m.add(f"stored.carrier.{i}", c)
        if meanwhile:
            meanwhile.start()
        return self.m.start()

    def goes_on(self, s):
        """True if a connection is served, False if it was reset."""
        try:
            s.sendall(b"hello")
            answer = harness.read_exactly(s, 5)
        except ConnectionError:
            return False
        self.assertEqual(answer, b"hello")
        return True

    def check(self, made, going, lost=0):
        """Of these pairs those numbers go on, the others are reset, and nothing is left."""
        counters = self.m.daemon.counters()
        self.assertEqual((counters["open"], counters["closed_error"]), (len(going), lost))
        for i, (client, server) in enumerate(made):
            server.close()
            self.assertEqual(self.goes_on(client), i in going, i)
            client.close()
        self.check_sound()

    def check_sound(self):
        """It serves, the store is clean, and it has no descriptor that a fresh one has not."""
        self.assertEqual(self.m.stored_ports(), self.m.daemon.ports)
        self.assertEqual(self.m.names(), ["stored.listener"])
        self.assertServes(self.m.daemon)
        harness.wait_until(lambda: self.m.daemon.descriptors() == self.baseline,
                           "the closing of all that is of no use")

    @contextlib.contextmanager
    def carried(self, n=N):
        """Some connections, and one carrier of all."""
        with manager.pairs(n) as made:
            yield made, manager.carrier((0, [server for _, server in made]))

    def test_carriers(self):
        """numbers ascend, and each has its record; connections that break that are reset, others go on"""
        for what, (messages, going) in CARRIERS.items():
            with self.subTest(what), manager.pairs(N) as made:
                servers = dict(zip("abc", (server for _, server in made)))
                carrier = manager.carrier(*((n, [servers[x] for x in names]) for n, names in messages))
                self.start(manager.state([Record()] * N), [carrier])
                self.check(made, {"abc".index(x) for x in going}, N - len(going))

    def test_states(self):
        """a state that is not whole, too new, or no file in memory is refused, and every connection reset"""
        for what, state in refused_states():
            with self.subTest("a state " + what), self.carried() as (made, carrier):
                d = self.start(state, [carrier])
                if isinstance(state, bytes):
                    self.assertIn(f"cannot take over {N} connections", d.log())
                self.check(made, set(), N)

    def test_versions(self):
        """what 0.1.0 wrote is taken over, and of a later version what is known"""
        records = [Record(), Record(stalled=1, pending=2), Record(stalled=1, pending=3)]
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        old = manager.state_2(records, workers=2, sources=3, pending=b"ABabc",
                              counters=b"\xff" * (8 * (4 + 1 + 2 * (5 + 2)) + 3 * 24))
        later = manager.state(records, version=1 << 31, section=b"\xff" * 1000, field=b"\xff" * 17, pending=b"ABabc")
        for state in manager.memory_file(old, seals), later:
            with self.subTest(state), self.carried() as (made, carrier):
                self.start(state, [carrier])
                for (client, server), before in zip(made, (b"", b"AB", b"abc")):
                    server.close()
                    self.assertEqual(harness.read_exactly(client, len(before)), before)
                self.check(made, {0, 1, 2})

    def test_records(self):
        """values of a record that can be anything do no harm"""
        records = [Record(since=-1 << 63), Record(since=(1 << 63) - 1), Record(echoed=(1 << 64) - 1),
                   Record(worker=65535), Record(unacknowledged=LAST), Record(stalled=1, unacknowledged=LAST)]
        with self.carried(len(records)) as (made, carrier):
            self.start(manager.state(records), [carrier])
            self.check(made, set(range(len(records))))

    def test_changed(self):
        """a state that is cut short while it is taken over loses what is in it, and nothing else"""
        good = manager.state([Record(stalled=1, pending=1 << 20)] * 16, pending=bytes(16 << 20))
        for size in (len(good) // 2, 100, 0):
            fd = manager.memory_file(good)
            with self.subTest(size=size), self.carried(16) as (made, carrier):
                shrinker = threading.Timer(0.05, os.ftruncate, (fd, size))
                self.start(os.dup(fd), [carrier], meanwhile=shrinker)
                shrinker.join()
                for client, server in made:
                    server.close()
                    client.close()
                self.check_sound()
            os.close(fd)

    def test_foreign(self):
        """what is no connection, among those that are, is closed and counted; the others go on"""
        with contextlib.ExitStack() as stack:
            left, _ = map(stack.enter_context, socket.socketpair(socket.AF_UNIX))
            foreign = [left, *map(stack.enter_context, (
                tempfile.TemporaryFile(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
                socket.create_server(("127.0.0.1", 0)), socket.socket(), select.epoll(),
                os.fdopen(os.memfd_create("x"), "wb"), os.fdopen(os.pipe()[0], "rb"),
                socket.socket(fileno=manager.carrier())))]
            made = stack.enter_context(manager.pairs(2))
            first, last = (server for _, server in made)
            carrier = manager.carrier((0, [first, *foreign, last]))
            self.start(manager.state([Record()] * (2 + len(foreign))), [carrier])
            self.check(made, {0, 1}, len(foreign))

    def test_carrier_of_itself(self):
        """a carrier that carries itself is not followed"""
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with left, manager.pairs(1) as made:
            for number, s in enumerate((right, made[0][1], right)):
                fds = array.array("i", [s.fileno()])
                left.sendmsg([struct.pack("=I", number)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            self.start(manager.state([Record()] * 3), [right.detach()])
            self.check(made, {0}, 2)

    def test_blocking(self):
        """a socket that blocks does not make a worker block"""
        with self.carried() as (made, carrier):
            for _, server in made:
                server.setblocking(True)
            self.start(manager.state([Record()] * N), [carrier])
            for client, _ in made:
                self.assertTrue(self.goes_on(client))
            self.check(made, {0, 1, 2})

    def test_twice(self):
        """one socket under two numbers ends once for each"""
        with manager.pairs(1) as made:
            (client, server), = made
            self.start(manager.state([Record()] * 2), [manager.carrier((0, [server, server]))])
            server.close()
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            client.close()
            self.check_sound()

    def test_wrong_carriers(self):
        """what is no carrier, or of another kind, carries nothing; what the others have goes on"""
        with manager.pairs(3) as made:
            stream, datagram, good = (
                manager.carrier((i, [made[i][1]]), kind=kind)
                for i, kind in enumerate((socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)))
            d = self.start(manager.state([Record()] * 3), [os.open("/", os.O_RDONLY), stream, datagram, good])
            self.assertEqual(d.log().count("it is not a carrier of connections: closed"), 3)
            for client, server in made[:2]:
                server.close()
                with contextlib.suppress(ConnectionError):
                    self.assertEqual(client.recv(1), b"")
            self.check(made[2:], {0}, 2)
        self.start(manager.state([Record()] * 3))
        self.check([], set(), 3)


if __name__ == "__main__":
    harness.main()

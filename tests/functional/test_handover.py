# SPDX-License-Identifier: MIT
"""Restarts that carry every connection to the next process, under a manager of our own."""

import array
import contextlib
import fcntl
import json
import os
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
from unittest import mock

import harness
import manager
from manager import Manager, Record, State

SMALL = bool(harness.SANITIZERS)


def options(**values):
    return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]


# So small that a client who does not read stalls at once.
TIGHT = {"send_buffer": 4608, "receive_buffer": 65536}
SLOW = {"rcvbuf": 4096, "sndbuf": 65536}

class Client:
    """A connection whose every byte is known, out and back; no two have the same bytes."""

    numbers = iter(range(1 << 24))

    def __init__(self, daemon, **connect):
        self.s = daemon.connect(**connect)
        self.number = next(self.numbers)
        self.sent = self.got = 0

    def text(self, begin, size):
        first, skip = begin // 8, begin % 8
        words = range(self.number << 40 | first, self.number << 40 | first + (skip + size) // 8 + 1)
        return array.array("Q", words).tobytes()[skip:skip + size]

    def send(self, size):
        self.s.sendall(self.text(self.sent, size))
        self.sent += size

    def send_what_fits(self):
        """Returns False if nothing does."""
        self.s.setblocking(False)
        try:
            n = self.s.send(self.text(self.sent, 1 << 16))
        except BlockingIOError:
            n = 0
        self.s.settimeout(harness.DEADLINE)
        self.sent += n
        return n > 0

    def receive(self, size=None):
        """Receives so much, or all that is out; it must be what was sent."""
        size = self.sent - self.got if size is None else size
        data = harness.read_exactly(self.s, size)
        if data != self.text(self.got, size):
            raise AssertionError(f"wrong bytes in {self.got} to {self.got + len(data)} of {self.sent}")
        self.got += size

    def talk(self, size):
        self.send(size)
        self.receive()

    def finish(self):
        """Ends it; everything comes back before the other side's end."""
        with contextlib.suppress(OSError):  # it was half-closed before
            self.s.shutdown(socket.SHUT_WR)
        self.receive()
        if self.s.recv(1) != b"":
            raise AssertionError("more came back than was sent")


@contextlib.contextmanager
def free_port():
    """A port that nobody else gets on any address, held by a socket that does not listen."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("0.0.0.0", 0))
        yield s.getsockname()[1]


def listen_on(*ports, **settings):
    """A configuration file."""
    addresses = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    return "\n".join([f"listen = {{{addresses}}}", *(f"{k} = {v}" for k, v in settings.items())])


class Opened:
    """A descriptor, of a path or of one's own making, as an object."""

    def __init__(self, what):
        self.fd = what if isinstance(what, int) else os.open(what, os.O_RDONLY)

    def fileno(self):
        return self.fd

    def detach(self):
        return self.fd

    def close(self):
        os.close(self.fd)


def asleep(daemon):
    """True if no worker has anything to do."""
    for tid, name in daemon.threads().items():
        with open(f"/proc/{daemon.pid}/task/{tid}/stat") as f:
            if name.startswith("worker") and f.read().rpartition(")")[2].split()[0] != "S":
                return False
    return True


def fill(daemon, clients):
    """Has all of them send until the daemon takes no more, for they do not read."""
    quiet = 0
    while quiet < 5:
        if any([c.send_what_fits() for c in clients]) or not asleep(daemon):
            quiet = 0
        else:
            quiet += 1
            time.sleep(0.01)


class HandOver(harness.Test):
    def client(self, m, **connect):
        """A connection to the manager's daemon, until that is stopped."""
        c = Client(m.daemon, **connect)
        m.clients.enter_context(c.s)
        return c

    def clients(self, n, m, **connect):
        return [self.client(m, **connect) for _ in range(n)]

    def assertReset(self, s):
        """The other side has ended it with a reset, which no one takes for a whole echo."""
        with self.assertRaises(ConnectionError):
            while s.recv(1 << 20):
                pass

    def assertListenersOnly(self, m):
        """Nothing but the listeners of the daemon is in the store."""
        self.assertEqual(sorted(m.stored_ports()), sorted(m.daemon.ports))
        self.assertEqual(len(m.names()), len(m.daemon.ports))


class States(HandOver):
    """Every byte of connections in every state."""

    def carry(self, m, stalled, pending):
        """A restart whose state has at least so many stalled, with pending bytes or without."""
        m.abort()
        records = State(m).records
        self.assertGreaterEqual(sum(r.stalled for r in records), stalled)
        self.assertEqual([r for r in records if (r.pending > 0) != (pending and r.stalled)], [])

    def check_states(self, **settings):
        pending = settings.get("pending_memory") != 0
        with Manager(*options(**TIGHT, **settings)) as m:
            d = m.start()
            silent, idle, odd, late = self.clients(4, m)
            slow, half = self.clients(3, m, **SLOW), self.clients(3, m, **SLOW)
            idle.talk(100)
            fill(d, slow + half[1:])
            half[0].send(30001)  # which is in the daemon as a whole, and its end too
            for c in half:
                c.s.shutdown(socket.SHUT_WR)
            fill(d, [])
            for size in (1, 9973, 77777):
                odd.send(size)
                self.carry(m, 6, pending)
                late.send(size)
                d = m.start()
                self.assertListenersOnly(m)
                odd.receive()
                late.receive()
                for c in slow:
                    c.receive(4096)
                fill(d, slow)
            idle.talk(100)
            silent.talk(1)
            for c in (silent, idle, odd, late, *slow, *half):
                c.finish()
            counters = d.wait_open(0) and d.counters()
            self.assertEqual(counters["closed_client"], 10)

    def test_states(self):
        """idle, in the middle of a message, stalled with bytes in memory, half-closed, never spoken"""
        self.check_states()

    def test_states_without_memory(self):
        """the same when all that waits is in the kernel"""
        self.check_states(pending_memory=0)

    def test_states_small_buffer(self):
        """the same with a small buffer and many workers"""
        self.check_states(workers=7, buffer_size=4096)

    def test_listen_queue(self):
        """who is in the listen queue and has sent everything, is accepted by the next process [F20]"""
        with Manager() as m:
            d = m.start()
            with m.stuck("acceptor") as acceptor:
                clients = self.clients(20, m)
                for c in clients:
                    c.send(1000)
                    c.s.shutdown(socket.SHUT_WR)
                m.abort(acceptor)
            self.assertEqual(State(m).records, [])
            d = m.start()
            for c in clients:
                c.finish()
            d.wait_counter("closed_client", 20)
            self.assertEqual(d.wait_counter("accepted", 20)["accepted"], 20)

    def test_gap(self):
        """who connects while no process runs is served by the next one"""
        with Manager() as m:
            before = m.start()
            m.abort()
            clients = self.clients(20, m)
            for c in clients:
                c.send(1000)
            m.start()
            for c in clients:
                c.finish()

    def test_paused(self):
        """who connects, speaks and ends while the old process stands still is served by one of the two"""
        with Manager() as m:
            for _ in range(5):
                d = m.start()
                old = self.clients(20, m)
                for c in old:
                    c.talk(10)
                d.pause()
                new = self.clients(20, m)
                for c in old + new:
                    c.send(5000)
                for c in new[::2]:
                    c.s.shutdown(socket.SHUT_WR)
                d.signal(signal.SIGABRT)
                d.resume()
                m.abort()
                m.start()
                for c in old + new:
                    c.finish()
                m.stop()

    def test_not_adopted(self):
        """who was accepted, and whose worker has not looked yet, is carried"""
        def lucky():
            """True if the worker comes round soon enough to be no stuck one, and not so soon as to serve."""
            d = m.start()
            acceptor = {name: tid for tid, name in d.threads().items()}["acceptor"]
            with m.stuck("worker/0"):
                clients = self.clients(10, m)
                for c in clients:
                    c.send(10)
                d.wait_counter("accepted", 10)
                d.signal(signal.SIGABRT)
                harness.wait_until(lambda: not os.path.exists(f"/proc/{d.pid}/task/{acceptor}"),
                                   "the order to halt")
            m.abort()
            if "lost on the way" in d.log():
                return False
            echoed = [r.echoed for r in State(m).records]
            self.assertEqual(len(echoed), 10)
            m.start()
            for c in clients:
                c.finish()
            m.daemon.wait_counter("closed_client", 10)
            if echoed == [0] * 10:
                return True
            m.abort()
            return False

        with Manager("-o", "workers=1", expect=["lost on the way"]) as m:
            while not lucky():
                pass

    def test_urgent(self):
        """urgent bytes are data in their place, wherever the restart finds them"""
        with Manager() as m:
            d = m.start()
            s = m.clients.enter_context(d.connect())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

            def say(data, mark):
                s.send(data)
                s.send(mark, socket.MSG_OOB)
            d.pause()
            say(b"abc", b"!")
            say(b"def", b"?")
            d.signal(signal.SIGABRT)
            d.resume()
            m.abort()
            say(b"ghi", b".")
            s.send(b"jkl")
            m.start()
            self.assertEqual(harness.read_exactly(s, 15), b"abc!def?ghi.jkl")
            self.assertEchoes(s)


class Load(HandOver):
    """Restart after restart, under echoc's eyes."""

    def start_load(self, daemon, *args):
        p = subprocess.Popen([harness.ECHOC, "load", "--json", "--duration", "3600", "--timeout",
                              "600", *args, f"127.0.0.1:{daemon.port}"], text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(p.communicate)
        self.addCleanup(p.kill)
        return p

    def check(self, connections, restarts, *args, bytes_between):
        with Manager("-o", "max_connections=0") as m:
            d = m.start()
            p = self.start_load(d, "--connections", str(connections), *args)
            d.wait_open(connections)
            for i in range(restarts):
                d.wait_counter("echoed", d.counters()["echoed"] + bytes_between)
                d = m.restart("-o", f"workers={i % 3 + 1}")
                self.assertIn(f"took over {connections} connections", d.log())
            d.wait_counter("echoed", d.counters()["echoed"] + bytes_between)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=harness.DEADLINE)
            self.assertEqual(p.returncode, 0, err + out)
            seen = json.loads(out)
            self.assertEqual(seen["bytes_sent"], seen["bytes_verified"])
            for name in ("corrupt", "lost", "resets", "early_closes", "connect_failures"):
                self.assertEqual(seen[name], 0, name)
            counters = d.wait_open(0) and d.counters()
            self.assertEqual(counters["accepted"], connections)
            self.assertEqual(counters["received"], counters["echoed"])

    def test_many(self):
        """5,000 connections that all talk, over 10 restarts: nothing wrong, lost or reset [F49 P18]"""
        n = 300 if SMALL else 5000
        if harness.raise_descriptor_limit() < n + 200:
            self.skipTest("too few descriptors")
        self.check(n, 5 if SMALL else 10, "--size", "1-2000", bytes_between=n * 500)

    def test_streams(self):
        """streams at full speed, of which some are always on a ready list [F49]"""
        self.check(8, 5 if SMALL else 10, "--size", "100000-1000000", "--pipeline", "4",
                   bytes_between=10_000_000)


class Settings(HandOver):
    """A next process that is set up in another way."""

    def test_workers(self):
        """with another number of workers all go on, and count for the limit"""
        with Manager("-o", "max_connections=31", expect=[harness.REFUSED]) as m:
            d = m.start("-o", "workers=3")
            clients = self.clients(31, m)
            for i, c in enumerate(clients):
                c.talk(100 + i)
            self.assertRefused(d)
            clients.pop().finish()
            harness.reset(clients.pop().s)
            d.wait_open(29)
            for workers in (1, 5, 2, 2):
                d = m.restart("-o", f"workers={workers}")
                counters = d.counters()
                self.assertEqual((counters["accepted"], counters["open"]), (29, 29))
                of_each = [counters[f"worker/{i}"][0] for i in range(workers)]
                self.assertLessEqual(max(of_each) - min(of_each), 1)
            for c in clients:
                c.finish()
            d.wait_counter("closed_client", 29)

    def test_same_worker(self):
        """with as many workers as before each has the connections that it had; counters begin anew"""
        with Manager("-o", "workers=3") as m:
            d = m.start()
            clients = self.clients(10, m)
            for c in clients:
                c.talk(100)
            for c in clients[::3]:
                c.finish()
            before = d.wait_open(6) and d.counters()
            after = m.restart().counters()
            for i in range(3):
                now_open = before[f"worker/{i}"][0]
                self.assertEqual(after.pop(f"worker/{i}"), [now_open, now_open, 0])
            self.assertEqual({name: n for name, n in after.items() if n}, {"accepted": 6, "open": 6})

    def test_budget(self):
        """what is taken over counts for the budget, and no more when it is sent"""
        budget = options(workers=1, buffer_size=65536, pending_memory=65536)  # of one buffer
        with Manager(*budget, *options(**TIGHT)) as m:
            d = m.start()
            first, second = self.clients(2, m, **SLOW)
            fill(d, [first])
            m.abort()
            pending = sum(r.pending for r in State(m).records)
            self.assertGreater(pending, 0)
            d = m.start()
            fill(d, [second])
            self.assertLessEqual(self.in_memory(d), pending)
            first.receive()
            fill(d, [second])
            second.receive(second.sent // 2)
            fill(d, [second])
            self.assertGreater(self.in_memory(d), 0)
            second.receive()

    def in_memory(self, daemon):
        """Bytes that were received and not sent yet."""
        counters = daemon.counters()
        return counters["received"] - counters["echoed"]

    def test_buffer_size(self):
        """what waits for a slow client may be more than the new buffers hold"""
        with Manager(*options(**TIGHT)) as m:
            d = m.start("-o", "buffer_size=65536")
            slow = self.clients(5, m, **SLOW)
            fill(d, slow)
            before = self.in_memory(d)
            m.abort()
            self.assertGreater(max(r.pending for r in State(m).records), 4096)
            d = m.start("-o", "buffer_size=4096", "-o", "pending_memory=0")
            self.assertLessEqual(self.in_memory(d), before)
            for c in slow:
                c.receive()
                c.talk(50000)
                c.finish()

    def test_fewer_allowed(self):
        """who was let in stays, though max_connections allows fewer now; nobody else comes in"""
        with Manager(expect=[harness.REFUSED]) as m:
            m.start()
            clients = self.clients(10, m)
            for c in clients:
                c.talk(10)
            d = m.restart("-o", "max_connections=3")
            for c in clients:
                c.talk(10)
            self.assertRefused(d)
            for c in clients[3:]:
                c.finish()
            d.wait_open(3)
            self.assertRefused(d)
            clients[0].finish()
            d.wait_open(2)
            self.assertServes(d)

    def test_fewer_descriptors(self):
        """those for which there is no descriptor are counted and end, the others go on"""
        with Manager(expect=["lost on the way", "cannot accept: Too many"]) as m:
            m.start("-o", "workers=1")
            clients = self.clients(600, m)
            for c in clients:
                c.talk(10)
            d = m.restart(prefix=["sh", "-c", 'ulimit -n 200; exec "$@"', "sh"])
            lost = int(d.wait_log(r"(\d+) connections were lost").group(1))
            self.assertGreater(lost, 400)
            ended = lambda c: bool(select.select([c.s], [], [], 0)[0])
            harness.wait_until(lambda: sum(map(ended, clients)) == lost, "the end of who is lost")
            for c in filter(ended, clients):
                self.assertEnds(c.s)
            clients = [c for c in clients if not ended(c)]
            for c in clients:
                c.talk(1000)
            counters = d.counters()
            self.assertEqual(counters["accepted"], 600)
            self.assertEqual(counters["open"], 600 - lost)
            self.assertEqual(counters["closed_error"], lost)
            for c in clients[:50]:
                c.finish()
            self.assertServes(d)

    def test_file_size(self):
        """a limit of file sizes forbids the state: the log names it, and no end looks like a whole echo"""
        with Manager(expect=[r"cannot hand over: File too large \(by LimitFSIZE= or ulimit -f\); 3 "]) as m:
            m.start(prefix=["prlimit", "--fsize=0"])
            clients = self.clients(3, m)
            for c in clients:
                c.talk(10)
            m.abort()
            self.assertIn("cannot hand over", m.daemon.log())
            for c in clients:
                self.assertReset(c.s)
            self.assertServes(m.start())

    def test_store_is_gone(self):
        """of those that the manager drops, no one takes for whole an echo that is not"""
        with Manager("-o", "send_buffer=4608") as m:
            m.start()
            idle, pending = self.clients(2, m, rcvbuf=4096)
            idle.talk(10)
            m.daemon.pause()
            pending.send(30000)
            m.daemon.wait_arrived(1, 30000)
            m.daemon.resume()  # now it receives all at once, and can send back little
            m.daemon.wait_counter("received", 30010)
            m.abort()
            for name in m.names():
                if "listener" not in name:
                    m.remove(name)
            self.assertEnds(idle.s)
            self.assertReset(pending.s)
            m.start()


class Memory(HandOver):
    """What is remembered goes on, and does not begin anew."""

    def test_idle_timeout(self):
        """idle times go along as they are, and end in the order in which they began"""
        with Manager(*options(idle_timeout=2, workers=1, log_level="debug")) as m:
            begin = time.monotonic()
            m.start()
            clients = self.clients(3, m)
            for i, c in enumerate(clients):
                c.talk(i + 1)
                time.sleep(0.002)  # so that no two are of the same millisecond
            m.abort()
            first = [(r.echoed, r.since) for r in State(m).records]
            self.assertEqual([echoed for echoed, _ in first], [1, 2, 3])
            d = m.start("-o", "idle_timeout=0")  # let there be time
            clients[1].talk(10)
            m.abort()
            second = [(r.echoed, r.since) for r in State(m).records]
            self.assertEqual(second[:2], [first[0], first[2]])
            self.assertEqual(second[2][0], 12)
            self.assertGreater(second[2][1], first[2][1])
            d = m.start()
            for c in clients:
                self.assertEnds(c.s)
            self.assertGreaterEqual(time.monotonic() - begin, 2)
            for n, echoed in enumerate((1, 3, 12)):
                line = d.wait_log(r"closed \(idle_timeout\) after (\d+) bytes", n + 1)
                self.assertEqual(int(line.group(1)), echoed)

    def test_idle_timeout_in_the_gap(self):
        """who spoke while no process ran is served, however long that took"""
        with Manager("-o", "idle_timeout=1") as m:
            m.start()
            clients = self.clients(600, m)
            for c in clients:
                c.talk(1)
            m.abort()
            for c in clients:
                c.send(5)
            time.sleep(1.1)  # longer than the timeout
            m.start()
            for c in clients:
                c.receive()

    def test_stall_timeout(self):
        """the time of who does not read goes along, and ends by itself"""
        with Manager(*options(stall_timeout=1, **TIGHT)) as m:
            d = m.start("-o", "stall_timeout=0")
            slow = self.client(m, **SLOW)
            fill(d, [slow])
            before = None
            while True:  # the client's kernel may take a little more
                m.abort()
                now, = State(m).records
                self.assertEqual(now.stalled, 1)
                self.assertGreater(now.unacknowledged, 0)
                if before and now.echoed == before.echoed:
                    break
                before = now
                m.start("-o", "stall_timeout=0")
            self.assertEqual(vars(now), vars(before))
            d = m.start()
            d.wait_counter("closed_stall_timeout", 1)
            self.assertReset(slow.s)
            self.assertServes(d)

    def check_end(self, read, finish, counter, **settings):
        """An end whose echo is not acknowledged is what it was, over two restarts."""
        with Manager(*options(workers=1, **settings)) as m:
            d = m.start(*options(stall_timeout=0))
            c = self.client(m, rcvbuf=4096)
            c.send(200000)  # which the daemon's kernel takes, but not the client's
            if finish:
                c.s.shutdown(socket.SHUT_WR)
            harness.wait_until(lambda: {harness.FIN_WAIT1, harness.LAST_ACK} & {s.state for s in d.in_kernel()}, "our FIN")
            m.abort()
            first, = State(m).records
            self.assertGreater(first.stalled, 1)
            m.start(*options(stall_timeout=0, idle_timeout=0))
            m.abort()
            second, = State(m).records
            self.assertEqual(vars(second), vars(first))
            d = m.start()
            if read:
                self.assertEqual(d.counters()["open"], 1)
                c.receive()
                self.assertEnds(c.s)
            d.wait_counter(counter, 1)
            if not read:
                self.assertReset(c.s)

    def test_ends(self):
        """who ended, or was idle, and has not taken all: he comes to the end that he would have come to"""
        self.check_end(True, True, "closed_client")
        self.check_end(False, True, "closed_stall_timeout", stall_timeout=2)
        self.check_end(True, False, "closed_idle_timeout", idle_timeout=1)
        self.check_end(False, False, "closed_stall_timeout", idle_timeout=1, stall_timeout=2)

    def test_per_source(self):
        """connections taken over count for their source, until they end"""
        with Manager("-o", "max_connections_per_source=2", expect=[harness.REFUSED]) as m:
            d = m.start()
            clients = self.clients(2, m)
            for c in clients:
                c.talk(1)
            self.assertServes(d, source="127.0.0.2")
            for _ in range(3):
                d = m.restart()
                self.assertRefused(d)
                self.assertServes(d, source="127.0.0.2")
            clients[0].finish()
            d.wait_open(1)
            self.assertServes(d)

    def test_new_limit(self):
        """a limit by source that the old process did not have counts those that were there"""
        with Manager(expect=[harness.REFUSED]) as m:
            d = m.start()
            clients = self.clients(2, m)
            for c in clients:
                c.talk(1)
            d = m.restart("-o", "max_connections_per_source=2")
            self.assertRefused(d)
            clients[0].finish()
            d.wait_open(1)
            self.assertServes(d)


class MemoryGroup:
    """A group whose memory the kernel counts; a context that removes it.  Skips where there is none."""

    def __init__(self):
        with open("/proc/self/mounts") as f:
            mounts = [line.split() for line in f]
        old = [m[1] for m in mounts if m[2] == "cgroup" and "memory" in m[3].split(",")]
        new = [m[1] for m in mounts if m[2] == "cgroup2"]
        parent, self.names = ((old[0], ("memory.usage_in_bytes", "memory.max_usage_in_bytes")) if old else
                              (new[0] if new else "/", ("memory.current", "memory.peak")))
        self.path = os.path.join(parent, f"echod-test-{os.getpid()}")
        self.join = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.path)

    def __enter__(self):
        try:
            os.mkdir(self.path)
        except OSError as e:
            raise unittest.SkipTest(f"no group for processes: {e}")
        if not os.path.exists(os.path.join(self.path, self.names[1])):
            os.rmdir(self.path)
            raise unittest.SkipTest("the kernel does not count the memory of a group here")
        return self

    def __exit__(self, *_):
        def removed():  # processes leave it a moment after their end
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
            return not os.path.exists(self.path)
        harness.wait_until(removed, "the end of the processes in the group")

    def read(self, name):
        with open(os.path.join(self.path, name)) as f:
            return int(f.read())

    def now(self):
        return self.read(self.names[0])

    def peak(self):
        return self.read(self.names[1])


@unittest.skipIf(SMALL, "a sanitizer's memory is not ours")
class PendingMemory(HandOver):
    """What is pending is not there twice: a memory limit that was enough goes on to be. [F57]"""

    LARGE, SMALL = 150, 1000

    def hold(self, m):
        """A daemon that holds much: in large buffers, which malloc(3) maps, and in small ones."""
        d = m.start("-o", "buffer_size=1048576", "-o", "pending_memory=1073741824")
        clients = self.clients(self.LARGE + self.SMALL, m, rcvbuf=4096)
        for some, size in ((clients[:self.LARGE], 330000), (clients[self.LARGE:], 33000)):
            for i in range(0, len(some), 50):
                d.pause()  # so that it receives all at once
                for c in some[i:i + 50]:
                    c.send(size)
                d.resume()
        fill(d, [])
        counters = d.counters()
        return clients, counters["received"] - counters["echoed"]

    def check(self, measure, prefix=()):
        """measure is called before, and after a restart; what it returns is compared."""
        with Manager(*options(workers=1, **TIGHT), prefix=prefix) as m:
            clients, held = self.hold(m)
            self.assertGreater(held, 32 << 20)
            before = measure(m.daemon, False)
            m.restart("-o", "pending_memory=1073741824")
            peak = measure(m.daemon, True)
            print(f"# {held >> 20} MiB held, {before >> 20} MiB before, {peak >> 20} MiB at most")
            self.assertLess(peak, before + held // 5)
            for c in clients:
                c.receive()

    def test_group(self):
        """both processes and what they hand over need hardly more than the first one"""
        with MemoryGroup() as group:
            self.check(lambda daemon, restarted: group.peak() if restarted else group.now(), group.join)

    def test_next(self):
        """the next process, while it takes over, needs hardly more than the first one"""
        self.check(lambda daemon, restarted: 1024 * daemon.status("VmHWM" if restarted else "VmRSS"))


class Listeners(HandOver):
    """The listening sockets, and the store."""

    def inodes(self, m):
        return dict(zip(m.stored_ports(), (s.inode() for s in m.store)))

    def test_same(self):
        """they are the same sockets from process to process"""
        with Manager() as m:
            m.start()
            self.assertListenersOnly(m)
            before = self.inodes(m)
            for _ in range(3):
                d = m.restart()
                self.assertListenersOnly(m)
                self.assertEqual(self.inodes(m), before)
                self.assertServes(d)

    def test_reload(self):
        """a reload stores what is new, removes what is gone, and leaves alone what stays"""
        with contextlib.ExitStack() as stack:
            a, b, c = [stack.enter_context(free_port()) for _ in range(3)]
            m = stack.enter_context(Manager(conf=listen_on(a, b)))
            d = m.start(listen="")
            self.assertEqual(m.stored_ports(), [a, b])
            before = self.inodes(m)
            for ports in ((a, b), (b, c), (c, a), (a, b, c)):
                self.reload(m, *ports)
                self.assertEqual(sorted(m.stored_ports()), sorted(ports))
                after = self.inodes(m)
                for port in before.keys() & after.keys():
                    self.assertEqual(before[port], after[port])
                before = after
                for port in ports:
                    self.assertServes(d, port=port)
                for port in {a, b, c} - set(ports):
                    self.assertRefused(d, port=port)
            m.abort()
            d = m.start(conf=listen_on(a, b, c), listen="")
            self.assertEqual(self.inodes(m), before)
            self.assertIn(f"listening on 127.0.0.1:{c}, as before", d.log())

    def reload(self, m, *ports, **settings):
        count = m.daemon.log().count("reloaded")
        m.daemon.write_conf(listen_on(*ports, **settings))
        m.daemon.signal(signal.SIGHUP)
        m.daemon.wait_log("reloaded", count + 1)
        m.settle()

    def test_no_longer_named(self):
        """a listener that the configuration does not name any more is closed, and not stored"""
        with contextlib.ExitStack() as stack:
            a, b, c = [stack.enter_context(free_port()) for _ in range(3)]
            m = stack.enter_context(Manager())
            d = m.start(listen="", conf=listen_on(a, b))
            kept = m.stored_at(b).inode()
            clients = [self.client(m, port=p) for p in (a, b)]
            for client in clients:
                client.talk(10)
            m.abort()
            queued = self.client(m, port=a)
            d = m.start(listen="", conf=listen_on(b, c))
            self.assertEqual(sorted(m.stored_ports()), sorted([b, c]))
            self.assertEqual(m.stored_at(b).inode(), kept)
            self.assertReset(queued.s)
            self.assertRefused(d, port=a)
            self.assertServes(d, port=b)
            self.assertServes(d, port=c)
            for client in clients:
                client.finish()

    def test_overlap(self):
        """an address that a stored listener blocks is free in time"""
        with free_port() as port, Manager() as m:
            d = m.start(listen=f"127.0.0.1:{port}")
            c = self.client(m)
            c.talk(10)
            d = m.restart(listen=f"0.0.0.0:{port}")
            self.assertEqual(m.stored_addresses(), [("0.0.0.0", port)])
            self.assertServes(d)
            d = m.restart(listen=f"127.0.0.1:{port}")
            self.assertServes(d)
            c.finish()

    def test_off(self):
        """with hand_over=false nothing is stored, and connections end"""
        with Manager("-o", "hand_over=false", expect=["SIGABRT: aborting"]) as m:
            m.start()
            clients = self.clients(3, m)
            for c in clients:
                c.talk(10)
            self.assertEqual(m.names(), [])
            m.abort()
            self.assertEqual(m.names(), [])
            for c in clients:
                self.assertEnds(c.s)
            m.start()

    def test_turned_off(self):
        """a reload that turns hand_over off empties the store, and one that turns it on fills it"""
        with free_port() as port, Manager(conf=listen_on(port)) as m:
            d = m.start(listen="")
            self.reload(m, port, hand_over="false")
            self.assertEqual(m.names(), [])
            self.assertServes(d)
            self.reload(m, port, hand_over="true")
            self.assertEqual(m.stored_ports(), [port])
            d = m.restart(listen="")
            self.assertServes(d)

    def test_stop(self):
        """a plain stop serves what was accepted, and leaves nothing in the store"""
        with Manager() as m:
            d = m.start()
            clients = self.clients(5, m)
            d = m.restart()
            for c in clients:
                c.send(100)
                c.s.shutdown(socket.SHUT_WR)
            m.stop()
            self.assertEqual(m.names(), [])
            for c in clients:
                c.finish()

    def test_socket_unit(self):
        """listeners of a socket unit are not stored, and those that were are removed"""
        with socket.create_server(("127.0.0.1", 0)) as unit, Manager() as m:
            d = m.start()
            c = self.client(m)
            c.talk(10)
            m.abort()
            m.add("echod.socket", os.dup(unit.fileno()))
            d = m.start()
            self.assertEqual(m.names(), ["echod.socket"])
            self.assertEqual(d.port, unit.getsockname()[1])
            self.assertServes(d)
            c.finish()
            m.stop()
            self.assertEqual(m.names(), ["echod.socket"])
            m.clear()


class StuckThreads(HandOver):
    """What a watchdog is for: who stands still loses only what is his."""

    def check(self, thread, lost, noticed=False):
        """Lost are the connections of the workers of these numbers."""
        with Manager("-o", "workers=3", expect=["lost on the way", "does not answer"]) as m:
            d = m.start(env={"WATCHDOG_USEC": "18000000"} if noticed else None)
            clients = self.clients(12, m)
            for c in clients:
                c.talk(1000)
                c.send(100)
            with m.stuck(thread) as stuck:
                if noticed:
                    d.wait_log(f"watchdog: {thread} does not answer")
                m.abort(stuck)
            self.assertEqual(len(State(m).records), 12 - 4 * len(lost))
            d = m.start()
            self.assertListenersOnly(m)
            for i, c in enumerate(clients):
                if i % 3 in lost:
                    self.assertReset(c.s)
                else:
                    c.finish()
            self.assertServes(d)
            d.wait_counter("closed_client", 13 - 4 * len(lost))
            d.wait_open(0)

    def test_worker(self):
        """a worker that is stuck: its connections are reset, those of the others go on"""
        self.check("worker/1", {1})

    def test_acceptor(self):
        """an acceptor that is stuck: all connections go on"""
        self.check("acceptor", {})

    def test_noticed(self):
        """the same when a beat of the watchdog has told before who is stuck"""
        self.check("worker/1", {1}, noticed=True)
        self.check("acceptor", {}, noticed=True)

    def test_busy(self):
        """a worker that was asked by a beat a moment ago is given time: no connection is lost"""
        def lucky():
            """True if the machine left it enough of that time."""
            d = m.start(env={"WATCHDOG_USEC": "2000000"})
            clients = self.clients(10, m)
            for c in clients:
                c.talk(10)
            with m.stuck("worker/0"):
                d.wait_log("watchdog: worker/0 does not answer")
                begin = time.monotonic()
                d.signal(signal.SIGABRT)
                time.sleep(1)  # more than a stuck one is given
            halted = time.monotonic() - begin
            m.abort()
            if "lost on the way" in d.log():
                self.assertGreater(halted, 3)
                m.clients.close()
                return False
            m.start()
            for c in clients:
                c.finish()
            return True

        with Manager("-o", "workers=1", expect=["lost on the way", "does not answer"]) as m:
            while not lucky():
                pass

    def test_main(self):
        """main that is stuck: all connections go on"""
        self.check("echod", {})


class Hostile(HandOver):
    """What is passed may be anyone's work: nothing of it does harm, and nothing of it stays."""

    N = 3  # connections in a forgery

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.m = stack.enter_context(Manager(*options(workers=2, idle_timeout=0, stall_timeout=0), expect=[
            "cannot take over", "lost on the way", "was passed, but"]))
        self.m.start().counters()  # main is through with all that comes before
        self.baseline = self.m.daemon.descriptors()

    def start(self, state=None, carriers=()):
        """The next process, with a state of these bytes, or this descriptor, and carriers."""
        self.m.abort()
        self.m.remove("stored.state")
        if isinstance(state, bytes):
            state = manager.memory_file(state)
        if state is not None:
            self.m.add("stored.state", state)
        for i, c in enumerate(carriers):
            self.m.add(f"stored.carrier.{i}", c)
        return self.m.start()

    def check_sound(self):
        """It serves, the store is clean, and it has no descriptor that a fresh one has not."""
        self.assertListenersOnly(self.m)
        self.assertServes(self.m.daemon)
        harness.wait_until(lambda: self.m.daemon.descriptors() == self.baseline,
                           "the closing of all that is of no use")

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
        """Of these pairs those numbers go on, the others are reset."""
        counters = self.m.daemon.counters()
        self.assertEqual(counters["open"], len(going))
        self.assertEqual(counters["closed_error"], lost)
        for i, (client, server) in enumerate(made):
            server.close()
            self.assertEqual(self.goes_on(client), i in going, i)
            client.close()
        self.check_sound()

    @contextlib.contextmanager
    def carried(self, n=None):
        """Some connections, and one carrier of all."""
        with manager.pairs(n or self.N) as made:
            yield made, manager.carrier((0, [server for _, server in made]))

    def test_good(self):
        """what is forged well is taken: the other tests begin with nothing that is wrong"""
        with self.carried() as (made, carrier):
            self.start(manager.state([Record()] * self.N), [carrier])
            self.check(made, {0, 1, 2})

    def damaged(self):
        """States that are to be refused, by what is wrong with them."""
        records = [Record()] * self.N
        stalled = Record(stalled=1, pending=5)
        for make in (manager.state, manager.state_2):
            good = make(records + [stalled], pending=b"12345")
            for size in {0, 1, 7, 8, 11, 31, 32, 33, *range(40, len(good), 24), len(good) - 1}:
                yield f"only {size} bytes", good[:size]
            yield "a byte more", good + b"x"
            for what, bad in (("stalled 7", Record(stalled=7)),
                              ("pending, not stalled", Record(pending=5)),
                              ("pending at its end", Record(stalled=2, pending=5)),
                              ("too much pending", Record(stalled=1, pending=6)),
                              ("too little pending", Record(stalled=1, pending=4)),
                              ("very much pending", Record(stalled=1, pending=(1 << 64) - 1))):
                yield what, make([bad, *records[1:]], pending=b"12345")
            wrap = Record(stalled=1, pending=1 << 63)
            yield "pending that sums up to 0", make([wrap, wrap, Record()])
            for magic in b"echodsT\0", bytes(8):
                yield f"magic {magic}", make(records, magic=magic)
            for n in 0, 2, 4, (1 << 31) - 1, 1 << 31, (1 << 32) - 1:
                yield f"connections {n}", make(records, connections=n)
        for name, values in (("version", [0, 1]), ("since", [0, 2, 4, (1 << 32) - 1]),
                             ("records_at", [0, 39, 41, 72, 1 << 31, (1 << 32) - 1]),
                             ("record_size", [0, 24, 31, 33, 40, 4096, 4097, 1 << 31, (1 << 32) - 1])):
            for value in values:
                yield f"{name} {value}", manager.state(records, **{name: value})
        for name, values in (("refused", [0, 3, 5, 65535, 65536, 1 << 31]),
                             ("closed", [0, 4, 6, 65535, 65536, 1 << 31]),
                             ("workers", [0, 2, 65535, 65536, (1 << 32) - 1]),
                             ("sources", [1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])):
            for value in values:
                yield f"{name} {value} in version 2", manager.state_2(records, **{name: value})
        yield "too new", manager.state(records, version=4, since=4)

    def test_damaged(self):
        """a state that is not whole, or too new, is refused, and every connection reset"""
        for what, state in self.damaged():
            with self.subTest(what), self.carried() as (made, carrier):
                d = self.start(state, [carrier])
                self.assertIn(f"cannot take over {self.N} connections", d.log())
                self.check(made, set(), self.N)

    def test_no_state(self):
        """what is no file in memory, or can only be written, is no state"""
        good = manager.state([Record()] * self.N)
        with tempfile.NamedTemporaryFile(dir="/var/tmp", delete=False) as f:  # /tmp may be in memory
            self.addCleanup(os.remove, f.name)
            f.write(good)
        large = manager.memory_file(good)
        os.ftruncate(large, 1 << 40)
        unreadable = manager.memory_file(good)
        for what, fd in (("a terabyte", large),
                         ("only writable", os.open(f"/proc/self/fd/{unreadable}", os.O_WRONLY)),
                         ("a file", os.open(f.name, os.O_RDONLY)),
                         ("a directory", os.open("/", os.O_RDONLY)),
                         ("a device", os.open("/dev/zero", os.O_RDWR)),
                         ("a pipe", os.pipe()[0]),
                         ("a socket", socket.socket().detach()),
                         ("nothing", None)):
            with self.subTest(what), self.carried() as (made, carrier):
                self.start(fd, [carrier])
                self.check(made, set(), self.N)

    def test_random(self):
        """some random bytes in the state, or all of them: it is taken or refused, no more"""
        chance = random.Random(20240607)
        records = [Record(), Record(stalled=1, pending=2), Record(stalled=1, pending=3)]
        good = manager.state(records, pending=b"hello")
        for i in range(40 if SMALL else 80):
            state = bytearray(good)
            for _ in range(chance.choice((1, 1, 2, 4, 8, len(state)))):
                state[chance.randrange(len(state))] = chance.choice((0, 1, 127, 128, 255))
            with self.subTest(i, state=bytes(state)), self.carried() as (made, carrier):
                self.start(bytes(state), [carrier])
                for client, server in made:
                    server.close()
                    with contextlib.suppress(ConnectionError):
                        client.sendall(b"x")
                        self.assertNotEqual(client.recv(1), b"")
                    client.close()
                self.check_sound()

    def test_later_version(self):
        """sections and fields of a later version are skipped, whatever their sizes"""
        for section, field in ((0, 1), (1, 0), (8, 8), (100000, 4096 - 32)):
            with self.subTest(section=section, field=field), self.carried() as (made, carrier):
                records = [Record(), Record(stalled=1, pending=2), Record(stalled=1, pending=3)]
                self.start(manager.state(records, version=1 << 31, section=b"\xff" * section,
                                         field=b"\xff" * field, pending=b"ABabc"), [carrier])
                self.check_pending(made)

    def check_pending(self, made):
        """All go on, the second with "AB" in between, and the third with "abc"."""
        for (client, server), before in zip(made, (b"", b"AB", b"abc")):
            server.close()
            self.assertEqual(harness.read_exactly(client, len(before)), before)
        self.check(made, {0, 1, 2})

    def test_first_version(self):
        """what 0.1.0 wrote is taken over, and its sealed file, in which there are counters"""
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        records = [Record(), Record(stalled=1, pending=2), Record(stalled=1, pending=3)]
        with self.carried() as (made, carrier):
            old = manager.state_2(records, workers=2, sources=3, pending=b"ABabc",
                                  counters=b"\xff" * (8 * (4 + 1 + 2 * (5 + 2)) + 3 * 24))
            self.start(manager.memory_file(old, seals), [carrier])
            self.check_pending(made)

    def test_changed(self):
        """a state that is changed while it is taken over loses what is in it, and nothing else"""
        records = [Record(stalled=1, pending=1 << 20)] * 16
        good = manager.state(records, pending=bytes(16 << 20))
        for size in (len(good) // 2, 100, 0):
            fd = manager.memory_file(good)
            with self.subTest(size=size), self.carried(16) as (made, carrier):
                self.m.abort()
                self.m.remove("stored.state")
                self.m.add("stored.state", os.dup(fd))
                self.m.add("stored.carrier.0", carrier)
                shrinker = threading.Timer(0.05, os.ftruncate, (fd, size))
                shrinker.start()
                self.m.start()
                shrinker.join()
                for client, server in made:
                    server.close()
                    client.close()
                self.check_sound()
            os.close(fd)

    def test_records(self):
        """values of a record that can be anything do no harm"""
        for i, record in enumerate((Record(since=-1 << 63), Record(since=(1 << 63) - 1),
                                    Record(echoed=(1 << 64) - 1), Record(worker=65535),
                                    Record(unacknowledged=(1 << 32) - 1),
                                    Record(stalled=1, unacknowledged=(1 << 32) - 1))):
            with self.subTest(i), self.carried() as (made, carrier):
                self.start(manager.state([record] * self.N, workers=1), [carrier])
                self.check(made, {0, 1, 2})

    def foreign(self):
        """Objects that are no connections of a daemon, by what they are."""
        left, right = socket.socketpair(socket.AF_UNIX)
        everything = {
            "file": tempfile.TemporaryFile(), "UNIX": left,
            "UDP": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "listening": socket.create_server(("127.0.0.1", 0)), "not connected": socket.socket(),
            "epoll": select.epoll(), "memfd": os.fdopen(os.memfd_create("x"), "wb"),
            "pipe": os.fdopen(os.pipe()[0], "rb"), "directory": Opened("/"),
            "socketpair": Opened(manager.carrier()),
        }
        for s in (*everything.values(), right):
            self.addCleanup(s.close)
        return everything

    def test_foreign(self):
        """what is no connection, among those that are, is closed and counted; the others go on"""
        for what, foreign in self.foreign().items():
            with self.subTest(what), manager.pairs(2) as made:
                first, last = (server for _, server in made)
                carrier = manager.carrier((0, [first, foreign, last]))
                d = self.start(manager.state([Record()] * 3), [carrier])
                d.wait_counter("closed_error", 1)
                self.check(made, {0, 1}, 1)

    def test_carrier_of_itself(self):
        """a carrier that carries itself is not followed"""
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with left, manager.pairs(1) as made:
            for number, s in enumerate((right, made[0][1], right)):
                fds = array.array("i", [s.fileno()])
                left.sendmsg([struct.pack("=I", number)],
                             [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            self.start(manager.state([Record()] * 3), [right.detach()])
            self.check(made, {0}, 2)

    def test_blocking(self):
        """a socket that blocks does not make a worker block"""
        with self.carried() as (made, carrier):
            for _, server in made:
                server.setblocking(True)
            self.start(manager.state([Record()] * self.N), [carrier])
            for client, _ in made:
                self.assertTrue(self.goes_on(client))
            self.check(made, {0, 1, 2})

    def test_numbers(self):
        """numbers that do not ascend, or have no record, are no connections of ours"""
        last = (1 << 32) - 1
        for numbers, going in (((0, 0, 1), {0, 2}), ((1, 0, 2), {0, 2}), ((2, 1, 0), {0}),
                               ((0, 1, 3), {0, 1}), ((3, 0, 1), set()), ((last, 0, 1), set()),
                               ((0, 2, 2), {0, 1}), ((0, 1 << 31, 1), {0})):
            with self.subTest(numbers), manager.pairs(3) as made:
                messages = [(n, [server]) for n, (_, server) in zip(numbers, made)]
                self.start(manager.state([Record()] * 3), [manager.carrier(*messages)])
                self.check(made, going, 3 - len(going))

    def test_messages(self):
        """messages without a number, with more than one, or without sockets"""
        number = struct.pack("=I", 0)
        for what, data, going in (("empty", b"", False), ("short", number[:3], False),
                                  ("of one byte", b"x", False), ("long", number + b"more", True)):
            with self.subTest(what), self.carried() as (made, good):
                os.close(good)
                carrier = manager.carrier((data, [server for _, server in made]))
                self.start(manager.state([Record()] * self.N), [carrier])
                self.check(made, set(range(self.N)) if going else set(), 0 if going else self.N)
        with self.subTest("no sockets"), manager.pairs(2) as made:
            carrier = manager.carrier((0, [made[0][1]]), (0, []), (1, [made[1][1]]))
            self.start(manager.state([Record()] * 2), [carrier])
            self.check(made, {0, 1})

    def test_twice(self):
        """one socket under two numbers ends once for each"""
        with manager.pairs(1) as made:
            client, server = made[0]
            self.start(manager.state([Record()] * 2), [manager.carrier((0, [server, server]))])
            server.close()
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            client.close()
            self.check_sound()

    def test_missing_carrier(self):
        """what a carrier that is missing had is lost, what the others have goes on"""
        with manager.pairs(3) as made:
            some, more = (manager.carrier((i, [made[i][1]])) for i in (0, 2))
            os.close(some)
            self.start(manager.state([Record()] * 3), [Opened("/").detach(), more])
            self.check([made[2]], {0}, 2)
        self.start(manager.state([Record()] * 3))
        self.check([], set(), 3)

    def test_wrong_carrier(self):
        """a socket of another kind carries nothing"""
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with self.subTest(kind), manager.pairs(1) as made:
                client, server = made[0]
                carrier = manager.carrier((0, [server]), kind=kind)
                d = self.start(manager.state([Record()]), [carrier])
                self.assertIn("it is not what carries connections: closed", d.log())
                server.close()
                with contextlib.suppress(ConnectionError):
                    self.assertEqual(client.recv(1), b"")
                self.check([], set(), 1)

    def test_full_carrier(self):
        """a message with as many sockets as the kernel allows, thrice"""
        with manager.pairs(3 * 253) as made:
            servers = [server for _, server in made]
            carrier = manager.carrier(*((i, servers[i:i + 253]) for i in range(0, 759, 253)))
            self.start(manager.state([Record()] * 759), [carrier])
            self.check(made, set(range(759)))


class Versions(HandOver):
    """Up- and downgrades, with a daemon of a later version: it tells more of each connection. [F58]"""

    def start(self, m, *args, **options):
        with mock.patch.object(harness, "ECHOD", os.path.join(harness.BUILDDIR, "tests/system/newer")):
            return m.start(*args, **options)

    def test_both_ways(self):
        """an upgrade and its rollback drop nobody: connections, and what is pending, go on"""
        with Manager(*options(**TIGHT)) as m:
            d = m.start()
            idle, = self.clients(1, m)
            slow = self.clients(2, m, **SLOW)
            idle.talk(10)
            fill(d, slow)
            for start, version in ((self.start, 3), (m.start, 4), (self.start, 3), (m.start, 4)):
                m.abort()
                self.assertEqual((State(m).version, State(m).readable_since), (version, 3))
                self.assertEqual(sum(r.stalled for r in State(m).records), 2)
                start(*(m,) * (start == self.start))
                idle.talk(10)
            for c in (idle, *slow):
                c.receive()
                c.talk(10)
                c.finish()

    def test_not_readable(self):
        """a state that only later versions can read is refused: connections are reset, listeners go on"""
        with Manager(expect=["cannot take over 3"]) as m:
            self.start(m, env={"READABLE_SINCE": "4"})
            clients = self.clients(3, m)
            for c in clients:
                c.talk(10)
            before = [s.inode() for s in m.store]
            m.abort()
            self.assertEqual((State(m).version, State(m).readable_since), (4, 4))
            m.start()
            self.assertEqual([s.inode() for s in m.store], before)
            self.assertIn("cannot take over 3 connections: their state is of a newer version, which "
                          "this one cannot read", m.daemon.log())
            self.assertListenersOnly(m)
            for c in clients:
                self.assertReset(c.s)
            self.assertServes(m.daemon)


if __name__ == "__main__":
    harness.main()

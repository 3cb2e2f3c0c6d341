# SPDX-License-Identifier: MIT
"""Restarts that carry every connection to the next process, under a manager of our own."""

import array
import contextlib
import os
import select
import signal
import socket
import time
import unittest
from unittest import mock

import harness
from harness import free_port, options
from manager import Manager, State

SMALL = bool(harness.SANITIZERS)

# So small that a client that does not read stalls at once.
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


def listen_on(*ports, **settings):
    """A configuration file."""
    addresses = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    return "\n".join([f"listen = {{{addresses}}}", *(f"{k} = {v}" for k, v in settings.items())])


def asleep(daemon):
    """True if no worker has anything to do."""
    return all(harness.task_state(daemon.pid, tid) == "S"
               for tid, name in daemon.threads().items() if name.startswith("worker"))


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
            d.wait_open(0)
            self.assertEqual(d.counters()["closed_client"], 10)

    def test_states(self):
        """idle, in a message, stalled, half-closed, never spoken: with bytes in memory or in the kernel only"""
        for settings in {}, {"pending_memory": 0}, {"workers": 7, "buffer_size": 4096}:
            with self.subTest(**settings):
                self.check_states(**settings)

    def test_listen_queue(self):
        """a client in the listen queue that has sent everything is accepted by the next process [F20]"""
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

    def test_not_adopted(self):
        """a connection at which its worker has not looked yet is carried"""
        def lucky():
            """True if the worker comes round soon enough to be no stuck one, and not so soon as to serve."""
            d = m.start()
            acceptor = d.wait_thread("acceptor")
            with m.stuck("worker/0"):
                clients = self.clients(10, m)
                for c in clients:
                    c.send(10)
                d.wait_counter("accepted", 10)
                d.signal(signal.SIGABRT)
                harness.wait_until(lambda: not os.path.exists(f"/proc/{d.pid}/task/{acceptor}"),
                                   "the order to halt")
            m.abort()
            if "lost at the restart" in d.log():
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

        with Manager("-o", "workers=1", expect=["lost at the restart"]) as m:
            while not lucky():
                pass


class Load(HandOver):
    """Restart after restart, while echoc compares every byte."""

    def check(self, connections, restarts, *args, bytes_between):
        with Manager("-o", "max_connections=0") as m:
            d = m.start()
            p = harness.start_load(d.port, "--duration", 3600, "--connections", connections, *args)
            self.addCleanup(p.communicate)
            self.addCleanup(p.kill)
            d.wait_open(connections)
            for i in range(restarts):
                d.wait_counter("echoed", d.counters()["echoed"] + bytes_between)
                d = m.restart("-o", f"workers={i % 3 + 1}")
                self.assertIn(f"took over {connections} connections", d.log())
            d.wait_counter("echoed", d.counters()["echoed"] + bytes_between)
            p.send_signal(signal.SIGINT)
            harness.end_load(p)
            counters = d.wait_open(0)
            self.assertEqual(counters["accepted"], connections)
            self.assertEqual(counters["received"], counters["echoed"])

    def test_many(self):
        """5,000 connections that all talk, over 10 restarts: nothing wrong, lost or reset [F49 P18]"""
        n = 300 if SMALL else 5000
        harness.needs_descriptors(n)
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
        """with as many workers as before each has the connections that it had; counters are reset"""
        with Manager("-o", "workers=3") as m:
            d = m.start()
            clients = self.clients(10, m)
            for c in clients:
                c.talk(100)
            for c in clients[::3]:
                c.finish()
            before = d.wait_open(6)
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

    def test_limits(self):
        """connections taken over stay, though new limits allow fewer, and count for them until they end"""
        for old, new in (({}, {"max_connections": 2}), ({}, {"max_connections_per_source": 2}),
                         ({"max_connections_per_source": 3}, {"max_connections_per_source": 2})):
            with self.subTest(old=old, new=new), Manager(expect=[harness.REFUSED]) as m:
                m.start(*options(**old))
                clients = self.clients(3, m)
                for _ in range(2):
                    for c in clients:
                        c.talk(10)
                    d = m.restart(*options(**new))
                    self.assertRefused(d)
                    self.assertEqual(d.serves(source="127.0.0.2"), "max_connections" not in new)
                clients[0].finish()
                d.wait_open(2)
                self.assertRefused(d)
                clients[1].finish()
                d.wait_open(1)
                self.assertServes(d)

    def test_fewer_descriptors(self):
        """those for which there is no descriptor are counted and end, the others go on"""
        with Manager(expect=["lost at the restart", "cannot accept: Too many"]) as m:
            m.start("-o", "workers=1")
            clients = self.clients(600, m)
            for c in clients:
                c.talk(10)
            d = m.restart(prefix=["sh", "-c", 'ulimit -n 200; exec "$@"', "sh"])
            lost = int(d.wait_log(r"(\d+) connections were lost").group(1))
            self.assertGreater(lost, 400)
            ended = lambda c: bool(select.select([c.s], [], [], 0)[0])
            harness.wait_until(lambda: sum(map(ended, clients)) == lost, "the end of those that are lost")
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
        """of those that the manager drops, no end looks like a whole echo that is none"""
        with Manager("-o", "send_buffer=4608") as m:
            m.start()
            idle, pending = self.clients(2, m, rcvbuf=4096)
            idle.talk(10)
            m.daemon.send_at_once(pending.s, pending.text(0, 30000))  # and it can send back little
            m.daemon.wait_counter("received", 30010)
            m.abort()
            for name in m.names():
                if "listener" not in name:
                    m.remove(name)
            self.assertEnds(idle.s)
            self.assertReset(pending.s)
            m.start()


class Memory(HandOver):
    """Times continue, and do not start again."""

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
        """clients that sent while no process ran are served, however long that took"""
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
        """the time of a client that does not read goes along, and ends by itself"""
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

    def check_end(self, read, finish, counter, settings):
        """An end whose echo is not acknowledged is what it was, over two restarts."""
        with Manager(*options(workers=1, **settings)) as m:
            d = m.start(*options(stall_timeout=0))
            c = self.client(m, rcvbuf=4096)
            c.send(200000)  # which the daemon's kernel takes, but not the client's
            if finish:
                c.s.shutdown(socket.SHUT_WR)
            harness.wait_until(lambda: {harness.FIN_WAIT1, harness.LAST_ACK} &
                               {s.state for s in d.in_kernel()}, "our FIN")
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
        """a client that ended, or was idle, and has not taken all comes to the end that it would have come to"""
        cases = ((True, True, "closed_client", {}),
                 (False, True, "closed_stall_timeout", {"stall_timeout": 2}),
                 (True, False, "closed_idle_timeout", {"idle_timeout": 1}),
                 (False, False, "closed_stall_timeout", {"idle_timeout": 1, "stall_timeout": 2}))
        harness.together(len(cases), lambda i: self.check_end(*cases[i]))


class MemoryGroup:
    """A group whose memory the kernel counts; a context that removes it.  OSError where there is none."""

    def __init__(self):
        mounts = [line.split() for line in harness.read("/proc/self/mounts").splitlines()]
        old = [m[1] for m in mounts if m[2] == "cgroup" and "memory" in m[3].split(",")]
        new = [m[1] for m in mounts if m[2] == "cgroup2"]
        parent, *self.names = ((*old[:1], "memory.usage_in_bytes", "memory.max_usage_in_bytes") if old
                               else ((*new, "/")[0], "memory.current", "memory.peak"))
        self.path = os.path.join(parent, f"echod-test-{os.getpid()}")
        self.join = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.path)

    def __enter__(self):
        os.mkdir(self.path)
        try:
            self.measure(True)
        except OSError:
            os.rmdir(self.path)
            raise
        return self

    def __exit__(self, *_):
        def removed():  # processes leave it a moment after their end
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
            return not os.path.exists(self.path)
        harness.wait_until(removed, "the end of the processes in the group")

    def measure(self, peak):
        return int(harness.read(self.path, self.names[peak]))


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

    def test_restart(self):
        """the next process, and both with what they hand over, need hardly more than the first one"""
        with contextlib.ExitStack() as stack:
            try:
                group = stack.enter_context(MemoryGroup())
            except OSError as e:
                print(f"# no group for processes, or its memory is not counted: {e}")
                group = None
            m = stack.enter_context(Manager(*options(workers=1, **TIGHT), prefix=group.join if group else ()))
            clients, held = self.hold(m)
            self.assertGreater(held, 32 << 20)
            before = [group.measure(False) if group else 0, 1024 * m.daemon.status("VmRSS")]
            m.restart("-o", "pending_memory=1073741824")
            peaks = [group.measure(True) if group else 0, 1024 * m.daemon.status("VmHWM")]
            for what, first, peak in zip(("both processes", "the next one"), before, peaks):
                print(f"# {what}: {held >> 20} MiB held, {first >> 20} MiB before, {peak >> 20} MiB at most")
                self.assertLess(peak, first + held // 5, what)
            for c in clients:
                c.receive()


class Listeners(HandOver):
    """The listening sockets, and the store."""

    def inodes(self, m):
        return dict(zip(m.stored_ports(), (s.inode() for s in m.store)))

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
        m.daemon.reload(listen_on(*ports, **settings))
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
    """What a watchdog is for: a thread that is stuck loses only its own connections."""

    def check(self, thread, lost, noticed=False):
        """Lost are the connections of the workers of these numbers."""
        with Manager("-o", "workers=3", expect=["lost at the restart", "does not answer"]) as m:
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
        """the same when the watchdog has named the stuck thread before"""
        harness.together(2, lambda i: self.check(("worker/1", "acceptor")[i], ({1}, {})[i], noticed=True))

    def test_busy(self):
        """a worker that has just missed a heartbeat is given time: no connection is lost"""
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
            if "lost at the restart" in d.log():
                self.assertGreater(halted, 3)
                m.clients.close()
                return False
            m.start()
            for c in clients:
                c.finish()
            return True

        with Manager("-o", "workers=1", expect=["lost at the restart", "does not answer"]) as m:
            while not lucky():
                pass

    def test_main(self):
        """main that is stuck: all connections go on"""
        self.check("echod", {})


class Versions(HandOver):
    """Up- and downgrades, with a daemon of a later version: its state has more fields. [F58]"""

    def start(self, m, *args, **options):
        with mock.patch.object(harness, "ECHOD", os.path.join(harness.BUILDDIR, "tests/system/newer")):
            return m.start(*args, **options)

    def test_both_ways(self):
        """an upgrade and its rollback drop no connection, and what is pending goes on"""
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

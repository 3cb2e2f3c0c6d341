# SPDX-License-Identifier: MIT
"""How connections end: what the kernel keeps then, what it counts for, and when there is room again."""

import contextlib
import os
import select
import signal
import socket
import threading
import time

import harness
import siege
from harness import FIN_WAIT1, LAST_ACK, Echod, fill, options
from test_shim import Shimmed

SIZE = 200000  # more than a small receive buffer takes, and less than the kernel's send buffer


class Unread(harness.Test):
    """Echo that the kernel has, and the client does not take."""

    def client(self, stack, d):
        """A client that has sent, and whose echo the kernel has; it does not read."""
        echoed = d.counters()["echoed"]
        s = stack.enter_context(d.connect(rcvbuf=4096))
        s.sendall(bytes(SIZE))
        d.wait_counter("echoed", echoed + SIZE)
        return s

    def parting(self, stack, d):
        """One that has half-closed, too."""
        s = self.client(stack, d)
        s.shutdown(socket.SHUT_WR)
        harness.wait_until(lambda: LAST_ACK in [s.state for s in d.in_kernel()], "our FIN")
        return s

    def test_keeps_its_place(self):
        """a client that half-closes and does not read counts until it has read all, and gets a FIN [F29]"""
        with Echod(*options(workers=1, max_connections=1), expect=[harness.REFUSED]) as d, \
                contextlib.ExitStack() as stack:
            s = self.parting(stack, d)
            self.assertRefused(d)
            counters = d.counters()
            self.assertEqual((counters["open"], counters["closed_client"]), (1, 0))
            self.assertEqual(harness.read_to_end(s), bytes(SIZE))
            self.assertEqual(d.wait_open(0)["closed_client"], 1)
            self.assertServes(d)

    def test_cannot_be_multiplied(self):
        """again and again it never has more than its places, and each is reset by stall_timeout [F29 P1]"""
        most = 4
        with Echod(*options(workers=1, max_connections=most, stall_timeout=1),
                   expect=[harness.REFUSED]) as d, contextlib.ExitStack() as stack:
            clients = []
            while d.counters()["closed_stall_timeout"] < 2 * most:
                with contextlib.suppress(OSError):  # refused, sooner or later
                    s = stack.enter_context(d.connect(rcvbuf=4096))
                    s.sendall(bytes(SIZE))
                    s.shutdown(socket.SHUT_WR)
                    clients.append(s)  # the others have heard of their reset already
                # one more is about to be closed, whose place was given away, and one to be refused
                self.assertLessEqual(len(siege.held(d.port)), most + 2)
            d.wait_open(0)
            self.assertEqual([s for s in d.in_kernel() if s.send_queue > 0], [])
            for s in clients:
                with self.assertRaises(ConnectionError):
                    harness.read_to_end(s)

    def test_idle(self):
        """idle_timeout waits for what the kernel has: a client that reads gets all and a FIN, another is reset [F29 F30]"""
        conf = "workers = 1\nidle_timeout = 1\nstall_timeout = "
        with Echod(conf=conf + "0\n") as d, contextlib.ExitStack() as stack:
            reads, does_not = self.client(stack, d), self.client(stack, d)
            harness.wait_until(lambda: [s.state for s in d.in_kernel()].count(FIN_WAIT1) == 2, "FIN of both")
            self.assertEqual(d.counters()["open"], 2)
            self.assertEqual(harness.read_to_end(reads), bytes(SIZE))
            d.wait_counter("closed_idle_timeout", 1)
            d.reload(conf + "2\n")
            d.wait_counter("closed_stall_timeout", 1)
            with self.assertRaises(ConnectionError):
                harness.read_to_end(does_not)

    def test_reset_while_parting(self):
        """a client that half-closes and then resets frees its place at once"""
        with Echod(*options(workers=1, stall_timeout=0)) as d, contextlib.ExitStack() as stack:
            harness.reset(self.parting(stack, d))
            self.assertEqual(d.wait_open(0)["closed_error"], 1)

    def test_stop(self):
        """at a stop it is waited for; after shutdown_timeout the kernel delivers the rest, and a FIN [F37]"""
        with Echod(*options(workers=1, shutdown_timeout=1)) as d, contextlib.ExitStack() as stack:
            s = self.parting(stack, d)
            d.signal(signal.SIGTERM)
            self.assertEqual(d.wait_exit(), 0)
            d.wait_log("closed_shutdown=1")
            self.assertEqual(harness.read_to_end(s), bytes(SIZE))


class Again(harness.Test):
    def test_at_once(self):
        """a client that has seen its connection end finds its place free, however late close(2) returns [F32 P5]"""
        with Shimmed(*options(workers=1, max_connections=1, max_connections_per_source=1),
                     settings={"late": 5000}) as d:
            for _ in range(50):
                with d.connect() as s:
                    self.assertEchoes(s)
                    s.shutdown(socket.SHUT_WR)
                    self.assertEnds(s)


class Busy(harness.Test):
    """A worker whose batches are always full."""

    CONNECTIONS = 4000

    @contextlib.contextmanager
    def scarce_cpu(self, d):
        """The daemon runs a few ms now and then, in which it cannot serve all."""
        over = threading.Event()

        def run():
            while not over.wait(0.02):
                d.resume()
                over.wait(0.002)
                os.kill(d.pid, signal.SIGSTOP)
            d.resume()
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def is_reset(self, s):
        """Waits for that, and does not read."""
        poll = select.poll()
        poll.register(s, 0)
        return poll.poll(1000 * harness.DEADLINE) and poll.poll()[0][1] & select.POLLERR

    def test_timeouts(self):
        """a connection that is overdue is closed though thousands of others talk without a pause [F30 P7]"""
        harness.needs_descriptors(self.CONNECTIONS)
        conf = "idle_timeout = %d\nstall_timeout = %d\nsend_buffer = 4608\nworkers = 1\n"
        with Echod(conf=conf % (0, 0)) as d, d.connect() as idle, d.connect(rcvbuf=4096) as stalled:
            fill(stalled)
            load = harness.start_load(d.port, "--connections", self.CONNECTIONS, "--size", 64, "--duration", 3600)
            self.addCleanup(load.communicate)
            self.addCleanup(load.kill)
            d.wait_open(self.CONNECTIONS + 2)
            d.wait_counter("echoed", self.CONNECTIONS * 64)
            with self.scarce_cpu(d):
                d.reload(conf % (5, 5))
                self.assertEnds(idle)
                self.assertTrue(self.is_reset(stalled))
                self.assertIsNone(load.poll())
            load.kill()
            d.wait_open(0)


class Stop(harness.Test):
    def test_streams_go_on(self):
        """streams that go on get the echo of what had arrived, then a FIN, long before shutdown_timeout [F37 P15]"""
        with Echod(*options(workers=1, buffer_size=4096, shutdown_timeout=3600)) as d, \
                harness.many(d.connect() for _ in range(8)) as streams:
            alive, received = set(streams), 0
            deadline = time.monotonic() + harness.DEADLINE
            while alive and time.monotonic() < deadline:
                readable, writable, _ = select.select(alive, alive, [])
                for s in writable:
                    s.send(bytes(1 << 20), socket.MSG_DONTWAIT)
                for s in readable:
                    chunk = s.recv(1 << 16)
                    received += len(chunk)
                    if not chunk:
                        s.shutdown(socket.SHUT_WR)
                        alive.remove(s)
                if received > 10 << 20 and not d.ending:
                    d.signal(signal.SIGTERM)
            self.assertEqual(alive, set(), "the echo goes on")
            self.assertEqual(d.wait_exit(), 0)
            self.assertIn(f"echoed={received} ", d.log())


class Splice(harness.Test):
    @harness.needs_strace
    def test_refused(self):
        """where splice(2) is refused, also in the middle, streams are copied, every byte, with one warning"""
        for error, when in (("EPERM", "1+"), ("ENOSYS", "2+"), ("EINVAL", "4+")):
            with self.subTest(error), harness.Injected(
                    "-o", "workers=2", inject=[f"splice:error={error}:when={when}"],
                    expect=["splice"]) as d:
                data = os.urandom(1 << 20) * 8
                for _ in range(4):
                    with d.connect() as s:
                        self.assertTrue(harness.echo(s, data) == data)
                self.assertEqual(d.log().count("splice(2) is refused"), 1)
                self.assertEqual(d.counters()["closed_error"], 0)


if __name__ == "__main__":
    harness.main()

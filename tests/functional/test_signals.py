# SPDX-License-Identifier: MIT
"""Stopping, and the other signals, at any moment."""

import contextlib
import os
import random
import re
import signal
import socket
import threading
import time

import harness
from harness import Echod, fill, many, options, read_exactly, read_to_end

ROUNDS = int(os.environ.get("ROUNDS", 12))


class Chatter(threading.Thread):
    """A client that comes, talks and goes, in one way or another, until the port is closed."""

    def __init__(self, daemon, seed):
        super().__init__(daemon=True)
        self.echod, self.random = daemon, random.Random(seed)
        self.echoes, self.wrong = 0, None
        self.start()

    def run(self):
        with contextlib.suppress(OSError):  # refused, or reset in the queue of a listener that is closed
            while not self.wrong:
                with self.echod.connect() as s:
                    if not self.talk(s):
                        return

    def talk(self, s):
        """Returns False at an end that is not its own."""
        for _ in range(self.random.randrange(1, 6)):
            data = self.random.randbytes(self.random.choice((1, 1000, 30000)))
            s.sendall(data)
            received = read_exactly(s, len(data))
            if not data.startswith(received):
                self.wrong = (data, received)
            if len(received) < len(data):
                return False
            self.echoes += 1
        if self.random.random() < 0.2:
            s.sendall(b"and no more")
            harness.reset(s)
        return True


class Stop(harness.Test):
    def test_without_connections(self):
        """SIGTERM and SIGINT end it with status 0 [F37]"""
        for number in (signal.SIGTERM, signal.SIGINT):
            with Echod() as d:
                d.stop(number)
                self.assertIn("stopping", d.log())

    def test_says_goodbye(self):
        """idle clients get FIN, and when they have answered it ends; the port is closed at once [F37]"""
        with Echod("-o", "shutdown_timeout=3600") as d:
            with many(d.connect() for _ in range(100)) as clients:
                d.wait_open(100)
                d.signal(signal.SIGTERM)
                for s in clients:
                    self.assertEnds(s)
                with self.assertRaises(ConnectionRefusedError):
                    d.connect()
            self.assertEqual(d.wait_exit(), 0)
            self.assertIn("closed_client=100 ", d.log())

    def test_serves_its_queue(self):
        """connections that wait in the listen queue at the signal are still served [F20]"""
        with Echod("-o", "shutdown_timeout=3600") as d:
            d.pause()
            with many(d.connect() for _ in range(200)) as clients:
                for i, s in enumerate(clients):
                    s.sendall(b"%03d" % i)
                d.wait_arrived(200, 3)
                d.signal(signal.SIGTERM)
                d.resume()
                for i, s in enumerate(clients):
                    self.assertEqual(read_to_end(s), b"%03d" % i)

    def wait_for(self, d, *gone):
        """Waits until main waits, and these threads have ended."""
        harness.wait_until(lambda: "poll" in harness.task(d.pid, d.pid, "wchan") and
                           not d.threads().keys() & set(gone), "main to wait")

    def test_slow_acceptor(self):
        """the same when the acceptor comes to its queue long after the signal"""
        with Echod("-o", "shutdown_timeout=3600") as d:
            with d.stuck("acceptor"):
                clients = [d.connect() for _ in range(20)]
                for s in clients:
                    s.sendall(b"hello")
                d.wait_arrived(20, 5)
                d.signal(signal.SIGTERM)
                d.wait_log("stopping$")
                self.wait_for(d)
            with many(clients):
                for s in clients:
                    self.assertEqual(read_to_end(s), b"hello")

    def test_newcomers(self):
        """clients that were accepted and not yet looked at when the stop began get FIN, too"""
        n = 700  # more than the worker hears of at once
        harness.raise_descriptor_limit()
        with Echod(*options(shutdown_timeout=3600, workers=1), conf="") as d:
            acceptor = d.wait_thread("acceptor")
            with d.stuck("worker/0"):
                d.reload()  # so that a wake-up is the first of what it will hear
                clients = [d.connect() for _ in range(n)]
                d.wait_counter("accepted", n)
                d.signal(signal.SIGTERM)
                self.wait_for(d, acceptor)
            with many(clients):
                for s in clients:
                    self.assertEnds(s)

    def test_slow_reader(self):
        """a slow reader gets the echo of all that had arrived, then FIN"""
        with Echod(*options(shutdown_timeout=3600, send_buffer=4608)) as d:
            with d.connect(rcvbuf=4096) as s:
                sent = fill(s)  # of which its own kernel still has a part
                arrived = d.counters()["received"] + d.unread()
                d.signal(signal.SIGTERM)
                d.wait_log("stopping")
                echo = read_to_end(s)
                self.assertGreaterEqual(len(echo), arrived)
                self.assertTrue(sent.startswith(echo))

    def test_talk_after_goodbye(self):
        """what a client sends after FIN is thrown away, not answered with a reset"""
        with Echod("-o", "shutdown_timeout=3600") as d:
            with d.connect() as s:
                self.assertEchoes(s)
                d.signal(signal.SIGTERM)
                self.assertEnds(s)
                for _ in range(20):
                    s.sendall(bytes(100000))
                s.shutdown(socket.SHUT_WR)
                self.assertEnds(s)
            self.assertEqual(d.wait_exit(), 0)
            self.assertIn("closed_client=1 ", d.log())

    def test_shutdown_timeout(self):
        """a client that never answers FIN is left after shutdown_timeout [F37]"""
        with Echod(*options(shutdown_timeout=1, send_buffer=4608)) as d:
            with d.connect() as silent, d.connect(rcvbuf=4096) as stalled:
                fill(stalled)
                start = time.monotonic()
                d.signal(signal.SIGTERM)
                self.assertEqual(d.wait_exit(), 0)
                self.assertGreaterEqual(time.monotonic() - start, 1)
                self.assertEnds(silent)
                self.assertIn("closed_shutdown=2 ", d.log())
                with self.assertRaises(ConnectionError):
                    read_to_end(stalled)

    def test_second_signal(self):
        """a second signal ends it at once, and with status 0 [F36]"""
        for number in signal.SIGTERM, signal.SIGINT:
            with Echod("-o", "shutdown_timeout=3600") as d, d.connect() as s:
                self.assertEchoes(s)
                d.signal(signal.SIGTERM)
                self.assertEnds(s)
                d.signal(number)
                self.assertEqual(d.wait_exit(), 0)
                self.assertIn("closed_shutdown=1 ", d.log())

    def test_counters_and_reload_while_stopping(self):
        """SIGUSR1 still reports, and SIGHUP is ignored, while clients are waited for [F47]"""
        with Echod("-o", "shutdown_timeout=3600", conf="") as d:
            with d.connect() as s:
                self.assertEchoes(s)
                d.signal(signal.SIGTERM)
                self.assertEnds(s)
                d.signal(signal.SIGHUP)
                self.assertEqual(d.counters()["open"], 1)
            self.assertEqual(d.wait_exit(), 0)
            self.assertNotIn("reload", d.log())

    def test_any_moment(self):
        """SIGTERM at any moment of the start ends it gracefully, from main's first line on [F36]"""
        def has_begun():
            """True when it has blocked SIGTERM, the first thing it does."""
            status = harness.read(f"/proc/{d.pid}/status")
            blocked = re.search("^SigBlk:\t(.*)", status, re.M)  # not there when it has ended
            return not blocked or int(blocked[1], 16) & 1 << (signal.SIGTERM - 1)

        for i in range(60):
            with Echod(wait=False) as d:
                harness.wait_until(has_begun, "echod to begin")
                for _ in range(i * 50):  # a part of the start, not a time
                    pass
                d.stop()

    def test_under_load(self):
        """stopped while clients talk and come and go, it ends with status 0 every time [F35]"""
        for i in range(ROUNDS):
            with Echod(*options(workers=3, shutdown_timeout=3600)) as d:
                clients = [Chatter(d, 8 * i + n) for n in range(8)]
                moment = random.Random(i).randrange(200)
                harness.wait_until(lambda: sum(c.echoes for c in clients) >= moment, "that many echoes")
                d.signal(signal.SIGTERM)
                for c in clients:
                    c.join(harness.DEADLINE)
                self.assertEqual(d.wait_exit(), 0)
                self.assertEqual([c.wrong for c in clients], [None] * 8)


class OtherSignals(harness.Test):
    def test_pipe(self):
        """SIGPIPE does nothing [F27]"""
        with Echod() as d:
            d.signal(signal.SIGPIPE)
            self.assertServes(d)

    def test_ignored_by_the_parent(self):
        """signals work although the parent ignored them, as nohup and scripts do"""
        def ignore():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, signal.SIG_IGN)

        with Echod(preexec_fn=ignore, conf="") as d:
            d.counters()
            d.reload()

    def test_counters(self):
        """SIGUSR1 logs one line with all counters, exact"""
        with Echod("-o", "workers=2") as d:
            with d.connect() as a, d.connect() as b:
                self.assertEchoes(a, b"12")
                d.wait_counter("echoed", 2)
                self.assertEchoes(a, b"345")
                self.assertEchoes(b, b"123")
                self.assertEqual(d.wait_counter("echoed", 8), {
                    "accepted": 2, "open": 2, "received": 8, "echoed": 8,
                    "refused_max_connections": 0, "refused_max_connections_per_source": 0,
                    "refused_connection_rate_per_source": 0, "refused_resources": 0,
                    "closed_client": 0, "closed_error": 0, "closed_idle_timeout": 0,
                    "closed_stall_timeout": 0, "closed_shutdown": 0, "pauses": 0,
                    "worker/0": [1, 1, 5], "worker/1": [1, 1, 3]})
                harness.reset(b)
            counters = d.wait_open(0)
            self.assertEqual((counters["closed_client"], counters["closed_error"]), (1, 1))

    def test_no_children(self):
        """it never forks [F38]"""
        with Echod() as d:
            self.assertServes(d)
            self.assertEqual(harness.task(d.pid, d.pid, "children"), "")
            self.assertEqual(os.getpgid(d.pid), os.getpgid(0))


if __name__ == "__main__":
    harness.main()

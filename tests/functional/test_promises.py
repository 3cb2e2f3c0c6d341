# SPDX-License-Identifier: MIT
"""Promises of echod(8), echod.conf(5) and SECURITY.md, each tried while the daemon is under siege; see ../promises.md.

A test here is the only one of its promise that runs under a full load or an attack; promises.md
has the others.
"""

import contextlib
import os
import resource
import signal
import socket
import threading
import time

import harness
import siege
from harness import Echod, options
from manager import Manager
from siege import ATTACKER, Siege

REFUSED = [harness.REFUSED]
SMALL = bool(harness.SANITIZERS)
TALKERS = 100 if SMALL else siege.TALKERS
MOMENTS = 10  # looks from outside


class Limits(harness.Test):
    """Limits, counted from outside."""

    def test_max_connections(self):
        """the kernel holds something for no more than max_connections, whatever clients do and wherever they are gone [P1]"""
        most = TALKERS + 8  # fewer places than attackers
        with Echod(*options(max_connections=most, max_connections_per_source=0, workers=1, stall_timeout=1,
                            send_buffer=65536), expect=REFUSED) as d:
            with Siege(d, talkers=TALKERS, threads=4):
                d.wait_counter("refused_max_connections", 100)
                for _ in range(MOMENTS):
                    self.assertLessEqual(len(siege.held(d.port)), most + 2)  # one is being closed, one refused
                    time.sleep(0.05)
            harness.wait_until(lambda: not siege.held(d.port), "the last byte to be given up")

    def test_per_source(self):
        """a source that attacks holds its share, and another one is served at once [P2]"""
        share = 10
        with Echod(*options(max_connections_per_source=share, workers=1, stall_timeout=1),
                   expect=REFUSED) as d:
            def attackers():
                return siege.held(d.port, ATTACKER)
            with harness.many(d.connect(source=f"127.0.1.{i}") for i in range(1, 6)) as others, \
                    Siege(d, talkers=share, threads=6):
                d.wait_counter("refused_max_connections_per_source", 20)
                for i in range(MOMENTS):
                    self.assertLessEqual(len(attackers()), share + 2)
                    self.assertServes(d, source="127.0.0.9")
                    self.assertEchoes(others[i % len(others)])
            harness.wait_until(lambda: not attackers(), "the last byte to be given up")

    def test_rate(self):
        """however fast a source comes, it gets its burst and then its rate [P3]"""
        rate, burst = 20, 30
        with Echod(*options(connection_rate_per_source=rate, connection_burst_per_source=burst,
                            workers=1), expect=REFUSED) as d:
            begin = time.monotonic()
            served = 0
            with Siege(d, acts=[], talkers=burst):  # which takes all its source has
                while d.counters()["refused_connection_rate_per_source"] < 500:
                    served += d.serves(source=ATTACKER)
                    self.assertLessEqual(served, burst + rate * (time.monotonic() - begin) + 1)
            self.assertGreaterEqual(served, burst)

    def test_lower(self):
        """a reload to less than is open ends no connection, and admits none until there are fewer [P4]"""
        with Echod(*options(workers=1), conf="", expect=REFUSED) as d:
            with Siege(d, acts=[siege.knock, siege.reset], talkers=TALKERS):
                d.reload(f"max_connections = {TALKERS // 2}")
                refused = d.counters()["refused_max_connections"]
                d.wait_counter("refused_max_connections", refused + 20)
                self.assertRefused(d)
            self.assertServes(d)


class Memory(harness.Test):
    """What is kept for clients."""

    def test_bounds(self):
        """own memory is pending_memory for each worker and little more, the kernel's what the buffers say [P8]"""
        budget, buffer, most = 4 << 20, 32768, TALKERS + 8
        with Echod(*options(workers=1, pending_memory=budget, send_buffer=buffer, receive_buffer=buffer,
                            max_connections=most), expect=REFUSED) as d:
            with Siege(d, [siege.abandon, siege.never_read, siege.trickle], talkers=TALKERS, threads=6):
                d.wait_counter("refused_max_connections", 1)
                for _ in range(MOMENTS):
                    if not harness.SANITIZERS:
                        self.assertLess(d.own_memory(), budget + (4 << 20))
                    for row in siege.held(d.port):
                        self.assertLessEqual(row.send_queue, 2 * buffer)
                        self.assertLessEqual(row.receive_queue, 2 * buffer)
                    time.sleep(0.05)

    def test_echo_only(self):
        """nothing is sent that was not received [P10]"""
        with Echod(*options(workers=2)) as d:
            with Siege(d, talkers=TALKERS, threads=2):
                for _ in range(MOMENTS):
                    counters = d.counters()
                    self.assertLessEqual(counters["echoed"], counters["received"] + (1 << 20))  # not of one instant
            counters = d.wait_open(0)
            self.assertLessEqual(counters["echoed"], counters["received"])


class Log(harness.Test):
    """The log under siege."""

    def test_lines(self):
        """hundreds of refusals are a line at once and one in ten seconds, and nothing of a client but its address [P13]"""
        with Echod(*options(max_connections=TALKERS + 2, workers=1, stall_timeout=1), expect=REFUSED) as d:
            begin, before = time.monotonic(), len(d.lines)
            with Siege(d, talkers=TALKERS, threads=6):
                d.wait_counter("refused_max_connections", 300)
                lines = [line for line in d.lines[before:] if "counters: " not in line]
            self.assertLessEqual(len(lines), 2 + (time.monotonic() - begin) / 10)
            for line in lines:
                self.assertRegex(line, harness.REFUSED)


class Descriptors(harness.Test):
    """Want of descriptors."""

    def test_newcomers_wait(self):
        """without descriptors newcomers wait, talkers do not notice, and all are served when there are some again [P6]"""
        with Echod(*options(workers=1), expect=["cannot accept: Too many open files"]) as d:
            with Siege(d, acts=[siege.knock], talkers=TALKERS):
                soft, hard = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (8, hard))
                d.wait_counter("pauses", d.counters()["pauses"] + 2)
                with harness.many(d.connect() for _ in range(20)) as waiting:
                    for s in waiting:
                        s.sendall(b"later")
                    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (soft, hard))
                    for s in waiting:
                        self.assertEqual(harness.read_exactly(s, 5), b"later")


class Listeners(harness.Test):
    """Listeners that end."""

    def test_shut_down(self):
        """a listener that is shut down again and again is back each time, and the clients of others do not notice [P19]"""
        with Manager(*options(workers=1), expect=["it was shut down by another process", *REFUSED]) as m:
            d = m.start(listen="{127.0.0.1:0,127.0.0.2:0}")
            d.port, port = d.ports
            with Siege(d, talkers=TALKERS):
                for i in range(5):
                    with socket.socket(fileno=os.dup(m.stored_at(port).fd)) as holder:
                        holder.shutdown(socket.SHUT_RDWR)
                    d.wait_log(f"listening on 127.0.0.2:{port}, again", i + 1)
                    self.assertServes(d, host="127.0.0.2", port=port)
                    m.settle()


class Stop(harness.Test):
    """Ends under siege."""

    def stream(self, s):
        """Sends without end and reads, until the other side ends."""
        with s, contextlib.suppress(OSError):
            s.setblocking(False)
            data, chunk = bytes(1 << 16), None
            while chunk != b"":
                with contextlib.suppress(BlockingIOError):
                    s.send(data)
                with contextlib.suppress(BlockingIOError):
                    chunk = s.recv(1 << 20)

    def streams(self, d, n):
        threads = [threading.Thread(target=self.stream, args=(d.connect(),)) for _ in range(n)]
        for t in threads:
            t.start()
        d.wait_counter("echoed", 10 << 20)
        return threads

    def test_what_had_arrived(self):
        """what had arrived before the signal is echoed, and then comes the end, beside streams [P14]"""
        d = Echod(*options(workers=1, shutdown_timeout=3600))
        with harness.many(d.connect() for _ in range(50)) as clients:
            for s in clients:
                self.assertEchoes(s)
            threads = self.streams(d, 4)
            d.pause()
            for i, s in enumerate(clients):
                s.sendall(b"%05d" % i * 1000)
            d.wait_arrived(50, 5000)
            d.signal(signal.SIGTERM)
            d.resume()
            for i, s in enumerate(clients):
                self.assertEqual(harness.read_to_end(s), b"%05d" % i * 1000)
                s.close()
        for t in threads:
            t.join(harness.DEADLINE)
        d.stop()

    def test_second_signal(self):
        """a second signal ends it at once, while clients neither read nor leave [P16]"""
        d = Echod(*options(workers=1, shutdown_timeout=3600, stall_timeout=0))
        with harness.many(d.connect(rcvbuf=4096) for _ in range(20)) as clients:
            harness.together(len(clients), lambda i: harness.fill(clients[i]))
            threads = self.streams(d, 2)
            d.signal(signal.SIGTERM)
            d.wait_log("stopping$")
            d.stop()
            for t in threads:
                t.join(harness.DEADLINE)


class Reload(harness.Test):
    def test_reloads(self):
        """reloads of good and broken files change what they should, and no talker notices any [P17]"""
        with Echod(*options(workers=1), conf="", expect=["reload refused", "echod.conf:"]) as d:
            with Siege(d, talkers=TALKERS):
                for i in range(0, 20, 2):
                    d.reload(f"idle_timeout = {600 + i}\n")
                    d.reload(f"idle_timeout = {601 + i}\nnonsense\n", "reload refused")


class Restart(harness.Test):
    def test_restarts(self):
        """restarts under siege: talkers lose nothing, and limits hold for connections that were carried [P18]"""
        most = TALKERS + 10
        args = options(workers=1, max_connections=most, stall_timeout=1, send_buffer=65536)
        with Manager(*args, expect=REFUSED) as m:
            d = m.start()
            with Siege(d, talkers=TALKERS, threads=3) as s:
                for _ in range(2 if SMALL else 4):
                    echoed = d.counters()["echoed"]
                    d.wait_counter("echoed", echoed + TALKERS * 1000)
                    d = m.restart()
                    self.assertLessEqual(len(siege.held(d.port)), most + 2)
                d.wait_counter("echoed", d.counters()["echoed"] + TALKERS * 1000)
            harness.wait_until(lambda: not siege.held(d.port), "the last byte to be given up")


if __name__ == "__main__":
    harness.raise_descriptor_limit()
    harness.main()

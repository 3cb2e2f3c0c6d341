# SPDX-License-Identifier: MIT
"""Every byte comes back, in order, once, whatever the client does."""

import contextlib
import os
import random
import select
import socket
import threading

import harness
from harness import Echod, fill, options, read_exactly, read_to_end

TRANSFERS = int(os.environ.get("TRANSFERS", 400))  # 10,000 take a minute or two


def half_close(s, data):
    """Sends data and FIN while it receives; returns all that came back before the other side's FIN."""
    def write():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    writer = threading.Thread(target=write)
    writer.start()
    received = read_to_end(s)
    writer.join(harness.DEADLINE)
    return received


class Cases:
    """What holds in every way in which bytes travel through the daemon."""

    args = ()

    def daemon(self):
        return Echod(*self.args)

    def check_no_errors(self, d):
        d.wait_open(0)
        self.assertEqual(d.counters()["closed_error"], 0)

    def test_messages(self):
        """messages of all sizes come back, one after the other, and segments of one byte in order"""
        with self.daemon() as d, d.connect() as s:
            for size in (1, 2, 63, 64, 1000, 4095, 4096, 4097, 65536, 262144, 262145, 3000000):
                self.assertEchoes(s, random.Random(size).randbytes(size))
            data = random.Random(1).randbytes(3000)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(data)):
                s.send(data[i:i + 1])
            self.assertEqual(read_exactly(s, len(data)), data)

    def test_half_close(self):
        """data, then FIN: all data comes back, then FIN [F7]"""
        with self.daemon() as d:
            for size in (0, 1, 1000, 65536, 262144, 262145, 1 << 20, 8 << 20):
                data = random.Random(size).randbytes(size)
                with d.connect() as s:
                    self.assertTrue(half_close(s, data) == data)
            self.check_no_errors(d)

    def test_slow_reader(self):
        """a client that does not read for a while loses nothing, and others are not held up [F3 F4]"""
        with self.daemon() as d:
            with d.connect(rcvbuf=4096) as slow, d.connect() as other:
                sent = fill(slow)
                self.assertGreater(len(sent), 4096)
                self.assertEchoes(other, b"x" * 100000)
                tail = b"and now the rest" * 1000
                writer = threading.Thread(target=slow.sendall, args=(tail,))
                writer.start()
                self.assertTrue(read_exactly(slow, len(sent) + len(tail)) == sent + tail)
                writer.join(harness.DEADLINE)
                self.assertEchoes(slow)

    def test_slow_reader_half_closes(self):
        """a client that sends, sends FIN, and only then reads, gets all and FIN [F4]"""
        with self.daemon() as d:
            with d.connect(rcvbuf=4096) as s:
                sent = fill(s)
                s.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(s), sent)

    def test_many_threads_of_random_talk(self):
        """clients that send, read, pause and close at random get their own bytes"""
        def talk(d, seed):
            rnd = random.Random(seed)
            for _ in range(15):
                with d.connect() as s:
                    for _ in range(rnd.randrange(6)):
                        self.assertEchoes(s, rnd.randbytes(rnd.choice((1, 100, 5000, 300000))))

        with self.daemon() as d:
            harness.together(16, lambda i: talk(d, i))

    def test_resets(self):
        """a client's reset ends its connection only, at any moment of the echo [F27]"""
        with self.daemon() as d, d.connect() as bystander:
            self.assertEchoes(bystander)
            before = d.descriptors()
            for i in range(300):
                s = d.connect()
                if i % 3:
                    s.send(b"x" * (i * 100))
                if i % 3 == 2:
                    s.recv(1)
                harness.reset(s)
            self.assertEchoes(bystander)
            d.wait_open(1)
            self.assertEqual(d.descriptors(), before)

    def test_reset_while_stalled(self):
        """the reset of a client that does not read frees what waits for it"""
        with self.daemon() as d:
            for _ in range(20):
                s = d.connect(rcvbuf=4096)
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        s.send(bytes(65536))
                harness.reset(s)
            d.wait_open(0)
            self.assertServes(d)


class Echo(Cases, harness.Test):
    """With the defaults."""


class SmallBuffers(Cases, harness.Test):
    """When neither side's kernel nor echod takes much at once."""

    args = options(buffer_size=4096, send_buffer=4608, receive_buffer=2304)


class NoPendingMemory(Cases, harness.Test):
    """When what a client does not take stays in the kernel."""

    args = options(pending_memory=0, send_buffer=4608)


class Client(harness.Test):
    def test_fin_at_once(self):
        """a FIN in the same instant as the data loses none of it [F7]"""
        with Echod() as d:
            for i in range(500):
                with d.connect() as s:
                    s.sendall(b"%d" % i)
                    s.shutdown(socket.SHUT_WR)
                    self.assertEqual(read_to_end(s), b"%d" % i)

    def test_reset_of_a_stream(self):
        """the reset of a client whose bytes went through the pipe is an error, not an end"""
        with Echod("-o", "receive_buffer=1048576") as d, d.connect() as s:
            d.send_at_once(s, bytes(100000))  # so that it receives by way of the pipe next time
            self.assertEqual(len(read_exactly(s, 100000)), 100000)
            harness.reset(s)
            counters = d.wait_open(0)
            self.assertEqual((counters["closed_error"], counters["closed_client"]), (1, 0))

    def test_many_half_closes(self):
        """transfers of 0 to 8 MiB, each ended by FIN at once: no byte is missing, no connection is reset [F26]"""
        most = 8 << 20
        source = random.Random(1).randbytes(2 * most)

        def client(seed):
            rnd = random.Random(seed)
            for _ in range(TRANSFERS // 4):
                size = int(most ** rnd.random()) - 1 if rnd.random() < 0.99 else most
                begin = rnd.randrange(most)
                with d.connect() as s:
                    self.assertTrue(half_close(s, source[begin:begin + size]) == source[begin:begin + size], size)

        with Echod() as d:
            harness.together(4, client)
            counters = d.wait_open(0)
            self.assertEqual(counters["closed_client"], TRANSFERS // 4 * 4)

    def test_urgent_data(self):
        """urgent bytes are data too, in their place"""
        with Echod() as d, d.connect() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            for data, flags in ((b"abc", 0), (b"!", socket.MSG_OOB), (b"def", 0), (b"?", socket.MSG_OOB), (b"ghi", 0)):
                s.send(data, flags)
            self.assertEqual(read_exactly(s, 11), b"abc!def?ghi")
            self.assertEchoes(s)

    def test_ipv6(self):
        """the same over IPv6, on a socket that takes no IPv4"""
        try:
            socket.socket(socket.AF_INET6).bind(("::1", 0))
        except OSError as e:
            self.skipTest(f"no IPv6 here: {e}")
        with Echod(listen="[::1]:0") as d, d.connect(host="::1") as s:
            self.assertEchoes(s)

    def test_more_than_a_turn(self):
        """what is there at once, and is more than one turn takes, comes back without another event"""
        data = random.Random(2).randbytes(60000)
        with Echod("-o", "workers=1", "-o", "buffer_size=4096") as d, d.connect() as s:
            self.assertEchoes(s)
            d.send_at_once(s, data)
            self.assertEqual(read_exactly(s, len(data)), data)

    def test_rest_in_memory(self):
        """what waits in memory goes out when its client reads, though it sends nothing more"""
        data = random.Random(3).randbytes(30000)
        with Echod("-o", "workers=1", "-o", "send_buffer=4608") as d, d.connect(rcvbuf=4096) as s:
            d.wait_open(1)
            d.send_at_once(s, data)
            self.assertLess(d.wait_counter("received", len(data))["echoed"], len(data))
            self.assertEqual(read_exactly(s, len(data)), data)


class Fairness(harness.Test):
    def test_stream_does_not_starve_others(self):
        """beside a client that streams without end, each message is still answered [F1 P11]"""
        with Echod("-o", "workers=1") as d, d.connect() as stream:
            stop = threading.Event()
            moved = [0]

            def flood():
                while not stop.is_set():
                    readable, writable, _ = select.select([stream], [stream], [], 1)
                    if writable:
                        with contextlib.suppress(BlockingIOError):
                            stream.send(bytes(1 << 20), socket.MSG_DONTWAIT)
                    if readable:
                        moved[0] += len(stream.recv(1 << 20))

            flooder = threading.Thread(target=flood)
            flooder.start()
            try:
                with harness.many(d.connect() for _ in range(50)) as others:
                    for _ in range(20):
                        for s in others:
                            self.assertEchoes(s)
            finally:
                stop.set()
                flooder.join(harness.DEADLINE)
            self.assertGreater(moved[0], 1 << 20)

    def test_more_ready_than_a_batch_holds(self):
        """three thousand connections that speak in one instant are all answered [F5]"""
        harness.raise_descriptor_limit()
        with Echod("-o", "workers=1") as d:
            with harness.many(d.connect() for _ in range(3000)) as clients:
                d.wait_open(3000)
                d.pause()  # all that is sent now is one instant later
                for i, s in enumerate(clients):
                    s.send(b"%08d" % i)
                d.resume()
                for i, s in enumerate(clients):
                    self.assertEqual(read_exactly(s, 8), b"%08d" % i)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""Clients that are awkward on purpose, where echoc is not; every byte that comes back is compared.

    awkward.py PORT SEED

Until SIGINT some threads connect again and again.  A line says when it is ready, and at the end a
JSON object what was; the status is 1 if anything was wrong.
"""

import collections
import contextlib
import json
import os
import random
import select
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../functional"))
import harness  # noqa: E402


def receive(s, data, got, most):
    """Receives some of the echo of data, of which so much was there before; returns its size."""
    chunk = s.recv(most)
    if not chunk:
        raise ValueError(f"the stream ended after {got} of {len(data)} bytes")
    if chunk != data[got:got + len(chunk)]:
        raise ValueError(f"wrong bytes in {got} to {got + len(chunk)} of {len(data)}")
    return len(chunk)


def exchange(s, data, until, finish=True, most=1 << 20, pause=0):
    """Sends data, and may half-close, while it receives so much of the echo; returns how much was sent."""
    sent = got = 0
    s.setblocking(False)
    while got < until:
        readable, writable, _ = select.select([s], [s] if sent < len(data) else [], [], harness.DEADLINE)
        if not readable and not writable:
            raise ValueError(f"silence after {got} of {len(data)} bytes")
        if writable:
            with contextlib.suppress(BlockingIOError):  # the kernel may lack memory
                sent += s.send(data[sent:sent + (1 << 18)])
            if sent == len(data) and finish:
                s.shutdown(socket.SHUT_WR)
        if readable:
            got += receive(s, data, got, most)
            time.sleep(pause)
    s.settimeout(harness.DEADLINE)
    return sent


class Awkward:
    """Threads that connect until they are told to stop.

    Some read slowly, some half-close while most of their echo is still to come, some leave without a
    word, and some reset at any moment, which they count as announced.
    """

    def __init__(self, server, seed):
        self.server, self.total, self.faults = server, collections.Counter(), []
        self.lock, self.stopping = threading.Lock(), threading.Event()
        acts = ((self.read_slowly, 8), (self.half_close, 2), (self.leave, 1), (self.reset, 2))
        self.threads = [threading.Thread(target=self.again_and_again, args=(act, f"{seed} {act.__name__} {i}"))
                        for act, n in acts for i in range(n)]
        for t in self.threads:
            t.start()

    def again_and_again(self, act, seed):
        rnd = random.Random(seed)
        while not self.stopping.is_set():
            try:
                act(rnd)
                self.count(connections=1)
            except (OSError, ValueError) as e:
                self.faults.append(f"{act.__name__}: {e}")
                return

    def count(self, **numbers):
        with self.lock:
            self.total.update(numbers)

    def whole(self, data, rcvbuf=None, **how):
        """One connection that sees its echo to the end."""
        with self.server.connect(rcvbuf=rcvbuf) as s:
            exchange(s, data, len(data), **how)
            if s.recv(1) != b"":
                raise ValueError("more came back than was sent")
        self.count(bytes_sent=len(data), bytes_verified=len(data))

    def read_slowly(self, rnd):
        self.whole(rnd.randbytes(rnd.randrange(1, 1 << 20)), rcvbuf=4096, most=16384, pause=0.005)

    def half_close(self, rnd):
        self.whole(rnd.randbytes(rnd.choice((1, 1000, 65536, 3 << 20))))

    def leave(self, rnd):
        self.server.connect().close()
        time.sleep(rnd.random() / 50)

    def reset(self, rnd):
        """One whose FIN never comes, so that it can end in one way only."""
        data = rnd.randbytes(rnd.choice((1, 1000, 65536, 3 << 20)))
        s = self.server.connect()
        sent = exchange(s, data, rnd.randrange(len(data) + 1), finish=False)
        harness.reset(s)
        self.count(resets_announced=1, bytes_given_up=sent)

    def result(self):
        for t in self.threads:
            t.join()
        if self.faults:
            sys.exit(f"awkward: {self.faults}")
        return self.total


def main():
    server = harness.Server()
    server.port = int(sys.argv[1])
    clients = Awkward(server, sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: clients.stopping.set())
    print("ready", flush=True)
    print(json.dumps(clients.result()))


if __name__ == "__main__":
    main()

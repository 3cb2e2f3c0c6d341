# SPDX-License-Identifier: MIT
"""Clients that others wrote."""

import hashlib
import os
import subprocess
import threading

import harness
from harness import Echod

GIB = 1 << 30


def stream(size):
    """Size bytes that are not the same anywhere, made fast: a repeated random block, numbered."""
    block = os.urandom((1 << 20) - 8)
    for i in range(size >> 20):
        yield block + i.to_bytes(8, "big")


class Peers(harness.Test):
    def pump(self, command, size):
        """Sends size bytes through command, and compares the sums of both directions."""
        p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        sent, received = hashlib.sha256(), hashlib.sha256()

        def write():
            with p.stdin:
                for chunk in stream(size):
                    sent.update(chunk)
                    p.stdin.write(chunk)
        writer = threading.Thread(target=write)
        writer.start()
        with p.stdout:
            while chunk := p.stdout.read1(1 << 20):
                received.update(chunk)
        writer.join()
        self.assertEqual(p.wait(harness.DEADLINE), 0)
        self.assertEqual(received.hexdigest(), sent.hexdigest())

    @harness.needs("socat")
    def test_socat_gib(self):
        """1 GiB through socat comes back with the same sha256"""
        with Echod() as d:
            self.pump(["socat", "-t", "60", "-b", "65536", "-", f"TCP:127.0.0.1:{d.port}"], GIB)

    @harness.needs("ncat")
    def test_ncat(self):
        """64 MiB through ncat come back with the same sha256"""
        with Echod() as d:
            self.pump(["ncat", "127.0.0.1", str(d.port)], 64 << 20)

    @harness.needs("socat")
    def test_socat_many(self):
        """20 socats at once, 8 MiB each"""
        with Echod() as d:
            command = ["socat", "-t", "60", "-", f"TCP:127.0.0.1:{d.port}"]
            harness.together(20, lambda _: self.pump(command, 8 << 20))

    @harness.needs("socat")
    def test_socat_bytes(self):
        """one-byte writes by socat, and a half-close from its side"""
        with Echod() as d:
            p = subprocess.run(["socat", "-t", "60", "-b", "1", "-", f"TCP:127.0.0.1:{d.port},nodelay"],
                               input=b"one byte at a time" * 50, stdout=subprocess.PIPE, timeout=harness.DEADLINE)
            self.assertEqual(p.stdout, b"one byte at a time" * 50)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""The peers of "./dev bench" are correct echo servers, so that their figures mean something."""

import json
import socket
import subprocess
import threading

import harness
import peers


def start(name):
    return peers.PEERS[name](backend=harness.Echod)


def sort_out():
    """The peers that can run here, and why others cannot."""
    here, left_out = [], []
    for name in peers.PEERS:
        try:
            with start(name):
                here.append(name)
        except peers.LeftOut as reason:
            left_out.append(f"{name} ({reason})")
    return here, left_out


HERE, LEFT_OUT = sort_out()


class Peers(harness.Test):
    def check_load(self, d, *args):
        p = subprocess.run([harness.ECHOC, "load", "--json", "--timeout", "600", *map(str, args),
                            f"127.0.0.1:{d.port}"], capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p.stderr + p.stdout)
        seen = json.loads(p.stdout)
        self.assertEqual((seen["corrupt"], seen["lost"], seen["resets"], seen["early_closes"]),
                         (0, 0, 0, 0))

    def check_slow_reader(self, d):
        data = bytes(range(256)) * (1 << 15)
        with d.connect() as s:
            writer = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
            writer.start()
            s.recv(1, socket.MSG_PEEK)
            received = harness.read_to_end(s)
            writer.join(harness.DEADLINE)
        self.assertTrue(received == data)

    def check(self, name):
        with start(name) as d:
            self.check_load(d, "--connections", 10, "--messages", 500, "--pipeline", 8, "--size",
                            "1-100000")
            self.check_load(d, "--churn", "--connections", 10, "--messages", 100)
            self.check_slow_reader(d)

    def test_all_here(self):
        """all peers can run here"""
        if LEFT_OUT:
            self.skipTest("left out: " + "; ".join(LEFT_OUT))


def test_of(name):
    def test(self):
        self.check(name)
    test.__doc__ = f"{name} echoes messages, streams, short connections and half-closed ones"
    return test


for number, each in enumerate(HERE):
    setattr(Peers, f"test_peer_{number}", test_of(each))

if __name__ == "__main__":
    harness.main()

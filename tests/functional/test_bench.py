# SPDX-License-Identifier: MIT
"""The peers of "./dev bench" are correct echo servers, so that their figures mean something."""

import harness
import peers
from test_echo import half_close


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
    def check(self, name):
        with start(name) as d:
            harness.load(d.port, "--connections", 10, "--messages", 500, "--pipeline", 8, "--size", "1-100000")
            harness.load(d.port, "--churn", "--connections", 10, "--messages", 100)
            data = bytes(range(256)) * (1 << 15)
            with d.connect() as s:
                self.assertTrue(half_close(s, data) == data)

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

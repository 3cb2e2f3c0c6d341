# SPDX-License-Identifier: MIT
"""Ten thousand connections at once."""

import harness
from harness import Echod

CONNECTIONS = 10000
BYTES = 65536


class Swarm(harness.Test):
    def setUp(self):
        harness.needs_descriptors(CONNECTIONS)

    def test_all_talk(self):
        """10,000 connections echo 64 KiB of their own each, all at once, every byte compared"""
        with Echod("-o", "max_connections=0") as d:
            seen = harness.load(d.port, "--connections", CONNECTIONS, "--messages", CONNECTIONS, "--size", BYTES)
            self.assertEqual(seen["bytes_verified"], CONNECTIONS * BYTES)
            counters = d.wait_open(0)
            self.assertEqual((counters["accepted"], counters["closed_client"]), (CONNECTIONS, CONNECTIONS))
            self.assertEqual((counters["received"], counters["echoed"]), (CONNECTIONS * BYTES,) * 2)

    def test_spread(self):
        """connections are spread evenly (+-1) over the workers [F18]"""
        for workers in (1, 2, 3, 7):
            with Echod("-o", f"workers={workers}") as d:
                with harness.many(d.connect() for _ in range(500)):
                    counters = d.wait_open(500)
                    open_each = [counters[f"worker/{i}"][0] for i in range(workers)]
                    self.assertLessEqual(max(open_each) - min(open_each), 1)
                    self.assertEqual(sum(open_each), 500)

    @harness.own_memory
    def test_memory(self):
        """an idle connection takes 64 bytes of the daemon's memory"""
        with Echod("-o", "workers=2") as d:
            d.wait_open(0)
            before = d.own_memory()
            with harness.many(d.connect() for _ in range(CONNECTIONS)):
                d.wait_open(CONNECTIONS)
                used = d.own_memory() - before
            # 64 each, in whole pages, and a page or two for what counts them
            self.assertLessEqual(used, CONNECTIONS * 64 + 4 * 4096)
            print(f"# {used} bytes for {CONNECTIONS} idle connections")


if __name__ == "__main__":
    harness.main()

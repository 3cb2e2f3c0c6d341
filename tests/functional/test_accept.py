# SPDX-License-Identifier: MIT
"""From the queue of a listener to a worker, while one of the threads is stopped."""

import harness
from harness import Echod, many

CONNECTIONS = 5000


class Queue(harness.Test):
    """While the acceptor is stopped."""

    def test_all_at_once(self):
        """a thousand that came meanwhile, and so made one event, are all served [F11]"""
        harness.raise_descriptor_limit()
        with Echod() as d:
            with d.stuck("acceptor"):
                clients = [d.connect() for _ in range(1000)]
                for i, s in enumerate(clients):
                    s.sendall(b"%04d" % i)
            with many(clients):
                for i, s in enumerate(clients):
                    self.assertEqual(harness.read_exactly(s, 4), b"%04d" % i)

    def test_gone(self):
        """what was reset or ended meanwhile is closed, and those behind it are served [F14]"""
        with Echod() as d:
            with d.stuck("acceptor"):
                for i in range(100):
                    s = d.connect()
                    harness.reset(s) if i % 2 else s.close()
                last = d.connect()
            with last:
                self.assertEchoes(last)
            counters = d.wait_open(0)
            self.assertEqual((counters["accepted"], counters["pauses"]), (101, 0))


class HandOff(harness.Test):
    def test_worker_stands_still(self):
        """its connections wait for it, thousands of them; those of the other are served meanwhile [F17]"""
        harness.needs_descriptors(CONNECTIONS)
        with Echod("-o", "workers=2") as d:
            with d.stuck("worker/1"):
                clients = [d.connect() for _ in range(CONNECTIONS)]
                for i, s in enumerate(clients):
                    s.sendall(b"%04d" % i)
                d.wait_counter("accepted", CONNECTIONS)
                for i, s in list(enumerate(clients))[::2]:
                    self.assertEqual(harness.read_exactly(s, 4), b"%04d" % i)
                for s in clients[1::2]:
                    s.setblocking(False)
                    self.assertRaises(BlockingIOError, s.recv, 1)
                    s.settimeout(harness.DEADLINE)
            with many(clients):
                for i, s in list(enumerate(clients))[1::2]:
                    self.assertEqual(harness.read_exactly(s, 4), b"%04d" % i)

    def test_spread_of_reopened(self):
        """when all connections of three workers of four have ended, the next are spread as evenly as ever [F18]"""
        with Echod("-o", "workers=4") as d:
            with many(d.connect() for _ in range(400)) as first:
                d.wait_open(400)
                for i, s in enumerate(first):
                    if i % 4 < 3:
                        s.close()
                before = d.wait_open(100)
                self.assertEqual([before[f"worker/{i}"][0] for i in range(4)], [0, 0, 0, 100])
                with many(d.connect() for _ in range(300)):
                    after = d.wait_open(400)
            given = [after[f"worker/{i}"][1] - before[f"worker/{i}"][1] for i in range(4)]
            open_each = [after[f"worker/{i}"][0] for i in range(4)]
            print(f"# max/mean of open connections then: {max(open_each) * 4 / sum(open_each):.2f}")
            self.assertEqual(given, [75] * 4)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""An idle daemon does nothing."""

import os

import harness
from harness import Echod


class Idle(harness.Test):
    def test_policy(self):
        """every thread has the scheduling policy that the daemon was started with"""
        for option, policy in (("--other", os.SCHED_OTHER), ("--batch", os.SCHED_BATCH), ("--idle", os.SCHED_IDLE)):
            with self.subTest(option), Echod(prefix=("chrt", option, "0")) as d:
                for tid, name in d.threads().items():
                    self.assertEqual(os.sched_getscheduler(tid), policy, name)

    @harness.plain_only  # a sanitizer's own thread may wake up
    def test_no_wakeups(self):
        """with 1,000 idle connections and timeouts far away no thread wakes up [F42]"""
        with Echod("-o", "workers=3") as d:
            with harness.many(d.connect() for _ in range(1000)) as clients:
                d.wait_open(1000)
                for s in clients:
                    self.assertEchoes(s, b"x")
                d.wait_counter("echoed", 1000)
                self.assertSleeps(d, 2)

    def test_thread_names(self):
        """the threads are echod, acceptor, worker/0 and so on"""
        with Echod("-o", "workers=3") as d:
            expected = ["acceptor", "echod", "worker/0", "worker/1", "worker/2"]
            if "thread" in harness.SANITIZERS:  # which has a thread of its own
                expected.insert(1, "echod")
            harness.wait_until(lambda: sorted(d.threads().values()) == expected, expected)

    def test_one_worker_for_each_cpu(self):
        """workers=0 is one for each CPU that the process may use"""
        with Echod("-o", "workers=0", prefix=("taskset", "-c", "0")) as d:
            d.wait_log("ready: 1 workers")


if __name__ == "__main__":
    harness.main()

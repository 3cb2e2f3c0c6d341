# SPDX-License-Identifier: MIT
"""A thread that is stuck, in both services under the watchdog of a real systemd."""

import os
import time

import machine
from machine import CONF, Machine, harness

WORKERS = 2
SHORT = "[Service]\nWatchdogSec=2\n"  # the units' own is for slow machines


class Watchdog(machine.Test):
    def check(self, unit):
        """Stops one thread after the other, and checks which connections survive it."""
        with Machine({CONF: f"workers = {WORKERS}\n",
                      f"etc/systemd/system/{unit}.service.d/short.conf": SHORT}) as m:
            m.systemctl("start", unit)
            for thread in ("acceptor", "worker/0", "worker/1", "echod"):
                with self.subTest(thread), harness.many(m.connect() for _ in range(6)) as clients:
                    self.assertTrue(all(map(machine.is_alive, clients)))
                    self.check_thread(m, unit, thread, clients)

    def check_thread(self, m, unit, thread, clients):
        restarts = int(m.show(unit, "NRestarts"))
        tid = m.threads(unit)[thread]
        begin = time.monotonic()
        with harness.Stuck(tid):
            waiting = m.connect()
            os.waitpid(tid, harness.Stuck.WALL)  # until the watchdog has ended it
        m.wait_show(unit, "NRestarts", str(restarts + 1))
        m.wait_show(unit, "ActiveState", "active")
        print(f"# {unit}: {thread} stuck: served again after {time.monotonic() - begin:.2f} s")
        self.assertIn(f"watchdog: {thread} does not answer" if thread != "echod" else
                      "Watchdog timeout", m.messages(f"{unit}.service"))
        self.assertEchoes(m)
        lost = sum(not machine.is_alive(s) for s in clients)
        if thread.startswith("worker"):
            self.assertEqual(lost, len(clients) // WORKERS)
        else:
            self.assertEqual(lost, 0)
            self.assertTrue(machine.is_alive(waiting))
        waiting.close()

    def test_service(self):
        """whichever thread of echod.service is stuck, others' connections survive the restart [F41]"""
        self.check("echod")

    def test_sealed(self):
        """whichever thread of echod-sealed.service is stuck, others' connections survive it [F41]"""
        self.check("echod-sealed")


class Stop(machine.Test):
    @machine.with_each_service
    def test_stuck_main(self, m, unit):
        """a main thread that is stuck at a restart costs no connection"""
        m.write(f"etc/systemd/system/{unit}.service.d/short.conf", "[Service]\nTimeoutStopSec=2\n")
        m.systemctl("daemon-reload")
        with harness.many(m.connect() for _ in range(6)) as clients:
            self.assertTrue(all(map(machine.is_alive, clients)))
            tid = m.threads(unit)["echod"]
            with harness.Stuck(tid):
                restart = m.start("systemctl", "restart", unit)
                os.waitpid(tid, harness.Stuck.WALL)  # until SIGABRT has ended it
            restart.communicate(timeout=harness.DEADLINE)
            self.assertTrue(all(map(machine.is_alive, clients)))


if __name__ == "__main__":
    machine.main()

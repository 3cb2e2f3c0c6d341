# SPDX-License-Identifier: MIT
"""A system call that a thread may not make, in both services under a real systemd."""

import re
import shutil

import machine
from machine import CONF, Machine, harness
import backdoor

# In the machine.
LIBRARY = "/usr/local/lib/backdoor.so"
DROPIN = f"[Service]\nEnvironment=LD_PRELOAD={LIBRARY}\nLimitCORE=0\n"

SAID = "violated its system call filter with execve"


class Confine(machine.Test):
    def setUp(self):
        if backdoor.built_without():
            self.skipTest(backdoor.built_without())

    def check(self, unit):
        with Machine({f"etc/systemd/system/{unit}.service.d/backdoor.conf": DROPIN}) as m:
            shutil.copy(backdoor.library(), m.root(LIBRARY))
            m.do("journalctl", "--update-catalog")
            m.systemctl("start", unit)
            self.assertEchoes(m)
            self.check_threads(m, unit)
            restarts = int(m.show(unit, "NRestarts"))
            self.break_in(m)
            m.wait_show(unit, "NRestarts", str(restarts + 1))
            m.wait_show(unit, "ActiveState", "active")
            self.assertEchoes(m)
            self.check_told(m, unit)
            m.write(f"etc/systemd/system/{unit}.service.d/once.conf", "[Service]\nRestart=no\n")
            m.systemctl("daemon-reload")
            self.break_in(m)
            m.wait_show(unit, "ActiveState", "failed")
            shown = m.run("systemctl", "status", unit)[1]
            self.assertIn("status=31/SYS", shown)
            self.assertIn(SAID, shown)

    def break_in(self, m):
        with m.connect() as s:
            s.sendall(backdoor.order("worker", "execve", 0, 0, 0))
            self.assertFalse(machine.is_alive(s))

    def filters(self, m, unit):
        """How many filters each thread has; all have the same number in the end."""
        def count():
            counts = {name: int(re.search(r"^Seccomp_filters:\s+(\d+)$", harness.task(tid, tid, "status"), re.M)[1])
                      for name, tid in m.threads(unit).items()}
            named = {"acceptor", "rescue"} <= set(counts)  # they name themselves
            return counts if named and len(set(counts.values())) == 1 else None
        return harness.wait_until(count, "all threads to have their names and filters")

    def check_threads(self, m, unit):
        """Under the unit's filters every thread has one of its own, unless that is turned off."""
        confined = self.filters(m, unit)
        m.write(CONF, "system_call_filter = false\n")
        m.systemctl("restart", unit)
        self.assertEqual({name: n + 1 for name, n in self.filters(m, unit).items()}, confined)
        m.write(CONF, "")
        m.systemctl("restart", unit)
        self.assertEqual(self.filters(m, unit), confined)

    def check_told(self, m, unit):
        """The record is the unit's, with its explanation, and the service manager tells the signal."""
        (record,) = m.journal("-u", unit, "ECHOD_EVENT=system_call_forbidden")
        self.assertRegex(record["ECHOD_THREAD"], r"^worker/\d$")
        self.assertEqual(record["ECHOD_SYSTEM_CALL"], "execve")
        self.assertIn(SAID, record["MESSAGE"])
        self.assertIn("status=31/SYS", m.messages(f"{unit}.service"))
        explained = m.do("journalctl", "-x", "-u", unit, "ECHOD_EVENT=system_call_forbidden")
        self.assertIn("which its filter does not allow", explained)

    def test_service(self):
        """echod.service: journal and status tell of the call, and the service comes back [P20]"""
        self.check("echod")

    def test_sealed(self):
        """echod-sealed.service: journal and status tell of the call, and the service comes back [P20]"""
        self.check("echod-sealed")


if __name__ == "__main__":
    machine.main()

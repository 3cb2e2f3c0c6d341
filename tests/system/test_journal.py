# SPDX-License-Identifier: MIT
"""What an administrator and a script read in a real journal, of both services."""

import machine
import test_docs
from machine import CONF, Machine, harness

REFUSAL = "max_connections_per_source = 1\n"


def events(m, *args):
    """The records of echod that have a kind, oldest first."""
    return [r for r in m.journal("-t", "echod", *args) if "ECHOD_EVENT" in r]


def kinds(m, *args):
    return [r["ECHOD_EVENT"] for r in events(m, *args)]


class Journal(machine.Test):
    def live(self, m, unit):
        """Makes a life with most of what can happen."""
        with m.connect() as s:
            self.assertTrue(machine.is_alive(s))
            m.systemctl("restart", unit)
            self.assertTrue(machine.is_alive(s))
            m.write(CONF, REFUSAL)
            m.systemctl("reload", unit)
        m.write(CONF, REFUSAL + "workers = many\n")
        self.assertEqual(m.run("systemctl", "reload", unit)[0], 1)
        with self.admitted(m):
            for _ in range(20):
                self.assertRefuses(m)
        harness.wait_until(lambda: "refused" in kinds(m), "the record of refusals")
        m.signal(unit, "USR1")
        harness.wait_until(lambda: "counters" in kinds(m), "the counters")
        m.systemctl("stop", unit)

    def admitted(self, m):
        """A connection; it may take a moment until the end of the one before is known."""
        def admit():
            s = m.connect()
            if machine.is_alive(s):
                return s
            s.close()
            return None
        return harness.wait_until(admit, "admission")

    @machine.with_each_service
    def test_script(self, m, unit):
        """journalctl -o json tells a script each event of a life, with its fields"""
        self.live(m, unit)
        records = events(m, "-u", unit)
        self.assertEqual(kinds(m), [r["ECHOD_EVENT"] for r in records], "all are the unit's")
        told = {}
        for r in records:
            told.setdefault(r["ECHOD_EVENT"], []).append(r)
        for kind, fields in {
                "listening": {"ECHOD_ADDRESS": r".*:7"},
                "ready": {"ECHOD_WORKERS": r"\d+"},
                "handing_over": {"ECHOD_CONNECTIONS": "1"},
                "taken_over": {"ECHOD_CONNECTIONS": "1", "ECHOD_MICROSECONDS": r"\d+"},
                "reloaded": {},
                "configuration_refused": {"ECHOD_ERROR": f'{CONF}:2: workers = "many" .*'},
                "refused": {"ECHOD_REFUSED_MAX_CONNECTIONS_PER_SOURCE": r"\d+"},
                "counters": {"ECHOD_OPEN": r"\d+"},
                "stopped": {"ECHOD_ACCEPTED": r"\d+"}}.items():
            self.assertIn(kind, told)
            for name, pattern in fields.items():
                self.assertRegex(told[kind][0][name], f"^{pattern}$", kind)
        # One record for many refusals, or two if the pulse fell between.
        self.assertLess(len(told["refused"]), 4)
        self.assertEqual(len(m.journal("-t", "echod", "ECHOD_EVENT=taken_over")), 1)

    @machine.with_each_service
    def test_person(self, m, unit):
        """journalctl -x explains each event of a life, with what happened filled in"""
        m.do("journalctl", "--update-catalog")
        self.live(m, unit)
        catalog = m.do("journalctl", "--list-catalog")
        for r in events(m):
            self.assertIn(r["MESSAGE_ID"], catalog.replace("-", ""), r["ECHOD_EVENT"])
        explained = m.do("journalctl", "-x", "-u", unit, "-t", "echod")
        self.assertEqual(explained.count("Defined-By: echod"), len(events(m)))
        self.assertNotRegex(explained, r"@\w+@")
        self.assertIn("man:echod(8)", explained)

    def test_manual(self):
        """every command that echod(8) and echod.journal(7) recommend works with a service"""
        displays = (*test_docs.displays(test_docs.page("echod.8"), "TROUBLESHOOTING"),
                    *test_docs.displays(test_docs.page("echod.journal.7")))
        commands = "".join(displays).replace("\\\n", " ").replace("|\n", "|").splitlines()
        self.assertGreater(len(commands), 20)
        with Machine() as m:
            m.systemctl("start", "echod")
            installed = m.run("sh", "-c", "command -v coredumpctl")[0] == 0
            with m.connect() as s:
                self.assertTrue(machine.is_alive(s))
                for command in commands:
                    if command.startswith("coredumpctl") and not installed:
                        continue
                    status, output = m.run("sh", "-c", command)
                    # The status of a unit that does not run is 3.
                    self.assertIn(status, (0, 3) if "systemctl status" in command else (0,),
                                  f"{command}: {output}")
                self.assertTrue(machine.is_alive(s))


if __name__ == "__main__":
    machine.main()

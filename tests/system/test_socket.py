# SPDX-License-Identifier: MIT
"""echod.socket and the sealed service that it starts, in a real systemd."""

import os
import re

import machine
from machine import CONF, ECHOD, UNITS, Machine, harness

BROKEN = "workers = many\n"


class Life(machine.Test):
    def test_first_connection(self):
        """the socket alone listens; the first connection starts the service, and is served"""
        with Machine() as m:
            m.systemctl("enable", "--now", "echod.socket")
            self.assertStates(m, echod_socket="active", echod_sealed_service="inactive")
            self.assertEchoes(m, host="::1")
            m.wait_show("echod-sealed", "ActiveState", "active")
            self.assertEchoes(m)
            m.reboot()
            self.assertStates(m, echod_socket="active", echod_sealed_service="inactive")
            self.assertEchoes(m)
            self.assertEqual(m.complaints(), [])

    def test_boot(self):
        """when the service is enabled, socket and service are started by a boot"""
        with Machine() as m:
            m.systemctl("enable", "echod-sealed")
            m.reboot()
            self.assertStates(m, echod_socket="active", echod_sealed_service="active")
            self.assertEchoes(m)

    def test_powers(self):
        """the service serves port 7 as the user echod, without any capability"""
        with Machine() as m:
            m.systemctl("start", "echod-sealed")
            self.assertEchoes(m)
            user = m.do("id", "-u", "echod").strip()
            self.assertEqual(m.process("echod-sealed", "Uid").split(), [user] * 4)
            for held in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
                self.assertEqual(int(m.process("echod-sealed", held), 16), 0, held)

    def test_stop(self):
        """a stop of the socket stops both; after one of the service the next connection starts it"""
        with Machine() as m:
            m.systemctl("start", "echod-sealed")
            m.systemctl("stop", "echod-sealed")
            self.assertEchoes(m)
            m.systemctl("stop", "echod.socket")
            self.assertStates(m, echod_socket="inactive", echod_sealed_service="inactive")
            self.assertRefuses(m)

    def test_crash(self):
        """after a crash connections are not refused: they wait until it is started again [F50]"""
        with machine.serving("echod-sealed") as (m, _):
            for _ in range(3):
                m.signal("echod-sealed", "KILL")
                self.assertEchoes(m)
            self.assertEqual(m.show("echod.socket", "NRefused"), "0")

    def test_reload(self):
        """a reload takes over a good file, a broken one fails it, and the listeners stay the same"""
        with machine.serving("echod-sealed") as (m, _):
            m.write(CONF, 'listen = "127.0.0.1:1001"\nlog_level = debug\n')
            m.systemctl("reload", "echod-sealed")
            self.assertEchoes(m)
            self.assertRefuses(m, port=1001)
            m.write(CONF, BROKEN)
            self.assertEqual(m.run("systemctl", "reload", "echod-sealed")[0], 1)
            self.assertIn(f'{CONF}:1: workers = "many" is not allowed',
                          m.systemctl("status", "echod-sealed"))
            self.assertEchoes(m)

    def test_other_ports(self):
        """the drop-in of the documentation gives the socket other ports, as it says"""
        with Machine() as m:
            m.systemctl("start", "echod-sealed")
            example = os.path.join(machine.variable("docdir"), "examples/ports.conf")
            commands = re.findall("^#   (.*)$", m.read(example), re.M)
            self.assertEqual(len(commands), 4)
            with m.connect() as s:
                m.do("sh", "-exc", "\n".join([f"cd {os.path.dirname(example)}", *commands]))
                self.assertTrue(machine.is_alive(s), "connected to the old port")
            self.assertEchoes(m, port=7007)
            self.assertEchoes(m, port=7007, host="::1")
            self.assertRefuses(m)


class Together(machine.Test):
    def test_conflict(self):
        """starting one way stops the other, in both directions, and serves"""
        with Machine() as m:
            for unit in ("echod.socket", "echod.service", "echod-sealed.service",
                         "echod.service", "echod.socket"):
                m.systemctl("start", unit)
                self.assertEchoes(m)
                states = [m.show(u, "ActiveState") for u in ("echod.service", "echod.socket")]
                self.assertEqual(states, ["active", "inactive"] if unit == "echod.service"
                                 else ["inactive", "active"])

    def test_both_enabled(self):
        """with both enabled, a boot starts one of them"""
        with Machine() as m:
            m.systemctl("enable", "echod.service", "echod-sealed.service")
            m.reboot()
            states = [m.show(u, "ActiveState") for u in ("echod.service", "echod.socket")]
            self.assertEqual(sorted(states), ["active", "inactive"])
            self.assertEchoes(m)
            print(f"# of both, {['echod.service', 'echod.socket'][states.index('active')]} runs")


class Broken(machine.Test):
    def test_file(self):
        """with a broken file a client does not make it try for ever; one command is enough then"""
        with Machine({CONF: BROKEN}) as m:
            m.systemctl("start", "echod.socket")
            self.assertRefuses(m)
            m.wait_show("echod.socket", "ActiveState", "failed")
            self.assertStates(m, echod_sealed_service="failed")
            tried = m.messages("echod-sealed.service").count(f'{CONF}:1: workers = "many"')
            self.assertGreater(tried, 0)
            self.assertLessEqual(tried, int(m.show("echod.socket", "TriggerLimitBurst")))
            status, output = m.run("systemctl", "restart", "echod-sealed")
            self.assertEqual(status, 1, "still broken")
            self.assertIn("Job for echod-sealed.service failed", output)
            m.write(CONF, "")
            m.systemctl("restart", "echod-sealed")
            self.assertEchoes(m)
            self.assertStates(m, echod_socket="active", echod_sealed_service="active")

    def test_without_socket(self):
        """without a socket it does not start, says so, and is not tried again"""
        with Machine() as m:
            unit = m.read(f"{UNITS}/echod-sealed.service").replace("Requires=echod.socket\n", "")
            m.write("/etc/systemd/system/alone.service", unit)
            m.systemctl("daemon-reload")
            self.assertEqual(m.run("systemctl", "start", "alone")[0], 1)
            self.assertIn("no listening socket was passed; with systemd, start echod.socket",
                          m.messages("alone.service"))
            self.assertEqual(m.show("alone", "NRestarts"), "0")
            self.assertEqual(m.show("alone", "ExecMainStatus"), "78")
            m.systemctl("mask", "echod.socket")
            status, output = m.run("systemctl", "start", "echod-sealed")
            self.assertNotEqual(status, 0)
            self.assertIn("echod.socket is masked", output)
            self.assertIn("no listening socket was passed", m.run(ECHOD, "--activated")[1])


if __name__ == "__main__":
    machine.main()

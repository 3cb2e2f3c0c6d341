# SPDX-License-Identifier: MIT
"""echod.service, which binds what the configuration says, in a real systemd."""

import fcntl
import re
import sys
import termios

import machine
from machine import CONF, Machine, harness


def unacknowledged(s):
    """How many bytes of what was sent have not arrived at the other side."""
    return int.from_bytes(fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Life(machine.Test):
    def test_start_and_stop(self):
        """a start serves port 7 as the user echod, with one capability; a stop ends it well [F24]"""
        with Machine() as m:
            self.assertRefuses(m)
            m.systemctl("start", "echod")
            self.assertEchoes(m)
            self.assertEchoes(m, host="::1")
            echod = m.do("id", "-u", "echod").strip()
            self.assertEqual(m.process("echod", "Uid").split(), [echod] * 4)
            bind = f"{1 << 10:016x}"  # CAP_NET_BIND_SERVICE
            for held in ("CapEff", "CapPrm", "CapBnd"):
                self.assertEqual(m.process("echod", held), bind)
            m.systemctl("stop", "echod")
            self.assertRefuses(m)
            self.assertStates(m, echod_service="inactive")
            self.assertEqual(m.show("echod", "Result"), "success")
            self.assertEqual(m.complaints(), [])

    def test_status(self):
        """systemctl status says that it serves, and shows where it listens"""
        with Machine() as m:
            m.systemctl("start", "echod")
            status = m.systemctl("status", "echod")
            self.assertIn("Active: active (running)", status)
            self.assertIn('Status: "Connections: 0, refused: 0"', status)
            self.assertIn("Main PID: ", status)
            self.assertIn("listening on 0.0.0.0:7", status)

    def test_enable(self):
        """once enabled, it serves after a boot without being started by hand"""
        with Machine() as m:
            m.systemctl("enable", "echod")
            self.assertStates(m, echod_service="inactive")
            m.reboot()
            self.assertStates(m, echod_service="active")
            self.assertEchoes(m)
            ready, network, done = (
                int(m.show(unit, "ActiveEnterTimestampMonotonic"))
                for unit in ("echod.service", "network-online.target", "multi-user.target"))
            self.assertLess(network, ready)
            self.assertLess(ready, done)

    def test_crash(self):
        """after a crash it is started again"""
        with machine.serving("echod") as (m, _):
            m.signal("echod", "KILL")
            m.wait_show("echod", "NRestarts", "1")
            m.wait_show("echod", "ActiveState", "active")
            self.assertEchoes(m)

    @machine.with_each_service
    def test_power_off(self, m, unit):
        """when the machine shuts down, each client gets the echo of all that arrived, then a FIN"""
        sent = {}
        with harness.many(m.connect() for _ in range(10)) as talking, m.connect() as slow:
            for i, s in enumerate(talking):
                sent[s] = bytes([i]) * 1000
                s.sendall(sent[s])
            sent[slow] = harness.fill(slow)
            load = m.load("--connections", "50")
            harness.wait_until(lambda: m.connections() == 61, "61 connections")
            arrived = {s: len(sent[s]) - unacknowledged(s) for s in sent}
            off = m.start("systemctl", "poweroff")
            for s in sent:
                echo = harness.read_to_end(s)
                self.assertTrue(sent[s].startswith(echo))
                self.assertGreaterEqual(len(echo), arrived[s])
                s.close()
            result = machine.result(load)
            off.communicate(timeout=harness.DEADLINE)
            m.nspawn.wait(harness.DEADLINE)
        for name, count in {"connections": 50, "early_closes": 50, "resets": 0,
                            "corrupt": 0}.items():
            self.assertEqual(result[name], count, result)
        # Asked at its stop, the bus must still be there.
        console = m.screen()
        self.assertIn("Powering off", console)
        self.assertLess(console.index(f"Stopped {unit}.service"),
                        console.index("Stopping dbus.service"))


class Reload(machine.Test):
    def test_good(self):
        """when a reload returns, the new settings are in force, and connections live on"""
        with machine.serving("echod") as (m, s):
            pid = m.show("echod", "MainPID")
            for port in range(1001, 1011):
                m.write(CONF, f'listen += "127.0.0.1:{port}"\n')
                m.systemctl("reload", "echod")
                self.assertEchoes(m, port=port)
            self.assertEqual(harness.echo(s, b"still there?"), b"still there?")
            self.assertEqual(m.show("echod", "MainPID"), pid)

    def test_waits(self):
        """a reload does not return before the daemon has answered, however late it is"""
        with machine.serving("echod") as (m, _):
            m.write(CONF, 'listen += "127.0.0.1:1001"\n')
            with harness.Stuck(m.threads("echod")["echod"]):  # systemd sends SIGCONT after the signal
                reload = m.start("systemctl", "reload", "echod")
                harness.wait_until(lambda: re.search("/bin/kill .*code=exited", m.show("echod", "ExecReload")) or
                                   m.show("echod", "SubState").startswith("reload-"), "the signal")
                self.assertStates(m, echod_service="reloading")
                self.assertIsNone(reload.poll())
            self.assertEqual(reload.communicate(timeout=harness.DEADLINE)[0], "")
            self.assertEqual(reload.returncode, 0)
            self.assertEchoes(m, port=1001)

    def test_broken(self):
        """a broken file fails the reload, status shows file and line, and nothing changes"""
        with machine.serving("echod") as (m, s):
            pid = m.show("echod", "MainPID")
            m.write(CONF, 'listen = "127.0.0.1:1001"\nworkers = many\n')
            status, output = m.run("systemctl", "reload", "echod")
            self.assertEqual(status, 1)
            self.assertIn("Job for echod.service failed", output)
            shown = m.systemctl("status", "echod")
            self.assertIn(f'{CONF}:2: workers = "many" is not allowed', shown)
            self.assertIn("Active: active (running)", shown)
            self.assertEqual(m.show("echod", "MainPID"), pid)
            self.assertEqual(harness.echo(s, b"still there?"), b"still there?")
            self.assertEchoes(m)
            self.assertRefuses(m, port=1001)
            m.write(CONF, "")
            m.systemctl("reload", "echod")

    def test_refused_address(self):
        """an address that cannot be had refuses the reload: status and journal say so"""
        with machine.serving("echod") as (m, _):
            m.write(CONF, 'listen += "192.0.2.1:7"\n')
            m.systemctl("reload", "echod")
            status = m.systemctl("status", "echod")
            self.assertIn("the last reload was refused", status)
            self.assertIn("cannot listen on 192.0.2.1:7: Cannot assign requested address", status)
            self.assertEchoes(m)

    def test_concurrent(self):
        """of reloads at the same time each succeeds, and the last file is in force [F47]"""
        with machine.serving("echod") as (m, _):
            reloads = []
            for port in range(1001, 1011):
                m.write(CONF, f'listen += "127.0.0.1:{port}"\n')
                reloads.append(m.start("systemctl", "reload", "echod"))
            for p in reloads:
                self.assertEqual(p.communicate(timeout=harness.DEADLINE)[0], "")
                self.assertEqual(p.returncode, 0)
            self.assertEchoes(m, port=1010)
            self.assertRefuses(m, port=1001)
            self.assertStates(m, echod_service="active")


class Broken(machine.Test):
    def test_start(self):
        """with a broken file it does not start, nor is it tried again; one command is enough then"""
        with Machine({CONF: "workers = many\n" + "backlog = few\n" * 15}) as m:
            status, output = m.run("systemctl", "start", "echod")
            self.assertEqual(status, 1)
            self.assertIn("Job for echod.service failed", output)
            self.assertStates(m, echod_service="failed")
            self.assertEqual(m.show("echod", "NRestarts"), "0")
            # The journal's last lines are of later errors; the status is the first one.
            self.assertRegex(m.run("systemctl", "status", "echod")[1],
                             f'Status: "{CONF}:1: workers = "many" is not allowed')
            m.write(CONF, "")
            m.systemctl("restart", "echod")
            self.assertEchoes(m)

    def test_taken_port(self):
        """an address that is in use is named in the journal; when it is free again, it is served by itself"""
        with Machine() as m:
            with m.network():
                taken = harness.socket.create_server(("127.0.0.1", 7))
            with taken:
                self.assertEqual(m.run("systemctl", "start", "echod")[0], 1)
                self.assertRegex(m.messages("echod.service"),
                                 "cannot listen on 0.0.0.0:7: Address already in use")
            harness.wait_until(lambda: m.show("echod", "ActiveState") == "active", "another try")
            self.assertEchoes(m)


if __name__ == "__main__":
    machine.main()

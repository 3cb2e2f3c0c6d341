# SPDX-License-Identifier: MIT
"""A restart while clients send, under a real systemd."""

import os
import re
import threading

import machine
from machine import CONF, ECHOD, Machine, harness

# For figures that mean something: 9900 and 20.
CONNECTIONS = int(os.environ.get("CONNECTIONS", 1000))
RESTARTS = int(os.environ.get("RESTARTS", 5))


class Restart(machine.Test):
    def assertNothingLost(self, m, unit):
        self.assertEqual(m.complaints(), [])
        self.assertNotIn("lost", m.messages(f"{unit}.service"))

    def assertUnharmed(self, load):
        """A load, which is ended now, lost no byte and no connection."""
        load.send_signal(machine.signal.SIGINT)
        result = machine.result(load)
        for name in ("corrupt", "lost", "unsent", "resets", "early_closes", "connect_failures"):
            self.assertEqual(result[name], 0, result)
        self.assertGreater(result["messages_sent"], 0)
        self.assertEqual(result["messages_verified"], result["messages_sent"])

    @machine.with_each_service
    def test_states(self, m, unit):
        """a connection in whichever state goes on as if nothing had happened, several times"""
        silent, idle, middle, slow, ending = sockets = [m.connect() for _ in range(5)]
        self.assertTrue(machine.is_alive(idle))
        sent = {s: harness.fill(s) for s in (slow, ending)}
        ending.shutdown(harness.socket.SHUT_WR)
        for i in range(3):
            middle.sendall(b"first half, ")
            m.systemctl("restart", unit)
            middle.sendall(b"second half")
            self.assertEqual(harness.read_exactly(middle, 23), b"first half, second half")
            self.assertTrue(machine.is_alive(idle))
            self.assertEqual(harness.read_exactly(slow, 100000), sent[slow][:100000])
            sent[slow] = sent[slow][100000:]
        self.assertEqual(harness.read_to_end(ending), sent[ending])
        self.assertEqual(harness.read_exactly(slow, len(sent[slow])), sent[slow])
        for s in (silent, idle, middle, slow):
            self.assertTrue(machine.is_alive(s))
        self.assertNothingLost(m, unit)
        for s in sockets:
            s.close()

    @machine.with_each_service
    def test_queue(self, m, unit):
        """clients that wait in the listener's queue are served by the next process"""
        m.signal(unit, "STOP")
        with harness.many(m.connect() for _ in range(20)) as queued:
            m.systemctl("restart", unit)
            self.assertTrue(all(map(machine.is_alive, queued)))

    @machine.with_each_service
    def test_stream(self, m, unit):
        """a stream that never pauses comes back whole over restarts"""
        data = os.urandom(1 << 20) * 256
        echoed = []
        with m.connect() as s:
            stream = threading.Thread(target=lambda: echoed.append(harness.echo(s, data)))
            stream.start()
            for _ in range(3):
                m.systemctl("restart", unit)
            stream.join(harness.DEADLINE)
        self.assertTrue(echoed and echoed[0] == data)
        self.assertNothingLost(m, unit)

    @machine.with_each_service
    def test_load(self, m, unit):
        """many connections that all talk lose, repeat and mix up no byte over many restarts [F49 P18]"""
        load = m.load("--connections", str(CONNECTIONS), "--rate", str(CONNECTIONS))
        harness.wait_until(lambda: m.connections() == CONNECTIONS, "the connections")
        for _ in range(RESTARTS):
            m.systemctl("restart", unit)
        self.assertUnharmed(load)
        self.assertNothingLost(m, unit)
        took = re.findall(r"took over \d+ connections after (\d+) us", m.messages(f"{unit}.service"))
        self.assertEqual(len(took), RESTARTS)
        print(f"# {unit}: {CONNECTIONS} connections, silent for", *sorted(map(int, took)), "us")

    @machine.with_each_service
    def test_new_connections(self, m, unit):
        """during restarts no connection is refused or reset [F20]"""
        load = m.load("--churn", "--connections", "20")
        harness.wait_until(lambda: m.connections() > 10, "connections")
        for _ in range(3):
            m.systemctl("restart", unit)
        self.assertUnharmed(load)

    @machine.with_each_service
    def test_manager(self, m, unit):
        """the service manager itself can be restarted between"""
        with m.connect() as s:
            m.systemctl("restart", unit)
            m.systemctl("daemon-reexec")
            self.assertTrue(machine.is_alive(s))
            m.systemctl("restart", unit)
            self.assertTrue(machine.is_alive(s))
        self.assertNothingLost(m, unit)

    def test_socket_unit(self):
        """a restart of the socket unit drops no connection either"""
        with machine.serving("echod-sealed") as (m, s):
            m.systemctl("restart", "echod.socket")
            self.assertTrue(machine.is_alive(s))
            self.assertEchoes(m)


class Bus(machine.Test):
    """The bus over which a daemon asks whether it is being restarted."""

    @machine.with_each_service
    def test_late_answer(self, m, unit):
        """while a bus does not answer all is served, new clients too, and then handed over"""
        with m.connect() as before:
            self.assertTrue(machine.is_alive(before))
            m.signal("dbus", "STOP")
            restart = m.start("systemctl", "restart", unit)
            m.wait_show(unit, "SubState", "stop-sigterm")
            with m.connect() as after:
                self.assertTrue(machine.is_alive(after))
                self.assertTrue(machine.is_alive(before))
                self.assertIsNone(restart.poll())
                m.signal("dbus", "CONT")
                self.assertEqual(restart.communicate(timeout=harness.DEADLINE)[0], "")
                self.assertTrue(machine.is_alive(after))
                self.assertTrue(machine.is_alive(before))
        self.assertEqual(m.complaints(), [])

    def test_no_answer(self):
        """a bus that never answers delays a stop, but neither the service manager nor clients lose patience"""
        with machine.serving("echod") as (m, s):
            m.signal("dbus", "STOP")
            stop = m.start("systemctl", "stop", "echod")
            m.wait_show("echod", "SubState", "stop-sigterm")
            self.assertTrue(machine.is_alive(s))
            self.assertGoodbye(s, stop)
            self.assertEqual(m.show("echod", "Result"), "success")
            self.assertRegex("\n".join(m.complaints()), "cannot ask .* whether this is a restart: Connection timed out")

    def test_reexecution(self):
        """a manager that is re-executed in the middle of a restart answers after that"""
        with machine.serving("echod") as (m, s):
            m.signal("dbus", "STOP")
            m.systemctl("--no-block", "restart", "echod")
            m.wait_show("echod", "SubState", "stop-sigterm")
            m.systemctl("daemon-reexec")
            m.signal("dbus", "CONT")
            m.wait_show("echod", "SubState", "running")
            self.assertTrue(machine.is_alive(s))

    def test_no_store(self):
        """that a unit has no store is reported when it starts, once"""
        with Machine({"etc/systemd/system/echod.service.d/store.conf":
                      "[Service]\nFileDescriptorStoreMax=0\n"}) as m:
            m.systemctl("start", "echod")
            harness.wait_until(m.complaints, "a warning")
            m.systemctl("reload", "echod")
            (complaint,) = m.complaints()
            self.assertRegex(complaint, "FileDescriptorStoreMax= is 0; a restart will close all")


# A manager of the user daemon, and its bus; those of a login need more of a machine.
USER = {
    "etc/systemd/system/user-manager.service": """
[Service]
Type=notify
User=daemon
RuntimeDirectory=user-manager
Environment=XDG_RUNTIME_DIR=/run/user-manager HOME=/run/user-manager
ExecStart=/lib/systemd/systemd --user
Delegate=yes
""",
    "etc/systemd/user/echod.service": f"""
[Service]
Type=notify
ExecStart={ECHOD} -c /dev/null -o listen=127.0.0.1:7007
FileDescriptorStoreMax=128
""",
    "etc/systemd/user/dbus.socket": "[Socket]\nListenStream=%t/bus\n",
    "etc/systemd/user/dbus.service": """
[Service]
Type=notify
ExecStart=dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only
""",
}


class User(machine.Test):
    """A service of systemd --user."""

    @staticmethod
    def systemctl(m, *args):
        return m.do("setpriv", "--reuid=daemon", "--regid=daemon", "--init-groups", "env",
                    "XDG_RUNTIME_DIR=/run/user-manager", "systemctl", "--user", *args)

    def test_restart(self):
        """a restart by a user's manager keeps every connection"""
        with Machine(USER) as m:
            m.systemctl("start", "user-manager")
            self.systemctl(m, "start", "dbus.socket", "echod")
            with m.connect(port=7007) as s:
                self.assertTrue(machine.is_alive(s))
                for _ in range(3):
                    self.systemctl(m, "restart", "echod")
                    self.assertTrue(machine.is_alive(s))
                self.systemctl(m, "stop", "echod")
                self.assertEnds(s)
            self.assertEqual(m.complaints(), [])

    def test_without_bus(self):
        """without the user's bus the start says that a restart will end connections, and it does"""
        with Machine({**USER, "etc/systemd/user/dbus.socket": None}) as m:
            m.systemctl("start", "user-manager")
            self.systemctl(m, "start", "echod")
            harness.wait_until(m.complaints, "a warning")
            self.assertRegex(m.complaints()[0], "cannot ask the service manager: .*; a restart will close all")
            with m.connect(port=7007) as s:
                self.assertTrue(machine.is_alive(s))
                self.systemctl(m, "--no-block", "restart", "echod")
                self.assertEnds(s)


class Versions(machine.Test):
    def test_rollback(self):
        """an upgrade to a later version and its rollback drop no connection [F58]"""
        with Machine() as m:
            m.do("cp", ECHOD, ECHOD + ".now")
            m.systemctl("start", "echod")
            with harness.many(m.connect() for _ in range(10)) as clients:
                self.assertTrue(all(map(machine.is_alive, clients)))
                m.install("newer", ECHOD)
                m.systemctl("restart", "echod")
                self.assertTrue(all(map(machine.is_alive, clients)))
                m.do("mv", ECHOD + ".now", ECHOD)
                m.systemctl("restart", "echod")
                self.assertTrue(all(map(machine.is_alive, clients)))
            self.assertEqual(m.complaints(), [])

    def test_no_way_back(self):
        """what an older version cannot read ends connections; it says why, and serves"""
        drop_in = "[Service]\nEnvironment=READABLE_SINCE=4\n"
        with Machine({"etc/systemd/system/echod.service.d/later.conf": drop_in}) as m:
            m.do("cp", ECHOD, ECHOD + ".now")
            m.install("newer", ECHOD)
            m.systemctl("start", "echod")
            listeners = m.show("echod", "NFileDescriptorStore")
            with harness.many(m.connect() for _ in range(10)) as clients:
                self.assertTrue(all(map(machine.is_alive, clients)))
                m.do("mv", ECHOD + ".now", ECHOD)
                m.systemctl("restart", "echod")
                self.assertFalse(any(map(machine.is_alive, clients)))
            self.assertRegex("\n".join(m.complaints()), "version")
            self.assertEqual(m.show("echod", "NFileDescriptorStore"), listeners)
            self.assertEchoes(m)


class Stop(machine.Test):
    def test_stop(self):
        """a stop sends every client a FIN, and leaves nothing in the descriptor store"""
        with machine.serving("echod") as (m, s):
            self.assertNotEqual(m.show("echod", "NFileDescriptorStore"), "0")
            self.assertGoodbye(s, m.start("systemctl", "stop", "echod"))
            self.assertEqual(m.show("echod", "NFileDescriptorStore"), "0")
            self.assertRefuses(m)
            m.systemctl("start", "echod")
            self.assertNotIn("took over", m.messages("echod.service"))

    def test_switched_off(self):
        """without hand_over a restart sends every client a FIN"""
        with machine.serving("echod", {CONF: "hand_over = false\n"}) as (m, s):
            self.assertGoodbye(s, m.start("systemctl", "restart", "echod"))
            self.assertEchoes(m)

    def test_crash(self):
        """after a crash of echod.service connections are not refused: its listeners are kept [F50]"""
        with Machine() as m:
            m.systemctl("start", "echod")
            for _ in range(3):
                m.signal("echod", "KILL")
                self.assertEchoes(m)


if __name__ == "__main__":
    machine.main()

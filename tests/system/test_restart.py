"""A restart in the middle of everybody's streams, in a real systemd."""

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

    def assertUnharmed(self, result):
        """A load lost nothing and nobody."""
        for name in ("corrupt", "lost", "resets", "early_closes", "connect_failures"):
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
        """many connections that all talk lose, repeat and mix up no byte over many restarts [F49]"""
        load = m.echoc("load", "--connections", str(CONNECTIONS), "--rate",
                       str(CONNECTIONS), "--duration", "600", "--timeout",
                       str(harness.DEADLINE), "--json", "127.0.0.1")
        harness.wait_until(lambda: m.connections() == CONNECTIONS, "the connections")
        for _ in range(RESTARTS):
            m.systemctl("restart", unit)
        load.send_signal(machine.signal.SIGINT)
        result = machine.result(load)
        self.assertUnharmed(result)
        self.assertNothingLost(m, unit)
        took = [int(us) for us in
                re.findall(r"took over \d+ connections after (\d+) us", m.messages(f"{unit}.service"))]
        self.assertEqual(len(took), RESTARTS)
        took.sort()
        print(f"# {unit}: {CONNECTIONS} connections, {RESTARTS} restarts, silent for "
              f"{took[0] / 1000:.1f} ms at least, {took[len(took) // 2] / 1000:.1f} ms in the "
              f"middle, {took[-1] / 1000:.1f} ms at most")

    @machine.with_each_service
    def test_new_connections(self, m, unit):
        """during restarts no connection is refused or reset [F20]"""
        load = m.echoc("load", "--churn", "--connections", "20", "--duration", "600", "--timeout",
                       str(harness.DEADLINE), "--json", "127.0.0.1")
        harness.wait_until(lambda: m.connections() > 10, "connections")
        for _ in range(3):
            m.systemctl("restart", unit)
        load.send_signal(machine.signal.SIGINT)
        result = machine.result(load)
        self.assertUnharmed(result)

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
        """a restart of the socket unit drops nobody either"""
        with Machine() as m:
            m.systemctl("start", "echod-sealed")
            with m.connect() as s:
                self.assertTrue(machine.is_alive(s))
                m.systemctl("restart", "echod.socket")
                self.assertTrue(machine.is_alive(s))
                self.assertEchoes(m)


class Versions(machine.Test):
    def test_rollback(self):
        """an upgrade to a later version and its rollback drop nobody"""
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
        """a stop says goodbye to all, and leaves nothing in the store"""
        with Machine() as m:
            m.systemctl("start", "echod")
            with m.connect() as s:
                self.assertTrue(machine.is_alive(s))
                self.assertNotEqual(m.show("echod", "NFileDescriptorStore"), "0")
                stop = m.start("systemctl", "stop", "echod")
                self.assertEnds(s)
            self.assertEqual(stop.communicate(timeout=harness.DEADLINE)[0], "")
            self.assertEqual(m.show("echod", "NFileDescriptorStore"), "0")
            self.assertRefuses(m)
            m.systemctl("start", "echod")
            self.assertNotIn("took over", m.messages("echod.service"))

    def test_switched_off(self):
        """without hand_over a restart says goodbye to all"""
        with Machine({CONF: "hand_over = false\n"}) as m:
            m.systemctl("start", "echod")
            with m.connect() as s:
                self.assertTrue(machine.is_alive(s))
                restart = m.start("systemctl", "restart", "echod")
                self.assertEnds(s)
            self.assertEqual(restart.communicate(timeout=harness.DEADLINE)[0], "")
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

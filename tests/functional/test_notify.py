# SPDX-License-Identifier: MIT
"""Notifications, as a manager receives them."""

import errno
import os
import resource
import signal
import socket
import tempfile
import time

import harness
from harness import Echod
from manager import NO_MANAGER

SERVING = "Connections: 0, refused: 0"


class Listening(harness.Test):
    def setUp(self):
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix="echod-test-"))
        self.path = os.path.join(directory, "notify")
        self.env = {"NOTIFY_SOCKET": self.path}
        self.manager = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.bind(self.path)
        self.manager.settimeout(harness.DEADLINE)

    def told(self, *names):
        """The next message that is not about the store, or that has one of these names."""
        while True:
            lines = self.manager.recv(4096).decode().splitlines()
            message = dict(line.split("=", 1) for line in lines)
            if message.keys() & names if names else "FDNAME" not in message:
                return message

    def fed(self, timeout):
        """True if the watchdog is notified within that time, whatever else is sent."""
        self.manager.settimeout(timeout)
        try:
            return bool(self.told("WATCHDOG"))
        except TimeoutError:
            return False
        finally:
            self.manager.settimeout(harness.DEADLINE)


class Notify(Listening):
    def test_refused_configuration(self):
        """a start with a wrong configuration sends the first error as the status"""
        status, _, err = harness.run("-c", "/dev/null", "-o", "workers=x", "-o", "backlog=x",
                                     env={**os.environ, **self.env})
        self.assertEqual(status, 78)
        self.assertEqual(self.told(), {"STATUS": err.splitlines()[0].removeprefix("echod: error: ")})

    def test_life(self):
        """READY when it listens; RELOADING and READY, also when refused; STOPPING"""
        with Echod(conf="", env=self.env, wait=False,
                   expect=["reload refused", NO_MANAGER]) as d:
            self.assertEqual(self.told()["READY"], "1")
            d.wait_ready()
            self.assertServes(d)
            d.wait_open(0)
            before = time.monotonic_ns() // 1000
            for text, remark in (None, ""), ("nonsense", "; the last reload was refused"), ("", ""):
                if text is not None:
                    d.write_conf(text)
                d.signal(signal.SIGHUP)
                told = self.told()
                self.assertEqual(told["RELOADING"], "1")
                self.assertTrue(before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000)
                self.assertEqual(self.told(), {"READY": "1", "STATUS": SERVING + remark})
            d.signal(signal.SIGTERM)
            told = self.told()
            self.assertEqual(told["STOPPING"], "1")
            self.assertGreater(int(told["EXTEND_TIMEOUT_USEC"]), 8_000_000)  # shutdown_timeout

    @harness.plain_only
    def test_status(self):
        """the status follows the connections, and is not sent again while nothing changes"""
        with Echod("-o", "max_connections=2", env=self.env, expect=[NO_MANAGER, "refused"]) as d:
            self.assertEqual(self.told()["STATUS"], SERVING)
            with d.connect() as a, d.connect() as b:
                self.assertEchoes(a)
                self.assertEchoes(b)
                self.assertRefused(d)
                self.assertEqual(self.told(), {"STATUS": "Connections: 2, refused: 1"})
            self.assertEqual(self.told(), {"STATUS": "Connections: 0, refused: 1"})

    def test_watchdog(self):
        """the watchdog is fed while all threads answer, asleep or busy, and not while one is stuck [F41]"""
        with Echod("-o", "workers=2", env={**self.env, "WATCHDOG_USEC": "1200000"},
                   expect=[NO_MANAGER, "does not answer"]) as d:
            self.assertTrue(self.fed(harness.DEADLINE))
            tids = {name: tid for tid, name in d.threads().items()}
            self.assertEqual(set(tids), {"echod", "acceptor", "worker/0", "worker/1", "rescue"})
            for name in ("acceptor", "worker/0", "worker/1", "echod"):
                complaint = f"watchdog: {name} does not answer"
                before = d.log().count(complaint)  # of a machine that is slow
                with self.subTest(name), harness.Stuck(d.pid if name == "echod" else tids[name]):
                    if name != "echod":
                        d.wait_log(complaint, before + 1)
                    while self.fed(0.01):  # what it was fed before
                        pass
                    self.assertFalse(self.fed(0.9))
                self.assertTrue(self.fed(harness.DEADLINE))

    def test_ready_means_listening(self):
        """at READY the port is open, although the acceptor may not run yet"""
        for _ in range(20):
            with Echod(env=self.env, wait=False,
                       expect=[NO_MANAGER]) as d:
                self.assertEqual(self.told()["READY"], "1")
                d.wait_ready()
                self.assertServes(d)
                d.signal(signal.SIGTERM)
                self.told()

    def test_not_ready_when_it_fails(self):
        """a start that fails never says READY"""
        taken = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        status, _, _ = harness.run("-c", "/dev/null", "-o", "listen=127.0.0.1:%d" % taken.getsockname()[1],
                                   env={**os.environ, **self.env})
        self.assertEqual(status, 71)
        told = self.told()
        self.assertNotIn("READY", told)
        self.assertEqual(int(told["ERRNO"]), errno.EADDRINUSE)
        self.manager.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.manager.recv(4096)

    def test_manager_is_stuck(self):
        """a manager that does not read delays nothing, and gets the last state when it reads [F45]"""
        with Echod(conf="", env=self.env, expect=[NO_MANAGER]) as d, d.connect() as s:
            self.assertEchoes(s)
            self.fill()
            for i in range(20):
                d.reload()
                self.assertServes(d)
                d.counters()
            d.wait_open(1)
            d.reload()
            told = self.told()
            while told != {"READY": "1", "STATUS": "Connections: 1, refused: 0"}:
                told = self.told()

    def fill(self):
        """Sends until the manager has to read before others can send."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.path)
            s.setblocking(False)
            with self.assertRaises(BlockingIOError):
                while True:
                    s.send(b"FILLED=1")

    @harness.plain_only
    def test_store_is_not_read(self):
        """a hand-over to a manager that does not read ends soon, and says what is lost"""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with Echod(env={**self.env, "WATCHDOG_USEC": "3600000000"}, status=-signal.SIGABRT,
                   expect=[NO_MANAGER, "SIGABRT: ", "cannot hand over"]) as d:
            d.wait_thread("rescue")
            with d.connect() as s:
                self.assertEchoes(s)
                self.fill()
                d.stop(signal.SIGABRT)
                self.assertIn("cannot hand over: Connection timed out; 1 connections are lost", d.log())

    def test_manager_is_gone(self):
        """a socket that is not there stops nothing [F45]"""
        with Echod(conf="", env={"NOTIFY_SOCKET": self.path + "-not"},
                   expect=[NO_MANAGER]) as d:
            d.reload()
            self.assertServes(d)


class Bus(Listening):
    """The bus on which the service manager is asked: here it accepts, and says nothing."""

    def setUp(self):
        super().setUp()
        self.bus = self.enterContext(socket.socket(socket.AF_UNIX))
        self.bus.bind(self.path + ".bus")
        self.bus.listen()
        self.bus.settimeout(harness.DEADLINE)
        self.env["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={self.path}.bus"

    def asked(self):
        """The daemon's next connection to the bus."""
        return self.enterContext(self.bus.accept()[0])

    def test_silent(self):
        """while a bus owes its answer all is served, new clients too, and the watchdog is fed"""
        env = {**self.env, "WATCHDOG_USEC": "400000"}
        with Echod(env=env, expect=["does not answer"]) as d:
            self.asked()
            self.assertTrue(self.fed(harness.DEADLINE))  # READY and the heartbeat did not wait
            with d.connect() as s:
                d.signal(signal.SIGTERM)
                self.told("STOPPING")  # before there is an answer
                self.asked()
                for _ in range(3):
                    self.assertTrue(self.fed(harness.DEADLINE))
                    self.assertEchoes(s)
                    self.assertServes(d)
                    self.assertIn("open", d.counters())
                self.assertNotIn("stopping", d.log())
                d.signal(signal.SIGTERM)  # waits no longer
                d.wait_exit()
            self.assertNotIn(NO_MANAGER, d.log())

    def test_hurried(self):
        """a second signal ends the asking, and does not wait for clients either"""
        for number in (signal.SIGTERM, signal.SIGINT):
            with Echod("-o", "shutdown_timeout=3600", env=self.env) as d, d.connect() as s:
                self.assertEchoes(s)
                d.signal(signal.SIGTERM)
                self.asked(), self.asked()
                d.signal(number)
                d.signal(number)  # a third one changes nothing
                self.assertEqual(d.wait_exit(), 0)
                self.assertEqual(s.recv(1), b"")

    def test_extends(self):
        """the stop's time limit that the manager gets includes that of the answer"""
        with Echod("-o", "shutdown_timeout=100", env=self.env) as d:
            d.signal(signal.SIGTERM)
            self.assertGreater(int(self.told("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]), 110_000_000)
            d.signal(signal.SIGTERM)

    def test_absent(self):
        """without a bus the start says once what that means, and a stop does not wait"""
        self.bus.close()
        with Echod(conf="", env=self.env, expect=[NO_MANAGER]) as d:
            d.wait_log("cannot ask the service manager: Connection refused; a restart will close all")
            d.reload()
            self.assertEqual(d.log().count(NO_MANAGER), 1)

    def test_not_asked(self):
        """a daemon that does not hand over asks no bus, at the start or at a stop; a reload can change that"""
        with Echod(conf="hand_over = false\n", env=self.env) as d:
            self.assertServes(d)
        self.bus.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.bus.accept()
        self.bus.settimeout(harness.DEADLINE)
        with Echod(conf="hand_over = false\n", env=self.env, expect=[NO_MANAGER]) as d:
            d.write_conf("hand_over = true\n")
            d.signal(signal.SIGHUP)
            asked = self.asked()
            self.bus.close()  # asked again, it would not answer
            asked.close()
            d.reload("hand_over = false\n")


if __name__ == "__main__":
    harness.main()

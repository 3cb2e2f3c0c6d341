"""What the service manager is told, by a manager that only listens."""

import os
import signal
import socket
import tempfile

import harness
from harness import Echod


# Who is not a unit of a real manager cannot ask it.
NO_MANAGER = "cannot ask the service manager whether this is a restart"


class Notify(harness.Test):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "notify")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(self.path)
        self.manager.settimeout(harness.DEADLINE)

    def told(self):
        """The next message that is not about the store."""
        while True:
            lines = self.manager.recv(4096).decode().splitlines()
            message = dict(line.split("=", 1) for line in lines)
            if "FDNAME" not in message:
                return message

    def test_life(self):
        """READY when it listens; RELOADING and READY, also when refused; STOPPING"""
        with Echod(conf="", env={"NOTIFY_SOCKET": self.path}, wait=False,
                   expect=["reload refused", NO_MANAGER]) as d:
            self.assertEqual(self.told()["READY"], "1")
            d.wait_ready()
            self.assertServes(d)
            d.signal(signal.SIGHUP)
            told = self.told()
            self.assertEqual(told["RELOADING"], "1")
            self.assertGreater(int(told["MONOTONIC_USEC"]), 0)
            self.assertEqual(self.told(), {"READY": "1", "STATUS": "Serving"})
            d.write_conf("nonsense")
            d.signal(signal.SIGHUP)
            self.assertEqual(self.told()["RELOADING"], "1")
            self.assertEqual(self.told(), {"READY": "1",
                                           "STATUS": "Serving; the last reload was refused"})
            d.signal(signal.SIGTERM)
            self.assertEqual(self.told()["STOPPING"], "1")

    def test_ready_means_listening(self):
        """at READY the port is open, although the acceptor may not run yet"""
        for _ in range(20):
            with Echod(env={"NOTIFY_SOCKET": self.path}, wait=False,
                       expect=[NO_MANAGER]) as d:
                self.assertEqual(self.told()["READY"], "1")
                d.wait_ready()
                self.assertServes(d)
                d.signal(signal.SIGTERM)
                self.told()

    def test_not_ready_when_it_fails(self):
        """a start that fails never says READY"""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        status, _, _ = harness.run("-c", "/dev/null", "-o", "listen=127.0.0.1:%d" %
                                   taken.getsockname()[1],
                                   env={**os.environ, "NOTIFY_SOCKET": self.path})
        self.assertEqual(status, 71)
        self.manager.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.manager.recv(4096)

    def test_manager_is_gone(self):
        """a socket that is not there, or that nobody reads, stops nothing"""
        with Echod(conf="", env={"NOTIFY_SOCKET": self.path + "-not"},
                   expect=[NO_MANAGER]) as d:
            d.signal(signal.SIGHUP)
            d.wait_log("reloaded")
            self.assertServes(d)


if __name__ == "__main__":
    harness.main()

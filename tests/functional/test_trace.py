"""--trace shows the events of the article: connect, message, slow reader, half-close, reset."""

import re
import signal
import socket
import subprocess
import threading

import harness
from harness import Echod


class Trace(harness.Test):
    def setUp(self):
        self.lines = []
        self.seen = []
        self.changed = threading.Condition()
        self.daemon = Echod("--trace", "-o", "workers=1", "-o", "send_buffer=4608",
                            stdout=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()
        self.addCleanup(self.daemon.process.stdout.close)
        self.addCleanup(self.daemon.stop)
        self.wait_trace("^worker/0: 1 event: wake-up$")  # the one with the first settings

    def read(self):
        for line in self.daemon.process.stdout:
            with self.changed:
                self.seen.append(line)
                self.lines.append(line.decode().rstrip("\n"))
                self.changed.notify_all()

    def wait_trace(self, pattern):
        """Waits for a line after those that were waited for before."""
        def position():
            return next((i for i, l in enumerate(self.lines) if re.search(pattern, l)), None)
        with self.changed:
            self.assertTrue(self.changed.wait_for(lambda: position() is not None, harness.DEADLINE),
                            f"no {pattern} in {self.lines} ({self.seen})")
            del self.lines[:position() + 1]

    def wait_asleep(self):
        """Waits until the worker has ended the turn in which it echoed.

        What a client does before that, the worker learns from recv(2), not from an event.
        """
        self.daemon.signal(signal.SIGHUP)
        self.wait_trace("^worker/0: 1 event: wake-up$")

    def test_events(self):
        """each step of a connection shows its events, by name"""
        with self.daemon.connect() as s:
            self.wait_trace(r"^acceptor: 1 event: \d+ EPOLLIN$")
            self.wait_trace(r"^worker/0: 1 event: \d+ EPOLLOUT$")  # the adoption
            self.assertEchoes(s)
            self.wait_trace(r"^worker/0: 1 event: \d+ EPOLLIN\|EPOLLOUT$")
            self.wait_asleep()
            s.shutdown(socket.SHUT_WR)
            self.wait_trace(r"^worker/0: 1 event: \d+ EPOLLIN\|EPOLLOUT\|EPOLLRDHUP$")
            self.assertEnds(s)

    def test_slow_reader(self):
        """while a client does not read, its socket is not writable; when it reads, it is again"""
        with self.daemon.connect(rcvbuf=4096) as s:
            sent = harness.fill(s)
            self.wait_trace(r"\d+ EPOLLIN$")
            self.assertEqual(harness.read_exactly(s, len(sent)), sent)
            self.wait_trace(r"\d+ (EPOLLIN\|)?EPOLLOUT$")

    def test_reset(self):
        """a reset shows EPOLLHUP and EPOLLERR"""
        s = self.daemon.connect()
        self.assertEchoes(s)
        self.wait_asleep()
        harness.reset(s)
        self.wait_trace(r"EPOLLIN\|EPOLLOUT\|EPOLLRDHUP\|EPOLLHUP\|EPOLLERR")

    def test_wake_up(self):
        """a wake-up by main is called that"""
        self.wait_asleep()

    def test_one_line_a_batch(self):
        """a line names its thread, its count and as many descriptors"""
        for i in range(50):
            self.assertServes(self.daemon)
        self.daemon.wait_open(0)
        for line in list(self.lines):
            match = re.fullmatch(r"(acceptor|worker/0): (\d+) events?: (.*)", line)
            self.assertTrue(match, line)
            self.assertEqual(len(match.group(3).split(", ")), int(match.group(2)), line)


if __name__ == "__main__":
    harness.main()

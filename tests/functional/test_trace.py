# SPDX-License-Identifier: MIT
"""--trace shows the events of the article: connect, message, slow reader, half-close, reset."""

import fcntl
import os
import re
import signal
import socket
import unittest

import harness


class Trace(harness.Test):
    def setUp(self):
        self.daemon = self.enterContext(harness.Traced())
        self.wait_trace, self.wait_asleep = self.daemon.wait_trace, self.daemon.wait_asleep

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

    def test_one_line_a_batch(self):
        """a line names its thread, its count and as many descriptors"""
        for i in range(50):
            self.assertServes(self.daemon)
        self.daemon.wait_open(0)
        for line in list(self.daemon.traced):
            match = re.fullmatch(r"(acceptor|worker/0): (\d+) events?: (.*)", line)
            self.assertTrue(match, line)
            self.assertEqual(len(match.group(3).split(", ")), int(match.group(2)), line)


class Unread(harness.Test):
    """The trace is not read: its threads wait, by design; main does not."""

    @unittest.skipIf("thread" in harness.SANITIZERS, "at an exit ThreadSanitizer itself waits for stdout")
    def test_stop(self):
        """a reload is refused with the reason, and two signals end the daemon; no end looks like a whole echo [F59]"""
        ours, theirs = os.pipe()
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
        with harness.Echod("--trace", "-o", "workers=1", stdout=theirs, status=os.EX_SOFTWARE,
                           expect=["the acceptor does not answer", "threads do not end"]) as d, \
                harness.many(self.connect_until_stuck(d)) as clients:
            d.reload()
            d.reload(what="reload refused, keeping the running configuration: the acceptor does not answer")
            d.signal(signal.SIGTERM)
            d.wait_log("stopping$")
            d.stop()
            with self.assertRaises(ConnectionError):
                clients[0].recv(1)
        os.close(ours), os.close(theirs)

    def connect_until_stuck(self, daemon):
        """Connections whose events fill the pipe."""
        def is_stuck():  # it writes, or waits until the other one has written
            acceptor, worker = (harness.task(daemon.pid, daemon.wait_thread(name), "wchan")
                                for name in ("acceptor", "worker/0"))
            return "pipe" in acceptor or ("pipe" in worker and "futex" in acceptor)
        while not is_stuck():
            yield daemon.connect()


if __name__ == "__main__":
    harness.main()

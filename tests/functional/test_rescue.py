# SPDX-License-Identifier: MIT
"""The end of the process: SIGTERM and SIGABRT at any moment, beside a bus that answers as it is told."""

import os
import random
import signal
import tempfile
import threading
import time

import harness
from bus import Bus
from manager import Manager

ROUNDS = int(os.environ.get("ROUNDS", 6 if harness.SANITIZERS else 12))
MOMENTS_S = 0.02  # in which a hand-over or a stop takes place


class Talker(threading.Thread):
    """A client that never pauses; the context ends it and raises what went wrong."""

    def __init__(self, s, may_end=False):
        super().__init__(daemon=True)
        self.s, self.may_end = s, may_end
        self.done = False
        self.error = None

    def run(self):
        data = os.urandom(30000)
        try:
            while not self.done:
                if harness.echo(self.s, data) != data and not self.may_end:
                    raise AssertionError("wrong or missing bytes")
        except ConnectionError as e:
            self.error = None if self.may_end else e
        except Exception as e:
            self.error = e

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.done = True
        self.join()
        self.s.close()
        if self.error and not kind:
            raise self.error


class Rescue(harness.Test):
    def setUp(self):
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix="echod-test-"))
        self.bus = self.enterContext(Bus(os.path.join(directory, "bus")))
        self.random = random.Random(harness.SRCDIR)

    def manager(self, *args):
        """A manager whose daemons ask our bus, and may say that they abort."""
        return Manager("-o", "workers=2", *args, expect=["SIGABRT: "])

    def start(self, m):
        m.start(env=self.bus.env())

    def ended(self, m):
        """Waits for the daemon's end, which is one of two; True if SIGABRT came first."""
        status = m.daemon.wait_exit()
        self.assertIn(status, (0, -signal.SIGABRT), m.daemon.log())
        m.daemon.expected_status = status
        m.daemon.stop()
        m.settle()
        return status != 0

    def send(self, m, *numbers):
        """Sends signals, at moments of no order."""
        for number in numbers:
            m.daemon.signal(number)
            time.sleep(self.random.uniform(0, MOMENTS_S))

    def test_restart(self):
        """SIGTERM with a restart hands over; with another job, or none, it stops"""
        with self.manager() as m:
            self.start(m)
            with Talker(m.daemon.connect()), m.daemon.connect() as idle:
                self.assertEchoes(idle)
                for _ in range(3):
                    m.daemon.signal(signal.SIGTERM)
                    self.assertFalse(self.ended(m))
                    self.start(m)
                self.assertEchoes(idle)
            for job in ("stop", ""):
                self.bus.job = job
                with m.daemon.connect() as s:
                    self.assertEchoes(s)
                    m.daemon.signal(signal.SIGTERM)
                    self.assertEnds(s)
                self.ended(m)
                self.start(m)

    def test_late_answer(self):
        """while a restart is not known to be one, all is served, and then handed over"""
        with self.manager() as m:
            self.start(m)
            for _ in range(4):  # of the start
                self.bus.asked.acquire()
            self.bus.answers.clear()
            with m.daemon.connect() as before:
                self.assertEchoes(before)
                m.daemon.signal(signal.SIGTERM)
                self.bus.asked.acquire()
                with m.daemon.connect() as after:
                    self.assertEchoes(after)
                    self.assertEchoes(before)
                    self.bus.answers.set()
                    self.assertFalse(self.ended(m))
                    self.start(m)
                    self.assertEchoes(before)
                    self.assertEchoes(after)
            self.bus.job = "stop"

    def test_abort_in_restart(self):
        """SIGABRT at any moment of a restart loses no connection, whichever thread hands over"""
        with self.manager() as m:
            self.start(m)
            with Talker(m.daemon.connect()), Talker(m.daemon.connect()), m.daemon.connect() as idle:
                aborted = 0
                for _ in range(ROUNDS):
                    self.assertEchoes(idle)
                    self.send(m, *self.random.choice([(signal.SIGTERM, signal.SIGABRT),
                                                      (signal.SIGABRT, signal.SIGTERM)]))
                    aborted += self.ended(m)
                    self.start(m)
                print(f"# {aborted} of {ROUNDS} ended by SIGABRT")
                self.assertEchoes(idle)
            self.bus.job = "stop"

    def test_abort_in_stop(self):
        """SIGABRT at any moment of a stop ends it at once, and by nothing else"""
        self.bus.job = "stop"
        with self.manager("-o", "shutdown_timeout=3600") as m:
            for _ in range(ROUNDS):
                self.start(m)
                with Talker(m.daemon.connect(), may_end=True), m.daemon.connect() as stays:
                    self.assertEchoes(stays)
                    self.send(m, signal.SIGTERM, signal.SIGABRT)
                    self.ended(m)
                    m.clear()  # what was handed over, if SIGABRT came first
            self.start(m)


if __name__ == "__main__":
    harness.main()

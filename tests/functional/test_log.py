# SPDX-License-Identifier: MIT
"""The log: levels, prefixes, and that it never holds up an echo."""

import contextlib
import fcntl
import os
import pty
import pwd
import re
import resource
import signal
import socket
import subprocess
import tempfile

import backdoor
import harness
from harness import ECHOD, Echod


class Unlogged(harness.Server):
    """A daemon whose log the harness does not read; a context that kills it."""

    def __init__(self, *args, **popen):
        self.process = subprocess.Popen([ECHOD, "-c", "/dev/null", "-o", "listen=127.0.0.1:0", *args], **popen)
        self.pid = self.process.pid

    def __enter__(self):
        try:
            self.wait_listening()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Log(harness.Test):
    def test_no_line_per_connection(self):
        """10,000 connections, half of them reset, and not a line for them [F34]"""
        with Echod() as d:
            for i in range(10000):
                s = d.connect()
                if i % 2:
                    harness.reset(s)
                else:
                    s.close()
            d.wait_open(0)
            lines = [l for l in d.log().splitlines() if "counters: " not in l]
            self.assertEqual(len(lines), 2, lines)


class Test(harness.Test):
    def assertEchoesMany(self, daemon, n):
        """It echoes one connection after the other."""
        for i in range(n):
            with daemon.connect() as s:
                self.assertEchoes(s, b"%d" % i)

    def assertStops(self, daemon):
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.process.wait(harness.DEADLINE), 0)


class BlockedLog(Test):
    """Whatever stderr is, no connection waits for a reader of it. [F51]"""

    def check(self, stderr, fill_it=None, **options):
        """Runs a daemon that logs at each connection into stderr that takes no more, or soon will."""
        with Unlogged("-o", "workers=1", "-o", "log_level=debug", stdin=subprocess.DEVNULL, stderr=stderr,
                      **options) as d:
            if fill_it:
                fill_it()
            self.assertEchoesMany(d, 2000)
            if not fill_it:
                self.wait_blocked(d)
            self.assertStops(d)

    def wait_blocked(self, daemon):
        """Waits until the thread that writes sleeps, and not because there is nothing to write."""
        thread = daemon.pid, daemon.wait_thread("log")
        harness.wait_until(lambda: harness.task_state(*thread) == "S" and
                           "poll" not in harness.task(*thread, "wchan"), "a write that blocks")

    def fill(self, fd):
        """Writes until no more fits; what else shares the description stays blocking."""
        copy = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with open(copy, "wb", 0) as f:
            while f.write(b"x" * 1024):
                pass

    def test_full(self):
        """a full pipe, and a terminal that a user has stopped [P12]"""
        for make in os.pipe, pty.openpty:
            ours, theirs = make()
            self.check(theirs, lambda: self.fill(theirs))
            self.assertFalse(fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK)
            os.close(ours), os.close(theirs)

    def test_of_another(self):
        """another user's terminal or pipe, which may not be opened again: a write to it blocks"""
        nobody = pwd.getpwnam("nobody").pw_uid
        for make in pty.openpty, os.pipe:
            ours, theirs = make()
            os.fchmod(theirs, 0)
            self.check(theirs, **({"user": nobody} if os.geteuid() == 0 else {}))
            os.close(ours), os.close(theirs)

    def test_socket(self):
        """a full socket, as the journal's when it hangs"""
        ours, theirs = socket.socketpair()

        def fill_it():
            with contextlib.suppress(BlockingIOError):
                while True:
                    theirs.send(b"x" * 1024, socket.MSG_DONTWAIT)
        with ours, theirs:
            self.check(theirs, fill_it)

    def test_gone(self):
        """a pipe whose other end is closed"""
        ours, theirs = os.pipe()
        self.check(theirs, lambda: os.close(ours))
        os.close(theirs)

    def test_closed(self):
        """no stderr at all: the log goes nowhere, and above all not into a connection"""
        with Unlogged("-o", "log_level=debug", preexec_fn=lambda: os.closerange(0, 3)) as d:
            self.assertEchoesMany(d, 100)
            self.assertStops(d)


class File(Test):
    """A file, to which a thread of its own writes."""

    def test_thread(self):
        """it is confined as workers are, and has written all when the daemon ends"""
        with tempfile.TemporaryFile("a+") as log, Unlogged(stdin=subprocess.DEVNULL, stderr=log) as d:
            tid = d.wait_thread("log")
            if not backdoor.built_without():
                harness.wait_until(lambda: d.status("Seccomp", tid) == 2, "its filter")
            self.assertStops(d)
            log.seek(0)
            said = harness.AS_ROOT.sub("", log.read()).removeprefix("echod: warning: ")
            self.assertRegex(said, r"\Aechod: listening on [^\0]*\nechod: stopped, counters: .*\n\Z")

    def test_at_its_limit(self):
        """a log at the limit of file sizes loses lines, which are counted and reported; the daemon serves"""
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with tempfile.TemporaryFile("a+") as log, Unlogged("-o", "log_level=debug", stdin=subprocess.DEVNULL,
                                                           stderr=log, preexec_fn=limit) as d:
            self.assertEchoesMany(d, 100)
            self.assertEqual(os.fstat(log.fileno()).st_size, 4096)
            os.ftruncate(log.fileno(), 0)  # as rotation by a copy does

            def told():
                d.process.send_signal(signal.SIGUSR1)
                log.seek(0)
                return re.match(r"echod: warning: \d+ log lines lost: ", log.read())
            harness.wait_until(told, "the number of lost lines")
            self.assertStops(d)


if __name__ == "__main__":
    harness.main()

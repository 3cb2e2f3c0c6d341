"""The log: levels, prefixes, and that it never holds up an echo."""

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


class Log(harness.Test):
    def test_levels(self):
        """each level shows itself and what is graver"""
        for level, shown in (("error", ""), ("warning", "W"), ("info", "WI"), ("debug", "WID")):
            with Echod("-o", f"log_level={level}", "-o", "max_connections=1", wait=False,
                       expect=[harness.REFUSED], listen="127.0.0.1:0") as d:
                port = harness.wait_until(lambda: self.port_of(d), "its port")
                with d.connect(port):
                    self.assertRefused(d, port=port)
                d.stop()
                log = d.log()
                self.assertEqual("refused a connection" in log, "W" in shown)
                self.assertEqual("listening on" in log, "I" in shown)
                self.assertEqual("debug: " in log, "D" in shown)

    def port_of(self, daemon):
        """The port it listens on, by the inode of a socket of its own."""
        inodes = set()
        for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
            try:
                inodes.add(os.readlink(f"/proc/{daemon.pid}/fd/{fd}"))
            except FileNotFoundError:
                pass
        with open(f"/proc/{daemon.pid}/net/tcp") as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    return int(fields[1].split(":")[1], 16)
        return None

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

    def test_foreign_journal_stream(self):
        """JOURNAL_STREAM that names another stream changes nothing"""
        with Echod(env={"JOURNAL_STREAM": "1:2"}) as d:
            self.assertRegex(d.log(), "^echod: listening")


class BlockedLog(harness.Test):
    """Whatever stderr is, nobody reading it must not hold up anyone. [F51]"""

    def check(self, stderr, fill_it=None, **options):
        """Runs a daemon that logs at each connection into stderr that takes no more, or soon will."""
        p = subprocess.Popen([ECHOD, "-c", "/dev/null", "-o", "listen=127.0.0.1:0", "-o",
                              "workers=1", "-o", "log_level=debug"], stdin=subprocess.DEVNULL,
                             stderr=stderr, **options)
        try:
            daemon = Reader(p)
            port = harness.wait_until(lambda: Log.port_of(self, daemon), "its port")
            if fill_it:
                fill_it()
            for i in range(2000):
                with socket.create_connection(("127.0.0.1", port), harness.DEADLINE) as s:
                    self.assertEchoes(s, b"%d" % i)
            if not fill_it:
                self.wait_blocked(daemon)
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(harness.DEADLINE), 0)
        finally:
            p.kill()
            p.wait()

    def wait_blocked(self, daemon):
        """Waits until the thread that writes sleeps, and not because there is nothing to write."""
        task = f"/proc/{daemon.pid}/task/{daemon.wait_thread('log')}"

        def blocked():
            with open(f"{task}/stat") as stat, open(f"{task}/wchan") as where:
                return stat.read().rpartition(")")[2].split()[0] == "S" and "poll" not in where.read()
        harness.wait_until(blocked, "a write that blocks")

    def fill(self, fd):
        """Writes until no more fits; what else shares the description stays blocking."""
        copy = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            while True:
                os.write(copy, b"x" * 1024)
        except BlockingIOError:
            pass
        finally:
            os.close(copy)

    def test_pipe(self):
        """a full pipe [P12]"""
        ours, theirs = os.pipe()
        self.check(theirs, lambda: self.fill(theirs))
        self.assertFalse(fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK)
        os.close(ours), os.close(theirs)

    def test_terminal(self):
        """a terminal that somebody has stopped"""
        ours, theirs = pty.openpty()
        self.check(theirs, lambda: self.fill(theirs))
        self.assertFalse(fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK)
        os.close(ours), os.close(theirs)

    def check_forbidden(self, theirs):
        """The same with what the daemon may not open again; its own lines fill it."""
        os.fchmod(theirs, 0)
        nobody = pwd.getpwnam("nobody").pw_uid
        self.check(theirs, **({"user": nobody} if os.geteuid() == 0 else {}))

    def test_terminal_of_another(self):
        """another user's terminal that nobody reads: a write to it blocks, however much room it has"""
        ours, theirs = pty.openpty()
        self.check_forbidden(theirs)
        os.close(ours), os.close(theirs)

    def test_pipe_of_another(self):
        """another user's pipe that nobody reads"""
        ours, theirs = os.pipe()
        self.check_forbidden(theirs)
        os.close(ours), os.close(theirs)

    def test_socket(self):
        """a full socket, as the journal's when it hangs"""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            def fill_it():
                try:
                    while True:
                        theirs.send(b"x" * 1024, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass
            self.check(theirs, fill_it)

    def test_gone(self):
        """a pipe that nobody reads any more"""
        ours, theirs = os.pipe()
        self.check(theirs, lambda: os.close(ours))
        os.close(theirs)

    def test_closed(self):
        """no stderr at all: the log goes nowhere, and above all not into a connection"""
        p = subprocess.Popen([ECHOD, "-c", "/dev/null", "-o", "listen=127.0.0.1:0", "-o",
                              "log_level=debug"], preexec_fn=lambda: os.closerange(0, 3))
        try:
            port = harness.wait_until(lambda: Log.port_of(self, Reader(p)), "its port")
            for i in range(100):
                with socket.create_connection(("127.0.0.1", port), harness.DEADLINE) as s:
                    self.assertEchoes(s, b"%d" % i)
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(harness.DEADLINE), 0)
        finally:
            p.kill()
            p.wait()


class File(harness.Test):
    """A file, to which a thread of its own writes."""

    def test_thread(self):
        """it is confined as workers are, and has written all when the daemon ends"""
        with tempfile.TemporaryFile("a+") as log:
            p = subprocess.Popen([ECHOD, "-c", "/dev/null", "-o", "listen=127.0.0.1:0"],
                                 stdin=subprocess.DEVNULL, stderr=log)
            try:
                d = Reader(p)
                tid = d.wait_thread("log")
                harness.wait_until(lambda: Log.port_of(self, d), "its port")
                if not backdoor.built_without():
                    harness.wait_until(lambda: d.status("Seccomp", tid) == 2, "its filter")
                p.send_signal(signal.SIGTERM)
                self.assertEqual(p.wait(harness.DEADLINE), 0)
                log.seek(0)
                said = harness.AS_ROOT.sub("", log.read()).removeprefix("echod: warning: ")
                self.assertRegex(said, r"\Aechod: listening on [^\0]*\nechod: stopped, counters: .*\n\Z")
            finally:
                p.kill()
                p.wait()

    def test_at_its_limit(self):
        """a log at the limit of file sizes loses lines, which are counted and told; the daemon serves"""
        with tempfile.TemporaryFile("a+") as log:
            p = subprocess.Popen([ECHOD, "-c", "/dev/null", "-o", "listen=127.0.0.1:0", "-o",
                                  "log_level=debug"], stdin=subprocess.DEVNULL, stderr=log,
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
            try:
                port = harness.wait_until(lambda: Log.port_of(self, Reader(p)), "its port")
                for i in range(100):
                    with socket.create_connection(("127.0.0.1", port), harness.DEADLINE) as s:
                        self.assertEchoes(s, b"%d" % i)
                self.assertEqual(os.fstat(log.fileno()).st_size, 4096)
                os.ftruncate(log.fileno(), 0)  # as who rotates it by a copy

                def told():
                    p.send_signal(signal.SIGUSR1)
                    log.seek(0)
                    return re.match(r"echod: warning: \d+ log lines lost: ", log.read())
                harness.wait_until(told, "the number of lost lines")
                p.send_signal(signal.SIGTERM)
                self.assertEqual(p.wait(harness.DEADLINE), 0)
            finally:
                p.kill()
                p.wait()


class Reader(harness.Server):
    def __init__(self, process):
        self.pid = process.pid


if __name__ == "__main__":
    harness.main()

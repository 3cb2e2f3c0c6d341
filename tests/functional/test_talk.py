# SPDX-License-Identifier: MIT
"""echoc talk: a pipe through an echo service."""

import contextlib
import fcntl
import hashlib
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time

import harness
from client import is_blocking, recorder, server
from harness import Echod

LIMIT = 64 << 20  # bytes that --verify keeps in flight


def changer(change):
    """Serves: receives all, and then sends what change(all) makes of it."""
    def serve(connection):
        connection.sendall(change(harness.read_to_end(connection)))
    return serve


def resident(pid):
    """Bytes of memory."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^VmRSS:\s+(\d+)", f.read(), re.M).group(1)) << 10


def cpu_seconds():
    """What the children that have ended have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def readable(pipe):
    """How many bytes wait in it."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


class Talk(harness.Test):
    @contextlib.contextmanager
    def start(self, *args, **options):
        """A running echoc with pipes, unless options say otherwise; killed after the deadline."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen([harness.ECHOC, *args], **{**pipes, **options}) as p:
            timer = threading.Timer(2 * harness.DEADLINE, p.kill)
            timer.start()
            try:
                yield p
            finally:
                p.kill()
                timer.cancel()

    def check_end(self, status, error, expected_status, message):
        self.assertNotRegex(error, harness.FINDING)
        self.assertRegex(error, message)
        self.assertLessEqual(error.count("\n"), 1)
        self.assertEqual(status, expected_status, error)

    def end(self, p, status, message="^$"):
        """The end of input, and that of echoc, with what it says on stderr."""
        if p.stdin:
            p.stdin.close()
        error = p.stderr.read().decode()
        self.check_end(p.wait(harness.DEADLINE), error, status, message)

    def talk(self, *args, data=b"", status=0, message="^$", prefix=(), **options):
        """All of it at once; returns what came out."""
        options = {"input": data, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        if "stdin" in options:
            del options["input"]
        p = subprocess.run([*prefix, harness.ECHOC, *args], timeout=2 * harness.DEADLINE, **options)
        self.check_end(p.returncode, p.stderr.decode(), status, message)
        return p.stdout


class Pipe(Talk):
    """Neither is a terminal: bytes in, bytes out."""

    def check_echo(self, data, *args):
        with Echod() as d:
            self.assertEqual(self.talk(*args, f"127.0.0.1:{d.port}", data=data), data)

    def test_empty(self):
        """no input, no output, all is well"""
        self.check_echo(b"")
        self.check_echo(b"", "--verify")

    def test_byte(self):
        """one byte"""
        self.check_echo(b"x")
        self.check_echo(b"x", "talk", "--verify")

    def test_binary(self):
        """every value of a byte, in many orders"""
        data = b"".join(bytes((a * b) % 257 % 256 for b in range(256)) for a in range(257))
        self.check_echo(data)
        self.check_echo(data, "--verify")

    def pump(self, size, *args):
        """Sends size bytes that are nowhere the same, and compares the sums of both directions."""
        block = os.urandom((1 << 20) - 8)
        sent, received = hashlib.sha256(), hashlib.sha256()

        def read():
            while chunk := p.stdout.read1(1 << 20):
                received.update(chunk)

        with Echod() as d, self.start(*args, f"127.0.0.1:{d.port}") as p:
            reader = threading.Thread(target=read)
            reader.start()
            for i in range(size >> 20):
                for chunk in (block, i.to_bytes(8, "big")):
                    sent.update(chunk)
                    p.stdin.write(chunk)
            self.end(p, 0)
            reader.join(harness.DEADLINE)
        self.assertEqual(received.hexdigest(), sent.hexdigest())

    def test_large(self):
        """256 MiB come back with the same sha256"""
        self.pump(256 << 20)

    def test_large_verified(self):
        """256 MiB come back with the same sha256, and echoc has compared them, too"""
        self.pump(256 << 20, "--verify")

    def test_slow_input(self):
        """each byte is on its way at once, and comes out at once; descriptors stay blocking"""
        with Echod() as d, self.start(f"127.0.0.1:{d.port}") as p:
            for i in range(200):
                os.write(p.stdin.fileno(), bytes([i]))
                self.assertEqual(os.read(p.stdout.fileno(), 10), bytes([i]))
                self.assertTrue(is_blocking(p.stdin.fileno()) and is_blocking(p.stdout.fileno()))
            self.end(p, 0)

    def test_slow_output(self):
        """a reader that pauses for longer than the timeout gets all output; no busy loop"""
        before = cpu_seconds()
        with contextlib.ExitStack() as stack:
            d = stack.enter_context(Echod())
            late = stack.enter_context(server(changer(lambda data: data)))
            running = []
            # What fills all buffers, and what comes when input has ended long ago.
            for address, size in (f"127.0.0.1:{d.port}", 32 << 20), (late, 1 << 20):
                data = os.urandom(size)
                f = stack.enter_context(tempfile.TemporaryFile())
                f.write(data)
                f.seek(0)
                p = stack.enter_context(self.start("--verify", address, stdin=f))
                running.append((p, data))
            with self.assertRaises(subprocess.TimeoutExpired):
                running[-1][0].wait(6)
            for p, data in running:
                if not harness.SANITIZERS:
                    self.assertLess(resident(p.pid), 64 << 20)
                output = p.stdout.read()
                self.end(p, 0)
                self.assertTrue(output == data)
            self.assertLess(cpu_seconds() - before, 3)

    def test_full_output(self):
        """while the output is not read, input is still sent"""
        def serve(connection):
            connection.sendall(b"x")
            begun.wait(harness.DEADLINE)
            connection.sendall(bytes(1 << 20))
            connection.recv(1)
            got.set()

        begun, got = threading.Event(), threading.Event()
        with server(serve) as address, self.start(address) as p:
            harness.wait_until(lambda: readable(p.stdout) == 1, "a pipe that is not quite empty")
            begun.set()
            harness.wait_until(lambda: readable(p.stdout) >= 1 << 15, "a pipe that is full")
            os.write(p.stdin.fileno(), b"x")
            self.assertTrue(got.wait(harness.DEADLINE))
            self.assertEqual(len(p.stdout.read()), (1 << 20) + 1)
            self.end(p, 1, "the server has closed the connection before the end of input")

    def test_one_byte_writes(self):
        """a reader that takes one byte, and a slow writer at the same time"""
        data = os.urandom(300000)
        with Echod() as d, self.start("--verify", f"127.0.0.1:{d.port}") as p:
            writer = threading.Thread(target=lambda: (p.stdin.write(data), p.stdin.close()))
            writer.start()
            first = b"".join(os.read(p.stdout.fileno(), 1) for _ in range(1000))
            self.assertEqual(first + p.stdout.read(), data)
            writer.join(harness.DEADLINE)
            self.end(p, 0)

    def test_files(self):
        """input from the middle of a file, output to the end of another"""
        data = os.urandom(3 << 20)
        with Echod() as d, tempfile.TemporaryDirectory() as folder:
            source, sink = os.path.join(folder, "in"), os.path.join(folder, "out")
            with open(source, "wb") as f:
                f.write(b"skipped" + data)
            with open(sink, "wb") as f:
                f.write(b"before")
            with open(source, "rb", buffering=0) as f, open(sink, "ab") as g:
                f.seek(len("skipped"))
                with self.start(f"127.0.0.1:{d.port}", stdin=f, stdout=g) as p:
                    self.end(p, 0)
            with open(sink, "rb") as f:
                self.assertEqual(f.read(), b"before" + data)

    def test_sockets(self):
        """standard input and output are the same socket"""
        data = os.urandom(1 << 20)
        ours, theirs = socket.socketpair()
        with Echod() as d, ours, theirs:
            ours.settimeout(harness.DEADLINE)
            with self.start(f"127.0.0.1:{d.port}", stdin=theirs, stdout=theirs) as p:
                theirs.close()
                self.assertEqual(harness.echo(ours, data), data)
                ours.shutdown(socket.SHUT_WR)
                self.assertEnds(ours)
                self.end(p, 0)

    def test_late_answer(self):
        """a server that answers only after the end of input"""
        data = os.urandom(16 << 20)
        with server(changer(lambda data: data)) as address:
            self.assertEqual(self.talk("--verify", address, data=data), data)

    def test_ipv6(self):
        """an IPv6 address in brackets"""
        with Echod(listen="[::1]:0") as d:
            self.assertEqual(self.talk(f"[::1]:{d.port}", data=b"six"), b"six")
            self.assertEqual(self.talk("-6", f"[::1]:{d.port}", data=b"six"), b"six")


class Liars(Talk):
    """Servers that do not echo."""

    def test_closes_early(self):
        """the server closes while there is input: what came is out, status 1, at once"""
        def serve(connection):
            connection.sendall(harness.read_exactly(connection, 3))

        for args in ([], ["--verify"]):
            with server(serve) as address, self.start(*args, address) as p:
                os.write(p.stdin.fileno(), b"abc")
                self.assertEqual(p.stdout.read(), b"abc")  # and the end of it
                self.assertIsNotNone(p.wait(harness.DEADLINE))
                self.end(p, 1, f"^echoc: {address}: the server has closed the connection before")

    def test_resets(self):
        """the server resets"""
        def serve(connection):
            connection.sendall(harness.read_exactly(connection, 1))
            gate.wait(harness.DEADLINE)
            harness.reset(connection)

        gate = threading.Event()
        with server(serve) as address, self.start(address) as p:
            os.write(p.stdin.fileno(), b"a")
            self.assertEqual(p.stdout.read(1), b"a")
            gate.set()
            self.assertEqual(p.stdout.read(), b"")
            self.end(p, 1, f"^echoc: {address}: Connection reset by peer, as by a limit or a restart of the server: sent 1 bytes, 1 came")

    def test_closes_unread(self):
        """the server closes before it has read what fills all buffers"""
        def serve(connection):
            connection.recv(1)

        with server(serve) as address, open("/dev/zero", "rb") as zero:
            with self.start(address, stdin=zero) as p:
                self.end(p, 1, f"^echoc: {address}: .*: sent [0-9]+ bytes, 0 came back")

    def test_drops(self):
        """a byte is missing"""
        for dropped in 0, 2, 5:
            with server(changer(lambda data: data[:dropped] + data[dropped + 1:])) as address:
                message = f"^echoc: {address}: too little came back: sent 6 bytes, 5 came back$"
                self.talk(address, data=b"abcdef", status=1, message=message)
        with server(changer(lambda data: data[:2] + data[3:])) as address:
            self.talk("--verify", address, data=b"abcdef", status=1,
                      message=f"^echoc: {address}: at offset 2: expected 0x63, found 0x64$")
        with server(changer(lambda data: data[:-1])) as address:
            self.talk("--verify", address, data=b"abcdef", status=1, message="sent 6 bytes, 5 came")

    def test_flips(self):
        """a byte is another one: only --verify looks"""
        with server(changer(lambda data: b"abCdef")) as address:
            self.assertEqual(self.talk(address, data=b"abcdef"), b"abCdef")
        with server(changer(lambda data: b"abCdef")) as address:
            message = f"^echoc: {address}: at offset 2: expected 0x63, found 0x43$"
            output = self.talk("--verify", address, data=b"abcdef", status=1, message=message)
            self.assertEqual(output, b"abCdef")

    def test_flips_far(self):
        """a byte is another one, far into a stream that has not ended"""
        where = 10000019

        def answer(data):
            at = where + len(data) - len(log)
            if 0 <= at < len(data):
                data = data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1:]
            return data

        for size in 1 << 14, 1 << 16:
            log = bytearray()
            with server(recorder(log, answer)) as address, self.start("--verify", address) as p:
                reader = threading.Thread(target=p.stdout.read)
                reader.start()
                with self.assertRaises(BrokenPipeError):
                    while True:
                        os.write(p.stdin.fileno(), os.urandom(size))
                reader.join(harness.DEADLINE)
                was = log[where]
                self.end(p, 1, f"at offset {where}: expected 0x{was:02x}, found 0x{was ^ 128:02x}$")

    def test_unasked(self):
        """more comes than was sent"""
        with server(changer(lambda data: data + b"xyz")) as address:
            output = self.talk(address, data=b"ab", status=1,
                               message="too much came back: sent 2 bytes, 5 came back$")
            self.assertEqual(output, b"abxyz")
        with server(changer(lambda data: data + b"xyz")) as address:
            self.talk("--verify", address, data=b"ab", status=1,
                      message="at offset 2: expected nothing, found 0x78$")

    def test_unasked_first(self):
        """the server speaks before it is asked; --verify ends at once, even without input"""
        with server(lambda c: c.sendall(b"220 welcome\r\n") or c.recv(1)) as address:
            with self.start("--verify", address) as p:
                self.assertEqual(p.stdout.read(), b"220 welcome\r\n")
                self.end(p, 1, "at offset 0: expected nothing, found 0x32; is it an echo service\\?$")

    def test_never_ends(self):
        """a server that does not answer, or does not end, after the end of input: 5 s"""
        def swallow(connection):
            harness.read_to_end(connection)
            over.wait(harness.DEADLINE)

        def echo(connection):
            recorder(bytearray())(connection)
            over.wait(harness.DEADLINE)

        over = threading.Event()
        before = cpu_seconds()
        with contextlib.ExitStack() as stack:
            running = []
            for serve, back in (swallow, 0), (echo, 3):
                address = stack.enter_context(server(serve))
                stack.callback(over.set)
                p = stack.enter_context(self.start(address))
                p.stdin.write(b"abc")
                p.stdin.close()
                running.append((p, back))
            for p, back in running:
                self.end(p, 1, f"silence after the end of input: sent 3 bytes, {back} came back$")
        self.assertLess(cpu_seconds() - before, 2)

    def test_hoards(self):
        """--verify sends 64 MiB, then only as much as comes back, and memory stays bounded"""
        def serve(connection):
            hoard = harness.read_exactly(connection, LIMIT)
            connection.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                connection.recv(1)
            connection.settimeout(harness.DEADLINE)
            if not harness.SANITIZERS:
                self.assertLess(resident(pid[0]), 2 * LIMIT)
            sender = threading.Thread(target=connection.sendall, args=(hoard,))
            sender.start()
            rest = harness.read_to_end(connection)
            sender.join(harness.DEADLINE)
            connection.sendall(rest)

        pid = []
        with server(serve) as address, tempfile.TemporaryFile() as zeros:
            zeros.truncate(LIMIT + 123456)
            with self.start("--verify", address, stdin=zeros) as p:
                pid.append(p.pid)
                output = p.stdout.read()
                self.end(p, 0)
                self.assertTrue(output == bytes(LIMIT + 123456))


class Failures(Talk):
    """What is not the echo's fault: status 2."""

    def test_refused(self):
        """no process listens"""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{s.getsockname()[1]}"
            self.talk(address, status=2, message=f"^echoc: {address}: Connection refused$")

    def test_unknown_name(self):
        """a name that cannot exist"""
        name = 64 * "x" + ".invalid"
        self.talk(name, status=2, message=f"^echoc: {name}: [A-Z]")

    def test_connect_timeout(self):
        """a listener whose queue is full does not answer: given up after the time that was said"""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), harness.DEADLINE):
                start = time.monotonic()
                self.talk("--connect-timeout", "0.2", f"127.0.0.1:{port}", status=2,
                          message=f"^echoc: 127.0.0.1:{port}: Connection timed out$")
                self.assertGreaterEqual(time.monotonic() - start, 0.2)

    def test_full_disk(self):
        """output that takes nothing"""
        with Echod() as d, open("/dev/full", "wb") as full:
            self.talk(f"127.0.0.1:{d.port}", data=b"x", stdout=full, status=2,
                      message="^echoc: standard output: No space left on device$")

    def test_closed_output(self):
        """output whose reader has ended"""
        with Echod() as d, self.start(f"127.0.0.1:{d.port}") as p:
            p.stdout.close()
            os.write(p.stdin.fileno(), b"x")
            self.end(p, 2, "^echoc: standard output: Broken pipe$")

    def test_unreadable_input(self):
        """a directory as input"""
        folder = os.open("/", os.O_RDONLY)
        try:
            with Echod() as d:
                self.talk(f"127.0.0.1:{d.port}", stdin=folder, status=2,
                          message="^echoc: standard input: Is a directory$")
        finally:
            os.close(folder)

    def test_no_streams(self):
        """standard streams that are closed: the connection is not taken for one of them"""
        with Echod() as d:
            address = f"127.0.0.1:{d.port}"
            for closed, name in ("<&-", "input"), (">&-", "output"):
                self.talk(address, status=2, message=f"^echoc: standard {name}: Bad file desc",
                          prefix=["sh", "-c", f'exec "$@" {closed}', "sh"])

        def serve(connection):
            log.extend(connection.recv(1))
            connection.sendall(b"y")  # for which there is a message
            log.extend(harness.read_to_end(connection))

        log = bytearray()
        ours, theirs = os.pipe()
        try:
            os.write(theirs, b"x")
            with server(serve) as address:
                self.talk("--verify", address, status=1, stdin=ours,
                          prefix=["sh", "-c", 'exec "$@" 2>&-', "sh"])
        finally:
            os.close(ours), os.close(theirs)
        self.assertEqual(log, b"x")


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""Runs of echoc, for the tests of its commands."""

import contextlib
import fcntl
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading

import harness

ECHOC = harness.ECHOC
REPORT = re.compile(r"connection (\d+), offset (\d+): expected (0x..|nothing), found (0x..)")


class Result:
    """What a run of the client left behind."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err
        if harness.FINDING.search(err):
            raise AssertionError("a sanitizer found something:\n" + err)

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def reports(self):
        """(connection, offset, expected, found) of each wrong byte that was told."""
        return [(int(c), int(o), e, f) for c, o, e, f in REPORT.findall(self.err)]


def read_terminal(fd):
    """All that is written to a terminal until its other end is closed; closes it."""
    text = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while chunk := os.read(fd, 4096):
            text += chunk
    os.close(fd)
    return text.decode()


def mask(p, name):
    """The signals of a mask in /proc/PID/status."""
    with open(f"/proc/{p.pid}/status") as f:
        bits = int(re.search(rf"^{name}:\s+(\w+)", f.read(), re.M).group(1), 16)
    return {number for number in signal.Signals if bits >> number - 1 & 1}


class Client(harness.Test):
    def start(self, *args, **options):
        """A client that runs; it is gone at the end of the test."""
        p = subprocess.Popen([*options.pop("prefix", ()), ECHOC, *map(str, args)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=options.pop("stderr", subprocess.PIPE),
                             text=True, **options)
        self.addCleanup(p.communicate)
        self.addCleanup(p.kill)
        return p

    def finish(self, p, timeout=None):
        out, err = p.communicate(timeout=timeout or harness.DEADLINE)
        return Result(p.returncode, out, err or "")

    def run_client(self, *args, timeout=None):
        return self.finish(self.start(*args), timeout)

    def load(self, target, *args, status=0, timeout=None):
        """Runs a load with --json to its end; returns the object, with the Result in it."""
        result = self.run_client("load", "--json", *args, target, timeout=timeout)
        self.assertEqual(result.status, status, result.err + result.out)
        return {**result.json, "result": result}

    def on_terminal(self, *args):
        """A client whose standard error is a terminal, and a function that reads there up to a text."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        p = self.start(*args, stderr=theirs)
        os.close(theirs)

        def read(text):
            seen = b""
            while text not in seen:
                self.assertTrue(select.select([ours], [], [], harness.DEADLINE)[0], seen)
                seen += os.read(ours, 4096)
            return seen
        return p, read

    def temporary(self, text):
        """The path of a file with that text, which is gone at the end of the test."""
        with tempfile.NamedTemporaryFile("w", delete=False) as f:
            f.write(text)
        self.addCleanup(os.unlink, f.name)
        return f.name

    def interrupt(self, p):
        """^C, and waits until it was heard."""
        p.send_signal(signal.SIGINT)

        def heard():
            try:
                with open(f"/proc/{p.pid}/status") as f:
                    status = f.read()
                pending = int(re.search(r"^ShdPnd:\s+(\w+)", status, re.M).group(1), 16)
            except (OSError, AttributeError):
                return True  # it has ended
            return re.search(r"^State:\s+[ZX]", status, re.M) or not pending & 1 << signal.SIGINT - 1
        harness.wait_until(heard, "the signal's delivery")

    def assertAllBack(self, json):
        """Every message and byte was verified, and nothing else happened."""
        self.assertEqual(json["messages_sent"], json["messages_verified"])
        self.assertEqual(json["bytes_sent"], json["bytes_verified"])
        for name in ("corrupt", "lost", "unsent", "resets", "early_closes", "connect_failures"):
            self.assertEqual(json[name], 0, name)


@contextlib.contextmanager
def server(serve):
    """A server of one connection, which serve(connection) serves; yields its HOST:PORT.

    A client that resets is not its concern.  Its other errors fail the test.
    """
    errors = []

    def run():
        try:
            with listener.accept()[0] as connection:
                connection.settimeout(harness.DEADLINE)
                serve(connection)
        except ConnectionError:
            pass
        except BaseException as e:
            errors.append(e)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(harness.DEADLINE)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(2 * harness.DEADLINE)
            if errors:
                raise errors[0]


def recorder(log, answer=lambda data: data):
    """Serves: appends to the bytearray log what comes, and answers it."""
    def serve(connection):
        while data := connection.recv(1 << 16):
            log.extend(data)
            connection.sendall(answer(data))
    return serve


def is_blocking(fd):
    return not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK


def target_of(daemon):
    return f"127.0.0.1:{daemon.port}"

# SPDX-License-Identifier: MIT
"""Echo servers with one fault each, to see whether a client finds it.

Each is a context: it listens on a free port of 127.0.0.1, self.port, serves
each connection in a thread, and is gone at the end of the block.  A fault sits
at a position of the stream, so that it is there in every run.
"""

import contextlib
import socket
import threading
import time

import harness

PIECE = 1 << 20


class Honest:
    """Echoes; the others differ in talk()."""

    def __init__(self, port=0):
        self.port = port
        self.stopping = threading.Event()
        self.links, self.threads, self.failures = [], [], []
        self.lock = threading.Lock()
        self.accepted = 0

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()
        return self

    def __exit__(self, kind, value, traceback):
        self.vanish()
        self.acceptor.join(harness.DEADLINE)
        for t in self.threads:
            t.join(harness.DEADLINE)
        if kind is None and self.failures:
            raise self.failures[0]

    def vanish(self):
        """Closes the listener and all connections."""
        self.stopping.set()
        with self.lock:
            for s in (self.listener, *self.links):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
            self.listener.close()

    def _accept(self):
        while True:
            try:
                s = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                if self.stopping.is_set():
                    s.close()
                    return
                self.links.append(s)
                number = self.accepted
                self.accepted += 1
            t = threading.Thread(target=self._serve, args=(s, number), daemon=True)
            self.threads.append(t)
            t.start()

    def _serve(self, s, number):
        s.settimeout(2 * harness.DEADLINE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.talk(s, number)
        except (ConnectionError, TimeoutError):
            pass  # the client may have had enough
        except Exception as e:
            self.failures.append(e)
        finally:
            with self.lock:
                self.links.remove(s)
                s.close()

    def talk(self, s, number):
        """One connection, the number-th that came."""
        self.echo(s)

    def echo(self, s, size=None):
        """Echoes that many bytes, or all; false at the end of the stream."""
        buffer = memoryview(bytearray(PIECE))
        while size is None or size > 0:
            n = s.recv_into(buffer, min(PIECE, size) if size else PIECE)
            if n == 0:
                return False
            s.sendall(buffer[:n])
            size = size and size - n
        return True

    def drain(self, s):
        """Takes what comes, and answers nothing."""
        while s.recv(PIECE):
            pass

    def pause(self, seconds):
        """Waits at least so long, but not beyond the end of the test."""
        self.stopping.wait(seconds)


class Recorder(Honest):
    """Is honest and keeps what it heard, by connection."""

    def __init__(self):
        super().__init__()
        self.heard = {}

    def talk(self, s, number):
        heard = self.heard.setdefault(number, bytearray())
        while chunk := s.recv(PIECE):
            heard += chunk
            s.sendall(chunk)


class Faulty(Honest):
    """Is honest up to a position; then comes fault(), then it is honest again."""

    def __init__(self, position):
        super().__init__()
        self.position = position

    def talk(self, s, number):
        if self.echo(s, self.position):
            self.fault(s, number)
            self.echo(s)


class Flips(Faulty):
    """Flips one bit of the byte at a position of each connection."""

    def __init__(self, position, bit=0):
        super().__init__(position)
        self.bit = bit

    def fault(self, s, number):
        for byte in harness.read_exactly(s, 1):
            self.found = byte ^ 1 << self.bit
            self.expected = byte
            s.sendall(bytes([self.found]))


class Swaps(Faulty):
    """Gives two connections each other's bytes, of the same positions."""

    def __init__(self, position, size):
        super().__init__(position)
        self.size = size
        self.both = threading.Barrier(2)
        self.segments = {}

    def fault(self, s, number):
        self.segments[number] = harness.read_exactly(s, self.size)
        self.both.wait(harness.DEADLINE)
        s.sendall(self.segments[1 - number])


class Repeats(Faulty):
    """Sends a segment twice."""

    def __init__(self, position, size):
        super().__init__(position)
        self.size = size

    def fault(self, s, number):
        s.sendall(2 * harness.read_exactly(s, self.size))


class Drops(Faulty):
    """Leaves one byte out."""

    def fault(self, s, number):
        s.recv(1)


class Stops(Faulty):
    """Stops for a time, once on each connection, and goes on."""

    def __init__(self, position, seconds):
        super().__init__(position)
        self.seconds = seconds

    def fault(self, s, number):
        self.pause(self.seconds)


class Closes(Faulty):
    """Sends FIN at a position, and only listens from then on."""

    def fault(self, s, number):
        s.shutdown(socket.SHUT_WR)
        self.drain(s)

    def talk(self, s, number):
        if self.echo(s, self.position):
            self.fault(s, number)


class Resets(Faulty):
    """Resets at a position."""

    def talk(self, s, number):
        if self.echo(s, self.position):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Silent(Honest):
    """Never answers."""

    def talk(self, s, number):
        self.drain(s)


class Holds(Honest):
    """Answers nothing until it is let go."""

    def __init__(self):
        super().__init__()
        self.asked, self.go_on = threading.Event(), threading.Event()

    def talk(self, s, number):
        message = harness.read_exactly(s, 64)  # echoc's own size
        self.asked.set()
        self.go_on.wait(harness.DEADLINE)
        s.sendall(message)
        self.echo(s)


class Chatty(Honest):
    """Says something unasked: before anything, or after all."""

    def __init__(self, before=b"", after=b""):
        super().__init__()
        self.before, self.after = before, after

    def talk(self, s, number):
        s.sendall(self.before)
        self.echo(s)
        s.sendall(self.after)


class Delays(Honest):
    """Delays the messages, of a size, by the seconds of a plan, over and over."""

    def __init__(self, size, plan):
        super().__init__()
        self.size, self.plan = size, plan

    def talk(self, s, number):
        for i in range(1 << 30):
            message = harness.read_exactly(s, self.size)
            if not message:
                return
            self.pause(self.plan[i % len(self.plan)])
            s.sendall(message)


class Vanishes(Faulty):
    """Is gone as a whole, listener and connections, as soon as one reaches a position."""

    def fault(self, s, number):
        self.vanish()


@contextlib.contextmanager
def deaf(host="127.0.0.1", port=0):
    """A target at which a connect hangs: its queue is full, and it does not accept."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        deadline = time.monotonic() + harness.DEADLINE
        while time.monotonic() < deadline:
            s = stack.enter_context(socket.socket())
            s.settimeout(0.3)  # an accepted one would be connected at once
            try:
                s.connect(listener.getsockname())
            except TimeoutError:
                break
        yield f"{host}:{listener.getsockname()[1]}"

# SPDX-License-Identifier: MIT
"""echoc talk at a terminal."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading

import harness
from client import is_blocking, recorder, server
from harness import Echod


class Person:
    """Someone at a terminal in which echoc runs."""

    def __init__(self, *args, term="xterm", locale="C.UTF-8"):
        self.terminal, theirs = pty.openpty()
        self.modes = termios.tcgetattr(theirs)
        self.unread = b""
        self.seen = b""
        env = {**os.environ, "TERM": term, "LC_ALL": locale, "EDITRC": ""}
        self.process = subprocess.Popen(["setsid", "--ctty", harness.ECHOC, *args], stdin=theirs,
                                        stdout=theirs, stderr=theirs, env=env)
        os.close(theirs)

    def type(self, keys):
        os.write(self.terminal, keys if isinstance(keys, bytes) else keys.encode())

    def read(self):
        """Waits for more to read; False if there will be none."""
        if not select.select([self.terminal], [], [], harness.DEADLINE)[0]:
            raise AssertionError(f"waited {harness.DEADLINE} s in vain after {self.seen!r}")
        try:
            data = os.read(self.terminal, 4096)
        except OSError:  # EIO: no process has the terminal open any more
            return False
        self.unread += data
        self.seen += data
        return True

    def expect(self, text):
        """Reads on until the text has come."""
        text = text.replace("\n", "\r\n").encode()
        while text not in self.unread:
            if not self.read():
                raise AssertionError(f"no {text!r} in {self.unread!r}")
        self.unread = self.unread.partition(text)[2]

    def end(self):
        """Reads to the end, and returns the exit status."""
        while self.read():
            pass
        return self.process.wait(harness.DEADLINE)

    def close(self):
        self.process.kill()
        self.process.wait()
        if self.terminal >= 0:
            os.close(self.terminal)
        self.terminal = -1


class Terminal(harness.Test):
    """A person at a terminal."""

    @contextlib.contextmanager
    def at(self, *args, **options):
        """A person who has seen the first prompt."""
        person = Person(*args, **options)
        try:
            person.expect(f"Connected to {args[-1]}.\n> ")
            yield person
        finally:
            person.close()
        self.assertNotRegex(person.seen.decode(errors="replace"), harness.FINDING)

    def check_end(self, person, status, *texts):
        """It says these, ends with this status, and leaves the terminal as it was."""
        for text in texts:
            person.expect(text)
        self.assertEqual(person.end(), status, person.seen)
        self.assertEqual(termios.tcgetattr(person.terminal), person.modes)

    def test_lines(self):
        """lines come back, ^D ends it with status 0"""
        for listen in "127.0.0.1:0", "[::1]:0":
            with Echod(listen=listen) as d, self.at(listen[:-1] + str(d.port)) as person:
                for line in "hello", "", "two words", "\u00fc\u20ac", "x" * 300:
                    person.type(line + "\r")
                    person.expect("\n" + line + "\n> ")
                self.assertTrue(is_blocking(person.terminal))
                person.type("\x04")
                self.check_end(person, 0, "\nConnection closed.\n")

    def check_keys(self, *keys, gets):
        """What a server gets when keys are typed, each line after the last came back."""
        log = bytearray()
        with server(recorder(log)) as address, self.at(address) as person:
            for line in keys:
                person.type(line)
                person.expect("\n> ")
            person.type("\x04")
            self.check_end(person, 0, "\nConnection closed.\n")
        self.assertEqual(log.decode(), gets)

    def test_editing(self):
        """backspace, also over a character of two bytes, and the cursor keys"""
        self.check_keys("hellp\x7fo\r", "a\u00fc\x7fb\r", "13\x1b[D2\r",
                        gets="hello\nab\n123\n")

    def test_tab(self):
        """a tab is sent, and so is each control character that edits nothing"""
        self.check_keys("\ta\tb\r", "\x07\x1d\x1e\x1f\r", "\x16\x01\x16\x1b\r",
                        gets="\ta\tb\n\x07\x1d\x1e\x1f\n\x01\x1b\n")

    def test_no_characters(self):
        """what is no character, or a NUL, is refused with a beep and a message, and the rest is sent"""
        log = bytearray()
        with server(recorder(log)) as address, self.at(address) as person:
            for before, refused in (b"a", b"\xff"), (b"b", b"\xc3c"), (b"d", b"\0"):
                person.type(before + refused)
                person.expect("\n\aNot sent: ")
            person.type("\r")
            person.expect("\nabcd\n> ")
            person.type("\x04")
            self.check_end(person, 0, "\nConnection closed.\n")
        self.assertEqual(log, b"abcd\n")

    def test_long_line(self):
        """a line of 10,000 characters is sent as a whole"""
        self.check_keys("0123456789" * 1000 + "\r", gets="0123456789" * 1000 + "\n")

    def test_no_locale(self):
        """without a locale the terminal is taken to speak UTF-8"""
        with Echod() as d, self.at(f"127.0.0.1:{d.port}", locale="C") as person:
            person.type("\u00fc\r")
            person.expect("\n\u00fc\n> ")
            person.type("\x04")
            self.check_end(person, 0, "\nConnection closed.\n")

    def test_resize(self):
        """the terminal gets another size while a line is typed"""
        with Echod() as d, self.at(f"127.0.0.1:{d.port}") as person:
            person.type("abc")
            person.expect("abc")
            for columns in 20, 200:
                size = struct.pack("HHHH", 24, columns, 0, 0)
                fcntl.ioctl(person.terminal, termios.TIOCSWINSZ, size)
            person.type("def\r")
            person.expect("\nabcdef\n> ")
            person.type("\x04")
            self.check_end(person, 0, "\nConnection closed.\n")

    def test_history(self):
        """arrow up brings back what was typed before"""
        self.check_keys("one\r", "two\r", "\x1b[A\x1b[A\r", "\x1b[A\x1b[A!\r",
                        gets="one\ntwo\none\ntwo!\n")

    def check_signal(self, key, shown, gets):
        """The same for abc, the key that makes a signal, and def."""
        log = bytearray()
        with server(recorder(log)) as address, self.at(address) as person:
            person.type("abc")
            person.expect("abc")
            person.type(key)
            person.expect(shown)
            person.type("def\r")
            person.expect("def\n> ")
            person.type("\x04")
            self.check_end(person, 0, "\nConnection closed.\n")
        self.assertEqual(log, gets)

    def test_discard(self):
        """^C at the prompt discards the line"""
        self.check_signal("\x03", "\n> ", b"def\n")

    def test_suspend(self):
        """^Z without job control does nothing"""
        self.check_signal("\x1a", "\n> abc", b"abcdef\n")

    def test_ahead(self):
        """what is typed ahead is not lost, not even ^D"""
        log = bytearray()
        with server(recorder(log)) as address, self.at(address) as person:
            person.type("one\rtwo\r\x04")
            self.check_end(person, 0, "one\n", "two\n", "\nConnection closed.\n")
        self.assertEqual(log, b"one\ntwo\n")

    def test_unasked(self):
        """what comes while a line is being typed stands apart from it"""
        def serve(connection):
            gate.wait(harness.DEADLINE)
            connection.sendall(b"surprise")
            recorder(log)(connection)

        gate, log = threading.Event(), bytearray()
        with server(serve) as address, self.at(address) as person:
            person.type("hel")
            person.expect("hel")
            gate.set()
            person.expect("\nsurprise\n> hel")
            person.type("lo\r")
            person.expect("lo\nhello\n> ")
            person.type("\x04")
            self.check_end(person, 1, "\nConnection closed.\n",
                           "too much came back: sent 6 bytes, 14 came back\n")
        self.assertEqual(log, b"hello\n")

    def test_no_answer(self):
        """after a second of silence there is a prompt again, in the end the account"""
        with server(harness.read_to_end) as address, self.at(address) as person:
            person.type("one\r")
            person.expect("one\n> ")
            person.type("\x04")
            self.check_end(person, 1, "\nConnection closed.\n",
                           f"echoc: {address}: too little came back: sent 4 bytes, 0 came back\n")

    def test_verify(self):
        """--verify says what is wrong at once"""
        log = bytearray()
        with server(recorder(log, bytes.upper)) as address, self.at("--verify", address) as person:
            person.type("12a\r")
            self.check_end(person, 1, "12A\n", "at offset 2: expected 0x61, found 0x41\n")

    def test_closes(self):
        """the server closes, or resets, and it is reported at once, and once"""
        for end, why in (socket.socket.close, "the server has closed"), (harness.reset, "Connection reset"):
            gate = threading.Event()
            with server(lambda c: gate.wait(harness.DEADLINE) and end(c)) as address:
                with self.at(address) as person:
                    person.type("half a li")
                    person.expect("half a li")
                    gate.set()
                    self.check_end(person, 1, f"\nechoc: {address}: {why}")

    def test_interrupt(self):
        """^C ends the wait for a server that does not end"""
        def serve(connection):
            harness.read_to_end(connection)
            ended.set()
            over.wait(harness.DEADLINE)

        ended, over = threading.Event(), threading.Event()
        with server(serve) as address, self.at(address) as person:
            person.type("\x04")
            self.assertTrue(ended.wait(harness.DEADLINE))
            person.type("\x03")
            try:
                self.check_end(person, 1, f"echoc: {address}: interrupted: sent 0 bytes, 0 came ")
            finally:
                over.set()

    def test_signals(self):
        """any end restores the terminal"""
        for number in signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT:
            with Echod() as d, self.at(f"127.0.0.1:{d.port}") as person:
                person.type("abc")
                person.expect("abc")
                person.process.send_signal(number)
                self.check_end(person, 1, "\n", "interrupted")

    def test_hangup(self):
        """it ends with its terminal"""
        with Echod() as d, self.at(f"127.0.0.1:{d.port}") as person:
            os.close(person.terminal)
            person.terminal = -1
            person.process.wait(harness.DEADLINE)

    def test_hostile(self):
        """a server cannot drive the terminal"""
        sent = b"\x1b]0;owned\x07 \x00\x08\r\x7f \xc2\x9b31m \x9b31m \xff \xc3\xbc\ttab \xe2\x82"
        shown = ("\\x1b]0;owned\\x07 \\x00\\x08\\x0d\\x7f \\xc2\\x9b31m \\x9b31m \\xff "
                 "\u00fc\ttab \\xe2\\x82\n")
        with server(recorder(bytearray(), lambda data: sent)) as address:
            with self.at(address, term="dumb") as person:  # to which libedit sends no escapes
                person.type("x\r")
                person.expect("x\n" + shown + "> ")
                person.type("\x04")
                self.check_end(person, 1)
                self.assertNotIn(b"\x1b", person.seen)
                self.assertNotIn(b"\x9b", person.seen.replace(b"\xc2\x9b", b""))


if __name__ == "__main__":
    harness.main()

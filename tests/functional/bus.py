# SPDX-License-Identifier: MIT
"""A D-Bus bus with a service manager on it, as far as echod asks one (D-Bus Specification).

It says that its only client is a unit with a descriptor store and a job, of the type self.job.
"""

import os
import socket
import struct
import threading

GUID = "0" * 32


def padded(data, size):
    return data + bytes(-len(data) % size)


def string(text):
    """A STRING or OBJECT_PATH."""
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def variant(signature, value, alignment):
    return padded(bytes([len(signature)]) + signature.encode() + b"\0", alignment) + value


def method_return(serial, signature, body):
    """The answer to the call of that number."""
    fields = struct.pack("<BBsxI", 5, 1, b"u", serial)  # REPLY_SERIAL
    fields += struct.pack("<BBsxB", 8, 1, b"g", len(signature)) + signature.encode() + b"\0"
    head = struct.pack("<cBBBIII", b"l", 2, 1, 1, len(body), serial, len(fields))
    return padded(head + fields, 8) + body


class Bus:
    """Listens at self.path, and answers while self.answers is set; a context that ends it."""

    def __init__(self, path, job="restart"):
        self.path, self.job = path, job
        self.asked = threading.Semaphore(0)  # released for each question before its answer
        self.answers = threading.Event()
        self.answers.set()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self._listen, daemon=True).start()

    def env(self):
        """Where a daemon finds it."""
        return {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.path}"}

    def _listen(self):
        while True:
            try:
                s = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        with s, s.makefile("rb") as stream:
            try:
                self._authenticate(s, stream)
                while head := stream.read(16):
                    self._answer(s, stream, head)
            except (ConnectionError, BrokenPipeError):
                pass

    @staticmethod
    def _authenticate(s, stream):
        stream.read(1)
        while line := stream.readline().split():
            if line[0] == b"BEGIN":
                return
            if line == [b"AUTH", b"EXTERNAL"]:
                s.sendall(b"DATA\r\n")
            elif line[0] == b"NEGOTIATE_UNIX_FD":
                s.sendall(b"AGREE_UNIX_FD\r\n")
            else:
                s.sendall(f"OK {GUID}\r\n".encode())

    def _answer(self, s, stream, head):
        size, serial, fields = struct.unpack("<4xIII", head)
        message = stream.read(fields + -fields % 8 + size)

        def names(word):
            return word.encode() + b"\0" in message
        if names("Hello"):
            s.sendall(method_return(serial, "s", string(":1.1")))
            return
        self.asked.release()
        self.answers.wait()
        if names("GetUnitByPID"):
            signature, body = "o", string("/unit")
        elif names("FileDescriptorStoreMax"):
            signature, body = "v", variant("u", struct.pack("<I", 128), 4)
        elif names("JobType"):
            signature, body = "v", variant("s", string(self.job), 4)
        else:
            signature, body = "v", variant("(uo)", struct.pack("<I", bool(self.job)) + string("/job"), 8)
        s.sendall(method_return(serial, signature, body))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answers.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)

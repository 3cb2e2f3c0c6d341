# SPDX-License-Identifier: MIT
"""A crowd: a process that holds connections to a server, and obeys lines.

    open COUNT ADDRESS...  connects from these addresses in turn; each connection speaks once
    talk                   each speaks once more
    send, receive          the two halves of that
    vanish                 the client's ends go without a packet (TCP_REPAIR, as root):
                           the server's ends stay and know nothing

Each line is answered by one: "ok", or what went wrong.  A message is 64 bytes
that no other connection and no other time has, and every byte that comes back
is compared.  At the end of input all connections are reset: no TIME_WAIT.
"""

import hashlib
import os
import socket
import struct
import subprocess
import sys

SIZE = 64  # bytes of a message
BATCH = 200  # connections that speak at the same time
TIMEOUT = 60  # seconds; reached only when something is broken
IP_BIND_ADDRESS_NO_PORT = 24
TCP_REPAIR = 19


class Members:
    """The connections, of which only descriptors are kept."""

    def __init__(self, port):
        self.port = port
        self.fds = []
        self.said = 0  # messages of each connection

    def message(self, i):
        return hashlib.blake2b(b"%d %d %d" % (self.port, i, self.said)).digest()

    def connect(self, address):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", TIMEOUT, 0))
        s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        s.bind((address, 0))
        s.connect(("127.0.0.1", self.port))
        self.fds.append(s.detach())

    def send_some(self, first, last):
        for i in range(first, last):
            if os.write(self.fds[i], self.message(i)) != SIZE:
                raise ValueError(f"connection {i} did not take a message")

    def receive_some(self, first, last):
        for i in range(first, last):
            data = b""
            while len(data) < SIZE and (more := os.read(self.fds[i], SIZE - len(data))):
                data += more
            if data != self.message(i):
                raise ValueError(f"connection {i} echoed what it was not told")

    def open(self, count, *addresses):
        for first in range(0, int(count), BATCH):
            last = min(first + BATCH, int(count))
            for i in range(first, last):
                self.connect(addresses[i % len(addresses)])
            self.send_some(first, last)
            self.receive_some(first, last)

    def talk(self):
        self.said += 1
        for first in range(0, len(self.fds), BATCH):
            last = min(first + BATCH, len(self.fds))
            self.send_some(first, last)
            self.receive_some(first, last)

    def send(self):
        self.said += 1
        self.send_some(0, len(self.fds))

    def receive(self):
        self.receive_some(0, len(self.fds))

    def vanish(self):
        for fd in self.fds:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, fd) as s:
                s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.fds.clear()


class Crowd:
    """The process, seen from outside; a context that ends it."""

    def __init__(self, port, prefix=()):
        self.process = subprocess.Popen([*prefix, sys.executable, __file__, str(port)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def do(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise AssertionError(f"{words[0]}: {answer or 'the crowd is gone'}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def main():
    members = Members(int(sys.argv[1]))
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            getattr(members, command)(*arguments)
            answer = "ok"
        except (OSError, ValueError) as e:
            answer = str(e)
        print(answer, flush=True)


if __name__ == "__main__":
    main()

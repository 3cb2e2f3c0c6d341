# SPDX-License-Identifier: MIT
"""What epoll_wait reports about one socket, level-triggered and edge-triggered.

100 kB arrive on a live connection and 50 kB are read.  Two epoll instances
watch the socket, one each way, and after each step both are asked.
"""

import array
import fcntl
import select
import socket
import termios
import time

KB = 1000


def connection():
    """Both ends of a TCP connection, the second with room for all that will be sent."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200 * KB)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def unread(s):
    """Bytes in the receive queue, ioctl_tty(2)."""
    count = array.array("i", [0])
    fcntl.ioctl(s, termios.FIONREAD, count)
    return count[0]


class Demo:
    def __init__(self):
        self.client, self.server = connection()
        self.server.setblocking(False)
        self.level, self.edge = select.epoll(), select.epoll()
        self.level.register(self.server, select.EPOLLIN)
        self.edge.register(self.server, select.EPOLLIN | select.EPOLLET)

    def send(self, size):
        """Returns when all has arrived: the queue is counted under the lock of its events."""
        expected = unread(self.server) + size
        self.client.sendall(bytes(size))
        while unread(self.server) < expected:
            time.sleep(0.001)

    def read(self, size):
        assert len(self.server.recv(size, socket.MSG_WAITALL)) == size

    def read_until_eagain(self):
        try:
            while self.server.recv(10 * KB):
                pass
        except BlockingIOError:
            pass

    def rearm(self):
        self.level.modify(self.server, select.EPOLLIN)
        self.edge.modify(self.server, select.EPOLLIN | select.EPOLLET)

    def show(self, what, why):
        """Asks both, without waiting."""
        level, edge = ("EPOLLIN" if e.poll(0) else "nothing" for e in (self.level, self.edge))
        print(f"{what:30} {unread(self.server):>7,}  {level:8} {edge:8} {why}")


def main():
    d = Demo()
    print(f"{'':30} {'unread':>7}  {'level':8} {'edge':8}")
    d.send(100 * KB)
    d.show("100 kB arrive", "there is something to read")
    d.show("nothing is done", "edge: that was reported")
    d.read(50 * KB)
    d.show("50 kB are read", "edge: nothing new, although 50 kB are unread")
    d.send(1)
    d.show("one more byte arrives", "edge: it reports all that waits")
    d.read(1 * KB)
    d.show("1 kB is read", "edge: nothing new, again")
    d.rearm()
    d.show("EPOLL_CTL_MOD, the same events", "edge: checked again, as level does at each wait")
    d.read_until_eagain()
    d.show("the rest is read, until EAGAIN", "now both may wait")
    d.rearm()
    d.show("EPOLL_CTL_MOD, the same events", "there is nothing to report")
    d.send(1)
    d.show("one more byte arrives", "and no byte was missed")


if __name__ == "__main__":
    main()

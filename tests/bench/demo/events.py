# SPDX-License-Identifier: MIT
"""What epoll reports to echod in the life of a connection, each line explained.

echod runs with --trace, one worker and a small send buffer.  echoc connects,
says something and half-closes; the slow reader and the reset are sockets of
this script.  A line is shown once for each step, with how often it came.
"""

import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../functional"))
import harness  # noqa: E402

CONNECTION = "the listening socket: a connection waits to be accepted"
FRESH = "a fresh socket is writable: this is how the worker gets its connection"
MESSAGE = "bytes have come; EPOLLOUT says that there is room to send, which no echo waits for"
FULL = "bytes have come, no EPOLLOUT: the send buffer is full, so the worker stops reading"
ROOM = "the client has read: there is room to send what was kept for it"
BOTH = "there is room again, and there are bytes that were not read so far: both go on"
FIN = "the client's FIN (RDHUP): all was echoed, recv(2) says 0, the worker closes"
RESET = "ERR and HUP, both directions are dead: recv(2) says ECONNRESET, the worker closes"


# What is reported in each step; wake-ups are main's, by which the steps are told apart.
CONNECT = {"acceptor EPOLLIN": CONNECTION, "worker/0 EPOLLOUT": FRESH}
ECHO = {"worker/0 EPOLLIN|EPOLLOUT": MESSAGE}
STALL = {**ECHO, "worker/0 EPOLLIN": FULL, "worker/0 EPOLLOUT": ROOM}
CATCH_UP = {**STALL, "worker/0 EPOLLIN|EPOLLOUT": BOTH}
CLOSE = {"worker/0 EPOLLIN|EPOLLOUT|EPOLLRDHUP": FIN, "worker/0 EPOLLOUT": ROOM}
BREAK = {"worker/0 EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLHUP|EPOLLERR": RESET}


class Demo:
    def __init__(self, daemon):
        self.daemon = daemon

    def show(self, title, known, until):
        """Prints what was reported up to a line, and until the worker sleeps again."""
        seen = self.daemon.wait_trace(until) + self.daemon.wait_asleep()
        print(f"\n{title}\n")
        for line in dict.fromkeys(seen):
            thread, events = re.fullmatch(r"(.*): \d+ events?: (.*)", line).groups()
            events = [re.sub(r"^\d+ ", "", e) for e in events.split(", ") if e != "wake-up"]
            if events:
                times = f"  ({seen.count(line)} times)" if seen.count(line) > 1 else ""
                print(f"    {line}{times}")
            for event in events:
                if f"{thread} {event}" not in known:
                    raise AssertionError(f"{title}: no explanation for {line!r}")
                print(f"        {known[f'{thread} {event}']}")

    def echoc(self):
        command = [harness.ECHOC, f"127.0.0.1:{self.daemon.port}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as p:
            self.show("echoc connects", CONNECT, " EPOLLOUT$")
            p.stdin.write(b"hello\n")
            p.stdin.flush()
            self.show("echoc sends a line", ECHO, " EPOLLIN")
            p.stdin.close()
            self.show("echoc half-closes, at the end of its input", CLOSE, "EPOLLRDHUP")

    def slow_reader(self):
        with self.daemon.connect(rcvbuf=4096) as s:
            self.show("another client connects", CONNECT, " EPOLLOUT$")
            sent = harness.fill(s)
            self.show(f"it sends {len(sent):,} bytes and does not read", STALL, " EPOLLIN$")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            assert harness.read_exactly(s, len(sent)) == sent
            self.show("it reads them all", CATCH_UP, "EPOLLOUT$")
        self.show("it closes", CLOSE, "EPOLLRDHUP")

    def reset(self):
        s = self.daemon.connect()
        self.show("a third client connects", CONNECT, " EPOLLOUT$")
        harness.reset(s)
        self.show("it closes with a reset", BREAK, "EPOLLERR")


def main():
    with harness.Traced() as daemon:
        demo = Demo(daemon)
        demo.echoc()
        demo.slow_reader()
        demo.reset()


if __name__ == "__main__":
    main()

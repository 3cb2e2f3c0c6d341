# SPDX-License-Identifier: MIT
"""Draws the latency of every message while systemd restarts echod: docs/restart.svg.

A real systemd in a container; a client with many connections sends messages at a planned rate, one
after the other on the next connection. Each is a point: when it was sent, and how long its echo took.
"""

import os
import select
import statistics
import sys
import threading
import time

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(BENCH, "../system"), os.path.join(BENCH, "../../docs")]
import draw
import machine

CONNECTIONS, RATE, BEFORE, AFTER, SIZE = 500, 2000, 1.0, 1.5, 64
LEFT, TOP, WIDTH, HEIGHT = 70, 70, 780, 260


class Load:
    """Sends by its plan until end; latencies() are [(when sent, seconds)]."""

    def __init__(self, sockets):
        self.sockets = sockets
        self.epoll = select.epoll()
        self.waiting = {s.fileno(): [] for s in sockets}
        self.by_fd = {s.fileno(): s for s in sockets}
        self.points, self.sent = [], 0
        for s in sockets:
            s.setblocking(False)
            self.epoll.register(s, select.EPOLLIN)

    def send(self):
        s = self.sockets[self.sent % len(self.sockets)]
        self.waiting[s.fileno()].append((time.monotonic(), message(self.sent)))
        if s.send(message(self.sent)) != SIZE:
            raise AssertionError("a message was not taken whole")
        self.sent += 1

    def receive(self, fd):
        data = self.by_fd[fd].recv(SIZE * 64)
        now = time.monotonic()
        if not data or len(data) % SIZE:
            raise AssertionError("a connection has ended, or an echo came in parts")
        for i in range(0, len(data), SIZE):
            when, expected = self.waiting[fd].pop(0)
            if data[i:i + SIZE] != expected:
                raise AssertionError("an echo is not what was sent")
            self.points.append((when, now - when))

    def run(self, seconds):
        began = time.monotonic()
        while self.sent < RATE * seconds or len(self.points) < self.sent:
            due = min(RATE * seconds, (time.monotonic() - began) * RATE)
            while self.sent < due:
                self.send()
            for fd, _ in self.epoll.poll(0.0005, 256):
                self.receive(fd)


def message(n):
    return n.to_bytes(8, "big") * (SIZE // 8)


def measure():
    """[(seconds since the restart was asked for, milliseconds)], and how long systemctl took."""
    with machine.Machine() as m:
        m.systemctl("start", "echod")
        load = Load([m.connect() for _ in range(CONNECTIONS)])
        runner = threading.Thread(target=load.run, args=(BEFORE + AFTER,))
        runner.start()
        time.sleep(BEFORE)
        asked = time.monotonic()
        m.systemctl("restart", "echod")
        took = time.monotonic() - asked
        runner.join()
    return [(when - asked, 1000 * seconds) for when, seconds in load.points], took


def picture(points, took):
    most = max(ms for _, ms in points)
    top = 20 * (most // 20 + 1)
    x = lambda t: LEFT + WIDTH * (t + BEFORE) / (BEFORE + AFTER)
    y = lambda ms: TOP + HEIGHT * (1 - ms / top)
    p = draw.Picture("Latency of every message over a restart", LEFT + WIDTH + 30, TOP + HEIGHT + 50)
    p.text(20, 26, f"A restart under load: {len(points):,} messages on {CONNECTIONS} connections, none lost, none reset",
           "name", "start")
    p.text(20, 48, "Each point is a message: when it was sent, and how many milliseconds later its echo was back "
           "(lower is better)", "small", "start")
    for ms in range(0, int(top) + 1, 20):
        p.arrows.append(f'<path class="line" opacity=".4" d="M{LEFT},{y(ms):g} h{WIDTH}"/>')
        p.text(LEFT - 8, y(ms) + 4, f"{ms} ms" if ms else "0", "small", "end")
    for tenth in range(int(-10 * BEFORE), int(10 * AFTER) + 1, 5):
        p.text(x(tenth / 10), TOP + HEIGHT + 20, f"{tenth / 10:g} s", "small")
    p.arrows.append(f'<path class="line" d="M{x(0):g},{TOP} V{TOP + HEIGHT}"/>')
    p.text(x(0) - 6, TOP + 14, "systemctl restart echod", "small", "end")
    dots = " ".join(f"M{x(t):.1f},{y(ms):.1f}h0" for t, ms in points)
    p.boxes.append(f'<path class="path" style="stroke-linecap:round;stroke-width:3" d="{dots}"/>')
    worst = max(points, key=lambda point: point[1])
    p.text(x(worst[0]) + 12, y(worst[1]) + 4, f"{most:.0f} ms: the longest", "", "start")
    usual = statistics.median(ms for t, ms in points if t < -0.1 or t > took + 0.1)
    p.text(x(AFTER) - 4, y(0) - 14, f"before and after: {usual:.2f} ms in the middle", "", "end")
    return p.svg()


def main():
    why = machine.obstacle()
    if why:
        sys.exit(f"no restart can be shown here: {why}")
    points, took = measure()
    with open(os.path.join(BENCH, "../../docs/restart.svg"), "w") as f:
        f.write(picture(points, took))
    print(f"{len(points)} messages, the longest took {max(ms for _, ms in points):.1f} ms: docs/restart.svg")


if __name__ == "__main__":
    main()

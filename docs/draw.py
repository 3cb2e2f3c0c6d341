#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Draws docs/folders.svg and docs/threads.svg from the sources, so that they stay true.

    docs/draw.py        writes both
    docs/draw.py -c     fails if one of them is not what would be drawn now

Folders and files are those of src/, an arrow is an #include. The threads are those that the
sources name when they start one.
"""

import glob
import os
import re
import sys
from xml.sax.saxutils import escape

HERE = os.path.dirname(os.path.abspath(__file__))
SRC = os.path.join(HERE, "../src")

STYLE = """
  text { font: 14px sans-serif; fill: #1f2328 }
  .name { font-weight: bold; font-size: 16px }
  .small { font-size: 12px; fill: #59636e }
  .box { fill: #f6f8fa; stroke: #818b98 }
  .core { fill: #ddf4ff; stroke: #0969da }
  .line { fill: none; stroke: #818b98; stroke-width: 1.5 }
  .path { fill: none; stroke: #0969da; stroke-width: 2.5 }
  .head { fill: #818b98 }
  .strong { fill: #0969da }
  .poll { fill: none; stroke: #cf222e; stroke-width: 2.5 }
  .select { fill: none; stroke: #bc4c00; stroke-width: 2.5 }
  .path-name { fill: #0969da }
  .poll-name { fill: #cf222e }
  .select-name { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .small { fill: #9198a1 }
    .box { fill: #151b23; stroke: #656c76 }
    .core { fill: #121d2f; stroke: #4493f8 }
    .line { stroke: #656c76 }
    .path { stroke: #4493f8 }
    .head { fill: #656c76 }
    .strong { fill: #4493f8 }
    .poll { stroke: #f85149 }
    .select { stroke: #db6d28 }
    .path-name { fill: #4493f8 }
    .poll-name { fill: #f85149 }
    .select-name { fill: #db6d28 }
  }
"""


class Picture:
    """An SVG of boxes and arrows; arrows are behind boxes."""

    def __init__(self, title, width, height):
        self.title, self.width, self.height = title, width, height
        self.arrows, self.boxes = [], []

    def text(self, x, y, text, kind="", anchor="middle"):
        self.boxes.append(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>')

    def box(self, x, y, width, height, name, lines, kind="box"):
        self.boxes.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>')
        self.text(x + width / 2, y + 22, name, "name")
        for i, line in enumerate(lines):
            self.text(x + width / 2, y + 41 + 16 * i, line, "small")

    def arrow(self, points, kind="line"):
        """A curve down from the first point to the last, or a line if they are two of one height."""
        (x0, y0), (x1, y1) = points
        bend = (y1 - y0) / 2
        tip = 8 if y1 > y0 else -8 if y1 < y0 else 0
        head = f"M{x1:g},{y1:g} l-4,{-tip:g} h8 z"
        if y0 == y1:
            side = 8 if x1 > x0 else -8
            head = f"M{x1:g},{y1:g} l{-side:g},-4 v8 z"
            path = f"M{x0:g},{y0:g} H{x1 - side:g}"
        else:
            path = f"M{x0:g},{y0:g} C{x0:g},{y0 + bend:g} {x1:g},{y1 - bend:g} {x1:g},{y1 - tip:g}"
        self.arrows.append(f'<path class="{kind}" d="{path}"/><path class="{"strong" if kind == "path" else "head"}" d="{head}"/>')

    def svg(self):
        return "\n".join((
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">',
            f"<title>{escape(self.title)}</title>", f"<style>{STYLE}</style>", *self.arrows, *self.boxes, "</svg>\n"))


# Each floor's folders from left to right, and what each is for. A folder includes only lower floors.
FLOORS = (
    {"main.c": "parse, start, run"},
    {"supervisor": "start, reload, drain, stop"},
    {"restart": "the next process goes on"},
    {"reactor": "the threads, and who is let in", "listen": "listening sockets"},
    {"echo": "the protocol", "conf": "from file to values", "systemd": "notify, store, job"},
    {"base": "what all use"},
)
CORE = ("supervisor", "reactor", "echo")
WIDTH, GAP = 880, 40


def rooms(folder):
    """The names of a folder's files."""
    return sorted({os.path.splitext(os.path.basename(p))[0] for p in glob.glob(f"{SRC}/{folder}/*.[ch]")})


def includes():
    """{(from, to)} of folders that differ."""
    found = set()
    for path in glob.glob(f"{SRC}/*.c") + glob.glob(f"{SRC}/*/*.[ch]"):
        here = os.path.relpath(path, SRC).partition("/")[0]
        with open(path) as f:
            found |= {(here, there) for there in re.findall(r'^#include "(\w+)/', f.read(), re.M) if there != here}
    return found


def wrap(words, width):
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def draw_folders():
    place, y = {}, 16
    for floor in FLOORS:
        texts = {name: [purpose, *wrap([] if name == "main.c" else rooms(name), 90 if name == "base" else 34)]
                 for name, purpose in floor.items()}
        height = 34 + 16 * max(map(len, texts.values()))
        width = WIDTH - 40 if len(floor) == 1 and "base" in floor else 240
        room = (WIDTH - 60) / len(floor) if len(floor) > 1 else 0
        for i, name in enumerate(floor):
            x = 20 + room * i + (room - width) / 2 if room else (WIDTH - width) / 2
            place[name] = (x, y, width, height, texts[name])
        y += height + GAP
    top = place["supervisor"][1]
    client = ["the client", *wrap(rooms("echoc"), 30)]
    place["echoc"] = (WIDTH - 220, top, 200, 34 + 16 * len(client), client)
    picture = Picture("src: folders, their files, and what includes what", WIDTH, y - GAP + 16)
    draw_arrows(picture, place)
    for name, (x, y, width, height, lines) in place.items():
        picture.box(x, y, width, height, name, lines, "core" if name in CORE else "box")
    return picture.svg()


def shown():
    """The includes that no longer way shows already."""
    arrows = includes()
    below = {}

    def reached(a):
        if a not in below:
            below[a] = set().union(*({b} | reached(b) for x, b in arrows if x == a))
        return below[a]

    return sorted((a, b) for a, b in arrows if not any(x == a and b in reached(c) for x, c in arrows))


def draw_arrows(picture, place):
    arrows = shown()
    for a, b in arrows:
        ends = sorted((x for x in arrows if x[0] == a), key=lambda x: place[x[1]][0])
        starts = sorted((x for x in arrows if x[1] == b), key=lambda x: place[x[0]][0])
        ax, ay, aw, ah, _ = place[a]
        bx, by, bw, _, _ = place[b]
        x0 = ax + aw * (ends.index((a, b)) + 1) / (len(ends) + 1)
        x1 = bx + bw * (starts.index((a, b)) + 1) / (len(starts) + 1)
        if b == "base":
            x0 = x1 = ax + aw - 14 if a == "echoc" else x0  # past the others
        picture.arrow(((x0, ay + ah), (x1, by)))


# Each thread's place (x, y, width), and what it does.
THREADS = {
    "main": (330, 16, 250, ["configuration, start, reload,", "restart, stop, heartbeats"]),
    "acceptor": (190, 160, 230, ["accept4 until EAGAIN, limits", "dispatch round-robin"]),
    "log": (640, 160, 200, ["writes what may block"]),
    "worker/0": (190, 304, 190, ["epoll_wait, edge-triggered", "recv and send until EAGAIN", "timeouts"]),
    "worker/1": (410, 304, 190, ["its own epoll instance", "and its own connections"]),
    "rescue": (640, 304, 200, ["waits for SIGABRT, then", "hands over what still runs"]),
}


def threads():
    """The names of the daemon's threads, as the sources have them."""
    names = {"main"}
    for path in glob.glob(f"{SRC}/*/*.c"):
        if "/echoc/" not in path:
            with open(path) as f:
                text = f.read()
            names |= set(re.findall(r'(?:setname_np\(pthread_self\(\)|loop_init\(\S+), "(\w+)"', text))
            names |= {f"{name}/{n}" for name in re.findall(r'"(\w+)/%u"', text) for n in (0, 1)}
    return names


def draw_threads():
    if threads() != set(THREADS):
        sys.exit(f"the sources start {sorted(threads())}, and {sorted(THREADS)} are drawn")
    picture = Picture("The threads of echod, and what goes between them", 880, 410)
    picture.box(20, 160, 100, 234, "clients", ["TCP"])
    picture.box(700, 16, 140, 64, "systemd", ["units, journal, bus"])
    for name, (x, y, width, lines) in THREADS.items():
        picture.box(x, y, width, 90 if y > 300 else 74, name, lines,
                    "core" if name in ("acceptor", "worker/0", "worker/1") else "box")
    for y, x, text, kind in ((196, 190, "connect", "path"), (346, 190, "bytes", "path"), (364, 120, "echo", "path")):
        picture.arrow(((120 if x > 120 else 190, y), (x, y)), kind)
        picture.text(155, y - 6 if x > 120 else y + 16, text, "small")
    picture.arrow(((270, 234), (270, 304)), "path")
    picture.arrow(((350, 234), (480, 304)), "path")
    picture.text(260, 262, "EPOLL_CTL_ADD:", "small", "end")
    picture.text(260, 278, "the kernel is the queue", "small", "end")
    picture.arrow(((390, 90), (330, 160)))
    picture.arrow(((520, 90), (550, 304)))
    picture.text(535, 128, "eventfd: new listeners, settings, drain", "small", "start")
    picture.arrow(((580, 40), (700, 40)))
    picture.arrow(((700, 58), (580, 58)))
    picture.text(640, 33, "READY, restart?", "small")
    picture.text(640, 76, "signals", "small")
    return picture.svg()


def main():
    drawn = {"folders.svg": draw_folders(), "threads.svg": draw_threads()}
    for name, svg in drawn.items():
        path = os.path.join(HERE, name)
        if sys.argv[1:] == ["-c"]:
            with open(path) as f:
                if f.read() != svg:
                    sys.exit(f"{name} is not what the sources say: run docs/draw.py")
        else:
            with open(path, "w") as f:
                f.write(svg)


if __name__ == "__main__":
    main()

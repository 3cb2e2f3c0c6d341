# SPDX-License-Identifier: MIT
"""SIGHUP: a good file is taken over, a bad one changes nothing, and connections never notice."""

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess

import harness
from harness import Echod, free_port

REFUSED = "reload refused, keeping the running configuration"


class Reload(harness.Test):
    def test_limits_and_timeouts(self):
        """limits, timeouts and the log level change at once, for old connections too"""
        with Echod(conf="idle_timeout = 0\nmax_connections = 2\n",
                   expect=[harness.REFUSED]) as d, d.connect() as first:
            self.assertEchoes(first)
            with d.connect() as second:
                self.assertEchoes(second)
                self.assertRefused(d)
                d.reload("idle_timeout = 0\nmax_connections = 3\nlog_level = debug\n")
                self.assertServes(d)
                d.wait_log("debug: ")
                self.assertEchoes(first)
                d.reload("idle_timeout = 1\n")
                self.assertEnds(first)
                self.assertEnds(second)
            d.wait_open(0)

    def test_pending_memory(self):
        """a slow reader loses nothing when pending_memory shrinks below what it holds"""
        with Echod(conf="send_buffer = 4608") as d, d.connect(rcvbuf=4096) as s:
            sent = harness.fill(s)
            d.reload("send_buffer = 4608\npending_memory = 0\n")
            self.assertEqual(harness.read_exactly(s, len(sent)), sent)
            self.assertEchoes(s)

    def test_listeners(self):
        """listeners are added and removed without touching the others or any connection"""
        with free_port() as port, free_port() as other, free_port() as third:
            text = 'listen = {"127.0.0.1:%d", "127.0.0.1:%d"}'
            with Echod(conf=text % (port, other), listen=None) as d, \
                    d.connect(port) as a, d.connect(other) as b:
                self.assertEchoes(a)
                d.reload(text % (port, third))
                d.wait_log(f"listening on 127.0.0.1:{third}$")
                for s in (a, b):
                    self.assertEchoes(s)
                self.assertServes(d, port=port)
                self.assertServes(d, port=third)
                harness.wait_until(lambda: len(d.listeners()) == 2, "the removed listener to close")
                self.assertEqual(d.log().count(f"listening on 127.0.0.1:{port}"), 1)

    def test_queue_of_removed_listener(self):
        """clients in the queue of a listener that is removed are still served [F20]"""
        with free_port() as port, free_port() as other, \
                Echod(conf=f"listen = 127.0.0.1:{port}", listen=None) as d:
            d.write_conf(f"listen = 127.0.0.1:{other}")
            d.pause()
            with harness.many(d.connect(port) for _ in range(100)) as clients:
                for i, s in enumerate(clients):
                    s.sendall(b"%03d" % i)
                d.wait_arrived(100, 3, port)
                d.signal(signal.SIGHUP)
                d.resume()
                for i, s in enumerate(clients):
                    s.shutdown(socket.SHUT_WR)
                    self.assertEqual(harness.read_to_end(s), b"%03d" % i)

    def test_port_in_use(self):
        """a listener that cannot be opened refuses the whole reload"""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            with Echod(conf="max_connections = 1\nlisten = 127.0.0.1:0", listen=None,
                       expect=[REFUSED, harness.REFUSED,
                               f"cannot listen on {address}: Address already in use"]) as d:
                before = d.descriptors()
                d.reload(f"listen = {{127.0.0.1:0, {address}}}", REFUSED)
                with d.connect() as s:
                    self.assertEchoes(s)
                    self.assertRefused(d)  # max_connections stayed
                d.wait_open(0)
                self.assertEqual(d.descriptors(), before)

    def test_fixed_options(self):
        """what needs a restart is named, the rest of the file is in force, and -o still overrides it"""
        with Echod("-o", "max_connections=1", conf="workers = 2\n",
                   expect=["reload: .* takes effect at the next restart", harness.REFUSED]) as d:
            d.reload("workers = 3\nbuffer_size = 8192\nmax_connections = 5\nlog_level = debug\n")
            for name in ("workers", "buffer_size"):
                d.wait_log(f"reload: {name} takes effect at the next restart")
            self.assertNotIn("worker/2", d.threads().values())
            with d.connect():
                d.wait_log("debug: ")
                d.wait_open(1)
                self.assertRefused(d)

    def test_coalesced(self):
        """200 signals while clients talk: serialized, and no client notices [F47 P17]"""
        with Echod(conf="") as d, d.connect() as s:
            for i in range(200):
                d.signal(signal.SIGHUP)
                self.assertEchoes(s, b"%d" % i)
            d.wait_log("reloaded")


class DefaultFile(harness.Test):
    def start(self, prepare, expected="ready: "):
        """A daemon with an empty folder of its own for its file, in which prepare runs before."""
        self.path = re.search(r"instead of (\S+)", harness.run("--help")[1]).group(1)
        if not shutil.which("unshare") or not os.path.isdir(os.path.dirname(self.path)):
            self.skipTest(f"no unshare(1), or no folder for {self.path}")
        script = 'mount -t tmpfs none "$(dirname "$1")" && cd "$(dirname "$1")" && %s && exec "$2" ' \
                 "-o listen=127.0.0.1:0"
        p = subprocess.Popen(["unshare", "-rm", "sh", "-c", script % prepare, "-", self.path, harness.ECHOD],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(p.communicate)
        self.addCleanup(p.kill)
        if not any(expected in line for line in iter(p.stderr.readline, "")):
            self.skipTest("no mount namespace here")
        self.inside = f"/proc/{p.pid}/root{self.path}"
        return p

    def assertReloadRefused(self, p, reason):
        p.send_signal(signal.SIGHUP)
        self.assertIn(f"{REFUSED}: {self.path}: {reason}", p.stderr.readline())
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(harness.DEADLINE), 0)

    def test_removed(self):
        """the default file may be missing at the start, but not when it was there before"""
        p = self.start("echo backlog = 5 >echod.conf")
        os.unlink(self.inside)
        self.assertReloadRefused(p, "No such file")

    def test_dangling_link(self):
        """a dangling link in its place is an error, while no file at all goes on to mean the defaults"""
        dangling = "is a symbolic link to nowhere, which does not exist"
        p = self.start("ln -s nowhere echod.conf", f"/echod.conf: {dangling}")
        self.assertEqual(p.wait(harness.DEADLINE), 78)
        p = self.start("true")
        p.send_signal(signal.SIGHUP)
        self.assertEqual(p.stderr.readline(), "echod: reloaded\n")
        os.symlink("nowhere", self.inside)
        self.assertReloadRefused(p, dangling)


class BrokenFile(harness.Test):
    """Each shape of a broken file leaves everything as it was. [F46]"""

    numbers = itertools.count()

    # What is put in its place, and what is said of that.
    SHAPES = (("# one\nworkers = 2 // two\n/* three\n*/ max_connections = many\nbacklogs = 5\n",
               ':4: max_connections = "many" is not allowed, only a number from 0 to',
               r':5: no such option "backlogs", did you mean "backlog"\?'),
              ('log_level = "info\nmax_connections = 3\n', ":1: .*not closed"),
              ("/* note\nmax_connections = 3\n", ":1: .*not closed"),
              (None, ": No such file"),
              (os.mkdir, ": is not a regular file"),
              (os.mkfifo, ": is not a regular file"))

    def put(self, d, shape):
        """Puts a text there, or what a function makes; None is nothing."""
        if os.path.lexists(d.conf_path):
            os.rename(d.conf_path, os.path.join(d.directory.name, f"old.{next(self.numbers)}"))
        if isinstance(shape, str):
            d.write_conf(shape)
        elif shape:
            shape(d.conf_path)

    def test_shapes(self):
        """text with errors, what is not closed, no file, and what is none; a good one after it is read"""
        expected = [REFUSED, harness.REFUSED, *(p for _, *patterns in self.SHAPES for p in patterns)]
        with Echod(conf="max_connections = 1\n", expect=expected) as d, d.connect() as s:
            self.assertEchoes(s)
            for shape, pattern, *more in self.SHAPES:
                self.put(d, shape)
                d.reload(what=f"{REFUSED}: {d.conf_path}{pattern}")
                for other in more:
                    d.wait_log(f"{d.conf_path}{other}")
                self.assertEchoes(s)
                self.assertRefused(d)
                self.put(d, "max_connections = 2\n")
                d.reload()
                with d.connect() as another:
                    self.assertEchoes(another)
                    self.assertRefused(d)
                d.wait_open(1)
                self.put(d, "max_connections = 1\n")
                d.reload()


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""SIGHUP: a good file is taken over, a bad one changes nothing, and connections never notice."""

import os
import re
import signal
import socket
import subprocess

import harness
from harness import Echod

REFUSED = "reload refused, all stays as it was"


def free_port():
    """A port that nobody has, held by a socket that is bound and does not listen."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    return s, s.getsockname()[1]


class Reload(harness.Test):
    def reload(self, daemon, conf=None, pattern="reloaded$"):
        seen = len([l for l in daemon.log().splitlines() if pattern.rstrip("$") in l])
        if conf is not None:
            daemon.write_conf(conf)
        daemon.signal(signal.SIGHUP)
        daemon.wait_log(pattern, seen + 1)

    def test_limits_and_timeouts(self):
        """limits, timeouts and the log level change at once, for old connections too"""
        with Echod(conf="idle_timeout = 0\nmax_connections = 2\n",
                   expect=[harness.REFUSED]) as d, d.connect() as first:
            self.assertEchoes(first)
            with d.connect() as second:
                self.assertEchoes(second)
                self.assertRefused(d)
                self.reload(d, "idle_timeout = 0\nmax_connections = 3\nlog_level = debug\n")
                self.assertServes(d)
                d.wait_log("debug: ")
                self.assertEchoes(first)
                self.reload(d, "idle_timeout = 1\n")
                self.assertEnds(first)
                self.assertEnds(second)
            d.wait_open(0)

    def test_pending_memory(self):
        """a slow reader loses nothing when pending_memory shrinks below what it holds"""
        with Echod(conf="send_buffer = 4608") as d, d.connect(rcvbuf=4096) as s:
            sent = harness.fill(s)
            self.reload(d, "send_buffer = 4608\npending_memory = 0\n")
            self.assertEqual(harness.read_exactly(s, len(sent)), sent)
            self.assertEchoes(s)

    def test_listeners(self):
        """listeners are added and removed without touching the others or any connection"""
        holder, port = free_port()
        other_holder, other = free_port()
        third_holder, third = free_port()
        text = 'listen = {"127.0.0.1:%d", "127.0.0.1:%d"}'
        holder.close(), other_holder.close(), third_holder.close()
        with Echod(conf=text % (port, other), listen=None) as d:
            with d.connect(port) as a, d.connect(other) as b:
                self.assertEchoes(a)
                self.reload(d, text % (port, third))
                d.wait_log(f"listening on 127.0.0.1:{third}$")
                for s in (a, b):
                    self.assertEchoes(s)
                self.assertServes(d, port=port)
                self.assertServes(d, port=third)
                harness.wait_until(lambda: self.is_closed(other), "the removed listener to close")
                self.assertEqual(d.log().count(f"listening on 127.0.0.1:{port}"), 1)

    def is_closed(self, port):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_queue_of_removed_listener(self):
        """who waits in the queue of a listener that is removed is still served [F20]"""
        holder, port = free_port()
        other_holder, other = free_port()
        holder.close(), other_holder.close()
        with Echod(conf=f"listen = 127.0.0.1:{port}", listen=None) as d:
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
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        with Echod(conf="max_connections = 1\nlisten = 127.0.0.1:0", listen=None,
                   expect=[REFUSED, harness.REFUSED,
                           f"cannot listen on {address}: Address already in use"]) as d:
            before = d.descriptors()
            self.reload(d, f"listen = {{127.0.0.1:0, {address}}}", REFUSED)
            with d.connect() as s:
                self.assertEchoes(s)
                self.assertRefused(d)  # max_connections stayed
            d.wait_open(0)
            self.assertEqual(d.descriptors(), before)

    def test_fixed_options(self):
        """what needs a restart is named, and the rest of the file is in force"""
        with Echod(conf="workers = 2\n", expect=["reload: .* stays as it is until a restart",
                                                  harness.REFUSED]) as d:
            self.reload(d, "workers = 3\nbuffer_size = 8192\nmax_connections = 1\n")
            for name in ("workers", "buffer_size"):
                d.wait_log(f"reload: {name} stays as it is until a restart")
            self.assertEqual(list(d.threads().values()).count("worker/2"), 0)
            with d.connect():
                d.wait_open(1)
                self.assertRefused(d)

    def test_overrides_stay(self):
        """-o still overrides the file after a reload"""
        text = "listen = 127.0.0.1:0\nmax_connections = %d"
        with Echod("-o", "max_connections=1", conf=text % 5, listen=None,
                   expect=[harness.REFUSED]) as d, d.connect() as s:
            self.assertEchoes(s)
            self.reload(d, text % 7)
            self.assertRefused(d)
            self.assertEqual(d.counters()["refused_max_connections"], 1)

    def test_coalesced(self):
        """200 signals while clients talk: serialized, and nobody notices [F47 P17]"""
        with Echod(conf="") as d, d.connect() as s:
            for i in range(200):
                d.signal(signal.SIGHUP)
                self.assertEchoes(s, b"%d" % i)
            d.wait_log("reloaded")


class DefaultFile(harness.Test):
    def setUp(self):
        self.path = re.search(r"instead of (\S+)", harness.run("--help")[1]).group(1)
        if not os.path.isdir(os.path.dirname(self.path)):
            self.skipTest(f"no directory for {self.path}")

    def start(self, prepare):
        """A daemon with an empty directory of its own for its file, in which prepare runs before."""
        script = 'mount -t tmpfs none "$(dirname "$1")" && cd "$(dirname "$1")" && %s && exec "$2" ' \
                 "-o listen=127.0.0.1:0"
        p = subprocess.Popen(["unshare", "-rm", "sh", "-c", script % prepare, "-", self.path, harness.ECHOD],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(p.communicate)
        self.addCleanup(p.kill)
        return p

    def wait(self, p, text):
        for line in iter(p.stderr.readline, ""):
            if text in line:
                return
        self.skipTest("no mount namespace here")

    def assertReloadRefused(self, p, reason):
        p.send_signal(signal.SIGHUP)
        self.assertIn(f"{REFUSED}: {self.path}: {reason}", p.stderr.readline())
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(harness.DEADLINE), 0)

    @harness.needs("unshare")
    def test_removed(self):
        """the default file may be missing at the start, but not when it was there before"""
        p = self.start("echo backlog = 5 >echod.conf")
        self.wait(p, "ready: ")
        os.unlink(f"/proc/{p.pid}/root{self.path}")
        self.assertReloadRefused(p, "No such file")

    @harness.needs("unshare")
    def test_dangling_link(self):
        """a dangling link in the place of the default file is an error, not a wish for the defaults"""
        p = self.start("ln -s nowhere echod.conf")
        self.wait(p, f"{self.path}: is a symbolic link to nowhere, which does not exist")
        self.assertEqual(p.wait(harness.DEADLINE), 78)

    @harness.needs("unshare")
    def test_dangling_link_later(self):
        """so it is at a reload, while no file at all goes on to mean the defaults"""
        p = self.start("true")
        self.wait(p, "ready: ")
        p.send_signal(signal.SIGHUP)
        self.assertEqual(p.stderr.readline(), "echod: reloaded\n")
        os.symlink("nowhere", f"/proc/{p.pid}/root{self.path}")
        self.assertReloadRefused(p, "is a symbolic link to nowhere, which does not exist")


class BrokenFile(harness.Test):
    """Each shape of a broken file leaves everything as it was. [F46]"""

    GOOD = "max_connections = 1\n"

    def check(self, breakage, pattern, *more):
        """Breaks the file, reloads, and looks; then mends it, reloads, and looks again."""
        with Echod(conf=self.GOOD, expect=[REFUSED, harness.REFUSED, *more]) as d:
            with d.connect() as s:
                self.assertEchoes(s)
                breakage(d)
                d.signal(signal.SIGHUP)
                d.wait_log(f"{REFUSED}: {d.conf_path}.*{pattern}")
                for other in more:
                    d.wait_log(f"{d.conf_path}{other}")
                self.assertEchoes(s)
                self.assertRefused(d)
            d.wait_open(0)
            if os.path.isdir(d.conf_path):
                os.rmdir(d.conf_path)
            elif os.path.lexists(d.conf_path):
                os.unlink(d.conf_path)
            d.write_conf("max_connections = 2\n")
            d.signal(signal.SIGHUP)
            d.wait_log("reloaded")
            with d.connect() as a, d.connect() as b:
                self.assertEchoes(a)
                self.assertEchoes(b)
                self.assertRefused(d)

    def check_text(self, text, *patterns):
        self.check(lambda d: d.write_conf(text), *patterns)

    def test_text(self):
        """a text with errors: each is told with its line"""
        self.check_text("# one\nworkers = 2 // two\n/* three\n*/ max_connections = many\nbacklogs = 5\n",
                        ':4: max_connections = "many" is not allowed, only a number from 0 to',
                        r':5: no such option "backlogs", did you mean "backlog"\?')

    def test_open_string(self):
        """a string that is not closed, and the good file after it is read as it is"""
        self.check_text('log_level = "info\nmax_connections = 3\n', ":1: .*not closed")

    def test_open_comment(self):
        """the same with a comment, which would swallow the rest of the file"""
        self.check_text("/* note\nmax_connections = 3\n", ":1: .*not closed")

    def test_missing(self):
        """the file is gone"""
        self.check(lambda d: os.unlink(d.conf_path), "No such file")

    def test_dangling_link(self):
        """a link to a file that is not there"""
        def breakage(d):
            os.unlink(d.conf_path)
            os.symlink("nowhere", d.conf_path)
        self.check(breakage, "symbolic link to nowhere, which does not exist")

    def test_directory(self):
        """a directory"""
        def breakage(d):
            os.unlink(d.conf_path)
            os.mkdir(d.conf_path)
        self.check(breakage, "not a regular file")

    def test_fifo(self):
        """a FIFO, which would never end"""
        def breakage(d):
            os.unlink(d.conf_path)
            os.mkfifo(d.conf_path)
        self.check(breakage, "not a regular file")


if __name__ == "__main__":
    harness.main()

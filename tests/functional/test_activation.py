# SPDX-License-Identifier: MIT
"""Listening sockets from a service manager, real and wrong ones."""

import os
import socket
import subprocess
import tempfile

import harness
from harness import Passed


class Activation(harness.Test):
    def listener(self, family=socket.AF_INET, address=("127.0.0.1", 0)):
        s = self.enterContext(socket.socket(family, socket.SOCK_STREAM))
        s.bind(address)
        s.listen()
        return s

    def test_passed(self):
        """passed listeners are served, with the options of the file, and `listen` is not opened [F44]"""
        a, b = self.listener(), self.listener()
        a.setblocking(True)  # which must not make the acceptor block
        with Passed("--activated", "-o", "tcp_keepalive=77", passed=[a, b], listen="127.0.0.1:1",
                    names="echod.socket:weird name") as d:
            self.assertEqual(d.ports, [a.getsockname()[1], b.getsockname()[1]])
            for port in d.ports:
                self.assertServes(d, port=port)
            d.wait_counter("accepted", 2)
            self.assertEqual(a.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 77)

    def test_reload(self):
        """a reload leaves passed listeners alone, whatever `listen` says, and sets their options"""
        a = self.listener()
        with Passed(passed=[a], conf="", listen=None) as d:
            with d.connect() as s:
                d.reload('listen = "127.0.0.1:1"\ntcp_nodelay = false')
                self.assertEchoes(s)
            self.assertServes(d)
            self.assertEqual(a.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 0)

    def test_none(self):
        """--activated without a socket says so, and exits 78"""
        status, _, stderr = harness.run("-c", "/dev/null", "--activated")
        self.assertEqual(status, 78)
        self.assertIn("no listening socket was passed; with systemd, start echod.socket", stderr)

    def wrong_ones(self):
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagram.bind(("127.0.0.1", 0))
        path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "socket")
        wrong = {"datagram": datagram, "not listening": socket.socket(),
                 "connected": socket.create_connection(self.listener().getsockname()),
                 "UNIX": self.listener(socket.AF_UNIX, path), "file": tempfile.TemporaryFile(),
                 "pipe": os.fdopen(os.pipe()[0], "rb")}
        for s in wrong.values():
            self.addCleanup(s.close)
        return wrong

    def test_wrong(self):
        """each descriptor that is no listening TCP socket is closed with a warning; the rest serve [F43]"""
        for what, wrong in self.wrong_ones().items():
            with self.subTest(what):
                good = self.listener()
                with Passed(passed=[wrong, good], names="x:y",
                            expect=[r"descriptor 3 \(x\) was passed, but it is not a listening"]) as d:
                    d.wait_log("descriptor 3 ")
                    self.assertServes(d)

    def test_wrong_stored(self):
        """what is under the names of our own store, and is not ours, is closed with a warning"""
        names = ("stored.state", "stored.carrier.0", "stored.carrier.1x", "stored.carrier.",
                 "stored.carrier.16", "stored.carrier.-1", "stored.", "stored.new", "stored.listener")
        for what, wrong in self.wrong_ones().items():
            with self.subTest(what), Passed(passed=[*map(self.copy, [wrong] * len(names)), self.listener()],
                                            names=":".join((*names, "y")),
                                            expect=["stored", "state is damaged"]) as d:
                self.assertEqual(len(d.ports), 1)
                self.assertServes(d)

    def copy(self, file):
        return self.enterContext(os.fdopen(os.dup(file.fileno())))

    def test_too_many(self):
        """more listeners than there may be are closed, one by one"""
        some = [self.listener() for _ in range(70)]
        with Passed(passed=some, expect=["there are too many: closed"]) as d:
            d.wait_log("there are too many", 6)
            self.assertEqual(len(d.ports), 64)
            self.assertServes(d, port=d.ports[-1])

    def test_nonsense(self):
        """no count, process or name makes it crash, or take what is not passed [F43]"""
        cases = [{"fds": n} for n in ("0", "-1", "99999", "2147483647", "99999999999", "x", "2")]
        cases += [{"pid": "1"}, {"pid": "x"}, {"names": "a:b:c"}, {"names": ":"},
                  {"names": "x" * 300}, {"names": "\x01"}]
        for case in cases:
            with self.subTest(**case):
                good = self.listener()
                expect = [] if case.get("fds") == "0" else ["cannot take the descriptors"]  # none is no mistake
                with Passed(passed=[good], expect=expect, **case) as d:
                    self.assertServes(d)
                    taken = d.port == good.getsockname()[1]
                    self.assertEqual(taken, case.get("names") not in (None, "a:b:c", ":"))

    @harness.needs("systemd-socket-activate")
    def test_socket_activate(self):
        """systemd's own way to pass a listener works, from the first connection on"""
        with harness.free_port() as port:
            p = subprocess.Popen(["systemd-socket-activate", "-l", f"127.0.0.1:{port}", harness.ECHOD,
                                  "-c", "/dev/null", "--activated"], stderr=subprocess.PIPE)
            next(line for line in iter(p.stderr.readline, b"") if b"Listening" in line)
        with socket.create_connection(("127.0.0.1", port)) as s:
            self.assertEchoes(s)
        p.terminate()
        p.communicate(timeout=harness.DEADLINE)
        self.assertEqual(p.returncode, 0)


if __name__ == "__main__":
    harness.main()

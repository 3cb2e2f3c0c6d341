# SPDX-License-Identifier: MIT
"""Listening sockets: those that end, what they are known by, what they hand down, and kinds of them."""

import os
import socket
import struct
import subprocess
import unittest

import harness
from harness import Echod, Passed
from manager import NO_MANAGER, Manager

SHUT_DOWN = "the listener on .* failed: it was shut down by another process; "
OPENED_AGAIN = SHUT_DOWN + "opening it again"
QUEUED = b"a message from the queue"
NOT_OPENED = "cannot listen on .*: Address already in use"

SO_TIMESTAMPING, SO_BUF_LOCK, IP_RECVERR = 37, 72, 11
IPPROTO_MPTCP = 262

# A network with a loopback interface only.
OTHER_NETWORK = ("unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def other_holder(listener):
    """A socket of our own for what a manager has stored."""
    return socket.socket(fileno=os.dup(listener.fileno()))


def shut_down(listener):
    with other_holder(listener) as s:
        s.shutdown(socket.SHUT_RDWR)


def ip(text, **options):
    subprocess.run(["ip", *text.split()], check=True, **options)


@unittest.skipUnless(os.environ.get("ECHOD_NAMESPACE"), "no network namespace for us here")
class Listeners(harness.Test):
    def interface(self, name, address="fe80::7"):
        """An interface with a link-local address, until the end of the test."""
        ip(f"link add {name} type veth peer name peer")
        self.addCleanup(subprocess.run, ["ip", "link", "del", name], stderr=subprocess.DEVNULL)
        ip("link set peer up")
        ip(f"addr add {address}/64 dev {name} nodad")
        ip(f"link set {name} up")

    def listener(self, *args):
        s = socket.create_server(*args or [("127.0.0.1", 0)])
        self.addCleanup(s.close)
        return s

    def queued(self, address):
        """A client whose connection is not accepted yet, with a message under way."""
        s = self.enterContext(socket.create_connection(address, harness.DEADLINE))
        s.sendall(QUEUED)
        return s

    def assertServedFromQueue(self, s):
        self.assertEqual(harness.read_exactly(s, len(QUEUED)), QUEUED)
        s.close()

    def inodes(self, m):
        """The stored listeners by their ports."""
        m.settle()
        return dict(zip(m.stored_ports(), (s.inode() for s in m.store)))


class Ended(Listeners):
    """A listener that another process shuts down [F52] [P19]"""

    def test_shut_down(self):
        """another is opened at the same port, and stored; others' clients notice nothing"""
        with Manager(expect=[OPENED_AGAIN]) as m:
            d = m.start(listen="{127.0.0.1:0,127.0.0.2:0}")
            before = self.inodes(m)
            ended, other = d.ports
            with d.connect(port=other, host="127.0.0.2") as c:
                shut_down(m.stored_at(ended))
                d.wait_log(f"listening on 127.0.0.1:{ended}, again")
                self.assertServes(d, port=ended)
                self.assertServes(d, port=other, host="127.0.0.2")
                self.assertEchoes(c)
            after = self.inodes(m)
            self.assertEqual(after.keys(), before.keys())
            self.assertEqual([after[p] == before[p] for p in (ended, other)], [False, True])
            d.reload()
            self.assertServes(d, port=ended)
            d = m.restart(listen=f"{{127.0.0.1:{ended},127.0.0.2:{other}}}")
            self.assertServes(d, port=ended)
            self.assertEqual(self.inodes(m), after)

    @harness.needs("ss")
    def test_killed(self):
        """one that the kernel destroys is opened again, and nothing spins after"""
        with Echod(expect=[OPENED_AGAIN]) as d:
            p = subprocess.run(["ss", "-K", "-H", "-tln", "sport", "=", f":{d.port}"],
                               capture_output=True, text=True, timeout=harness.DEADLINE)
            if not p.stdout:
                self.skipTest(f"ss kills nothing here: {p.stderr}")
            d.wait_log(f"listening on 127.0.0.1:{d.port}, again")
            for _ in range(3):
                self.assertServes(d)
                d.reload()
            self.assertSleeps(d, 0.5)

    def test_address_is_taken(self):
        """while its address is another's it is tried again; reloads are not refused for it"""
        with Manager(conf="", expect=[OPENED_AGAIN, NOT_OPENED]) as m:
            d = m.start(listen="{127.0.0.1:0,127.0.0.2:0}")
            ended, other = d.ports
            with harness.Stuck(d.pid):
                shut_down(m.stored_at(ended))
                taker = self.listener(("127.0.0.1", ended))
            d.wait_log(NOT_OPENED)
            self.assertServes(d, port=other, host="127.0.0.2")
            harness.wait_until(lambda: "cannot be opened again" in m.told("STATUS")[-1], "the status")
            d.reload("idle_timeout = 5")
            d.wait_log(NOT_OPENED, 2)  # a reload tries at once
            taker.close()
            d.wait_log(f"listening on 127.0.0.1:{ended}, again")  # and time does, later
            self.assertServes(d, port=ended)
            harness.wait_until(lambda: "opened" not in m.told("STATUS")[-1], "a status without a remark")
            m.settle()
            self.assertEqual(sorted(m.stored_ports()), sorted([ended, other]))
            d.port = other

    def test_in_the_store(self):
        """one that ended while no process served it is opened again at the next start"""
        with Manager(expect=["was passed, but it is not a listening TCP socket"]) as m:
            d = m.start()
            m.abort()
            shut_down(m.stored_at(d.port))
            d = m.start()
            self.assertServes(d)
            m.settle()
            self.assertEqual(m.stored_ports(), d.ports)

    def test_passed(self):
        """one that was passed is left out, and log and status say what to do"""
        ended, other = self.listener(), self.listener()
        with Manager(listen="", expect=["restart the socket unit that passed it"]) as m:
            d = m.daemon = Passed(passed=[ended, other], listen=None, conf="", env={"NOTIFY_SOCKET": m.path},
                                  expect=["restart the socket unit", NO_MANAGER])
            shut_down(ended)
            d.wait_log(SHUT_DOWN + "restart the socket unit that passed it")
            remark = "a listening socket was shut down, restart its socket unit"
            harness.wait_until(lambda: remark in m.told("STATUS")[-1], "the status")
            d.reload()
            harness.wait_until(lambda: remark in m.told("STATUS")[-1], "the status after a reload")
            with self.assertRaises(ConnectionRefusedError):
                d.connect(port=ended.getsockname()[1])
            d.port = other.getsockname()[1]
            self.assertServes(d)


class Identity(Listeners):
    """Which stored listener is the one that the configuration names [F53]"""

    def test_network_namespace(self):
        """one of another network namespace is not served on, and not kept"""
        with Manager(expect=["but it belongs to another network namespace: closed"]) as m:
            d = m.start()
            port = d.port
            m.abort()
            d = m.start(prefix=OTHER_NETWORK)
            self.assertEqual(list(d.listeners().values()), [("127.0.0.1", port)])
            m.settle()
            self.assertEqual(m.stored_ports(), [port])
            with self.assertRaises(ConnectionRefusedError):
                d.connect()

    def test_port_0(self):
        """a port that the kernel chose stays, and a zone that means nothing is nothing"""
        for listen in ("{127.0.0.1:0,127.0.0.2:0}", "[::1%1]:0", "[0:0::1]:0"):
            with self.subTest(listen), Manager() as m:
                d = m.start(listen=listen)
                before = self.inodes(m)
                m.abort()
                waiting = [self.queued(address) for address in m.stored_addresses()]
                d = m.start(listen=listen)
                for c in waiting:
                    self.assertServedFromQueue(c)
                self.assertEqual(self.inodes(m), before)

    def test_names_of_0_1_0(self):
        """listeners under the names that 0.1.0 gave them are taken, and renamed"""
        with Manager() as m:
            d = m.start()
            m.abort()
            for s in m.store:
                if s.name.startswith("stored.listener"):
                    s.name = f"stored.listener.127.0.0.1_{d.port}"
                    before = s.inode()
            c = self.queued(("127.0.0.1", d.port))
            d = m.start()
            self.assertServedFromQueue(c)
            m.settle()
            self.assertEqual([(s.name, s.inode()) for s in m.store], [("stored.listener", before)])

    def test_twice(self):
        """of two at one address one is served, and the other one closed"""
        with Manager() as m:
            d = m.start()
            m.abort()
            with socket.socket() as second:
                stored = other_holder(m.stored_at(d.port))
                for s in (stored, second):
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                stored.close()
                second.bind(("127.0.0.1", d.port))
                second.listen()
                m.add("stored.listener", os.dup(second.fileno()))
            d = m.start()
            m.settle()
            self.assertEqual(m.stored_ports(), [d.port])
            for _ in range(20):
                self.assertServes(d)

    def test_renamed_interface(self):
        """a listener whose interface has another name now is removed when a reload drops it"""
        self.interface("first0")
        with Manager(conf='listen = {"[fe80::7%first0]:0", "127.0.0.1:0"}') as m:
            d = m.start(listen="")
            self.assertEqual(len(m.names()), 2)
            ip("link set first0 down")
            ip("link set first0 name second0")
            ip("link set second0 up")
            self.addCleanup(ip, "link del second0")
            d.reload('listen = "127.0.0.1:0"')
            m.settle()
            self.assertEqual([host for host, _ in m.stored_addresses()], ["127.0.0.1"])
            harness.wait_until(lambda: len(d.listeners()) == 1, "the listener to be closed")
            d.port = m.stored_ports()[0]
            m.listen = f"127.0.0.1:{d.port}"

    def test_buffers(self):
        """a size that is configured no more is the kernel's again after a restart"""
        with Manager() as m, socket.socket() as fresh:
            m.start("-o", "receive_buffer=4096", "-o", "send_buffer=4096")
            m.restart("-o", "receive_buffer=4096")
            with other_holder(m.store[0]) as s:
                self.assertEqual(s.getsockopt(socket.SOL_SOCKET, SO_BUF_LOCK), 2)
            d = m.restart()
            with other_holder(m.store[0]) as s:
                self.assertEqual(s.getsockopt(socket.SOL_SOCKET, SO_BUF_LOCK), 0)
                for name in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                    self.assertEqual(s.getsockopt(socket.SOL_SOCKET, name),
                                     fresh.getsockopt(socket.SOL_SOCKET, name))
            self.assertServes(d)


class Inherited(Listeners):
    """Options that the socket was given before, and its connections inherit [F54]"""

    def test_linger(self):
        """no close resets an echo that is under way, or holds up another's"""
        for seconds in (0, 5):
            s = self.listener()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
            with self.subTest(seconds), Passed("-o", "workers=1", passed=[s]) as d:
                with d.connect(rcvbuf=2304) as slow, d.connect() as other:
                    slow.sendall(b"x" * 30000)
                    slow.shutdown(socket.SHUT_WR)
                    d.wait_counter("echoed", 30000)
                    self.assertEchoes(other)
                    self.assertEqual(harness.read_to_end(slow), b"x" * 30000)

    def test_others(self):
        """single bytes come back, at once and in line, whatever else was set"""
        for level, name, value in ((socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1000),
                                   (socket.SOL_SOCKET, SO_TIMESTAMPING, 2),
                                   (socket.IPPROTO_TCP, socket.TCP_CORK, 1),
                                   (socket.IPPROTO_IP, IP_RECVERR, 1)):
            s = self.listener()
            s.setsockopt(level, name, value)
            with self.subTest(level=level, name=name), Passed(passed=[s]) as d, d.connect() as c:
                for _ in range(3):
                    self.assertEchoes(c, b"x")


class LinkLocal(Listeners):
    """Addresses that belong to an interface, which comes and goes [F55]"""

    def test_missing_at_start(self):
        """an interface that is not there (yet) is an error of the machine, and is tried again"""
        with Echod(listen="{127.0.0.1:0,[fe80::7%late0]:7}", wait=False, status=71,
                   expect=[r"cannot listen on \[fe80::7%late0\]:7: No such device"]) as d:
            d.wait_exit()
            self.assertIn("No such device", d.log())

    def test_missing_at_a_reload(self):
        """an interface that goes refuses no reload; one that comes again is listened on"""
        self.interface("late0")
        conf = 'listen = {"127.0.0.1:0", "[fe80::7%%late0]:7"}\nidle_timeout = %d'
        with Echod(conf=conf % 100, listen=None, expect=["reload refused", "cannot listen on"]) as d:
            self.check_late(d)
            ip("link del late0")
            d.reload(conf % 99)
            d.reload('listen = {"127.0.0.1:0", "[fe80::8%late0]:7"}', "reload refused")
            self.assertIn("cannot listen on [fe80::8%late0]:7: No such device", d.log())
            self.assertServes(d)
            self.interface("late0")
            d.reload(conf % 98)
            self.check_late(d)

    def check_late(self, d):
        with socket.create_connection(("fe80::7%late0", 7), harness.DEADLINE) as c:
            self.assertEchoes(c)


def tcp(protocol=IPPROTO_MPTCP):
    """A socket of TCP or multipath TCP."""
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    s.settimeout(harness.DEADLINE)
    return s


def has_mptcp():
    try:
        tcp().close()
    except OSError:
        return False
    return True


@unittest.skipUnless(has_mptcp(), "this kernel has no MPTCP, or it is off")
class Multipath(Listeners):
    """Multipath TCP [F56]"""

    def check(self, d):
        """Clients of both protocols: messages, a stream, both ends, and a reset."""
        for protocol in 0, IPPROTO_MPTCP:
            with tcp(protocol) as s:
                s.connect(("127.0.0.1", d.port))
                self.assertEchoes(s)
                self.assertEchoes(s, os.urandom(1 << 22))
                s.shutdown(socket.SHUT_WR)
                self.assertEnds(s)
            with tcp(protocol) as s:
                s.connect(("127.0.0.1", d.port))
                harness.reset(s)
        d.wait_open(0)

    def test_passed(self):
        """a listener of MPTCP is served, to clients of both protocols"""
        with tcp() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            with Passed("-o", "tcp_keepalive=77", passed=[s]) as d:
                self.check(d)

    @unittest.skipIf(harness.SANITIZERS, "sanitizers must be loaded first")
    @harness.needs("mptcpize")
    def test_mptcpize(self):
        """under mptcpize(8) it listens with MPTCP, and connections go on over restarts"""
        with Manager(prefix=["mptcpize", "run"]) as m:
            d = m.start()
            self.check(d)
            with tcp() as c:
                c.connect(("127.0.0.1", d.port))
                self.assertEchoes(c)
                before = m.store[0].inode()
                d = m.restart()
                self.assertEqual(m.store[0].inode(), before)
                self.assertEchoes(c)
                with tcp() as s:
                    s.connect(("127.0.0.1", d.port))
                    self.assertEqual(s.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL), IPPROTO_MPTCP)
                    self.assertEchoes(s)
            m.abort()
            d = m.start(prefix=(), expect=["it is of TCP and new ones of MPTCP"])
            self.assertServes(d)


if __name__ == "__main__":
    harness.enter_namespace()
    harness.main()

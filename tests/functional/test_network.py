# SPDX-License-Identifier: MIT
"""What only a network of one's own can show: small queues, few ports, dead links, killed connections."""

import concurrent.futures
import contextlib
import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import unittest

import harness
from harness import Echod, many, options

# For all the ports of all the sources: 30,000.
SHORT_CONNECTIONS = int(os.environ.get("SHORT_CONNECTIONS", 5000))


@unittest.skipUnless(os.environ.get("ECHOD_NAMESPACE"), "no network namespace for us here")
class Network(harness.Test):
    """Has a network of its own, with a loopback interface only."""

    def set(self, name, value):
        """Sets a sysctl until the end of the test."""
        path = os.path.join("/proc/sys", *name.split("."))
        self.addCleanup(self.write, path, harness.read(path))
        self.write(path, str(value))

    def write(self, path, text):
        with open(path, "w") as f:
            f.write(text)

    def ip(self, *commands):
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True)

    def overflows(self):
        """How often a listener's queue was too full, as the kernel counts it."""
        names, values = re.findall("^TcpExt: (.*)$", harness.read("/proc/self/net/netstat"), re.M)
        return int(dict(zip(names.split(), values.split()))["ListenOverflows"])


class Queue(Network):
    def test_overflow(self):
        """a queue that the kernel makes shorter is reported; clients that find it full are served later [F19]"""
        self.set("net.core.somaxconn", 2)
        with Echod() as d:
            d.wait_log(r"listening on 127\.0\.0\.1:\d+, with a queue of 2 only$")
            before = self.overflows()
            with contextlib.ExitStack() as stack:
                with d.stuck("acceptor"):
                    clients = [stack.enter_context(socket.socket()) for _ in range(10)]
                    for s in clients:
                        s.setblocking(False)
                        s.connect_ex(("127.0.0.1", d.port))
                    harness.wait_until(lambda: self.overflows() > before, "the queue to overflow")
                for s in clients:  # the kernel tries again after a second, and then after two
                    s.settimeout(harness.DEADLINE)
                    select.select([], [s], [], harness.DEADLINE)
                    self.assertEchoes(s)

    def test_no_overflow(self):
        """a queue of the usual length never overflows, however fast clients come and go [F19]"""
        with Echod() as d:
            self.assertNotIn("queue", d.log())
            before = self.overflows()
            harness.together(8, lambda _: [d.serves() for _ in range(300)])
            self.assertEqual(d.wait_open(0)["accepted"], 2400)
            self.assertEqual(self.overflows(), before)


class TimeWait(Network):
    def test_short_connections(self):
        """when clients end first, none of a thousand ports' TIME_WAIT is the server's; it can be restarted [F21]"""
        self.set("net.ipv4.ip_local_port_range", "20000 20999")
        with Echod(listen="127.0.0.1:7") as d:
            for i in range(SHORT_CONNECTIONS):
                with d.connect(source=f"127.0.1.{1 + i // 900}") as s:
                    s.sendall(b"%d" % i)
                    self.assertEqual(s.recv(10), b"%d" % i)
            d.wait_open(0)
            states = [s.state for s in harness.sockets() if s.peer_port == 7]
            self.assertNotIn(harness.TIME_WAIT, [s.state for s in harness.sockets(7)])
            self.assertGreater(states.count(harness.TIME_WAIT), SHORT_CONNECTIONS // 2)
            with d.connect(source="127.0.2.1") as s:
                self.assertEchoes(s)
                d.signal(signal.SIGTERM)
                self.assertEnds(s)  # this time it ends first
            d.wait_exit()
            self.assertIn(harness.TIME_WAIT, [s.state for s in harness.sockets(7)])
        with Echod(listen="127.0.0.1:7") as d:
            self.assertServes(d, source="127.0.2.1")


class Addresses(Network):
    def test_both_families(self):
        """0.0.0.0 and [::] are two listeners in either order, whatever the sysctl bindv6only says [F23]"""
        for value in (0, 1):
            self.set("net.ipv6.bindv6only", value)
            for listen in ("{0.0.0.0:7,[::]:7}", "{[::]:7,0.0.0.0:7}"):
                with self.subTest(listen, bindv6only=value), Echod(listen=listen) as d:
                    self.assertEqual(sorted(d.listeners().values()), [("0.0.0.0", 7), ("::", 7)])
                    self.assertServes(d, host="127.0.0.1")
                    self.assertServes(d, host="::1")
            with self.subTest("IPv6 only", bindv6only=value), Echod(listen="[::]:7") as d:
                self.assertServes(d, host="::1")
                with self.assertRaises(ConnectionRefusedError):
                    d.connect(host="127.0.0.1")

    @harness.needs("setpriv")
    def test_unprivileged_port(self):
        """where port 7 is not privileged it is served without any capability [F24]"""
        self.set("net.ipv4.ip_unprivileged_port_start", 0)
        with Echod(prefix=("setpriv", "--bounding-set=-all", "--inh-caps=-all"), listen="127.0.0.1:7") as d:
            self.assertIn("CapEff:\t0000000000000000\n", harness.task(d.pid, d.pid, "status"))
            self.assertServes(d)

    def test_ipv6_disabled(self):
        """where IPv6 is switched off, an IPv6 address is named and stops the start; the rest can be served [F25]"""
        self.set("net.ipv6.conf.all.disable_ipv6", 1)
        self.set("net.ipv6.conf.lo.disable_ipv6", 1)
        status, _, stderr = harness.run("-c", "/dev/null", "-o", "listen={127.0.0.1:7,[::1]:7}")
        self.assertEqual(status, 71)
        self.assertIn("cannot listen on [::1]:7: Cannot assign requested address", stderr)
        self.assertNotIn("ready: ", stderr)
        with Echod(listen="{0.0.0.0:7,[::]:7}") as d:
            self.assertServes(d, host="127.0.0.1")


class Sources(Network):
    """Clients with addresses of their own, which all are this machine's."""

    def test_default(self):
        """by default a source that takes all it can leaves room for the others; loopback has no such limit [F16 P2]"""
        sources = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        for source in sources:
            self.ip(f"addr add {source}/32 dev lo")
            self.addCleanup(self.ip, f"addr del {source}/32 dev lo")
        refused = harness.REFUSED + r"192\.0\.2\.[\d:]+: max_connections_per_source"
        with Echod("-o", "max_connections=40", listen="0.0.0.0:0", expect=[refused]) as d:
            to = [{"host": source, "source": source} for source in sources]
            with many(d.connect(**to[0]) for _ in range(10)) as greedy:
                for s in greedy:
                    self.assertEchoes(s)
                for _ in range(20):
                    self.assertRefused(d, **to[0])
                with many(d.connect(**to[1]) for _ in range(10)) as second:
                    for s in second + greedy:
                        self.assertEchoes(s)
                    with many(d.connect() for _ in range(20)) as local:
                        for s in local:
                            self.assertEchoes(s)
                    d.wait_open(20)  # all places were taken
                self.assertServes(d, **to[2])
            counters = d.wait_open(0)
            self.assertEqual(counters["refused_max_connections_per_source"], 20)
            self.assertServes(d, **to[0])

    def test_number(self):
        """a number is meant for loopback, too, and a share of few connections is one"""
        for limit, loopback in ((1, False), ("1%", True)):
            with Echod(*options(max_connections=40, max_connections_per_source=limit),
                       expect=[harness.REFUSED]) as d, d.connect() as first:
                self.assertEchoes(first)
                self.assertEqual(d.serves(), loopback, limit)

    def test_link_local(self):
        """each link-local address of each link is a source of its own"""
        self.ip("link add here type veth peer name there", "link set here up", "link set there up")
        self.addCleanup(self.ip, "link del here")
        sources = [(address, link) for address in ("fe80::5", "fe80::6") for link in ("lo", "here")]
        for address, link in sources:
            self.ip(f"addr add {address}/64 dev {link} nodad")
            if link == "lo":
                self.addCleanup(self.ip, f"addr del {address}/64 dev lo")

        def connect(address, link):
            scope = socket.if_nametoindex(link)
            return socket.create_connection(("fe80::5%" + link, d.port), harness.DEADLINE,
                                            (address, 0, 0, scope))
        with Echod(*options(max_connections_per_source=1, log_level="debug"), listen="[::]:0",
                   expect=[harness.REFUSED]) as d:
            with many(connect(*source) for source in sources) as clients:
                for s in clients:
                    self.assertEchoes(s)
                for source in sources:
                    with self.assertRaises(ConnectionError), connect(*source) as s:
                        s.recv(1)
                self.assertServes(d, host="::1")
            d.wait_log(r"refused a connection from \[fe80::5%lo\]:\d+")


class Killed(Network):
    @harness.needs("ss")
    def test_idle(self):
        """connections that the kernel kills are closed, each once, and nothing spins after [F8]"""
        with Echod("-o", "workers=2") as d, many(d.connect() for _ in range(100)) as clients:
            for s in clients:
                self.assertEchoes(s)
            p = subprocess.run(["ss", "-K", "-H", "-t", "state", "established", "sport", "=", f":{d.port}"],
                               capture_output=True, text=True, timeout=harness.DEADLINE)
            if not p.stdout:
                self.skipTest(f"ss kills nothing here: {p.stderr}")
            counters = d.wait_open(0)
            self.assertEqual(counters["closed_error"], 100)
            for s in clients:
                with self.assertRaises(ConnectionResetError):
                    s.recv(1)
            self.assertSleeps(d, 1)


class Elsewhere(Network):
    """Has another network, at the other end of a cable."""

    HERE, THERE = "10.0.0.1", "10.0.0.2"

    def setUp(self):
        keeper = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        self.addCleanup(keeper.wait)
        self.addCleanup(keeper.kill)
        self.namespace = f"/proc/{keeper.pid}/ns/net"
        harness.wait_until(lambda: os.readlink(self.namespace) != os.readlink("/proc/self/ns/net"),
                           "another network")
        self.ip(f"link add here type veth peer name there netns {keeper.pid}",
                f"addr add {self.HERE}/24 dev here", "link set here up")
        self.there(lambda: self.ip(f"addr add {self.THERE}/24 dev there", "link set there up"))

    def there(self, act):
        """What act() returns in the other network, by a thread that enters it."""
        def enter():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(self.namespace) as f:
                if libc.setns(f.fileno(), 0) < 0:
                    raise OSError(ctypes.get_errno(), "setns")
            return act()
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(enter).result()

    def cut(self):
        """The cable carries nothing from now on, in either direction, and no side is told."""
        self.there(lambda: self.ip("link set there down"))


class Vanished(Elsewhere):
    """A client whose machine is gone, without a FIN, has its connection closed by a deadline."""

    @harness.needs("ip")
    def test_link_down(self):
        """whatever is in flight, idle_timeout, stall_timeout or the kernel's retransmissions end it [F31]"""
        self.set("net.ipv4.tcp_retries2", 2)
        # reason, how many bytes are in flight, options
        cases = [("closed_idle_timeout", 0, options(idle_timeout=1, stall_timeout=0)),
                 ("closed_error", 1000, options(idle_timeout=1, stall_timeout=0)),
                 ("closed_stall_timeout", 50000, options(idle_timeout=0, stall_timeout=1, send_buffer=4608)),
                 ("closed_error", 1000, options(idle_timeout=0, stall_timeout=0))]
        with contextlib.ExitStack() as stack:
            daemons = [stack.enter_context(Echod(*args, listen=f"{self.HERE}:0")) for _, _, args in cases]
            for d, (_, size, _) in zip(daemons, cases):
                s = stack.enter_context(self.there(lambda: d.connect(host=self.HERE)))
                self.assertEchoes(s)
                d.pause()
                s.sendall(bytes(size))
                d.wait_arrived(1, size)
            self.cut()
            for d in daemons:
                d.resume()
            for d, (reason, size, _) in zip(daemons, cases):
                with self.subTest(reason, in_flight=size):
                    self.assertEqual(d.wait_counter(reason, 1)["open"], 0)


if __name__ == "__main__":
    harness.enter_namespace()
    harness.main()

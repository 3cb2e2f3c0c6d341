# SPDX-License-Identifier: MIT
"""A load's numbers are those of its server, whose behaviour is known; and it ends."""

import json
import os
import signal
import socket
import subprocess
import time

import harness
import liars
from client import ECHOC, Client, target_of
from harness import Echod

SIZE = 64


class Pieces(liars.Honest):
    """Gives a message back in pieces, with a pause before each."""

    def __init__(self, size, pieces, seconds):
        super().__init__()
        self.size, self.pieces, self.seconds = size, pieces, seconds

    def talk(self, s, number):
        while message := harness.read_exactly(s, self.size):
            for i in range(self.pieces):
                self.pause(self.seconds)
                s.sendall(message[i * self.size // self.pieces:(i + 1) * self.size // self.pieces])


class Numbers(Client):
    def assertSums(self, o):
        """Each message that was offered is in one place."""
        offered = round(o["offered_rate"] * o["duration_s"])
        self.assertEqual(offered, o["messages_sent"] + o["unsent"])
        self.assertEqual(o["messages_sent"], o["messages_verified"] + o["lost"] + o["in_flight"])


class Rate(Numbers):
    def test_achieved(self):
        """achieved is what the server can do, not what was asked for, when all comes back in the end"""
        with liars.Delays(SIZE, [0.02]) as server:  # at most 50 a second
            o = self.load(server.target, "--rate", 100, "--duration", 0.5, "--timeout", harness.DEADLINE)
        self.assertSums(o)
        self.assertAllBack(o)
        self.assertGreaterEqual(o["answered_s"], 0.02 * o["messages_verified"])
        self.assertLess(o["duration_s"], o["answered_s"])
        self.assertLessEqual(o["achieved_rate"], 50)

    def test_too_much(self):
        """a rate that no machine can send ends in its time, and what was offered is what was offered"""
        with Echod() as d:
            for rate in ("5e7", "1e9"):
                o = self.load(target_of(d), "--rate", rate, "--duration", 0.3, "--timeout", 0.3, status=1)
                self.assertSums(o)
                self.assertGreater(o["messages_verified"], 0)
                self.assertLess(o["offered_rate"], 1e9)

    def test_interrupt(self):
        """^C is heard while a loader cannot keep its rate, and a second one ends it"""
        with Echod() as d:
            p = self.start("load", "--json", "--rate", "1e9", "--duration", 600, "--timeout", 600, target_of(d))
            harness.wait_until(lambda: d.counters()["echoed"] > 0, "messages")
            self.interrupt(p)
            self.interrupt(p)
            self.assertSums(self.finish(p).json)


class Find(Client):
    def test_capacity(self):
        """--find-rate finds no more than the server can do, shows each step, and what it found was kept"""
        with liars.Delays(SIZE, [0.02]) as server:  # at most 50 a second
            r = self.run_client("load", "--json", "--find-rate", "p50=150ms", "--rate", 10, "--duration", 0.8,
                                server.target)
        o = r.json
        kept = [step["rate"] for step in o["steps"] if step["kept"]]
        missed = [step["rate"] for step in o["steps"] if not step["kept"]]
        self.assertEqual((r.status, o["rate"]), (0, max(kept)), r.err)
        self.assertLess(max(kept), 80)
        self.assertLess(min(missed) / max(kept), 1.05)

    def test_none(self):
        """where no rate is kept, that is reported, with status 1"""
        with liars.Silent() as server:
            r = self.run_client("load", "--find-rate", "p50=1ms", "--rate", 2, "--timeout", 0.1, "--messages", 2,
                                server.target)
        self.assertEqual(r.status, 1)
        self.assertIn("did not come back", r.out)
        self.assertIn("No rate was found", r.out)

    def test_too_few(self):
        """a percentile is not told of fewer messages than it takes to know it"""
        for args, least in ((("--messages", 999), "1000 messages"), (("--rate", 199), "a --rate of 200")):
            r = self.run_client("load", "--find-rate", "p99.9=1s", *args, "127.0.0.1:7")
            self.assertEqual((r.status, r.out), (2, ""))
            self.assertIn(f"needs {least} at least", r.err)

    def test_refused(self):
        """a server that is not there ends it with the reason"""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            r = self.run_client("load", "--find-rate", "p99=1ms", f"127.0.0.1:{s.getsockname()[1]}")
        self.assertEqual((r.status, r.out), (2, ""))
        self.assertIn("Connection refused", r.err)


class WarmUp(Numbers):
    def test_left_out(self):
        """--warmup leaves its messages and their latencies out, and nothing else"""
        with liars.Stops(0, 0.3) as server:
            o = self.load(server.target, "--rate", 100, "--warmup", 0.5, "--duration", 0.5)
        self.assertAllBack(o)
        self.assertSums(o)
        self.assertLessEqual(o["messages_sent"], 100 * o["duration_s"] + 1)
        self.assertGreater(o["messages_sent"], 25)
        with liars.Flips(70) as server:  # a wrong byte of a warm-up is one
            self.assertEqual(self.load(server.target, "--rate", 100, "--warmup", 0.3, "--duration", 0.1, status=1)["corrupt"], 1)


class End(Client):
    def test_churn(self):
        """--churn above capacity ends one --timeout after the load, and counts what was not sent"""
        with liars.Delays(SIZE, [0.1]) as server:
            o = self.load(server.target, "--churn", "--rate", 200, "--duration", 0.4, "--timeout", 0.5, status=1)
        self.assertGreaterEqual(o["messages_sent"] + o["unsent"], 80)
        self.assertGreater(o["unsent"], 60)
        self.assertEqual(o["lost"], 0)

    @harness.needs("unshare", "mount")
    def test_silent_address(self):
        """an address that does not answer costs one --connect-timeout, not one for each connection"""
        hosts = self.temporary("127.0.0.2 two.test\n127.0.0.1 two.test\n")
        with Echod() as d, liars.deaf("127.0.0.2", d.port):
            p = self.start("load", "--json", "--churn", "--messages", 60, "--connect-timeout", 0.5,
                           f"two.test:{d.port}",
                           prefix=("unshare", "-rm", "sh", "-c", 'mount --bind "$0" /etc/hosts || exit 77; exec "$@"', hosts))
            r = self.finish(p)
            if r.status == 77:
                self.skipTest("no mount namespace: " + r.err)
            self.assertEqual(r.status, 0, r.err)
            self.assertLess(r.json["answered_s"], 60 * 0.5)

    def test_silent_target(self):
        """connects wait side by side, as many as there are descriptors, and not for each other's timeouts"""
        n = 600
        with liars.deaf() as target:
            p = self.start("load", "--connections", n, "--connect-timeout", 1000, target)
            harness.wait_until(lambda: len(os.listdir(f"/proc/{p.pid}/fd")) > n, "the connects")
            self.interrupt(p)
            self.interrupt(p)
            self.finish(p)

    def test_progress(self):
        """a terminal gets a line each second while connections are made"""
        with liars.deaf() as target:
            p, read = self.on_terminal("load", "--connect-timeout", 1000, target)
            self.assertIn(b"0 of 1 connections made, 0 failed", read(b"failed"))
            self.interrupt(p)
            self.interrupt(p)


class Loss(Numbers):
    def test_pause(self):
        """a pause of echoc itself loses nothing that came back meanwhile, or was sent only then"""
        with liars.Holds() as server:
            p = self.start("load", "--json", "--rate", 20, "--duration", 1, "--timeout", 0.3, server.target)
            server.asked.wait(harness.DEADLINE)
            p.send_signal(signal.SIGSTOP)
            server.go_on.set()
            time.sleep(1)  # what is tested is time that passes
            p.send_signal(signal.SIGCONT)
            o = self.finish(p).json
        self.assertEqual((o["lost"], o["unsent"]), (0, 0))
        self.assertGreater(o["latency_us"]["max"], 0.5e6)

    def test_slow_link(self):
        """--timeout is about silence: a message may take longer as long as some of it comes"""
        with Pieces(1000, 8, 0.1) as server:
            o = self.load(server.target, "--messages", 1, "--size", 1000, "--timeout", 0.5)
        self.assertAllBack(o)
        self.assertGreaterEqual(o["latency_us"]["max"], 0.8e6)


    def test_end(self):
        """after the end of a load each message still has its time, however long the oldest is silent"""
        class Late(liars.Honest):
            def talk(self, s, number):
                messages = harness.read_exactly(s, 24 * SIZE)
                self.pause(0.2)
                s.sendall(messages)
                self.echo(s)
        with Late() as server:
            o = self.load(server.target, "--rate", 20, "--duration", 1.2, "--timeout", 1, "--pipeline", 100, status=1)
        self.assertSums(o)
        self.assertGreater(o["messages_verified"], 0)
        self.assertGreater(o["lost"], 0)

    def test_intervals(self):
        """a report that is late is of a longer time, and its rates with it"""
        with Echod() as d:
            p = self.start("load", "--json-stream", "--rate", 100, "--duration", 1.5, "--interval", 0.1, target_of(d))
            begin = [p.stdout.readline(), p.stdout.readline()]
            p.send_signal(signal.SIGSTOP)
            time.sleep(0.6)  # what is tested is time that passes
            p.send_signal(signal.SIGCONT)
            lines = [json.loads(line) for line in [*begin, *self.finish(p).out.splitlines()]]
        intervals = [line for line in lines if line["type"] == "interval"]
        self.assertGreater(max(i["duration_s"] for i in intervals), 0.3)
        self.assertAlmostEqual(sum(i["duration_s"] for i in intervals), lines[-1]["duration_s"], delta=0.1)
        due = 0
        for i in intervals:  # what was due in the pause may be given out in the interval after it
            due += i["messages_due"]
            self.assertLessEqual(due, 100 * i["time_s"] + 1)


class Failures(Client):
    @harness.needs("unshare", "ip")
    def test_ports(self):
        """out of ports is reported as that, whether some connections fail or all have ended"""
        script = ('ip link set lo up && echo "40000 40009" >/proc/sys/net/ipv4/ip_local_port_range && '
                  'echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse || exit 77\n'
                  '"$ECHOD" -c /dev/null -o listen=127.0.0.1:7 2>/dev/null & '
                  'until "$ECHOC" ping -q -c 1 127.0.0.1 >/dev/null 2>&1; do sleep 0.1; done\n'
                  '"$ECHOC" "$@" 127.0.0.1; s=$?; kill $!; wait; exit $s')
        for args in (("--connections", "20", "--messages", "100", "--duration", "0.3"),
                     ("--churn", "--duration", "600")):
            with self.subTest(args=args):
                r = subprocess.run(["unshare", "-rn", "sh", "-c", script, "-", "load", *args], capture_output=True,
                                   text=True, timeout=harness.DEADLINE,
                                   env={**os.environ, "ECHOC": ECHOC, "ECHOD": harness.ECHOD})
                if r.returncode in (77, 1) and "echoc" not in r.stderr:
                    self.skipTest("no network namespace: " + r.stderr)
                self.assertIn("Cannot assign requested address", r.stderr)
                self.assertEqual(r.returncode, 2)

    def test_descriptors(self):
        """so is out of descriptors"""
        with Echod() as d:
            p = self.start("load", "--messages", 100, "--connections", 100, target_of(d),
                           prefix=("sh", "-c", 'ulimit -n 40; exec "$@"', "-"))
            r = self.finish(p)
            self.assertEqual(r.status, 2)
            self.assertIn("some connections failed, the first: Too many open files", r.err)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""The client's ping: its lines, its signals, and servers that return wrong bytes, stop or are away."""

import json
import re
import signal
import socket
import subprocess
import time

import harness
import liars
from client import Client, ECHOC, mask, target_of
from harness import Echod


class Ping(Client):
    def ping(self, target, *args, status=0):
        r = self.run_client("ping", *args, target)
        self.assertEqual(r.status, status, r.err + r.out)
        return r

    def counts(self, r):
        """sent, received, corrupt, lost of the summary"""
        match = re.search(r"^--- .*: (\d+) sent, (\d+) received, (\d+) corrupt, (\d+) lost \([\d.]+ %\)(, \d+ unsent)?$",
                          r.out, re.M)
        return tuple(map(int, match.groups()[:4]))


class Lines(Ping):
    def test_lines(self):
        """a line for each round trip, then the summary with its times in order"""
        with Echod() as d:
            r = self.ping(target_of(d), "-c", 5, "-i", 0.01, "-s", 100)
            lines = r.out.splitlines()
            self.assertRegex(lines[0], rf"^PING {target_of(d)} .*100 bytes")
            for n in range(5):
                self.assertRegex(lines[1 + n], rf"^100 bytes from {target_of(d)}: seq={n + 1} "
                                 r"time=[\d.]+ ms$")
            self.assertEqual(self.counts(r), (5, 5, 0, 0))
            times = re.search(r"min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms", r.out)
            least, mean, most, _ = map(float, times.groups())
            self.assertTrue(0 < least <= mean <= most)
            median = float(re.search(r"^rtt p50 = ([\d.]+) ms$", r.out, re.M).group(1))  # five are too few for p90
            self.assertTrue(least <= median <= most)

    def test_quiet(self):
        """-q leaves the lines out, not the summary"""
        with Echod() as d:
            r = self.ping(target_of(d), "-q", "-c", 3, "-i", 0.01)
            self.assertNotIn("seq=", r.out)
            self.assertEqual(self.counts(r), (3, 3, 0, 0))

    def test_json(self):
        """--json is one object, as load's"""
        with Echod() as d:
            o = self.ping(target_of(d), "--json", "-c", 3, "-i", 0.01, "-s", 10).json
            self.assertEqual(set(o), set(self.load(target_of(d), "--messages", 1)) - {"result"})
            self.assertAllBack(o)
            self.assertEqual((o["messages_sent"], o["bytes_sent"], o["connections"]), (3, 30, 1))

    def test_interval(self):
        """-i is the time between two"""
        with Echod() as d:
            began = time.monotonic()
            self.ping(target_of(d), "-c", 4, "-i", 0.3)
            self.assertGreaterEqual(time.monotonic() - began, 0.9)

    def test_deadline(self):
        """-w ends it, and all that came back in time counts"""
        with Echod() as d:
            began = time.monotonic()
            r = self.ping(target_of(d), "-w", 1, "-i", 0.7)
            self.assertGreaterEqual(time.monotonic() - began, 1)
            self.assertEqual(self.counts(r), (2, 2, 0, 0))

    def test_interrupt(self):
        """^C gives the summary"""
        with Echod() as d:
            p = self.start("ping", "-i", 600, target_of(d))
            lines = [p.stdout.readline(), p.stdout.readline()]
            self.assertIn("seq=1", lines[1])
            self.interrupt(p)
            r = self.finish(p)
            self.assertEqual((r.status, r.err), (0, ""))
            self.assertEqual(self.counts(r), (1, 1, 0, 0))

    def test_corrupt(self):
        """a wrong byte is marked in its line, counted, and reported"""
        with liars.Flips(70) as server:
            r = self.ping(server.target, "-c", 3, "-i", 0.01, status=1)
            self.assertEqual(self.counts(r)[0], 3)
            self.assertEqual(self.counts(r)[2:], (1, 0))
            self.assertEqual([" CORRUPT" in line for line in r.out.splitlines()[1:4]],
                             [False, True, False])
            self.assertEqual(r.reports[0][:2], (0, 70))

    def test_lost(self):
        """what does not come back within --timeout is lost"""
        with liars.Silent() as server:
            r = self.ping(server.target, "-c", 3, "-i", 0.01, "--timeout", 0.2, status=1)
            self.assertEqual(self.counts(r), (3, 0, 0, 3))

    def test_all_lost(self):
        """when nothing comes back of as many as may be on their way, it ends"""
        with liars.Silent() as server:
            r = self.ping(server.target, "-i", 0.0001, "--timeout", 0.2, status=1)
            self.assertEqual(self.counts(r), (1024, 0, 0, 1024))

    def test_full_disk(self):
        """output that takes nothing ends it with status 2"""
        with Echod() as d, open("/dev/full", "w") as full:
            p = subprocess.run([ECHOC, "ping", "-i", "0.01", target_of(d)], stdout=full,
                               timeout=harness.DEADLINE)
            self.assertEqual(p.returncode, 2)

    def test_stops(self):
        """messages are sent at their times though the first ones are not back"""
        with liars.Stops(0, 0.5) as server:
            r = self.ping(server.target, "-c", 10, "-i", 0.02)
            self.assertEqual(self.counts(r), (10, 10, 0, 0))
            times = list(map(float, re.findall(r"time=([\d.]+) ms", r.out)))
            self.assertGreaterEqual(times[0], 400)  # the stop begins with the connection
            self.assertGreaterEqual(times[9], 200)  # planned 180 ms after the first

    def test_broken(self):
        """a close and a reset end it with status 1 and the reason"""
        with liars.Closes(70) as server:
            r = self.ping(server.target, "-c", 5, "-i", 0.01, status=1)
            self.assertIn("closed", r.err)
        with liars.Resets(70) as server:
            r = self.ping(server.target, "-c", 5, "-i", 0.01, status=1)
            self.assertIn("reset", r.err)

    def test_unasked(self):
        """bytes that were not sent are reported"""
        with liars.Chatty(before=b"x" * 1000) as server:
            r = self.ping(server.target, "-c", 3, "-i", 0.01, status=1)
            self.assertGreaterEqual(self.counts(r)[2], 1)
            self.assertGreater(len(r.reports), 0)

class Options(Ping):
    def test_time_stamps(self):
        """-D begins each line with the time of day"""
        with Echod() as d:
            before = time.time()
            out = self.ping(target_of(d), "-D", "-c", 3, "-i", 0.01).out
            stamps = [float(stamp) for stamp in re.findall(r"^\[(\d+\.\d{6})\] 64 bytes", out, re.M)]
            self.assertEqual(len(stamps), 3)
            times = [before - 1e-6, *stamps, time.time()]  # which are cut to microseconds
            self.assertEqual(times, sorted(times))

    def test_outstanding(self):
        """-O reports a message that is not back when the next is sent, though it comes later"""
        with liars.Stops(64, 0.5) as server:
            out = self.ping(server.target, "-O", "-c", 3, "-i", 0.1).out
        self.assertIn("\nno answer yet: seq=2\n", out)
        self.assertNotIn("no answer yet: seq=3\n", out)
        self.assertLess(out.index("no answer yet: seq=2"), out.index("seq=2 time="))

    def test_source(self):
        """--source is where the connection comes from"""
        class Peers(liars.Honest):
            def talk(self, s, number):
                self.peer = s.getpeername()[0]
                self.echo(s)
        with Peers() as server:
            self.ping(server.target, "-c", 1, "--source", "127.0.0.77")
            self.assertEqual(server.peer, "127.0.0.77")

    def test_stream(self):
        """--json-stream has a line for each reply, as it comes"""
        with Echod() as d:
            p = self.start("ping", "--json-stream", "-i", 0.01, target_of(d))
            start, *replies = [json.loads(p.stdout.readline()) for _ in range(4)]
            self.interrupt(p)
            *_, end = map(json.loads, self.finish(p).out.splitlines())
        self.assertEqual((start["type"], start["command"], start["parameters"]["interval"]), ("start", "ping", 0.01))
        self.assertEqual([(o["type"], o["sequence"], o["verified"]) for o in replies],
                         [("reply", n, True) for n in (1, 2, 3)])
        self.assertEqual((end["type"], end["lost"], end["status"]), ("end", 0, 0))


class Ends(Ping):
    def test_ask(self):
        """SIGQUIT and SIGUSR1 ask how it goes, and end nothing"""
        with Echod() as d:
            p = self.start("ping", "-i", 600, target_of(d))
            while "seq=1 " not in p.stdout.readline():
                pass
            for number in (signal.SIGQUIT, signal.SIGUSR1):
                p.send_signal(number)
                self.assertRegex(p.stderr.readline(), "^1 sent, 1 received, 0 corrupt, 0 lost; p50 -, max [\\d.]+ [mu]s$")
            self.interrupt(p)
            self.assertEqual(self.finish(p).status, 0)

    def test_in_flight(self):
        """an answer that is on its way at ^C is waited for; with a second ^C it is neither back nor lost"""
        for twice in (False, True):
            with self.subTest(twice=twice), liars.Holds() as server:
                p = self.start("ping", "--json", "-i", 600, server.target)
                server.asked.wait(harness.DEADLINE)
                self.interrupt(p)
                if twice:
                    self.interrupt(p)
                    p.wait(harness.DEADLINE)
                server.go_on.set()
                r = self.finish(p)
                self.assertEqual((r.json["messages_verified"], r.json["lost"], r.json["in_flight"], r.status),
                                 (int(not twice), 0, int(twice), int(twice)))

    def test_connecting(self):
        """SIGTERM ends it while it connects"""
        with liars.deaf() as target:
            p = self.start("ping", "--connect-timeout", 1000, target)
            harness.wait_until(lambda: signal.SIGTERM in mask(p, "SigBlk"), "the signals")
            p.terminate()
            self.assertEqual(self.finish(p).status, 2)

    def test_pause(self):
        """a pause of ping itself loses nothing"""
        with liars.Holds() as server:
            p = self.start("ping", "--json", "-i", 0.05, "-c", 10, "--timeout", 0.3, server.target)
            server.asked.wait(harness.DEADLINE)
            p.send_signal(signal.SIGSTOP)
            server.go_on.set()
            time.sleep(0.6)  # what is tested is time that passes
            p.send_signal(signal.SIGCONT)
            r = self.finish(p)
        self.assertEqual((r.status, r.json["messages_verified"], r.json["lost"]), (0, 10, 0))


class Outages(Ping):
    def test_lost_connection(self):
        """--reconnect goes on after a lost connection, and counts what was lost with it"""
        class Once(liars.Honest):
            def talk(self, s, number):
                self.echo(s, None if number else 64 * 3 + 10)
        with Once() as server:
            args = "ping", "-c", 10, "-i", 0.02
            r = self.run_client(*args, "--reconnect", "--json", server.target)
            self.assertEqual((r.status, r.json["connections_made"], len(r.json["outages"])), (0, 2, 1), r.err)
            self.assertEqual(r.json["messages_verified"] + r.json["lost"] + r.json["unsent"], 10)
            self.assertEqual(r.json["outages"][0]["messages_lost"], r.json["lost"])
        with Once() as server:
            self.assertEqual(self.run_client(*args, server.target).status, 1)

    def test_length(self):
        """the length of an outage is that of the server's absence, and --max-outage judges it"""
        for most, status in ((0.1, 1), (600, 0)):
            with liars.Honest() as server:
                p = self.start("ping", "--reconnect", "--max-outage", most, "-i", 0.02, server.target)
                while "seq=3 " not in p.stdout.readline():
                    pass
                began = time.monotonic()
                server.vanish()
                gone = time.monotonic()
                time.sleep(0.3)  # the least that is measured
                with liars.Honest(server.port):
                    back = time.monotonic()
                    while not (again := re.search("^connected to .* again after ([\\d.]+) (ms|s)$", p.stdout.readline())):
                        pass
                    seen = time.monotonic()
                    self.interrupt(p)
                    r = self.finish(p)
            length = float(again.group(1)) / (1000 if again.group(2) == "ms" else 1)
            self.assertGreaterEqual(length * 1.01, back - gone)
            self.assertLessEqual(length * 0.99, seen - began)
            self.assertRegex(r.out, "(?m)^outages:     1, longest .*" + (", which is too long" if status else "s$"))
            self.assertEqual(r.status, status, r.err)

    def test_unsent(self):
        """what falls due while the server is away counts, and is reported as unsent"""
        args = "ping", "--reconnect", "-i", 0.05, "-w", 1.5
        with liars.Vanishes(64 * 3) as server:
            r = self.run_client(*args, "--json", server.target)
        self.assertEqual((r.status, r.json["messages_due"]), (0, 30), r.err)
        self.assertGreater(r.json["unsent"], 0)
        self.assertEqual(r.json["messages_sent"] + r.json["unsent"], 30)
        self.assertAlmostEqual(r.json["offered_rate"] * r.json["duration_s"], 30)
        with liars.Vanishes(64 * 3) as server:
            self.assertRegex(self.run_client(*args, server.target).out, r"lost \([\d.]+ %\), \d+ unsent\n")

    def test_pieces(self):
        """connections without an answer are no end of an outage"""
        class Flaps(liars.Honest):
            def talk(self, s, number):
                if 1 <= number <= 4:
                    self.pause(0.1)
                else:
                    self.echo(s, None if number else 64 * 3)
        with Flaps() as server:
            r = self.run_client("ping", "--json", "--reconnect", "--max-outage", 0.35, "-i", 0.02, "-c", 60, server.target)
        (outage,) = r.json["outages"]
        self.assertGreaterEqual(outage["length_s"], 0.4)
        self.assertEqual((r.status, outage["messages_lost"], r.json["unsent"]), (1, r.json["lost"], 0), r.err)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""The results of a load or ping: text, JSON, streams, files, comparisons and pictures."""

import base64
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree
import zlib

import harness
import liars
from client import Client, read_terminal, target_of
from harness import Echod

with open(os.path.join(harness.SRCDIR, "docs/echoc.schema.json")) as f:
    SCHEMA = json.load(f)

SUMS = ["connections_made", "messages_due", "messages_sent", "messages_verified", "bytes_sent", "bytes_verified",
        "corrupt", "lost", "unsent", "in_flight", "resets", "early_closes", "connect_failures"]


class Reporting(Client):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = lambda name: os.path.join(folder.name, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def stream(self, *args, status=0):
        """The objects of a run with --json-stream."""
        r = self.run_client(*args)
        self.assertEqual(r.status, status, r.err + r.out)
        return [json.loads(line) for line in r.out.splitlines()]

    def shown_by_terminal(self, *args, status=0, **env):
        """What a terminal shows of standard output."""
        ours, theirs = os.openpty()
        p = subprocess.Popen([harness.ECHOC, *map(str, args)], stdout=theirs, env={**os.environ, **env})
        os.close(theirs)
        text = read_terminal(ours)
        self.assertEqual(p.wait(harness.DEADLINE), status)
        return text


class Json(Reporting):
    def test_schema(self):
        """all that is printed as JSON is valid by the schema, and so is a run without answers"""
        try:
            import jsonschema
        except ImportError:
            self.skipTest("no python3-jsonschema")
        validator = jsonschema.Draft202012Validator(SCHEMA)
        validator.check_schema(SCHEMA)
        with Echod() as d, liars.Resets(650) as resets, liars.Silent() as silent:
            for target, args, status in (
                    (target_of(d), ("--messages", 200), 0), (target_of(d), ("--rate", 100, "--duration", 0.5), 0),
                    (resets.target, ("--messages", 100), 1), (silent.target, ("--duration", 0.2, "--timeout", 0.1), 1)):
                validator.validate(self.run_client("load", "--json", *args, target).json)
                for o in self.stream("load", "--json-stream", "-i", 0.1, *args, target, status=status):
                    validator.validate(o)
            validator.validate(self.run_client("ping", "--json", "-c", 3, "-i", 0.01, target_of(d)).json)
            for o in self.stream("ping", "--json-stream", "-c", 3, "-i", 0.01, target_of(d)):
                validator.validate(o)
            broken = dict(self.run_client("ping", "--json", "-c", 1, target_of(d)).json, p99_9=1)
            self.assertFalse(validator.is_valid(broken))

    def test_nothing_measured(self):
        """what was not measured is null, and no answers are no success"""
        with liars.Silent() as server:
            o = self.load(server.target, "--duration", 0.2, "--timeout", 0.1, status=1)
            self.assertEqual(set(o["latency_us"].values()), {None})
            self.assertEqual((o["status"], o["loss_percent"], o["achieved_rate"]), (1, 100, 0))
            r = self.run_client("ping", "-c", 1, "--timeout", 0.1, server.target)
            self.assertIn("no answers", r.out)

    def test_percentiles(self):
        """a percentile needs 1 / (1 - share) samples; --percentiles says which are printed"""
        with Echod() as d:
            times = self.load(target_of(d), "--messages", 10)["latency_us"]
            self.assertEqual([name for name, time in times.items() if time is None], ["p99", "p99.9", "p99.99"])
            times = self.load(target_of(d), "--messages", 1000, "--percentiles", "25,99.9")["latency_us"]
            self.assertEqual(list(times), ["min", "mean", "stddev", "p25", "p99.9", "max"])
            self.assertNotIn(None, times.values())
            text = self.run_client("load", "--messages", 10, target_of(d)).out
            self.assertRegex(text, r"(?m)^p90 ")
            self.assertNotIn("p99", text)

    def test_stream(self):
        """the counts of the intervals are together those of the end, and their times follow each other"""
        with Echod() as d:
            start, *intervals, end = self.stream("load", "--json-stream", "-i", 0.2, "--duration", 1, "--connections", 3,
                                                 target_of(d))
        self.assertEqual((start["type"], start["command"], start["target"]), ("start", "load", target_of(d)))
        self.assertEqual((start["parameters"]["connections"], start["parameters"]["duration"]), (3, 1))
        self.assertEqual(end["type"], "end")
        self.assertEqual({o["type"] for o in intervals}, {"interval"})
        self.assertGreaterEqual(len(intervals), 5)
        for name in SUMS:
            self.assertEqual(sum(o[name] for o in intervals), end[name], name)
        times = [o["time_s"] for o in intervals]
        self.assertEqual(times, sorted(times))
        self.assertAlmostEqual(sum(o["duration_s"] for o in intervals), times[-1], places=3)
        self.assertEqual(max(o["latency_us"]["max"] for o in intervals), end["latency_us"]["max"])

    def test_reader_gone(self):
        """a stream that is read no more ends what writes it"""
        with Echod() as d:
            for args in (("load", "-i", 0.05), ("ping", "-i", 0.05)):
                p = self.start(*args, "--json-stream", target_of(d))
                p.stdout.readline()
                p.stdout.close()
                self.assertEqual(p.wait(harness.DEADLINE), 2)
                self.assertIn("standard output: Broken pipe", p.stderr.read())

    def test_stops(self):
        """a server that stops shows in the interval in which it did"""
        with liars.Stops(64 * 300, 0.5) as server:
            lines = self.stream("load", "--json-stream", "-i", 0.1, "--rate", 1000, "--duration", 1.5, "--pipeline", 1000,
                                server.target)
        slow = [o for o in lines if o["type"] == "interval" and (o["latency_us"]["max"] or 0) > 400000]
        self.assertTrue(1 <= len(slow) <= 8, [o["latency_us"]["max"] for o in lines[1:]])


class Text(Reporting):
    def test_verdict(self):
        """the first line says whether all is right, or what is not"""
        class Late(liars.Honest):
            def talk(self, s, number):
                if number:
                    self.pause(0.3)
                self.echo(s, None if number else 64 * 3 + 1)
        away = "--reconnect", "--rate", 1000, "--duration", 0.6
        for server, args, expected in (
                (liars.Honest(), ("--messages", 1001), "All 1,001 messages came back right."),
                (liars.Honest(), ("--messages", 1), "1 message came back right."),
                (Late(), (*away, "--max-outage", 0.1), r"FAULTS: an outage of \d+ ms, longer than 100 ms."),
                (Late(), away, r"\d+ of \d+ messages came back, and none was wrong."),
                (liars.Flips(70), ("--messages", 100), "FAULTS: 1 of 100 messages corrupt."),
                (liars.Silent(), ("--duration", 0.2, "--timeout", 0.1), "FAULTS: 1 of 1 messages lost."),
                (liars.Closes(330), ("--messages", 10), "FAULTS: 1 of 6 messages lost, 1 connection closed early."),
                (liars.Resets(330), ("--messages", 100, "--connections", 2),
                 "FAULTS: 2 of .* messages lost, 2 connections reset.")):
            with self.subTest(expected=expected), server:
                self.assertRegex(self.run_client("load", *args, server.target).out.splitlines()[0], f"^{expected}$")

    def test_errors(self):
        """the reasons why connections broke are printed with their counts"""
        with liars.Resets(64) as server:
            args = "--messages", 20, "--connections", 2, server.target
            self.assertRegex(self.run_client("load", *args).out, "\n  (Connection reset by peer|Broken pipe).*: [12]\n")
            o = self.load(server.target, *args[:-1], status=1)
            self.assertLessEqual(set(o["errors"]), {"ECONNRESET", "EPIPE"})
            self.assertEqual(sum(o["errors"].values()), o["resets"])

    def test_width(self):
        """every line of a load fits a terminal of 80 columns"""
        with Echod() as d:
            r = self.run_client("load", "-i", 0.1, "--duration", 0.5, "--connections", 20, "--pipeline", 50, target_of(d))
            self.assertEqual(r.status, 0)
            self.assertRegex(r.err, r"^ +time +conns +sent/s +back/s +p50 +p99 +max +lost +unsent +corrupt\n")
            self.assertGreaterEqual(len(r.err.splitlines()), 4)
            self.assertLess(max(map(len, (r.out + r.err).splitlines())), 80)

    def test_colour(self):
        """the verdict has a colour at a terminal, unless NO_COLOR is set; nothing else has"""
        with Echod() as d, liars.Flips(1) as liar:
            args = "load", "--messages", 5
            self.assertRegex(self.shown_by_terminal(*args, target_of(d)), r"^\x1b\[32mAll 5 .*\x1b\[0m\r\n[^\x1b]*$")
            self.assertRegex(self.shown_by_terminal(*args, liar.target, status=1), r"^\x1b\[31mFAULTS.*\x1b\[0m\r\n[^\x1b]*$")
            self.assertNotIn("\x1b", self.shown_by_terminal(*args, target_of(d), NO_COLOR="1"))
            self.assertIn("\x1b", self.shown_by_terminal(*args, target_of(d), NO_COLOR=""))
            self.assertNotIn("\x1b", self.run_client(*args, target_of(d)).out)

    def test_interrupt(self):
        """what comes after the "^C" of a terminal begins in a new line"""
        with Echod() as d:
            p, read = self.on_terminal("load", "-q", "-d", 600, target_of(d))
            d.wait_counter("echoed", 64)
            self.interrupt(p)
            self.assertEqual(read(b"\n"), b"\r\n")
            self.assertEqual(self.finish(p).status, 0)

    def test_slow_rate(self):
        """a rate below one a second is not printed as 0"""
        with Echod() as d:
            out = self.run_client("load", "--rate", 0.5, "--duration", 1, target_of(d)).out
            self.assertRegex(out, r"[01]\.\d\d/s offered")


class Files(Reporting):
    def decode(self, text):
        """{index of a bucket: count} of a histogram, as HdrHistogram's documentation has it."""
        packed = base64.b64decode(text, validate=True)
        cookie, size = struct.unpack(">II", packed[:8])
        self.assertEqual((cookie, size), (0x1c849314, len(packed) - 8))
        plain = zlib.decompress(packed[8:])
        cookie, size, offset, digits, low, high, ratio = struct.unpack(">IIIIQQd", plain[:40])
        self.assertEqual((cookie, size, offset, digits, low, ratio), (0x1c849313, len(plain) - 40, 0, 3, 1, 1.0))
        counts, index, at = {}, 0, 40
        while at < len(plain):
            zigzag = shift = 0
            while True:
                byte = plain[at]
                at += 1
                zigzag |= (byte if shift == 56 else byte & 127) << shift
                shift += 7
                if byte < 128 or shift == 63:
                    break
            n = zigzag >> 1 ^ -(zigzag & 1)
            if n > 0:
                counts[index] = n
            index += -n if n < 0 else 1
        self.assertLessEqual(index, (high.bit_length() - 10 + 1) << 10)
        return counts

    def test_hlog(self):
        """--hlog has a histogram for each interval, together those of all messages"""
        path = self.path("load.hlog")
        with Echod() as d:
            before = time.time()
            o = self.load(target_of(d), "--warmup", 0.5, "--duration", 1, "-i", 0.2, "--hlog", path)
            after = time.time()
        with open(path) as f:
            lines = f.read().splitlines()
        self.assertEqual(lines[0], "#[Histogram log format version 1.3]")
        start = float(re.search(r"^#\[StartTime: (\d+\.\d{3}) \(seconds since epoch\)\]$", lines[1]).group(1))
        self.assertTrue(before + 0.498 <= start <= after - 0.998, (before, start, after))
        self.assertEqual(lines[2], '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"')
        rows = [line.split(",") for line in lines[3:]]
        self.assertGreaterEqual(len(rows), 5)
        counts = [self.decode(row[3]) for row in rows]
        self.assertEqual(sum(n for c in counts for n in c.values()), o["messages_verified"])
        self.assertAlmostEqual(max(float(row[2]) for row in rows), o["latency_us"]["max"] / 1000, delta=0.001)
        ends = [float(row[0]) + float(row[1]) for row in rows]
        for begin, end in zip([float(row[0]) for row in rows[1:]], ends):
            self.assertAlmostEqual(begin, end, delta=0.002)
        value = lambda i: i if i < 2048 else (i - (i // 1024 - 1) * 1024) << i // 1024 - 1  # ns, least of the bucket
        least = min(min(c) for c in counts if c)
        self.assertLessEqual(value(least), o["latency_us"]["min"] * 1000 + 1)
        self.assertGreaterEqual(value(least) * 1.001 + 1, o["latency_us"]["min"] * 1000)

    def test_cannot_write(self):
        """a file that cannot be written is reported before the load, or after it, with status 2"""
        with Echod() as d:
            for option in ("--hlog", "--histogram"):
                r = self.run_client("load", "--messages", 1, option, "/no/such/file", target_of(d))
                self.assertEqual((r.status, r.out), (2, ""))
                self.assertIn("/no/such/file: No such file", r.err)
                r = self.run_client("load", "--messages", 1, option, "/dev/full", target_of(d))
                self.assertEqual(r.status, 2)
                self.assertIn("/dev/full: No space left", r.err)


class Compare(Reporting):
    def runs(self, name, rates, names={}, **parameters):
        """A file of runs with these rates, and more names of each."""
        return self.write(name, "\n".join(json.dumps({
            **names, "schema_version": 2, "achieved_rate": rate, "loss_percent": 0, "parameters": parameters,
            "latency_us": {"min": 10, "p99": 1e6 / rate, "p99.9": None, "max": 5e6 / rate}}) for rate in rates))

    def row(self, out, name):
        """The fields of a row behind its name."""
        return re.search(rf"^{re.escape(name)} +(.*)$", out, re.M).group(1).split()

    def test_spread(self):
        """medians, spreads and their ratio; a difference is larger than the spreads or within them"""
        a = self.runs("a", [990, 1000, 1030], rate=5)
        for rates, word in (([2000, 2010, 1990], "larger"), ([1010, 990, 1035], "within"), ([5000], "not known")):
            r = self.run_client("compare", a, self.runs("b", rates, rate=5))
            self.assertEqual((r.status, r.err), (0, ""))
            middle = sorted(rates)[len(rates) // 2]
            self.assertEqual(self.row(r.out, "achieved_rate"), [
                "1,000", "40.0", f"{middle:,}", "0" if len(rates) == 1 else f"{max(rates) - min(rates):.1f}",
                f"{middle / 1000:.3f}", *word.split()])
            self.assertEqual(self.row(r.out, "latency_us p99")[0], "1,000")
            self.assertNotIn("p99.9", r.out)
            self.assertLess(max(map(len, r.out.splitlines()[3:])), 80)

    def test_parameters(self):
        """runs that are not of the same load are reported"""
        r = self.run_client("compare", self.runs("a", [1], rate=5, size=1), self.runs("b", [1], rate=6, size=1))
        self.assertIn("The parameters differ: rate\n", r.out)

    def test_others(self):
        """another command or target is reported, a fault of any run has a line, and a small ratio its digits"""
        a = self.runs("a", [1000000], {"command": "load", "target": "a:7", "lost": 3, "resets": 0})
        b = self.runs("b", [380, 380, 380], {"command": "ping", "target": "b:7", "lost": 0, "resets": 0})
        r = self.run_client("compare", a, b)
        self.assertIn("The commands differ: load, ping\nThe targets differ: a:7, b:7\n", r.out)
        self.assertEqual(self.row(r.out, "lost")[:3], ["3.00", "0", "0"])
        self.assertNotIn("resets", r.out)
        self.assertEqual(self.row(r.out, "achieved_rate")[4], "0.00038")

    def test_real(self):
        """results of --json and of --json-stream can be compared"""
        with Echod() as d:
            for name, option in (("a", "--json"), ("b", "--json-stream")):
                for _ in range(2):
                    with open(self.path(name), "a") as f:
                        f.write(self.run_client("load", option, "--messages", 1000, target_of(d)).out)
        r = self.run_client("compare", self.path("a"), self.path("b"))
        self.assertEqual((r.status, r.err), (0, ""))
        self.assertIn("a, 2 runs", r.out)
        self.assertEqual(self.row(r.out, "loss_percent")[:1], ["0"])
        self.assertIn(self.row(r.out, "latency_us p50")[-1], ("larger", "within"))

    def test_wrong_files(self):
        """a file that is no result: its name, what is wrong, status 2"""
        good = self.runs("good", [1])
        for text in ("", "x", "[]", "{}", '{"schema_version": 2', '{"type": "end"}', '{"type": "interval"}',
                     '{"type": "start", "schema_version": 2}', '{"schema_version": 3}'):
            r = self.run_client("compare", good, self.write("bad", text))
            self.assertEqual(r.status, 2, text)
            self.assertRegex(r.err, "^echoc: .*bad: ")
        self.assertEqual(self.run_client("compare", good, "/no/such/file").status, 2)


@unittest.skipUnless(shutil.which("gnuplot"), "no gnuplot")
class Plot(Reporting):
    def texts(self, path):
        root = xml.etree.ElementTree.parse(path).getroot()
        self.assertTrue(root.tag.endswith("svg"))
        return ["".join(e.itertext()).strip() for e in root.iter() if e.tag.endswith("}text")]

    def test_stream(self):
        """a stream is drawn with its rates, latencies, outages and distribution"""
        with Echod() as d:
            out = self.run_client("load", "--json-stream", "-i", 0.1, "--rate", 500, "--duration", 1, target_of(d)).out
        *lines, end = out.splitlines()
        end = {**json.loads(end), "outages": [{"start_s": 0.02, "length_s": 0.04}, {"start_s": 0.3, "length_s": 0.2}]}
        path = self.write("it's.json", "\n".join([*lines, json.dumps(end)]))
        r = self.run_client("plot", "-o", self.path("p.svg"), path)
        self.assertEqual((r.status, r.out, r.err), (0, "", ""))
        boxes = [e for e in xml.etree.ElementTree.parse(self.path("p.svg")).iter() if "rgb(229" in e.get("fill", "")]
        self.assertEqual(len(boxes), 2 * 3)  # in two panels, with that of the key; the first before all rows
        texts = self.texts(self.path("p.svg"))
        self.assertTrue(any(text.startswith("Messages a second (127.0.0.1:") for text in texts), texts)
        for text in ("offered", "achieved", "Latency over time", "p50", "p99", "max", "outage",
                     "Latency by percentile", "seconds"):
            self.assertIn(text, texts)
        r = self.run_client("plot", path, path)  # two: each has its name
        self.assertEqual(r.status, 0, r.err)
        self.assertIn("it's.json p99", r.out)

    def test_others(self):
        """a percentile text and a ping are drawn, too"""
        with Echod() as d:
            self.load(target_of(d), "--messages", 500, "--histogram", self.path("h.hgrm"))
            ping = self.write("ping.json", self.run_client("ping", "--json-stream", "-c", 5, "-i", 0.01, target_of(d)).out)
        r = self.run_client("plot", "-o", self.path("p.svg"), self.path("h.hgrm"))
        self.assertEqual((r.status, r.err), (0, ""))
        self.assertNotIn("offered", self.texts(self.path("p.svg")))
        r = self.run_client("plot", "-o", self.path("p.svg"), ping)
        self.assertEqual((r.status, r.err), (0, ""))
        self.assertIn("a reply", self.texts(self.path("p.svg")))

    def test_document(self):
        """the commands of docs/outages.md make such a picture, here of a shorter load"""
        with open(os.path.join(harness.SRCDIR, "docs/outages.md")) as f:
            script = "".join(line[4:] for line in f if line.startswith("    "))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        for old, new in (("-d 12", "-d 2"), ("sleep 3", "sleep 0.2"), ("sleep 1;", ":;"), ("7007", str(port))):
            script = script.replace(old, new)
        folders = map(os.path.dirname, (harness.ECHOD, harness.ECHOC))
        r = subprocess.run(["bash", "-c", script], cwd=os.path.dirname(self.path("")), capture_output=True, text=True,
                           timeout=harness.DEADLINE, env={**os.environ, "PATH": ":".join([*folders, os.environ["PATH"]])})
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("outage", self.texts(self.path("outages.svg")))
        with open(self.path("restarts.json")) as f:
            self.assertGreaterEqual(len(json.loads(f.readlines()[-1])["outages"]), 1)

    def test_unwritable(self):
        """a picture that cannot be written is reported, and gnuplot says nothing"""
        path = self.write("x", '{"schema_version": 2, "messages_verified": 5, "latency_us": {"p50": 1, "max": 5}}')
        for output in ("/dev/full", "/no/such/x.svg"):
            r = self.run_client("plot", "-o", output, path)
            self.assertEqual((r.status, r.out), (2, ""))
            self.assertRegex(r.err, f"^echoc: {output}: No .*\n$")
        for redirection in (">/dev/full", ">&-"):
            r = subprocess.run(["sh", "-c", f'"$0" plot "$1" {redirection}', harness.ECHOC, path], capture_output=True,
                               text=True, timeout=harness.DEADLINE)
            self.assertEqual(r.returncode, 2)
            self.assertRegex(r.stderr, "^echoc: standard output: .*\n$")

    def test_no_answers(self):
        """a run without answers has no picture, and leaves the one that was there"""
        kept = self.write("p.svg", "kept")
        with liars.Silent() as server:
            for option in ("--json", "--json-stream"):
                runs = self.run_client("load", option, "--duration", 0.2, "--timeout", 0.1, server.target).out
                r = self.run_client("plot", "-o", kept, self.write("silent", runs))
                self.assertEqual((r.status, r.err), (2, f"echoc: no answers in {self.path('silent')}\n"))
        with open(kept) as f:
            self.assertEqual(f.read(), "kept")

    def test_wrong(self):
        """what cannot be drawn, or where, is reported with status 2"""
        for args in (("/no/such/file",), (self.write("x", "nonsense"),), (self.write("y", "{}"),)):
            r = self.run_client("plot", "-o", self.path("p.svg"), *args)
            self.assertEqual(r.status, 2)
            self.assertIn(f"echoc: {args[0]}: ", r.err)
            self.assertFalse(os.path.exists(self.path("p.svg")))

    def test_without_gnuplot(self):
        """where there is no gnuplot, that is reported"""
        path = self.write("x", '{"schema_version": 2, "messages_verified": 5, "latency_us": {"max": 5}}')
        p = self.start("plot", path, env={**os.environ, "PATH": "/nowhere"})
        r = self.finish(p)
        self.assertEqual(r.status, 2)
        self.assertRegex(r.err, "^echoc: plot needs the program gnuplot.*\n$")


if __name__ == "__main__":
    harness.main()

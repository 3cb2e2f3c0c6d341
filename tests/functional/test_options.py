# SPDX-License-Identifier: MIT
"""echoc's command line: values and their units, targets, and error messages."""

import os
import re
import subprocess

import harness
import liars
from client import Client, target_of
from harness import ECHOC, Echod


class Usage(Client):
    def assertWrong(self, *args):
        with self.subTest(args=args):
            r = self.run_client(*args)
            self.assertEqual((r.status, r.out), (2, ""))
            self.assertRegex(r.err, r"^(echoc|\S*echoc): ")

    def test_arguments(self):
        """wrong arguments: status 2 and a message"""
        t = "127.0.0.1:7"
        for args in (["load"], ["ping"], ["load", t, t], ["load", "--no-such", t],
                     ["load", "--connections"], ["load", "-w", "1", t], ["ping", "--rate", "1", t],
                     ["ping", "--churn", t], ["load", "--verify", t]):
            self.assertWrong(*args)

    def assertNotAllowed(self, command, option, value):
        """The message has the option, what was given (of a list, one part of it), and what is allowed."""
        self.assertWrong(command, option, value, "127.0.0.1:7")
        part = r"[\w.]*" if option == "--source" else re.escape(value)
        self.assertRegex(self.run_client(command, option, value, "127.0.0.1:7").err,
                         rf'\Aechoc: {option} "{part}" is not allowed, only .*\d.*\n\Z')

    def test_values(self):
        """values that are none, or out of range: status 2 and a message that says what is allowed"""
        wrong = {
            "--connections": ("0", "-1", "x", "", "1x", "1000001", "99999999999999999999"),
            "--threads": ("0", "257", "two"), "--pipeline": ("0", "65537", "1.5"),
            "--duration": ("0", "-1", "x", "", "inf", "nan", "1e10"), "--messages": ("0", "1e3"),
            "--rate": ("-1", "x", "inf"), "--size": ("0", "5-4", "1-", "-", "x", "1073741825", "1--18446744073709551608"),
            "--timeout": ("0", "x"), "--connect-timeout": ("0", "x"), "--ramp": ("-1", "x"),
            "--seed": ("-1", "x", "18446744073709551616"),
            "--source": ("", "x", "localhost", "127.0.0.1,", "127.0.0.256", ",".join(
                ["127.0.0.1"] * 257)),
        }
        for option, values in wrong.items():
            for value in values:
                self.assertNotAllowed("load", option, value)
        for option, value in (("-c", "0"), ("-i", "0"), ("-w", "x"), ("-s", "0"), ("-s", "1Q"),
                              *(("-i", text) for text in ("10q", "1m1h", "1s1s", "5ms5", " 1", "+1", "0x1", "1e", "s"))):
            self.assertNotAllowed("ping", option, value)
        for option, value in (("--rate", "1T"), ("--rate", "2G"), ("--rate", "1/m"), ("--connections", "2M"),
                              ("--messages", "9223372036854775807K"), ("--messages", "1KK"),
                              *(("--percentiles", text) for text in ("", "0", "100", "50,50", "90,50", "50,", "p50", "x")),
                              ("--percentiles", ",".join(map(str, range(1, 18)))),
                              *(("--find-rate", text) for text in ("", "p99", "99=5ms", "p99=", "p0=1", "p100=1", "p9=0"))):
            self.assertNotAllowed("load", option, value)

    def test_units(self):
        """numbers, rates, times and sizes take their units"""
        with Echod() as d:
            o = self.load(target_of(d), "-n", "1K", "-r", "1M/s", "-c", "2", "-s", "1K", "-W", "1m30s")
            self.assertEqual((o["messages_verified"], o["bytes_verified"], o["connections"]), (1000, 1024000, 2))
            for time in "0.2", "200ms", ".2s", "200000us", "0.1s100ms":
                o = self.load(target_of(d), "-d", time, "-r", "0.01K")
                self.assertGreaterEqual(o["duration_s"], 0.2, time)
                self.assertIn(o["messages_sent"], (2, 3), time)

    def test_missing_values(self):
        """an option without its value says what it takes"""
        for option, expected in (("--connections", "a number from 1 to 1000000"), ("--source", "numeric addresses"),
                                 ("--duration", "a time from 0.001 to"), ("--size", "a size from 1 to 1G"),
                                 ("--rate", "a number from 0"), ("--histogram", "the name of a file"),
                                 ("-s", "a size from")):
            self.assertIn(f'echoc: {option} "" is not allowed, only {expected}', self.run_client("load", option).err)

    def test_targets(self):
        """a text that is no target: status 2 and a message"""
        for target in ("", ":", ":7", "127.0.0.1:", "::1", "[::1", "[]:7", "[::1]x",
                       "127.0.0.1:7:7", "x" * 300):
            self.assertWrong("ping", "-c", "1", target)

    def test_family(self):
        """an address of the other kind is refused in a sentence"""
        for option, target in (("-6", "127.0.0.1:7"), ("-4", "[::1]:7")):
            self.assertEqual(self.run_client(option, target).err,
                             f"echoc: {target}: it has no address of the kind that -4 or -6 asks for\n")

    def test_implied(self):
        """an option that another one implies is told as it is"""
        with Echod() as d:
            o = self.load(target_of(d), "-n", 2, "--churn", "--pipeline", 8, "--max-outage", 9)["parameters"]
        self.assertEqual((o["pipeline"], o["reconnect"]), (1, True))

    def test_port(self):
        """a port is a number up to 65535 or a name, not what is left of another number"""
        with Echod() as d:
            for port in (d.port + 65536, f"+{d.port + 65536}", f" {d.port}", f"+{d.port}", "-1", "0", "nosuch", "\u00fc"):
                self.assertWrong("ping", "-c", "1", f"127.0.0.1:{port}")
                self.assertIn("the port is not a number from 1 to 65535, nor a name", self.run_client("ping", f"127.0.0.1:{port}").err)

    def test_name(self):
        """a name is looked up as IDN in any locale, and shown as it was given; one that is not UTF-8 is refused"""
        name = "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54"  # IDNA maps it to "localhost"
        with Echod() as d:
            p = self.start("load", "--json", "-n", "1", "-4", f"{name}:{d.port}", env={**os.environ, "LC_ALL": "C"})
            o = self.finish(p).json
            self.assertEqual((o["target"], o["messages_verified"]), (f"{name}:{d.port}", 1))
        for name in b"caf\xe9", b"\xff", "a\u0378".encode():
            for command in "talk", "ping", "load":
                p = subprocess.run([ECHOC, command, name], stdin=subprocess.DEVNULL, capture_output=True)
                self.assertEqual((p.returncode, p.stdout), (2, b""))
                self.assertIn(b": not a name of a host: not UTF-8, or ", p.stderr)

    def test_no_echo(self):
        """a server that speaks first, as SSH's, or that resets at once, as at a limit, is called what it may be"""
        for command in "talk", "ping", "load":
            args = {"talk": ["--verify"], "ping": ["-c", "2"], "load": ["-n", "2"]}[command]
            with liars.Chatty(before=b"SSH-2.0-x\r\n") as server:
                r = self.run_client(command, *args, server.target)
                self.assertEqual(r.status, 1)
                self.assertRegex(r.err, r"offset 0: expected (nothing|0x..), found 0x53; is it an echo service\?\n")
            with liars.Resets(0) as server:
                r = self.run_client(command, *args, server.target)
                self.assertIn("Connection reset by peer, as by a limit or a restart of the server", r.err)

    def test_foreign_source(self):
        """a source that is not of this machine, or of a family that the target does not have, is reported at once"""
        for source, reason in (("192.0.2.1", "not an address of this machine"),
                               ("::1", "the target has no address of this kind")):
            r = self.run_client("load", "--source", f"127.0.0.2,{source}", "127.0.0.1:7")
            shown = f"[{source}]" if ":" in source else source
            self.assertEqual((r.status, r.out, r.err), (2, "", f"echoc: --source {shown}: {reason}\n"))

    def test_usage(self):
        """a wrong command line gets one line of error and one of usage"""
        t = "127.0.0.1:7"
        for args, line in ((["load", "-w", "5", t], "not an option of load: -w"),
                           (["load", "--cont=5", t], "not an option of load: --cont=5"),
                           (["ping", "--rate", "1", t], "not an option of ping: --rate"),
                           (["load", "--churn=x", t], "--churn takes no argument: --churn=x"),
                           (["pnig", t], "unknown command: pnig"), (["ping"], "missing target"),
                           (["-4", "ping", t], "a command comes before all options: ping"),
                           (["ping", t, "x"], "unexpected argument: x")):
            r = self.run_client(*args)
            self.assertEqual((r.status, r.out, r.err.splitlines()[0]), (2, "", f"echoc: {line}"))
            self.assertRegex(r.err, r"\A.*\nUsage: echoc (\[COMMAND\]|ping|load) .*\n\Z")

    def test_version(self):
        """--version says what it should, with status 0"""
        r = self.run_client("--version")
        self.assertEqual((r.status, r.err), (0, ""))
        self.assertRegex(r.out, r"^echoc \(.*\d\.\d")


if __name__ == "__main__":
    harness.main()

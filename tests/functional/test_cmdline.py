# SPDX-License-Identifier: MIT
"""The command line, good and bad, and the exit status."""

import os
import re
import socket
import subprocess
import tempfile

import harness
from harness import ECHOD, Echod, run

USAGE, SYSTEM, OUTPUT, PERMISSION, CONFIGURATION = 64, 71, 74, 77, 78


class CommandLine(harness.Test):
    def assertFails(self, status, pattern, *args, **options):
        got, out, err = run(*args, **options)
        self.assertEqual(got, status, err)
        self.assertRegex(err, pattern)
        self.assertEqual(out, "")

    def test_statuses(self):
        """the exit statuses that echod(8) lists are those of these tests, and that of threads that do not end"""
        page = harness.read(harness.BUILDDIR, "man/echod.8").split(".Sh EXIT STATUS")[1].split(".Sh")[0]
        self.assertEqual([int(n) for n in re.findall(r"^\.It (\d+)$", page, re.M)],
                         [0, USAGE, os.EX_SOFTWARE, SYSTEM, OUTPUT, PERMISSION, CONFIGURATION])

    def test_mistakes(self):
        """a mistake is named, and what is right is shown"""
        for args in (("-x",), ("--wrong",), ("extra",), ("-c",), ("-o",), ("-o", "workers"),
                     ("-o", "=1"), ("-o", ""), ("-t", "-p"), ("-p", "-t"), ("--trace=1",), ("-",)):
            self.assertFails(USAGE, r"(?s)echod: .*Usage: echod .*Try 'echod --help'", *args)
        for message, *args in (("unexpected argument: extra", "extra"),
                               ("-c needs the path of a file", "-c", ""),
                               ("-o needs NAME=VALUE, not an empty text", "-o", ""),
                               ("-o needs NAME=VALUE, not workers", "-o", "workers")):
            self.assertFails(USAGE, f"^echod: {message}\n", *args)

    def test_help_and_version(self):
        """--help and --version print to standard output and succeed"""
        for args, expected in ((("-h", "--help"), "^Usage: echod"),
                               (("-V", "--version"), r"^echod \d+\.\d+\.\d+\n$")):
            for option in args:
                status, out, err = run(option)
                self.assertEqual((status, err), (0, ""))
                self.assertRegex(out, expected)

    def test_output_that_cannot_be_written(self):
        """a full disk and a closed output are failures, and the reason is reported"""
        for option in ("--help", "--version", "--print-config"):
            for redirection, reason in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
                p = subprocess.run(["sh", "-c", f'"$0" {option} {redirection}', ECHOD], capture_output=True, text=True)
                self.assertEqual((p.returncode, p.stderr),
                                 (OUTPUT, f"echod: cannot write to standard output: {reason}\n"))

    def test_missing_file(self):
        """a file named by -c must be there; -t says nothing when all is well"""
        self.assertFails(CONFIGURATION, "/nowhere/echod.conf: No such file or directory",
                         "-t", "-c", "/nowhere/echod.conf")
        self.assertEqual(run("-t", "-c", "/dev/null"), (0, "", ""))

    def test_addresses(self):
        """a port in use, and an address that is not this machine's, are named with the reason"""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            for listen, reason in ((address, "Address already in use"),
                                   ("192.0.2.1:7", "Cannot assign requested address")):
                self.assertFails(SYSTEM, f"cannot listen on {listen}: {reason}",
                                 "-c", "/dev/null", "-o", f"listen={{127.0.0.1:0,{listen}}}")


class Privileges(harness.Test):
    """In a network namespace of its own, where ports below 1024 are privileged."""

    def unshared(self, script):
        p = subprocess.run(["unshare", "-rn", "sh", "-ec", script], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=harness.DEADLINE,
                           env={**os.environ, "ECHOD": ECHOD})
        if "unshare" in p.stderr:
            self.skipTest(p.stderr.strip())
        return p

    @harness.needs("unshare", "ip", "setpriv")
    def test_port_7_without_capability(self):
        """port 7 without the capability: the message names address, port, reason and capability [F24]"""
        p = self.unshared("ip link set lo up\n"
                          "sysctl -q net.ipv4.ip_unprivileged_port_start=1024 2>/dev/null || "
                          "echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start\n"
                          "exec setpriv --bounding-set=-net_bind_service --inh-caps=-all "
                          '"$ECHOD" -c /dev/null')
        self.assertEqual(p.returncode, PERMISSION, p.stderr)
        self.assertIn("cannot listen on 0.0.0.0:7: Permission denied; port 7 is below 1024 and "
                      "needs the capability CAP_NET_BIND_SERVICE", p.stderr)

    @harness.needs("unshare", "ip", "ncat")
    def test_defaults(self):
        """with the capability the defaults serve port 7 over IPv4 and IPv6, each by its own socket"""
        with tempfile.NamedTemporaryFile() as log:
            p = self.unshared(
                "ip link set lo up\n"
                '"$ECHOD" -c /dev/null 2>log & pid=$!\n'
                "trap 'kill $pid; cat log >&2' EXIT\n"
                "until grep -q ready: log; do kill -0 $pid; sleep 0.01; done\n"
                "echo four | ncat 127.0.0.1 7; echo six | ncat ::1 7\n".replace("log", log.name))
        self.assertEqual(p.stdout, "four\nsix\n", p.stderr)
        self.assertIn("listening on 0.0.0.0:7", p.stderr)
        self.assertIn("listening on [::]:7", p.stderr)


class Needless(harness.Test):
    """Privileges that it has and does not need."""

    def needless(self, *prefix):
        """What a start says of privileges that it does not need."""
        with Echod(prefix=prefix) as d:
            return d.as_root

    def test_root(self):
        """a start as root logs a warning, before it is ready; a check does not"""
        prefix = () if os.geteuid() == 0 else ("unshare", "-r")
        if prefix and subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
            self.skipTest("no user namespace for us here")
        self.assertIn("running as root", self.needless(*prefix))
        for check in ("-t", "-p"):
            p = subprocess.run([*prefix, ECHOD, check, "-c", "/dev/null"], capture_output=True, text=True)
            self.assertEqual((p.returncode, p.stderr), (0, ""))

    def test_user(self):
        """a user with the capability for port 7, or none, gets no warning"""
        if os.geteuid() != 0:
            self.assertFalse(self.needless())
            self.skipTest("only root can give capabilities")
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        if subprocess.run([*user, ECHOD, "-V"], stdout=subprocess.DEVNULL).returncode != 0:
            self.skipTest("another user cannot run it where it is")
        bind, raw = (("--inh-caps=+" + c, "--ambient-caps=+" + c) for c in ("net_bind_service", "net_raw"))
        self.assertFalse(self.needless(*user))
        self.assertFalse(self.needless(*user, *bind))
        self.assertIn("more capabilities", self.needless(*user, *raw))


class NoIPv6(harness.Test):
    @harness.plain_only
    @harness.needs_strace
    def test_left_out(self):
        """on a kernel without IPv6 the IPv6 address is left out, with a warning [F25]"""
        with harness.Injected(inject=["socket:error=EAFNOSUPPORT:when=2"], listen="{127.0.0.1:0,[::1]:0}",
                              expect=[r"not listening on \[::1\]:0: this kernel has no IPv6"]) as d:
            d.wait_log("not listening on")
            self.assertServes(d)


if __name__ == "__main__":
    harness.main()

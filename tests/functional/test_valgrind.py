# SPDX-License-Identifier: MIT
"""Memory, descriptors and locks from start to exit, as valgrind sees them in a release build."""

import os
import random
import re
import signal
import subprocess
import tempfile

import harness
from harness import ECHOC, ECHOD, Echod, many, read_exactly
from manager import Manager

PATIENT = "--connect-timeout", str(int(harness.DEADLINE))  # valgrind takes its time

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTIONS = 100
CONF = "workers = 2\nmax_connections_per_source = 1000\nsend_buffer = 65536\nidle_timeout = %d\n"

# valgrind has no seccomp(2), and makes calls of its own in the name of the program.
UNCONFINED = ("-o", "system_call_filter=false")


class Valgrind:
    """What a command begins with to run under a tool of valgrind; a context that judges at its end."""

    def __init__(self, *options):
        self.directory = tempfile.TemporaryDirectory(prefix="echod-test-")
        self.prefix = ["valgrind", *options, "--error-exitcode=99",
                       f"--log-file={self.directory.name}/%p"]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        reports = {name: harness.read(self.directory.name, name) for name in os.listdir(self.directory.name)}
        self.directory.cleanup()
        for number, text in reports.items():
            if kind or "ERROR SUMMARY: 0 errors" not in text:
                raise AssertionError(f"process {number}:\n{text}")
        if not reports:
            raise AssertionError("valgrind has not run")


def memcheck(leaks="definite,indirect,possible"):
    """Looks at every access and every block."""
    return Valgrind("--leak-check=full", f"--errors-for-leak-kinds={leaks}")


@harness.needs("valgrind")
class Lives(harness.Test):
    def live(self, daemon, connections=CONNECTIONS):
        """What a daemon does from start to exit, with every byte compared."""
        bytes_of = random.Random(1)
        with many(daemon.connect() for _ in range(connections)) as clients:
            for i, s in enumerate(clients):
                self.assertEchoes(s, bytes_of.randbytes(1 + i * 37))
            self.assertEchoes(clients[0], bytes_of.randbytes(2 << 20))  # through the pipe
            self.assertEqual(daemon.counters()["open"], connections)
            for s in clients[::3]:
                harness.reset(s)
            daemon.wait_counter("closed_error", len(clients[::3]))
        daemon.wait_open(0)

    def load(self, daemon):
        harness.load(daemon.port, *PATIENT, "--connections", 20, "--rate", 500, "--duration", 1)

    def test_life(self):
        """loads and reloads: no wrong access, no block lost, no descriptor left"""
        with memcheck() as tool:
            with Echod(*UNCONFINED, prefix=tool.prefix, conf=CONF % 3600) as d:
                self.live(d)
                d.reload()
                self.load(d)
                with d.connect() as idle:
                    self.assertEchoes(idle)
                    d.reload(CONF % 1)
                    self.assertEnds(idle)
                last = d.connect()
                self.assertEchoes(last)
                d.signal(signal.SIGTERM)
                self.assertEnds(last)
                last.close()

    def test_descriptors(self):
        """at the end nothing is open but the standard streams and the log, another of them"""
        with tempfile.TemporaryDirectory(prefix="echod-test-") as directory:
            log = os.path.join(directory, "log")
            with Echod(*UNCONFINED, prefix=["valgrind", "--track-fds=yes", f"--log-file={log}"]) as d:
                self.live(d, 10)
            text = harness.read(log)
        self.assertRegex(text, r"FILE DESCRIPTORS: \d+ open")
        opened = re.findall(r"Open .*: (.*)\n(.*)", text)
        own = [path for path, next_line in opened if "<inherited from parent>" not in next_line]
        self.assertEqual(own, ["/proc/self/fd/2"], text)

    def test_hand_over(self):
        """a restart: neither process accesses what is not its own"""
        data = random.Random(2).randbytes(500)
        # what is aborted has threads yet, whose stacks are possibly lost
        with memcheck("definite,indirect") as tool, Manager(*UNCONFINED, "-o", "workers=2", prefix=tool.prefix) as m:
            d = m.start()
            clients = m.clients.enter_context(many(d.connect() for _ in range(30)))
            for s in clients:
                self.assertEchoes(s, data)
            d.pause()
            for s in clients[::2]:
                s.sendall(data)  # what the predecessor has not read
            d.resume()
            d = m.restart()
            for s in clients[::2]:
                self.assertEqual(read_exactly(s, len(data)), data)
            for s in clients:
                self.assertEchoes(s, data)

    def test_client(self):
        """echoc: a ping, and a talk in a pipe"""
        with memcheck() as tool, Echod() as d:
            for command, words in ((["ping", "-c", "3", "-i", "0.01"], None), (["--verify"], b"a word\n" * 1000)):
                p = subprocess.run([*tool.prefix, ECHOC, *command, *PATIENT, f"127.0.0.1:{d.port}"],
                                   input=words, capture_output=True, timeout=2 * harness.DEADLINE)
                self.assertEqual(p.returncode, 0, p.stderr)

    def test_error(self):
        """a start that fails leaves nothing behind"""
        with memcheck() as tool:
            for argument in ("listen=256.1.1.1:7", "workers=none", "listen=198.51.100.1:7"):
                p = subprocess.run([*tool.prefix, ECHOD, "-c", "/dev/null", "-o", argument],
                                   capture_output=True, timeout=harness.DEADLINE)
                self.assertNotIn(p.returncode, (0, 99), argument)

    @harness.needs("gcc")
    def test_threads(self):
        """helgrind: threads touch what they share one after the other, or as an atomic"""
        if os.uname().machine != "x86_64":
            self.skipTest("helgrind takes atomics of 64 bits for races where a word has 32")
        with tempfile.TemporaryDirectory(prefix="echod-test-") as directory:
            shim = os.path.join(directory, "order.so")
            subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", shim,
                            os.path.join(HERE, "order.c")], check=True)
            with Valgrind("--tool=helgrind", f"--suppressions={HERE}/helgrind.supp") as tool:
                with Echod(*UNCONFINED, prefix=["env", f"LD_PRELOAD={shim}", *tool.prefix], conf=CONF % 3600) as d:
                    self.live(d)
                    d.reload()
                    harness.together(3, lambda i: self.load(d) if i else d.reload())


if __name__ == "__main__":
    harness.main()

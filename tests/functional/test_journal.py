# SPDX-License-Identifier: MIT
"""The journal: its records, and that neither its silence nor its end is felt.

The journal is a socket of ours in the place of the real one, which a mount
namespace makes: echod knows no other place.
"""

import contextlib
import fnmatch
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import backdoor
import harness
from harness import Echod

# Puts the folder $1 in the place of the journal's, and tells the program that
# stderr is the journal.
SCRIPT = """
mount -t tmpfs none /run && mkdir -p /run/systemd/journal &&
mount --bind "$1" /run/systemd/journal && shift || exit 125
JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) && export JOURNAL_STREAM && exec "$@"
"""


PRIORITIES = {"error": "3", "warning": "4", "info": "6", "debug": "7"}


class Journal:
    """A journal that is read only when asked; a context that has its folder."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="echod-test-")
        self.prefix = ("unshare", "-rm", "sh", "-c", SCRIPT, "-", self.directory.name)
        p = subprocess.run([*self.prefix, "true"], capture_output=True, text=True)
        if p.returncode:
            self.directory.cleanup()
            raise unittest.SkipTest(f"no mount namespace: {p.stderr}")
        self.open()
        return self

    def __exit__(self, *_):
        self.close()
        self.directory.cleanup()

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.path.join(self.directory.name, "socket"))
        self.socket.settimeout(harness.DEADLINE)

    def close(self):
        """As when journald.socket is stopped."""
        if self.socket:
            self.socket.close()
            os.unlink(os.path.join(self.directory.name, "socket"))
        self.socket = None

    def read(self):
        """The next record, as a dictionary."""
        text = ""
        while not text:  # the real one ignores empty datagrams, too
            text = self.socket.recv(1 << 20).decode()
        if not text.endswith("\n"):
            raise AssertionError(f"the record does not end as one: {text!r}")
        pairs = [line.split("=", 1) for line in text[:-1].split("\n")]
        record = dict(pairs)
        if len(record) != len(pairs):
            raise AssertionError(f"a field is there twice: {text}")
        return self.read() if harness.AS_ROOT.match(record["MESSAGE"]) else record

    def read_all(self):
        """What is there now."""
        records = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                records.append(self.read())
        self.socket.settimeout(harness.DEADLINE)
        return records

    def wait(self, event):
        """Reads until a record of this kind."""
        while True:
            record = self.read()
            if record.get("ECHOD_EVENT") == event:
                return record

    def run(self, *args):
        """Runs echod to its end; returns its status, its records, and what went to stderr."""
        p = subprocess.run([*self.prefix, harness.ECHOD, *args], capture_output=True, text=True,
                           timeout=harness.DEADLINE)
        return p.returncode, self.read_all(), p.stderr

    def start(self, *args, **options):
        """A daemon that serves, and whose first records have been read."""
        d = Echod(*args, prefix=self.prefix, wait=False, **options)
        try:
            d.port = int(self.wait("listening")["ECHOD_ADDRESS"].rpartition(":")[2])
            self.wait("ready")
        except BaseException:
            d.kill()
            raise
        return d


class Records(harness.Test):
    def setUp(self):
        self.journal = self.enterContext(Journal())

    def assertKind(self, record, event):
        """It is a record of this kind, with the fields that the table has, and no others."""
        kind = harness.kinds()[event]
        fixed = {"ECHOD_EVENT": event, "MESSAGE_ID": kind.id, "PRIORITY": PRIORITIES[kind.level],
                 "SYSLOG_IDENTIFIER": "echod"}
        self.assertLessEqual(fixed.items(), record.items())
        fields = set(record) - set(fixed) - {"MESSAGE"}
        for pattern in kind.fields:
            matching = set(fnmatch.filter(fields, pattern))
            self.assertTrue(matching, f"{event}: {pattern}")
            fields -= matching
        self.assertEqual(fields, set(), event)
        for name, value in record.items():
            self.assertRegex(name, "^[A-Z][A-Z0-9_]{0,63}$")
            self.assertTrue(value, name)

    def expect(self, event, **fields):
        record = self.journal.read()
        self.assertKind(record, event)
        for name, value in fields.items():
            self.assertEqual(record[name], value)
        return record

    def test_life(self):
        """start, reloads and stop are records of their kinds, and stderr gets nothing"""
        with Echod(prefix=self.journal.prefix, conf="workers = 2\n", wait=False) as d:
            self.assertRegex(self.expect("listening")["ECHOD_ADDRESS"], r"^127\.0\.0\.1:\d+$")
            self.expect("ready", ECHOD_WORKERS="2")
            d.signal(signal.SIGHUP)
            self.expect("reloaded", MESSAGE="reloaded")
            d.write_conf("workers = 3\n")
            d.signal(signal.SIGHUP)
            self.expect("option_kept", ECHOD_OPTION="workers")
            self.expect("reloaded")
            d.write_conf("workers = \"a\tb\"\n")
            d.signal(signal.SIGHUP)
            record = self.expect("reload_refused")
            self.assertEqual(record["MESSAGE"],
                             "reload refused, keeping the running configuration: " + record["ECHOD_ERROR"])
            self.assertIn("a?b", record["ECHOD_ERROR"])
            d.signal(signal.SIGTERM)
            self.expect("stopping")
            self.expect("stopped")
            self.assertEqual(d.wait_exit(), 0)
            self.assertEqual((self.journal.read_all(), d.log()), ([], ""))

    def test_counters(self):
        """each counter is a field with the same value as in the line"""
        with self.journal.start("-o", "workers=3") as d, d.connect() as s:
            self.assertEchoes(s, b"x" * 1000)
            d.signal(signal.SIGUSR1)
            line = self.expect("counters")
            d.signal(signal.SIGTERM)
            self.expect("stopping")
            s.close()
            last = self.expect("stopped")
            for record in (line, last):
                pairs = re.findall(r"(\w+)=(\d+)(?!\S)", record["MESSAGE"])
                self.assertGreater(len(pairs), 10)
                for name, value in pairs:
                    self.assertEqual(record.pop(f"ECHOD_{name.upper()}"), value)
                self.assertEqual([n for n in record if n.startswith("ECHOD_")], ["ECHOD_EVENT"])
            self.assertIn(" received=1000 ", last["MESSAGE"])

    def test_refusals(self):
        """a refused connection is a record with its reason counted"""
        with self.journal.start("-o", "max_connections=1") as d, d.connect() as s:
            self.assertEchoes(s)
            self.assertRefused(d)
            record = self.expect("refused", ECHOD_NEW="1", ECHOD_NEW_MAX_CONNECTIONS="1",
                                 ECHOD_NEW_RESOURCES="0", ECHOD_REFUSED_MAX_CONNECTIONS="1",
                                 ECHOD_REFUSED_RESOURCES="0")
            self.assertRegex(record["ECHOD_CLIENT"], r"^127\.0\.0\.1:\d+$")

    def test_pause(self):
        """a pause is a record"""
        with self.journal.start() as d:
            used = max(int(fd) for fd in os.listdir(f"/proc/{d.pid}/fd")) + 1
            resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (used, 10000))
            with d.connect(), d.connect():
                self.expect("paused", ERRNO="24", ECHOD_ERROR="Too many open files",
                            ECHOD_PAUSES="1")
                resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (10000, 10000))

    def test_limited(self):
        """more connections than descriptors allow is a record"""
        with Echod("-o", "max_connections=1000", wait=False,
                   prefix=("prlimit", "--nofile=100:100", *self.journal.prefix)):
            self.expect("listening")
            most = self.expect("connections_limited", ECHOD_WANTED="1000",
                               ECHOD_DESCRIPTORS="100")["ECHOD_MAX_CONNECTIONS"]
            self.expect("ready", ECHOD_MAX_CONNECTIONS=most)

    def test_refused_configuration(self):
        """a configuration that is refused is a record, at a start and at a check"""
        for args in ((), ("-t",)):
            status, records, rest = self.journal.run("-c", "/dev/null", "-o", "workers=many", *args)
            self.assertEqual((status, len(records), rest), (78, 1, ""))
            self.assertKind(records[0], "configuration_refused")
            self.assertEqual(records[0]["MESSAGE"], records[0]["ECHOD_ERROR"])

    def test_failed_start(self):
        """a start that fails is a record with its errno"""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            status, records, rest = self.journal.run("-c", "/dev/null", "-o", f"listen={address}")
        self.assertEqual((status, len(records), rest), (71, 1, ""))
        self.assertKind(records[0], "bind_failed")
        self.assertEqual(records[0]["ECHOD_ADDRESS"], address)
        self.assertEqual(records[0]["ERRNO"], "98")
        self.journal.prefix = ("prlimit", "--nofile=20:20", *self.journal.prefix)
        status, records, rest = self.journal.run("-c", "/dev/null", "-o", "listen=127.0.0.1:0")
        self.assertEqual((status, rest), (71, ""))
        self.assertKind(records[-1], "start_failed")

    def test_last_words(self):
        """at its end it waits until the journal has read all, but not for ever; a stop hardly waits"""
        began = time.monotonic()
        self.assertEqual(self.journal.run("-c", "/dev/null", "-o", "workers=many")[0], 78)
        self.assertGreaterEqual(time.monotonic() - began, 0.5)
        reader = threading.Thread(target=self.journal.wait, args=("configuration_refused",))
        reader.start()
        self.assertEqual(self.journal.run("-c", "/dev/null", "-o", "workers=many")[:2], (78, []))
        reader.join()

    def test_forbidden(self):
        """a system call that a thread may not make is a record that names both, and is read in time"""
        if backdoor.built_without():
            self.skipTest(backdoor.built_without())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        env = {"LD_PRELOAD": backdoor.library()}
        with self.journal.start("-o", "workers=1", env=env, status=-signal.SIGSYS) as d, d.connect() as s:
            s.sendall(backdoor.order("worker", "getuid"))
            record = self.expect("system_call_forbidden", ECHOD_THREAD="worker/0",
                                 ECHOD_SYSTEM_CALL="getuid",
                                 ECHOD_NUMBER=str(backdoor.numbers()["getuid"]))
            self.assertIn("worker/0 violated its system call filter with getuid", record["MESSAGE"])
            self.assertEqual(d.wait_exit(), -signal.SIGSYS)
            self.assertEqual(d.log(), "")

    def test_lines_without_a_kind(self):
        """debug lines are records too, without an id"""
        with self.journal.start("-o", "log_level=debug") as d:
            self.assertServes(d)
            for pattern in ("descriptor \\d+, for worker", "closed \\(client\\)"):
                record = self.journal.read()
                self.assertEqual(set(record), {"PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE"})
                self.assertEqual(record["PRIORITY"], "7")
                self.assertRegex(record["MESSAGE"], pattern)


class Trouble(harness.Test):
    def test_blocked(self):
        """the journal is not read: every echo comes, each lost line is counted, and reported later [F51 P12]"""
        with Journal() as journal, journal.start("-o", "log_level=debug") as d:
            for i in range(2000):
                with d.connect() as s:
                    self.assertEchoes(s, b"%d" % i)
            records = journal.read_all()
            self.assertLess(len(records), 4000, "it was never full")
            said = 4000  # a line when a connection comes, and one when it goes
            open_now = None
            while open_now != "0":
                d.signal(signal.SIGUSR1)
                said += 1
                open_now = None
                while open_now is None:
                    records.append(journal.read())
                    open_now = records[-1].get("ECHOD_OPEN")
            lost = [int(r["ECHOD_LINES"]) for r in records if r.get("ECHOD_EVENT") == "lines_lost"]
            self.assertGreater(len(lost), 0)
            self.assertEqual(len(records) - len(lost) + sum(lost), said)

    def test_restarted(self):
        """while the journal is away lines go to stderr, and afterwards to the new one"""
        with Journal() as journal, journal.start() as d:
            for i in range(3):
                journal.close()
                d.signal(signal.SIGUSR1)
                d.wait_log("^<6>counters: ", i + 1)
                journal.open()
                d.signal(signal.SIGUSR1)
                self.assertIn("counters: ", journal.wait("counters")["MESSAGE"])
            journal.socket.close()  # with its name there still
            d.signal(signal.SIGUSR1)
            d.wait_log("^<6>counters: ", 4)
            self.assertEqual(len(d.log().splitlines()), 4)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""Reloads of files that chance has damaged: each is in force as a whole, or not at all."""

import os
import random
import re

import harness
from harness import Echod

RELOADS = int(os.environ.get("RELOADS", 50 if harness.SANITIZERS else 150))
SEED = int(os.environ.get("SEED", 1))

REFUSED = "reload refused, keeping the running configuration"
FURTHER = r"echod\.conf:\d+: |there are more errors"  # than the one that is told with it

# What no file may change here: these lines must be seen, and no connection closed for silence.
FIXED = harness.options(log_level="info", idle_timeout=0, workers=1, hand_over="false")

# Valid files; {a} and {b} are ports, {n} is a limit.
FILES = [
    'listen = "127.0.0.1:{a}"\nmax_connections = {n}\n',
    'listen = {{"127.0.0.1:{a}", "127.0.0.1:{b}"}}\n# both\nmax_connections = {n}\nbacklog = 64\n',
    "listen = {{127.0.0.1:{b}}} /* the other */\nmax_connections = {n} // few\n",
    "max_connections = {n}\nbacklog = 9\nstall_timeout = 30\nlisten += 127.0.0.1:{a}\n",
    "listen = '127.0.0.1:{a}'\ntcp_nodelay = off\npending_memory = 1048576\nmax_connections = {n}\n",
    "# nothing but\nlisten = 127.0.0.1:{b}\n\n\nshutdown_timeout = 5\nmax_connections={n}",
]

# What is put in, or in the place of something.
PIECES = ["{", "}", '"', "'", "=", "+=", ",", "#", "//", "/*", "*/", "\\", "${", "${HOME}", "\n", "\0", "0",
          "-1", "65536", "99999999999999999999", "max_connections = 4\n", "include(", "~", "section {\n"]


def mutate(rng, data, other):
    """One small damage to a file."""
    at, end = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
    byte = bytes([rng.randrange(256)])
    return rng.choice([
        data[:at],  # cut short
        data[:at] + data[end:],  # cut out
        data[:end] + data[at:],  # doubled
        data[:at] + other[rng.randint(0, len(other)):],  # spliced with another
        data[:at] + byte + data[at + 1:],
        data[:at] + rng.choice(PIECES).encode() + data[end if rng.randrange(4) == 0 else at:]])


class InForce:
    """What a file means, as a process says that reads no other."""

    def __init__(self, text):
        here = re.findall(r'"(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)"', text.partition("\n")[0])
        self.ports = [int(port) for port in here if port != "0"]
        self.limit = int(re.search(r"^max_connections = (\d+)$", text, re.M).group(1))


def read(path):
    """What is in force with a file, or None if it is refused."""
    status, out, _ = harness.run("-p", "-c", path, *FIXED, errors="replace")
    return InForce(out) if status == 0 else None


class Mutations(harness.Test):
    def setUp(self):
        self.rng = random.Random(SEED)
        self.a, self.b = (self.enterContext(harness.free_port("127.0.0.1")) for _ in range(2))

    def valid(self):
        text = self.rng.choice(FILES).format(a=self.a, b=self.b, n=self.rng.randint(2, 5))
        return text.encode()

    def put(self, daemon, text):
        """Puts a file, or what is none, in the place of the daemon's."""
        path = daemon.conf_path
        if os.path.lexists(path):
            os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        if text == "directory":
            os.mkdir(path)
        elif text == "FIFO":
            os.mkfifo(path)
        elif text != "missing":
            with open(path, "wb") as f:
                f.write(b"max_connections = 2\n" if text == "unreadable" else text)
            os.chmod(path, 0 if text == "unreadable" else 0o644)

    def damaged(self):
        """Now and then a good file, or none at all, and else one with some damage."""
        if self.rng.randrange(10) == 0:
            return self.rng.choice(["missing", "directory", "FIFO", "unreadable"])
        text = self.valid()
        for _ in range(self.rng.choice([0, 1, 1, 1, 2, 3])):
            text = mutate(self.rng, text, self.valid())
        return text

    def check_in_force(self, daemon, now, kept):
        """The daemon serves where the configuration says, and as many as it says."""
        self.assertEchoes(kept)
        for port in now.ports if now.limit != 1 else []:
            self.assertServes(daemon, port=port)
            daemon.wait_open(1)
        if not now.ports or not 1 <= now.limit <= 6:
            return
        with harness.many(daemon.connect(now.ports[0]) for _ in range(now.limit - 1)) as others:
            for s in others:
                self.assertEchoes(s)
            self.assertRefused(daemon, port=now.ports[0])
        daemon.wait_open(1)

    def check_reload(self, daemon, now, kept):
        """Reloads what is there; returns what is in force then."""
        new = read(daemon.conf_path)
        failures = daemon.log().count("cannot listen on")
        good = daemon.reload(what=rf"\breloaded$|{REFUSED}").group() == "reloaded"
        self.assertTrue(new or not good, "it was taken, and must not be")
        self.assertTrue(good or not new or daemon.log().count("cannot listen on") > failures,
                        "it was refused, and is valid")
        now = new if good else now
        self.check_in_force(daemon, now, kept)
        return now

    def run_daemon(self, reloads):
        """Reloads so many times; returns how many files were taken."""
        first = FILES[0].format(a=self.a, b=self.b, n=3)
        states = []
        with Echod(*FIXED, conf=first, listen=None,
                   expect=[REFUSED, FURTHER, harness.REFUSED, "cannot listen on", "descriptors allow only"]) as d:
            states.append(read(d.conf_path))
            with d.connect(self.a) as kept:
                for i in reloads:
                    text = self.damaged()
                    self.put(d, text)
                    try:
                        states.append(self.check_reload(d, states[-1], kept))
                    except (AssertionError, OSError) as e:
                        raise AssertionError(f"reload {i} of seed {SEED}, {text!r}: {e}") from e
        return sum(a is not b for a, b in zip(states, states[1:]))

    def test_reloads(self):
        """a damaged file changes nothing, one that is valid all it says, and no connection is dropped [F46]"""
        each = 150  # for a daemon: its log, which is searched, grows
        taken = sum(self.run_daemon(range(i, min(i + each, RELOADS))) for i in range(0, RELOADS, each))
        self.assertGreater(taken, RELOADS // 10, "hardly a file was valid")
        self.assertGreater(RELOADS - taken, RELOADS // 10, "hardly a file was refused")


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""A siege: a full load of clients that talk, and attackers beside them, while a test asks whether a promise holds.

The talkers are echoc's; there are more of them than one batch of events holds, and every byte is
compared.  Each attacker is a thread that repeats one act until the siege ends.
"""

import contextlib
import random
import select
import signal
import socket
import threading

import harness
from harness import CLOSING, FIN_WAIT1, LAST_ACK

TALKERS = 600  # on one worker: more than the 512 events of a batch
PAUSE = 0.02  # seconds at most, between two acts: attackers of one machine must not starve what they attack
TALKER, ATTACKER = "127.0.0.2", "127.0.0.66"


def holds(row):
    """True if it takes something for a client: an open descriptor, or bytes after the end of one.

    What waits in the listener's queue, or was refused and is not reset yet, does not.
    """
    return row.inode != "0" or (row.state in (FIN_WAIT1, LAST_ACK, CLOSING) and row.send_queue > 1)


def held(port, source=None):
    """Those that hold something, of all sources or one.

    The kernel's list is not of one instant: some come and some go while it is read, and one can be there twice.
    Those that two readings have were all there between the two.
    """
    first, second = ({row[3:]: row for row in harness.connections(port) if holds(row)} for _ in range(2))
    return [row for key, row in second.items() if key in first and source in (None, row.peer)]


def orphans(rows):
    """Those of no process that still hold bytes: limits cannot count them."""
    return [r for r in rows if r.inode == "0"]


# Witnesses: clients whose end a timeout promises.

def idle_witness(server, source=None):
    """Says something, then nothing: it must be closed with a FIN.  Raises if it ends otherwise, or not at all."""
    with server.connect(source=source) as s:
        if harness.echo(s, b"hello") != b"hello" or s.recv(1):
            raise AssertionError("an idle connection received what it had not sent")


def stalled_witness(server, source=None):
    """Sends and never reads: it must be reset, for a FIN would claim that its echo is complete."""
    with server.connect(source=source, rcvbuf=4096) as s:
        harness.fill(s)
        poll = select.poll()
        poll.register(s, 0)
        if not poll.poll(harness.DEADLINE * 1000):
            raise AssertionError("a connection that does not read was not closed")
        if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            raise AssertionError("a connection that does not read was closed with a FIN")


# Acts of attackers: each is one connection from its begin to its end.

def abandon(server, rnd):
    """Sends much, reads nothing, half-closes, and keeps the socket for a while: its echo fits nowhere."""
    with server.connect(source=ATTACKER, rcvbuf=4096) as s:
        s.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            s.sendall(bytes(1500000))
        s.shutdown(socket.SHUT_WR)
        stop.wait(rnd.random())


def never_read(server, rnd):
    """Sends until nothing is taken any more, and stays."""
    with server.connect(source=ATTACKER, rcvbuf=4096) as s:
        harness.fill(s)
        stop.wait(rnd.random())


def trickle(server, rnd):
    """Fills the connection, and then goes on with one byte after the other."""
    with server.connect(source=ATTACKER, rcvbuf=4096) as s:
        s.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            s.sendall(bytes(300000))
            for _ in range(500):
                s.send(b"x")


def reset(server, rnd):
    s = server.connect(source=ATTACKER)
    s.send(bytes(rnd.randrange(1, 100000)), socket.MSG_DONTWAIT)
    harness.reset(s)


def knock(server, rnd):
    """Comes, and goes at once."""
    server.connect(source=ATTACKER).close()


ACTS = [abandon, never_read, trickle, reset, knock]

stop = threading.Event()


class Siege:
    """A context in which the server is under siege; at its end every talker must have had its echo."""

    def __init__(self, server, acts=ACTS, talkers=TALKERS, sources=TALKER, seed=1, threads=1):
        self.server, self.acts, self.talkers, self.sources = server, acts, talkers, sources
        self.seed, self.threads = seed, threads
        self.faults = []

    def __enter__(self):
        stop.clear()
        accepted = self.server.counters()["accepted"]
        self.load = harness.start_load(self.server.port, "--connections", self.talkers, "--size", "1-200",
                                       "--rate", 5000, "--source", self.sources, "--duration", 36000)
        try:
            self.server.wait_counter("accepted", accepted + self.talkers)
        except BaseException:
            self.load.kill()
            raise
        self.attackers = [threading.Thread(target=self.attack, args=(act, i)) for i in range(self.threads)
                          for act in self.acts]
        for t in self.attackers:
            t.start()
        return self

    def attack(self, act, i):
        rnd = random.Random(f"{self.seed} {act.__name__} {i}")
        while not stop.wait(PAUSE * rnd.random()):
            try:
                act(self.server, rnd)
            except OSError:  # refused, reset, or timed out: so it is
                pass
            except Exception as e:
                self.faults.append(f"{act.__name__}: {type(e).__name__}: {e}")
                return

    def watch(self, witness, *args):
        """Has a witness see its end; what is wrong with it is told when the siege ends."""
        try:
            witness(self.server, *args)
        except (OSError, AssertionError) as e:
            self.faults.append(f"{witness.__name__}: {type(e).__name__}: {e}")

    def end(self):
        """Ends the attack and the load; returns what the talkers say."""
        stop.set()
        for t in self.attackers:
            t.join(harness.DEADLINE)
        self.load.send_signal(signal.SIGINT)
        load, self.load = self.load, None
        return harness.end_load(load)

    def __exit__(self, kind, value, traceback):
        if self.load is None:
            return
        if kind is not None:
            stop.set()
            self.load.kill()
            self.load.communicate()
            return
        self.end()
        if self.faults:
            raise AssertionError(f"attackers: {self.faults}")

# SPDX-License-Identifier: MIT
"""The models are correct servers: what holds for echod's bytes holds for theirs."""

import socket
import unittest

import harness
import models
import peers
import test_echo

CONNECTIONS = 1000  # select allows few more


class Cases(test_echo.Cases):
    """What holds for each model."""

    def shortDescription(self):
        return f"{self.model}: {super().shortDescription()}"

    def daemon(self, prefix=()):
        try:
            return models.Model(self.model, prefix)
        except peers.LeftOut as reason:
            raise unittest.SkipTest(str(reason))

    def check_no_errors(self, d):
        d.wait_open(0)
        self.assertEqual(d.log(), "")

    def test_load(self):
        """messages of all sizes, several under way on each connection, every byte compared"""
        with self.daemon() as d:
            harness.load(d.port, "--connections", 20, "--messages", 2000, "--pipeline", 8, "--size", "1-100000")
            harness.load(d.port, "--churn", "--connections", 20, "--messages", 1000)
            self.check_no_errors(d)

    def test_many_connections(self):
        """a thousand connections that all talk, every byte compared"""
        harness.raise_descriptor_limit()
        with self.daemon() as d:
            harness.load(d.port, "--connections", CONNECTIONS, "--messages", 10 * CONNECTIONS)
            self.check_no_errors(d)

    def test_many_slow_readers(self):
        """a client that does not read for a while loses nothing, at whatever byte the server has to stop"""
        def talk(d, i):
            with d.connect(rcvbuf=4096) as s:
                start = bytes(i * 500)
                s.sendall(start)
                sent = start + harness.fill(s)
                s.shutdown(socket.SHUT_WR)
                self.assertTrue(harness.read_to_end(s) == sent)

        with self.daemon() as d:
            harness.together(16, lambda i: talk(d, i))
            self.check_no_errors(d)

    def test_sleeps(self):
        """with nothing to do it sleeps, also when a slow reader has caught up"""
        with self.daemon() as d, d.connect(rcvbuf=4096) as s:
            d.wait_asleep()
            sent = harness.fill(s)
            d.wait_asleep()
            self.assertEqual(harness.read_exactly(s, len(sent)), sent)
            self.assertEchoes(s)
            d.wait_asleep()

    def test_out_of_descriptors(self):
        """without a free descriptor it says so, serves those it has, and sleeps"""
        limit = 64
        with self.daemon(prefix=("prlimit", f"--nofile={limit}:{limit}")) as d:
            with harness.many(d.connect() for _ in range(limit - d.own_descriptors)) as full:
                for s in full:
                    self.assertEchoes(s)
                with harness.many(d.connect() for _ in range(10)):
                    harness.wait_until(d.log, "a message")
                    self.assertIn("Too many open files", d.log())
                    d.wait_asleep()
                    for s in full:
                        self.assertEchoes(s)
            d.wait_open(0)
            self.assertServes(d)


class Select(harness.Test):
    """What holds for select only."""

    def test_beyond_its_set(self):
        """select refuses descriptors from FD_SETSIZE on, says so, and serves the others"""
        harness.needs_descriptors(1024)
        with models.Model("select") as d:
            room = 1024 - d.own_descriptors
            with harness.many(d.connect() for _ in range(room)) as full:
                d.wait_open(room)
                self.assertEqual(d.log(), "")
                with d.connect() as s:
                    self.assertEnds(s)
                self.assertIn("FD_SETSIZE", d.log())
                for s in full:
                    s.send(b"x")
                    self.assertEqual(s.recv(1), b"x")
            d.wait_open(0)
            self.assertServes(d)


for name in models.NAMES:
    globals()[f"Model_{name}"] = type(f"Model_{name}", (Cases, harness.Test), {"model": name})

if __name__ == "__main__":
    harness.main()

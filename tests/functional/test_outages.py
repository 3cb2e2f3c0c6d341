# SPDX-License-Identifier: MIT
"""--reconnect: a load and a ping go on after a loss, and time each outage."""

import socket
import threading
import time

import harness
import liars
from client import Client


class Restarts(liars.Honest):
    """Can go away, and come back at the same port."""

    def leave(self):
        self.vanish()
        self.acceptor.join(harness.DEADLINE)

    def come_back(self):
        self.stopping = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()


class Mute(liars.Honest):
    """Falls silent in its first connection, and serves all others."""

    def talk(self, s, number):
        if number > 0:
            self.echo(s)
        elif self.echo(s, 640):
            self.drain(s)


class Outages(Client):
    def run_over_restart(self, seconds, *args):
        with Restarts() as server:
            p = self.start(*args, "--json", "--reconnect", server.target)
            harness.wait_until(lambda: server.accepted > 0, "the first connection")
            server.pause(0.2)
            server.leave()
            time.sleep(seconds)  # the outage itself
            server.come_back()
            return self.finish(p)

    def test_restart(self):
        """one outage, of that length, whether of one connection or of all; nothing is wrong, and the rest came back"""
        for args in (("load", "--connections", 20, "--rate", 200, "--duration", 2), ("ping", "-i", 0.01, "-c", 150)):
            with self.subTest(args=args):
                r = self.run_over_restart(0.5, *args)
                self.assertEqual(r.status, 0, r.err)
                (outage,) = r.json["outages"]
                self.assertGreater(outage["length_s"], 0.2)  # it is noticed late on a busy machine
                self.assertEqual(outage["messages_lost"], r.json["lost"])
                self.assertEqual(r.json["messages_verified"] + r.json["lost"], r.json["messages_sent"])
                self.assertEqual((r.json["unsent"], r.json["corrupt"]), (0, 0))
                self.assertEqual(r.json["connections"], 20 if "load" in args else 1)

    def test_too_long(self):
        """--max-outage makes a longer one a fault"""
        for limit, status in ((0.05, 1), (600, 0)):
            r = self.run_over_restart(0.5, "load", "--rate", 100, "--duration", 1.5, "--max-outage", limit)
            self.assertEqual(r.status, status, r.err)

    def test_silence(self):
        """a connection that has fallen silent for --timeout is lost, and away since then"""
        for args in (("load", "--rate", 50, "--duration", 1.5), ("ping", "-i", 0.02, "-c", 75)):
            with self.subTest(args=args), Mute() as server:
                r = self.finish(self.start(*args, "--json", "--reconnect", "--timeout", 0.4, server.target))
                self.assertEqual(r.status, 0, r.err)
                (outage,) = r.json["outages"]
                self.assertGreaterEqual(outage["length_s"], 0.4)
                self.assertGreaterEqual(outage["messages_lost"], 1)

    def test_lost_again(self):
        """what is lost on the way back is lost in the same outage"""
        class Mutes(liars.Honest):
            def talk(self, s, number):
                return self.echo(s) if number > 3 else self.drain(s)
        with Mutes() as server:
            r = self.finish(self.start("load", "--rate", 50, "--duration", 1.5, "--json", "--reconnect",
                                       "--timeout", 0.2, server.target))
            self.assertEqual(r.status, 0, r.err)
            (outage,) = r.json["outages"]
            self.assertGreaterEqual(outage["messages_lost"], 4)
            self.assertEqual(outage["messages_lost"], r.json["lost"])

    def test_not_there_yet(self):
        """a server that is not there at the start is one that was lost"""
        with Restarts() as server:
            server.leave()
            p = self.start("load", "--json", "--rate", 100, "--duration", 1.5, "--reconnect", server.target)
            time.sleep(0.3)
            server.come_back()
            r = self.finish(p)
            self.assertEqual((r.status, r.json["corrupt"]), (0, 0), r.err)
            self.assertGreater(r.json["messages_verified"], 0)

    def test_never_there(self):
        """one that never comes is reported, with status 2"""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            r = self.run_client("load", "--rate", 10, "--duration", 0.3, "--reconnect",
                                f"127.0.0.1:{s.getsockname()[1]}")
            self.assertEqual(r.status, 2)
            self.assertIn("Connection refused", r.err)

    def test_warmup(self):
        """an outage that began in the warm-up is one from the beginning"""
        class Late(liars.Honest):
            def talk(self, s, number):
                self.pause(1 if number else 0)
                self.echo(s, None if number else 64)
        with Late() as server:
            o = self.load(server.target, "--rate", 100, "--warmup", 0.5, "--duration", 1, "--reconnect")
        self.assertEqual([outage["start_s"] for outage in o["outages"]], [0])

    def test_wrong(self):
        """a wrong byte is a fault with --reconnect too"""
        with liars.Flips(70) as server:
            self.load(server.target, "--messages", 10, "--reconnect", status=1)


if __name__ == "__main__":
    harness.main()

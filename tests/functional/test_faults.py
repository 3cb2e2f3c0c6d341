# SPDX-License-Identifier: MIT
"""Faults that the system makes: echod survives each, as "./dev faults" makes them by the thousand."""

import os
import re
import resource
import signal
import subprocess
import sys

import harness
from harness import Echod

sys.path.insert(0, os.path.join(harness.SRCDIR, "tests/faults"))
import scenes

SCRIPT = os.path.join(harness.SRCDIR, "tests/faults/faults.py")


@harness.needs("strace")
class Faults(harness.Test):
    def faults(self, *args):
        """Runs the script, which finds nothing; returns what it prints."""
        p = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        return p.stdout

    def only(self, *names):
        """These faults, each of which was made."""
        self.assertIn(f"\n{len(names)} runs, {len(names)} faults, ", self.faults("--only", *names))

    def test_watch(self):
        """a listener that cannot be watched for want of memory is watched as soon as there is some"""
        self.only("reload.plain/epoll_ctl/error=ENOMEM/1", "reload.plain/epoll_ctl/error=ENOSPC/2")

    def test_unknown(self):
        """a listener of which the kernel does not say whether it listens is kept, with its queue"""
        with Echod("-o", "system_call_filter=false", conf="") as d:
            was = d.listeners()
            nothing = scenes.Fault("reload", "plain", "getsockopt", "error=ENOTSOCK", "1+")
            with scenes.ByStrace(d.pid, nothing):
                d.signal(signal.SIGHUP)
                d.wait_log("reloaded")
            self.assertEqual(d.listeners(), was)

    def test_words(self):
        """a start that fails says why, at its first allocation and its first descriptor too [F33]"""
        self.only(*(f"start.plain/malloc/fail/{n}" for n in range(1, 12)))
        status, _, log = harness.run("-V", preexec_fn=self.leave_none)
        self.assertEqual(status, os.EX_OSERR)
        self.assertEqual(log, "echod: error: cannot open /dev/null: Too many open files\n")

    @staticmethod
    def leave_none():
        """There may be three descriptors; the first is free, and so is not one for /dev/null's check."""
        os.close(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))

    def test_hand_over_without_memory(self):
        """a hand-over that fails for want of memory resets the clients that wait for echo"""
        self.only("handover.pending/malloc/fail/1", "handover.pending/malloc/fail/2")

    def test_start_after_restart(self):
        """a start that fails after it took over resets the clients that wait for echo, and waits for none"""
        self.only(*(f"takeover.pending/clone3/error=EAGAIN/{n}" for n in range(1, 5)))

    def test_reload_without_memory(self):
        """a reload of a file of any size is done or refused while the system gives no memory"""
        with Echod("-o", "system_call_filter=false", conf="", expect=["reload refused"]) as d:
            d.counters()
            nothing = scenes.Fault("reload", "plain", scenes.MEMORY, "error=ENOMEM", "1+")
            with scenes.ByStrace(d.pid, nothing):
                for n, size in enumerate(range(0, 65000, 4000), 1):
                    d.write_conf("#" * size + "\nmax_connections = 10\n")
                    d.signal(signal.SIGHUP)
                    d.wait_log("reloaded$|reload refused", n)
            self.assertServes(d)

    def test_told_again(self):
        """a notification that cannot be sent is sent again"""
        self.only("takeover.pending/sendmsg/error=ENOBUFS/2", "takeover.pending/sendmsg/error=EINTR/3",
                  "takeover.plain/socket/error=ENOBUFS/3", "takeover.pending/sendmsg/error=EMSGSIZE/2")

    def test_sample(self):
        """a sample over all calls, in all scenes"""
        rows = re.findall(r"^([\w,]+) +\d+ +(\d+) +\d+ +0  ", self.faults("--sample", "200", "--seed", "1"), re.M)
        self.assertGreater(len(rows), 40)
        self.assertGreater(sum(int(faults) for _, faults in rows), 150)


if __name__ == "__main__":
    harness.main()

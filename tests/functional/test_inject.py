# SPDX-License-Identifier: MIT
"""System calls that fail, or at which a signal comes, by strace(1): refusals, pauses, starts, crashes."""

import errno
import os
import re
import signal
import subprocess
import tempfile

import harness
import manager
from harness import Echod, Injected, Passed, many

# Of the system calls of a start every so manieth is tried; 1 for all.
EVERY = int(os.environ.get("EVERY", 32 if harness.SANITIZERS else 8))


class Accepting(harness.Test):
    @harness.needs_strace
    def test_without_resources(self):
        """without resources clients wait, and all in the queue are served when there are some [F12 F13]"""
        for error in ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"):
            with self.subTest(error), Injected(inject=[f"accept4:error={error}:when=1..3"],
                                               expect=["cannot accept"]) as d:
                with many(d.connect() for _ in range(20)) as clients:
                    for i, s in enumerate(clients):
                        self.assertEchoes(s, b"%d" % i)
                counters = d.wait_open(0)
                self.assertEqual((counters["accepted"], counters["pauses"]), (20, 3))
                reason = os.strerror(getattr(errno, error))
                self.assertEqual(d.log().count(f"cannot accept: {reason}; new connections wait"), 1)

    @harness.needs_strace
    def test_one_connection(self):
        """an error of one connection is no other's: no pause, no line, the next one is accepted [F14]"""
        for error in ("ECONNABORTED", "EINTR", "EPROTO", "ENOPROTOOPT", "ENETDOWN",
                      "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ENONET", "ETIMEDOUT"):
            with self.subTest(error), Injected(inject=[f"accept4:error={error}:when=1+2"]) as d:
                for _ in range(20):
                    self.assertServes(d)
                counters = d.wait_open(0)
                self.assertEqual((counters["accepted"], counters["pauses"]), (20, 0))
                self.assertNotIn("cannot accept", d.log())

    @harness.needs_strace
    def test_one_listener(self):
        """an error that stays is its listener's: logged, and tried again later, without a busy loop [F52]"""
        for error, calls in (("EPERM", "1"), ("EINVAL", "1"), ("ECONNABORTED", "1..64")):
            failed = f"the listener on .* failed: {os.strerror(getattr(errno, error))}; clients wait"
            with self.subTest(error), Injected(inject=[f"accept4:error={error}:when={calls}"],
                                               listen="{127.0.0.1:0,127.0.0.2:0}", expect=[failed]) as d:
                with d.connect() as c:
                    c.sendall(b"x")
                    d.wait_log(failed)
                    self.assertServes(d, port=d.ports[1], host="127.0.0.2")
                    self.assertEqual(c.recv(1), b"x")
                self.assertEqual((d.counters()["pauses"], d.log().count("failed:")), (0, 1))

    @harness.needs_strace
    def test_cannot_be_watched(self):
        """a connection that no worker can watch is refused and counted, the others are served [F9]"""
        for error in ("ENOSPC", "ENOMEM"):
            with self.subTest(error), Injected("-o", "workers=2", expect=[harness.REFUSED],
                                               inject=[f"epoll_ctl:error={error}:when=5+7"]) as d:
                served = [d.serves() for _ in range(60)]
                self.assertEqual(served.count(False), 9)  # the first of that thread is for its listener
                counters = d.wait_open(0)
                self.assertEqual(counters["refused_resources"], 9)
                self.assertEqual(counters["accepted"], 51)


class Starting(harness.Test):
    @harness.needs_strace
    def test_without_threads(self):
        """whichever thread cannot be created, it ends before it is ready, and says why [F39]"""
        for n in (1, 2, 3):
            with self.subTest(n), Injected("-o", "workers=2", inject=[f"clone3:error=EAGAIN:when={n}"],
                                           wait=False, status=71, expect=["cannot start"]) as d:
                d.wait_exit()
                self.assertIn("Resource temporarily unavailable", d.log())
                self.assertNotIn("ready:", d.log())

    @harness.needs_strace
    def test_file_cannot_be_read(self):
        """a file that cannot be read for want of something is no wrong file: it may be tried again [F55]"""
        for call, error in (("openat", "EMFILE"), ("openat", "ENOMEM"), ("read", "EIO")):
            with self.subTest(call, error=error), tempfile.NamedTemporaryFile("w") as f:
                command = [*harness.strace([f"{call}:error={error}"]), "-P", f.name,
                           harness.ECHOD, "-c", f.name, "-o", "listen=127.0.0.1:0"]
                p = subprocess.run(command, capture_output=True, text=True, timeout=harness.DEADLINE,
                                   env={**os.environ, **harness.NO_LEAKS})
                self.assertEqual(p.returncode, 71, p.stderr)
                self.assertIn(os.strerror(getattr(errno, error)), p.stderr)

    @harness.plain_only  # sanitizers want to know it, too
    @harness.needs_strace
    def test_limits_are_secret(self):
        """where the limit of descriptors can be neither read nor raised, it serves with what all have [F22]"""
        with Injected(inject=["prlimit64:error=EPERM"]) as d:
            self.assertLess(int(d.wait_log(r"at most (\d+) connections").group(1)), 1024)
            self.assertServes(d)

    @harness.needs_strace
    def test_no_process(self):
        """whatever happens, no process is forked: all that it creates are its threads [F10 F38]"""
        with tempfile.NamedTemporaryFile("r") as output:
            with Injected("-o", "workers=2", trace="fork,vfork,clone,clone3", conf="",
                          output=output.name) as d:
                with many(d.connect() for _ in range(20)) as clients:
                    for s in clients:
                        self.assertEchoes(s)
                    harness.reset(clients[0])
                    d.reload()
                    d.counters()
            created = [line for line in output if "clone" in line or "fork" in line]
        self.assertEqual(len([line for line in created if "CLONE_THREAD" in line]), 3, created)
        self.assertEqual([line for line in created if "CLONE_THREAD" not in line], [])


class Moments(harness.Test):
    """Each system call of a start is a moment at which something else can happen."""

    def calls(self, start):
        """What start(strace) calls until it is ready, in order: [(name, how often so far)]"""
        seen, calls = {}, []
        with tempfile.NamedTemporaryFile("r") as output:
            pid = start(harness.strace(trace="all", output=output.name))
            for line in output:
                match = re.match(r"(\d+) +(\w+)\(", line)
                if not match or int(match.group(1)) != pid:
                    continue
                name = match.group(2)
                seen[name] = seen.get(name, 0) + 1
                calls.append((name, seen[name]))
                if "ready: " in line:
                    return calls
                if "SIG_BLOCK, [" in line and "TERM" in line:
                    self.blocked = len(calls)
        raise AssertionError("it was never ready")

    def sample(self, calls):
        """Some of them; not the one that starts the program."""
        return [(i, *call) for i, call in enumerate(calls[:-1]) if i % EVERY == EVERY - 1 and call[0] != "execve"]

    def end(self, d, number):
        """Waits for its end by a signal at a call; if this start made that call less often, ends it when it is ready."""
        with d.changed:
            d.changed.wait_for(lambda: None in d.lines or "ready: " in d.log(), harness.DEADLINE)
        if d.process.poll() is None:
            d.signal(number)
        return d.wait_exit()

    @harness.needs_strace
    def test_stop(self):
        """SIGTERM at any system call of a start ends it gracefully, unless main has not begun yet [F36]"""
        def start(strace):
            with Echod(prefix=strace, env=harness.NO_LEAKS) as d:
                return d.pid

        moments = self.sample(self.calls(start))
        self.assertGreater(len(moments), 1)
        for i, name, n in moments:
            with Injected(inject=[f"{name}:signal=TERM:when={n}"], wait=False) as d:
                d.expected_status = self.end(d, signal.SIGTERM)
                self.assertIn(d.expected_status, (0,) if i >= self.blocked else (0, -signal.SIGTERM),
                              f"{name} {n}")

    @harness.needs_strace
    def test_crash(self):
        """SIGKILL at any system call of a start loses no listener: clients are served by the next process [F50]"""
        def start(strace):
            with manager.Manager() as m:
                self.crash(m)
                return m.start(prefix=strace, env=harness.NO_LEAKS).pid

        for _, name, n in self.sample(self.calls(start)):
            with manager.Manager() as m:
                first = self.crash(m)
                self.crash_early(m, harness.strace([f"{name}:signal=KILL:when={n}"]))
                with first.connect() as s:
                    m.start()
                    self.assertEchoes(s)

    def crash(self, m):
        """Starts a daemon, and kills it; returns it."""
        d = m.start()
        d.expected_status = -signal.SIGKILL
        d.stop(signal.SIGKILL)
        m.settle()
        return d

    def crash_early(self, m, strace):
        """Starts the next one, which does not come far."""
        d = Passed(passed=m.store, names=":".join(s.name for s in m.store), listen=m.listen,
                   prefix=strace, wait=False, status=-signal.SIGKILL,
                   env={"NOTIFY_SOCKET": m.path, "WATCHDOG_USEC": manager.WATCHDOG_USEC, **harness.NO_LEAKS})
        self.end(d, signal.SIGKILL)
        d.stop()
        m.settle()


if __name__ == "__main__":
    harness.main()

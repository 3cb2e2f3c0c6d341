# SPDX-License-Identifier: MIT
"""Each thread is confined: workers and acceptor to a list, main and rescue to what is harmless.

The calls are real, and made by the daemon's own threads, see backdoor.c.
"""

import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import re
import resource
import signal
import socket
import sys
import tempfile

import backdoor
import harness
from backdoor import Backdoor
from harness import Echod
from manager import Manager

THREADS = {"echod", "rescue", "acceptor", "worker/0", "worker/1"}
WATCHED = {"WATCHDOG_USEC": "3600000000"}
AT_FDCWD = backdoor.AT_FDCWD
RW, RX = mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ | mmap.PROT_EXEC
PRIVATE, SHARED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
WRITING = [os.O_WRONLY, os.O_RDWR, os.O_ACCMODE, os.O_CREAT, os.O_TRUNC, os.O_TMPFILE | os.O_RDWR]
TIOCSTI = 0x5412
F_SETOWN_EX = 15
CLONE_THREAD = 0x10000  # without what must go with it
# On 32 bits these names are of calls with other arguments, which glibc does not use.
MMAP, FCNTL = ("mmap", "fcntl") if sys.maxsize > 2 ** 32 else ("mmap2", "fcntl64")

# What ends the process in every thread, with arguments that the kernel would refuse or that do no harm.
NOBODY = [
    # programs, memory that can be executed, files
    ("execve", 0, 0, 0), ("execveat", -1, 0, 0, 0, 0), ("ioctl", 0, TIOCSTI, 0),
    (MMAP, 0, 4096, RX, PRIVATE, -1, 0), (MMAP, 0, 4096, RW | RX, SHARED, -1, 0),
    ("mprotect", 0, 0, RX), ("pkey_mprotect", 0, 0, RX, -1), ("personality", 0xffffffff),
    *(("openat", AT_FDCWD, 0, flags, 0) for flags in WRITING), ("open", 0, os.O_WRONLY, 0), ("creat", 0, 0),
    ("truncate", 0, 0),
    # other processes, and ways round a filter
    ("ptrace", 0, 0, 0, 0), ("process_vm_readv", 1, 0, 0, 0, 0, 0), ("process_vm_writev", 1, 0, 0, 0, 0, 0),
    ("pidfd_getfd", -1, 0, 0), ("perf_event_open", 0, 0, 0, 0, 0), ("userfaultfd", -1),
    ("io_uring_setup", 0, 0), ("bpf", -1, 0, 0), ("seccomp", 0, 0, 0), ("rt_sigaction", signal.SIGSYS, 0, 0, 8),
    # signals
    ("kill", 1, 0), ("tgkill", 1, 1, 0), ("tkill", 1, 0), ("pidfd_send_signal", -1, 0, 0, 0),
    ("rt_sigqueueinfo", 1, 0, 0), ("rt_tgsigqueueinfo", 1, 1, 0, 0),
    (FCNTL, -1, fcntl.F_SETOWN, 1), (FCNTL, -1, F_SETOWN_EX, 0),
    # the system, and the identity
    ("init_module", 0, 0, 0), ("finit_module", -1, 0, 0), ("kexec_load", 0, 0, 0, 0), ("reboot", 0, 0, 0, 0),
    ("mount", 0, 0, 0, 0, 0), ("umount2", 0, 0), ("pivot_root", 0, 0), ("chroot", 0), ("unshare", 0), ("setns", -1, 0),
    ("setuid", -1), ("setgid", -1), ("setresuid", -1, -1, -1), ("setgroups", -1, 0), ("capset", 0, 0),
    ("keyctl", -1, 0, 0, 0, 0),
]

# What ends the process in a worker and the acceptor, and fails in main and rescue, whose libraries may try it.
UNKNOWN = [
    ("clone3", 0, 0), ("clone", CLONE_THREAD, 0, 0, 0, 0), ("clone", signal.SIGCHLD, 0, 0, 0, 0), ("fork",), ("vfork",),
    (MMAP, 0, 4096, RX, mmap.MAP_PRIVATE, 0, 0), ("openat2", AT_FDCWD, 0, 0, 0),
    ("socket", socket.AF_NETLINK, socket.SOCK_RAW, 0), ("socket", socket.AF_PACKET, socket.SOCK_RAW, 0),
    ("prctl", 0, 0, 0, 0, 0), ("pidfd_open", 1, 0), ("unlinkat", -1, 0, 0), ("renameat2", -1, 0, -1, 0, 0),
    ("fchmodat", -1, 0, 0), ("shmget", 0, 0, 0), ("setrlimit", 0, 0), ("prlimit64", 0, 0, 1, 0),
    ("prlimit64", 1, 0, 0, 0), ("ioctl", 0, 0, 0), ("getpgid", 0), ("rt_sigaction", signal.SIGTERM, 0, 0, 8),
    ("arch_prctl", 0, 0), ("execve_of_the_future",),
]

# What main and rescue may, and what becomes of it.
CONTROL = [
    ("openat", (AT_FDCWD, 0, os.O_RDONLY, 0), -errno.EFAULT), ("socket", (socket.AF_INET, 0, 0), -errno.ESOCKTNOSUPPORT),
    ("socket", (socket.AF_UNIX, 0, 0), -errno.ESOCKTNOSUPPORT), ("connect", (-1, 0, 0), -errno.EBADF),
    ("bind", (-1, 0, 0), -errno.EBADF), ("listen", (-1, 0), -errno.EBADF), ("recvmsg", (-1, 0, 0), -errno.EBADF),
    ("getpeername", (-1, 0, 0), -errno.EBADF), ("getsockopt", (-1, 0, 0, 0, 0), -errno.EBADF),
    ("setsockopt", (-1, socket.IPPROTO_TCP, socket.TCP_NODELAY, 0, 0), -errno.EBADF),
    (FCNTL, (-1, fcntl.F_GETFD, 0), -errno.EBADF), ("memfd_create", (0, 0), -errno.EFAULT),
    ("prlimit64", (0, -1, 0, 0), -errno.EINVAL), ("mprotect", (0, 0, RW), 0),
    ("rt_sigaction", (signal.SIGABRT, 0, 0, 8), 0), (MMAP, (0, 4096, RW, PRIVATE, -1, 0), None),
]

# What a worker and the acceptor may not, beside that.
ONLY_CONTROL = [
    ("openat", AT_FDCWD, 0, os.O_RDONLY, 0), ("openat", AT_FDCWD, 0, os.O_PATH, 0),
    ("socket", socket.AF_INET, socket.SOCK_STREAM, 0), ("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0),
    ("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, 0), ("connect", -1, 0, 0), ("bind", -1, 0, 0),
    ("listen", -1, 0), ("setsockopt", -1, socket.IPPROTO_TCP, socket.TCP_NODELAY, 0, 0),
    ("recvmsg", -1, 0, 0), (FCNTL, -1, 0, 0), ("memfd_create", 0, 0), ("exit_group", 0), ("getuid",),
    ("mprotect", 0, 0, RW), ("writev", 1, 0, 0), ("readlinkat", -1, 0, 0, 0),
]

# What a worker and the acceptor may, and what becomes of it.
IO = [
    (MMAP, (0, 4096, RW, PRIVATE, -1, 0), None),
    ("madvise", (0, 0, 0), 0), ("read", (-1, 0, 0), -errno.EBADF), ("close", (-1,), -errno.EBADF),
    ("recvfrom", (-1, 0, 0, 0, 0, 0), -errno.EBADF), ("sendto", (-1, 0, 0, 0, 0, 0), -errno.EBADF),
    ("setsockopt", (-1, socket.SOL_SOCKET, socket.SO_LINGER, 0, 0), -errno.EBADF),
    ("restart_syscall", (), -errno.EINTR), ("accept4", (-1, 0, 0, 0), -errno.EBADF),
    ("epoll_ctl", (-1, 0, 0, 0), -errno.EFAULT), ("shutdown", (-1, 0), -errno.EBADF),
    ("splice", (-1, 0, -1, 0, 1, 0), -errno.EBADF),
]


def filters(daemon, field="Seccomp"):
    """What the kernel says of each thread: 2 is a filter, 0 none."""
    return {name: daemon.status(field, tid) for tid, name in daemon.threads().items()}


# What backdoor.c says when it made such a call, and could not.
SURPRISED = f"an unexpected call gave -{errno.ENOSYS}"


def surprise(thread, call, *arguments):
    """An environment in which a library makes a call in that thread, see backdoor.c."""
    return {"SURPRISE": " ".join(map(str, (thread, backdoor.numbers()[call], *arguments)))}


def without_seccomp():
    """Has the program that follows, and all after it, be denied the system call seccomp."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(0x7fff0000)))  # allow
    number = backdoor.numbers()["seccomp"]
    lib.seccomp_rule_add(context, ctypes.c_uint32(0x00050000 | errno.EPERM), number, ctypes.c_uint(0))
    lib.seccomp_load(context)


class Confined(harness.Test):
    def setUp(self):
        if backdoor.built_without():
            self.skipTest(backdoor.built_without())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # there would be many

    def test_every_thread(self):
        """every thread of a daemon has a filter, and cannot gain privileges"""
        with Echod("-o", "workers=2", env=WATCHED) as d:
            self.assertServes(d)
            confined = dict.fromkeys(THREADS, 2)
            harness.wait_until(lambda: filters(d) == confined, confined)
            self.assertEqual(set(filters(d, "NoNewPrivs").values()), {1})

    def test_off(self):
        """system_call_filter = false confines no thread, and calls are made"""
        with Backdoor("-o", "system_call_filter=false") as d:
            self.assertEqual(set(filters(d).values()), {0})
            self.assertEqual(d.tell("worker", "getuid"), os.getuid())
            fd = d.tell("worker", "socket", socket.AF_INET, socket.SOCK_STREAM, 0)
            self.assertGreater(fd, 2)
            self.assertEqual(d.tell("worker", "close", fd), 0)
            self.assertEqual(d.tell("worker", "execve", 0, 0, 0), -errno.EFAULT)

    def wait_confined(self, d):
        harness.wait_until(lambda: set(filters(d).values()) == {2}, "all to be confined")

    def check_ends(self, thread, calls):
        for call, *arguments in calls:
            if call not in backdoor.numbers():
                continue  # on this architecture
            name = "worker/0" if thread == "worker" else thread
            said = f"{name} violated its system call filter with {call} ({backdoor.numbers()[call]}): ending"
            with Backdoor(status=-signal.SIGSYS, expect=[re.escape(said)]) as d:
                self.wait_confined(d)
                self.assertIsNone(d.tell(thread, call, *arguments), f"{call} {arguments}")
                d.wait_log(re.escape(said))
                d.wait_exit()

    def check_lives(self, d, thread, calls):
        for call, arguments, result in calls:
            became = d.tell(thread, call, *arguments)
            self.assertIsNotNone(became, f"{call} {arguments}")
            self.assertEqual(became, became if result is None else result, f"{call} {arguments}")
        self.assertServes(d)

    def check_control(self, thread):
        """What ends it, what fails there, and what is made; all unknown calls of one daemon, which lives."""
        with Backdoor() as d:
            self.wait_confined(d)
            self.check_lives(d, thread, [(call, arguments, -errno.ENOSYS) for call, *arguments in UNKNOWN
                                         if call in backdoor.numbers()])
            self.check_lives(d, thread, [(4000, (), -errno.ENOSYS)])
            self.check_lives(d, thread, CONTROL)
        self.check_ends(thread, NOBODY)

    def test_worker(self):
        """a worker that makes a call beside its work ends the process, which names the call [P20]"""
        self.check_ends("worker", [*NOBODY, *UNKNOWN, *ONLY_CONTROL])

    def test_acceptor(self):
        """so does the acceptor, which has the same list [P20]"""
        self.check_ends("acceptor", [*NOBODY[::4], *UNKNOWN[::4], *ONLY_CONTROL[::4]])

    def test_main(self):
        """what an attacker needs ends the process in main, too; any other call fails with ENOSYS [P20]"""
        self.check_control("echod")

    def test_rescue(self):
        """so it is in the thread that waits for the watchdog [P20]"""
        self.check_control("rescue")

    def test_allowed(self):
        """calls on their list succeed in a worker and the acceptor"""
        with Backdoor() as d:
            self.check_lives(d, "worker", IO)
            self.check_lives(d, "acceptor", IO)

    def test_foreign(self):
        """a call of the 32-bit architecture ends the process, too"""
        if os.uname().machine != "x86_64":
            self.skipTest("there is no other kind of system call to try")
        said = r"worker/0 violated its system call filter with unknown \(20\)"
        with Backdoor(status=-signal.SIGSYS, expect=[said]) as d:
            self.assertIsNone(d.tell("worker", "foreign"))
            d.wait_log(said)
            d.wait_exit()

    def test_last_words(self):
        """a confined thread that aborts says why, and ends by SIGABRT"""
        faults = (("abort", "ready"), ("assert", "Assertion .* failed"),
                  ("smash", "stack smashing detected"), ("corrupt", "invalid|free"))
        for thread, (fault, words) in itertools.product(("worker", "echod", "rescue"), faults):
            d = Backdoor(expect=["."])
            try:
                self.assertIsNone(d.tell(thread, fault))
                self.assertEqual(d.wait_exit(), -signal.SIGABRT, fault)
                self.assertRegex(d.log(), words)
            finally:
                d.kill()

    def test_library(self):
        """a library that makes an unexpected call in main cannot end it: it serves, reloads and stops [F60]"""
        for call in (("getpgid", 0), ("prctl", 0, 0, 0, 0, 0), ("clone", CLONE_THREAD, 0, 0, 0, 0)):
            with Backdoor(env=surprise("echod", *call), conf="log_level = info\n") as d:
                self.wait_confined(d)
                for _ in range(2):
                    d.reload(what=SURPRISED)
                    d.counters()  # what followed it
                    self.assertServes(d)
                d.wait_log("reloaded", 2)
                before = d.log().count(SURPRISED)
                d.signal(signal.SIGTERM)
                self.assertEqual(d.wait_exit(), 0)
                self.assertGreater(d.log().count(SURPRISED), before)

    def test_library_at_the_end(self):
        """so it is at an abort, which is one still [F60]"""
        d = Backdoor(env=surprise("echod", "getpgid", 0), expect=["."])
        try:
            self.wait_confined(d)
            self.assertIsNone(d.tell("echod", "abort"))
            self.assertEqual(d.wait_exit(), -signal.SIGABRT)
            self.assertIn(SURPRISED, d.log())
        finally:
            d.kill()

    def test_library_in_worker(self):
        """the same call in a worker ends the process, with the record"""
        said = r"worker/0 violated its system call filter with getpgid \(\d+\): ending"
        with Backdoor(env=surprise("worker", "getpgid", 0), status=-signal.SIGSYS, expect=[said]) as d:
            self.assertServes(d)
            d.wait_log(said)
            d.wait_exit()

    def test_bus(self):
        """whatever the environment says of the bus, main stops gracefully, and starts no program [F60]"""
        with tempfile.TemporaryDirectory() as directory, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # and does not listen
            port, started = closed.getsockname()[1], os.path.join(directory, "started")
            for bus in (f"tcp:host=127.0.0.1,port={port}", f"tcp:host=localhost,port={port}",
                        f"tcp:host=no.such.host.invalid,port={port}",
                        f"unixexec:path=/usr/bin/touch,argv1={started}", "nonsense"):
                with Manager() as m:
                    self.assertServes(m.start(env={"DBUS_SYSTEM_BUS_ADDRESS": bus}))
            self.assertFalse(os.path.exists(started))

    def test_sent(self):
        """SIGSYS from another process ends it as ever, without a record"""
        with Echod(status=-signal.SIGSYS) as d:
            d.signal(signal.SIGSYS)
            d.wait_exit()
            self.assertNotIn("violated its system call filter", d.log())

    def test_impossible(self):
        """where a sandbox forbids filters it does not start, unless the configuration turns the filter off"""
        try:
            ctypes.CDLL("libseccomp.so.2")
            backdoor.numbers()
        except OSError:
            self.skipTest("no libseccomp.so.2")
        with Echod(wait=False, status=77, preexec_fn=without_seccomp,
                   expect=["no system call filter can be installed; system_call_filter = false turns it off",
                           "cannot start: Operation not permitted"]) as d:
            d.wait_log("cannot start")
        with Echod("-o", "system_call_filter=false", preexec_fn=without_seccomp) as d:
            self.assertServes(d)

    def test_paused(self):
        """a process that is stopped in a wait with a timeout, and goes on, is as before"""
        with Manager() as m:
            d = m.start()
            for _ in range(3):
                d.pause()
                d.resume()
                self.assertServes(d)
                d.counters()


class LeftOut(harness.Test):
    def test_said(self):
        """a build without the filter says so at the level debug, and works"""
        if not backdoor.built_without():
            self.skipTest("this build has the filter")
        with Echod("-o", "log_level=debug") as d:
            d.wait_log("no system call filter: this build has none")
            self.assertServes(d)


if __name__ == "__main__":
    harness.main()

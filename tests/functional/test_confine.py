"""Each thread is confined to its list of system calls, and any other call ends the process.

The calls are real, and made by the daemon's own threads, see backdoor.c.
"""

import ctypes
import errno
import mmap
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile

import backdoor
import harness
from backdoor import Backdoor
from harness import Echod

THREADS = {"echod", "rescue", "acceptor", "worker/0", "worker/1"}
WATCHED = {"WATCHDOG_USEC": "3600000000"}
RW, RX = mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ | mmap.PROT_EXEC
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
TIOCSTI = 0x5412
CLONE_THREAD = 0x10000

# What no thread may, each with arguments that the kernel would refuse or that do no harm.
NOBODY = [
    ("execve", 0, 0, 0), ("execveat", -1, 0, 0, 0, 0), ("clone3", 0, 0),
    ("clone", CLONE_THREAD, 0, 0, 0, 0), ("ptrace", 0, 0, 0, 0),
    ("kill", 1, 0), ("tgkill", 1, 1, 0), ("tkill", 1, 0), ("pidfd_open", 1, 0),
    ("process_vm_writev", 1, 0, 0, 0, 0, 0), ("prctl", 0, 0, 0, 0, 0), ("seccomp", 0, 0, 0),
    ("rt_sigaction", signal.SIGSYS, 0, 0, 8), ("setuid", 0), ("setns", -1, 0), ("unshare", 0),
    ("mmap", 0, 4096, RX, PRIVATE, -1, 0), ("mprotect", 0, 0, RX), ("pkey_mprotect", 0, 0, RX, -1),
    ("openat", backdoor.AT_FDCWD, 0, os.O_WRONLY, 0),
    ("openat", backdoor.AT_FDCWD, 0, os.O_CREAT, 0),
    ("unlinkat", -1, 0, 0), ("renameat2", -1, 0, -1, 0, 0), ("fchmodat", -1, 0, 0),
    ("socket", socket.AF_NETLINK, socket.SOCK_RAW, 0), ("socket", socket.AF_PACKET, socket.SOCK_RAW, 0),
    ("ioctl", 0, TIOCSTI, 0), ("io_uring_setup", 0, 0), ("bpf", -1, 0, 0), ("userfaultfd", -1),
    ("perf_event_open", 0, 0, 0, 0, 0), ("keyctl", -1, 0, 0, 0, 0), ("shmget", 0, 0, 0),
    ("setrlimit", 0, 0), ("prlimit64", 0, 0, 0, 0),
]

# What main may.
CLIENTS = [
    ("openat", backdoor.AT_FDCWD, 0, os.O_RDONLY, 0),
    ("socket", socket.AF_INET, socket.SOCK_STREAM, 0), ("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0),
    ("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, 0), ("connect", -1, 0, 0), ("bind", -1, 0, 0),
    ("listen", -1, 0), ("setsockopt", -1, socket.IPPROTO_TCP, socket.TCP_NODELAY, 0, 0),
    ("recvmsg", -1, 0, 0), ("fcntl", -1, 0, 0), ("memfd_create", 0, 0), ("exit_group", 0),
]

FORBIDDEN = {
    "worker": [*NOBODY, *CLIENTS, ("accept4", -1, 0, 0, 0), ("epoll_ctl", -1, 0, 0, 0),
               ("socket", socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)],
    "acceptor": [*NOBODY, *CLIENTS, ("recvfrom", -1, 0, 0, 0, 0, 0), ("splice", -1, 0, -1, 0, 0, 0)],
    "echod": [*NOBODY, ("recvfrom", -1, 0, 0, 0, 0, 0), ("accept4", -1, 0, 0, 0)],
    "rescue": [*NOBODY, ("recvfrom", -1, 0, 0, 0, 0, 0), ("accept4", -1, 0, 0, 0),
               ("openat", backdoor.AT_FDCWD, 0, os.O_RDONLY, 0),
               ("socket", socket.AF_INET, socket.SOCK_STREAM, 0), ("connect", -1, 0, 0)],
}

# What a worker may, and what becomes of it.
ALLOWED = [
    ("mmap", (0, 4096, RW, PRIVATE, -1, 0), None),
    ("madvise", (0, 0, 0), 0), ("read", (-1, 0, 0), -errno.EBADF), ("close", (-1,), -errno.EBADF),
    ("recvfrom", (-1, 0, 0, 0, 0, 0), -errno.EBADF), ("sendto", (-1, 0, 0, 0, 0, 0), -errno.EBADF),
    ("setsockopt", (-1, socket.SOL_SOCKET, socket.SO_LINGER, 0, 0), -errno.EBADF),
    ("restart_syscall", (), -errno.EINTR),
]


def filters(daemon, field="Seccomp"):
    """What the kernel says of each thread: 2 is a filter, 0 none."""
    return {name: daemon.status(field, tid) for tid, name in daemon.threads().items()}


@harness.needs("unshare", "ip")
def in_network(script, *command):
    """A command in a network of its own, which the script sets up."""
    return ["unshare", "-rn", "sh", "-ec", script + '\nexec "$@"', "-", *command]


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
        """system_call_filter = false confines nobody, and calls are made"""
        with Backdoor("-o", "system_call_filter=false") as d:
            self.assertEqual(set(filters(d).values()), {0})
            self.assertEqual(d.tell("worker", "getuid"), os.getuid())
            fd = d.tell("worker", "socket", socket.AF_INET, socket.SOCK_STREAM, 0)
            self.assertGreater(fd, 2)
            self.assertEqual(d.tell("worker", "close", fd), 0)
            self.assertEqual(d.tell("worker", "execve", 0, 0, 0), -errno.EFAULT)

    def check_forbidden(self, thread):
        for call, *arguments in FORBIDDEN[thread]:
            if call not in backdoor.numbers():
                continue  # on this architecture
            name = "worker/0" if thread == "worker" else thread
            said = f"{name} made the system call {call} ({backdoor.numbers()[call]}), which it may not: ending"
            with Backdoor(status=-signal.SIGSYS, expect=[re.escape(said)]) as d:
                harness.wait_until(lambda: set(filters(d).values()) == {2}, "all to be confined")
                self.assertIsNone(d.tell(thread, call, *arguments), arguments)
                d.wait_log(re.escape(said))
                d.wait_exit()

    def test_worker(self):
        """a worker that makes a call beside its work ends the process, which names the call"""
        self.check_forbidden("worker")

    def test_acceptor(self):
        """so does the acceptor"""
        self.check_forbidden("acceptor")

    def test_main(self):
        """so does the main thread"""
        self.check_forbidden("echod")

    def test_rescue(self):
        """so does the thread that waits for the watchdog"""
        self.check_forbidden("rescue")

    def test_allowed(self):
        """what is on a worker's list is done, and the process lives"""
        with Backdoor() as d:
            for call, arguments, result in ALLOWED:
                became = d.tell("worker", call, *arguments)
                self.assertIsNotNone(became, call)
                self.assertEqual(became, became if result is None else result, call)
            self.assertServes(d)

    def test_foreign(self):
        """a call of the 32-bit architecture ends the process, too"""
        if os.uname().machine != "x86_64":
            self.skipTest("there is no other kind of system call to try")
        said = r"worker/0 made the system call unknown \(20\)"
        with Backdoor(status=-signal.SIGSYS, expect=[said]) as d:
            self.assertIsNone(d.tell("worker", "foreign"))
            d.wait_log(said)
            d.wait_exit()

    def test_last_words(self):
        """a confined thread that aborts says why, and ends by SIGABRT"""
        for fault, words in (("abort", "ready"), ("assert", "Assertion .* failed"),
                             ("smash", "stack smashing detected"), ("corrupt", "invalid|free")):
            d = Backdoor(expect=["."])
            try:
                self.assertIsNone(d.tell("worker", fault))
                self.assertEqual(d.wait_exit(), -signal.SIGABRT, fault)
                self.assertRegex(d.log(), words)
            finally:
                d.kill()

    def test_sent(self):
        """SIGSYS from somebody else ends it as ever, without a record"""
        with Echod(status=-signal.SIGSYS) as d:
            d.signal(signal.SIGSYS)
            d.wait_exit()
            self.assertNotIn("made the system call", d.log())

    def test_impossible(self):
        """where a sandbox forbids filters it does not start, unless it is told to do without"""
        try:
            ctypes.CDLL("libseccomp.so.2")
        except OSError:
            self.skipTest("no libseccomp.so.2")
        backdoor.numbers()
        with Echod(wait=False, status=77, preexec_fn=without_seccomp,
                   expect=["no system call filter is possible; system_call_filter = false does without",
                           "cannot start: Operation not permitted"]) as d:
            d.wait_log("cannot start")
        with Echod("-o", "system_call_filter=false", preexec_fn=without_seccomp) as d:
            self.assertServes(d)

    def test_paused(self):
        """who is stopped in a wait with a timeout, and goes on, is as before"""
        with tempfile.TemporaryDirectory() as directory, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            path = os.path.join(directory, "notify")
            manager.bind(path)
            with Echod(env={"NOTIFY_SOCKET": path}, expect=["cannot ask the service manager"]) as d:
                for _ in range(3):
                    d.pause()
                    d.resume()
                    self.assertServes(d)
                    d.counters()

    def test_link_local(self):
        """clients with link-local addresses are served, refused and told by their interface"""
        script = ("ip link set lo up\nip link add echo0 type veth peer name echo1\nip link set echo1 up\n"
                  "ip addr add fe80::7/64 dev echo0 nodad\nip link set echo0 up")
        setup = in_network(script, "true")
        p = subprocess.run(setup, capture_output=True, text=True)
        if p.returncode != 0:
            self.skipTest(f"no network of its own with such an address: {p.stderr}")
        with Echod("-o", "max_connections=1", prefix=in_network(script), conf="log_level = debug\n",
                   listen="[fe80::7%echo0]:7007", expect=[harness.REFUSED]) as d:
            d.wait_log(r"listening on \[fe80::7%echo0\]:7007")
            talk = ("import socket\n"
                    "def one():\n"
                    "    s = socket.create_connection(('fe80::7%echo0', 7007), 60)\n"
                    "    s.sendall(b'x')\n"
                    "    return s, s.recv(1)\n"
                    "first, answer = one()\n"
                    "assert answer == b'x'\n"
                    "try:\n"
                    "    assert one()[1] != b'x'\n"
                    "except ConnectionError:\n"
                    "    pass\n")
            subprocess.run(["nsenter", "--preserve-credentials", "--user", "--net", "--target", str(d.pid),
                            "/usr/bin/python3", "-c", talk], check=True)
            d.wait_log(r"refused a connection from \[fe80::7%echo0\]:\d+")
            d.write_conf('log_level = info\nlisten = "[fe80::7%echo0]:7007"\n')
            d.signal(signal.SIGHUP)
            d.wait_log("reloaded")
            self.assertEqual(set(filters(d).values()), {2})


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

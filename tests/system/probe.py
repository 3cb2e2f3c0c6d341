# SPDX-License-Identifier: MIT
"""Tries what the units' directives forbid, and says what became of it.

    probe.py NAME...

Each name is one of ATTEMPTS; for each there is a line "NAME RESULT", where the result is "allowed",
an errno, or the signal that ended the attempt.  Attempts are harmless: where the arguments of a
system call cannot be, they are wrong in a way that the kernel notices after it has allowed the call.
"""

import ctypes
import errno
import mmap
import os
import platform
import signal
import socket
import sys

# What the test puts there to be found, or not.
PORT = 1007
KEY = 1007  # of a message queue; the next one is the probe's own

NET_BIND_SERVICE, LAST = 10, 40  # capabilities
PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS = 23, 39
IPC_CREAT = 0o1000
CLONE_NEWUTS = 0x04000000
ADDR_NO_RANDOMIZE = 0x0040000
PTRACE_TRACEME = 0

libc = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments, harmless=()):
    """Calls a function of the C library; errors that are harmless come after the permission."""
    if function(*arguments) == -1 and ctypes.get_errno() not in harmless:
        raise OSError(ctypes.get_errno(), "")


def ask(answer):
    """Of a question, where "no" is what a sandbox should answer."""
    if not answer:
        raise OSError(errno.EPERM, "")


def holds(capability):
    return libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1


def text(path):
    with open(path) as f:
        return f.read()


def create(path):
    return lambda: os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)


def see(path):
    return lambda: os.stat(path)


def connect_out():
    """Where packets are dropped on their way it is not told so."""
    socket.create_connection(("127.0.0.1", PORT), 1)


def send_out():
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT))


def make_cgroup():
    os.mkdir("/sys/fs/cgroup/probe")
    os.rmdir("/sys/fs/cgroup/probe")


def make_suid():
    os.fchmod(os.memfd_create("probe"), 0o4700)


def map_code(code):
    """Memory that is written, and executable after that, and its address."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    call(libc.mprotect, ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
    return memory, address


def call_foreign():
    """A system call of the 32-bit kind."""
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, "")
    _memory, address = map_code(b"\xb8\x14\0\0\0\xcd\x80\xc3")  # mov $20, %eax; int $0x80; ret: getpid
    ask(ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0)


ATTEMPTS = {
    "be_root": lambda: ask(os.getuid() == 0),
    "hold_bind": lambda: ask(holds(NET_BIND_SERVICE)),
    "hold_others": lambda: ask(any(holds(c) for c in range(LAST + 1) if c != NET_BIND_SERVICE)),
    "gain_privileges": lambda: ask(libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0),
    "see_users": lambda: ask(" 4294967295\n" in text("/proc/self/uid_map")),
    "see_mounts": lambda: ask(os.readlink("/proc/self/ns/mnt") == os.environ["MNT"]),
    "connect_out": connect_out,
    "send_out": send_out,
    "write_usr": create("/usr/written-by-probe"),
    "write_etc": create("/etc/written-by-probe"),
    "write_var": create("/var/written-by-probe"),
    "see_home": see("/root/for-probe"),
    "see_tmp": see("/tmp/for-probe"),
    "see_device": see("/dev/for-probe"),
    "see_queue": lambda: call(libc.msgget, KEY, 0),
    "see_left_queue": lambda: call(libc.msgget, KEY + 1, 0),
    "leave_queue": lambda: call(libc.msgget, KEY + 1, IPC_CREAT | 0o600),
    "tune_kernel": lambda: os.open("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY),
    "load_module": lambda: call(libc.delete_module, b"probe", 0, harmless=(errno.ENOENT, errno.ENOSYS)),
    "read_kernel_log": lambda: call(libc.klogctl, 10, None, 0),  # the size of its buffer
    "make_cgroup": make_cgroup,
    "set_clock": lambda: call(libc.adjtimex, ctypes.create_string_buffer(512)),  # without a change
    "set_hostname": lambda: call(libc.sethostname, None, ctypes.c_size_t(-1), harmless=(errno.EINVAL,)),
    "see_processes": see("/proc/1/stat"),
    "see_memory": see("/proc/meminfo"),
    "open_inet": lambda: socket.socket(socket.AF_INET6),
    "open_netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "make_namespace": lambda: call(libc.unshare, CLONE_NEWUTS),
    "be_realtime": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "make_suid": make_suid,
    "set_personality": lambda: call(libc.personality, ADDR_NO_RANDOMIZE),
    "write_code": lambda: map_code(b""),
    "call_foreign": call_foreign,
    "trace": lambda: call(libc.ptrace, PTRACE_TRACEME, 0, None, None),
    "change_user": lambda: os.setresuid(-1, -1, -1),
    "set_priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0)),
    "share_files": lambda: ask(os.umask(0) != 0o077),
}


def attempt(name):
    """Its errno, or 0."""
    try:
        ATTEMPTS[name]()
    except OSError as e:
        return e.errno or errno.ETIMEDOUT
    return 0


def main():
    for name in sys.argv[1:]:
        pid = os.fork()  # it may be killed, or change itself
        if pid == 0:
            os._exit(attempt(name))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        result = signal.Signals(-status).name if status < 0 else errno.errorcode.get(status, "allowed")
        print(name, result, flush=True)


main()

# SPDX-License-Identifier: MIT
"""What each system call of echod may answer.

The errors are those that its page in section 2 of the manual names, and for sockets those of
tcp(7) and ip(7), which accept(2) and send(2) refer to.  Left out is what would be a lie where
echod makes the call, for strace does not let the kernel do what the answer says:

- EAGAIN of what is edge-triggered promises an edge, which no one would send; the shim keeps that
  promise.  That of eventfd's write says that the reader is awake already.
- close(2) releases a descriptor also when it fails, but strace keeps it from being called; the
  shim calls it.
- The call of brk(2) knows no errors: it answers with the end of the heap, the old one if it did
  not move, and glibc believes it. So it fails only where the end is known, see MEMORY.
- FUTEX_WAKE and EPOLL_CTL_DEL do not fail; a thread that asks for its own name, mask or identity
  is always told.

What asserts guard, as EBADF of epoll_wait(2), says that the program itself is wrong.
"""

import os

CALLS = {
    "accept4": "EAGAIN ECONNABORTED EFAULT EHOSTDOWN EHOSTUNREACH EINTR EINVAL EMFILE ENETDOWN ENETUNREACH ENFILE "
               "ENOBUFS ENOMEM ENONET ENOPROTOOPT ENOSR EOPNOTSUPP EPERM EPROTO EPROTONOSUPPORT ESOCKTNOSUPPORT "
               "ETIMEDOUT",
    "bind": "EACCES EADDRINUSE EADDRNOTAVAIL EINVAL ENOMEM",
    "capget": "EFAULT EINVAL EPERM",
    "clone3": "EAGAIN ENOMEM EPERM",
    "connect": "EACCES EAGAIN ECONNREFUSED EINTR ENOENT ENOTSOCK EPERM ETIMEDOUT",
    "epoll_create1": "EMFILE ENFILE ENOMEM",
    "epoll_ctl": "EINVAL ENOMEM ENOSPC EPERM",
    "epoll_wait": "EINTR",
    "eventfd2": "EMFILE ENFILE ENODEV ENOMEM",
    "fallocate": "EINTR EIO ENODEV ENOSPC EOPNOTSUPP EPERM ESPIPE",
    "fcntl": "EACCES EAGAIN EBADF EBUSY EINTR EINVAL EMFILE ENOLCK EPERM",
    "getdents64": "EINVAL ENOENT",
    "getpeername": "EBADF EINVAL ENOBUFS ENOTCONN ENOTSOCK",
    "getrandom": "EAGAIN EINTR EINVAL ENOSYS",
    "getsockname": "EBADF EINVAL ENOBUFS ENOTSOCK",
    "getsockopt": "EBADF EINVAL ENOPROTOOPT ENOTSOCK",
    "ioctl": "EBADF EINVAL ENOTTY",
    "listen": "EADDRINUSE EBADF EINVAL EOPNOTSUPP",
    "lseek": "EBADF EINVAL ENXIO EOVERFLOW ESPIPE",
    "memfd_create": "EMFILE ENFILE ENOMEM EPERM",
    "mmap": "EACCES EAGAIN ENFILE ENODEV ENOMEM EPERM",
    "mprotect": "EACCES ENOMEM",
    "munmap": "EINVAL ENOMEM",
    "newfstatat": "EACCES EBADF ELOOP ENOENT ENOMEM EOVERFLOW",
    "openat": "EACCES EBUSY EINTR EISDIR ELOOP EMFILE ENFILE ENODEV ENOENT ENOMEM ENOTDIR ENXIO EOVERFLOW EPERM",
    "pipe2": "EINVAL EMFILE ENFILE",
    "poll": "EINTR ENOMEM",
    "ppoll": "EINTR ENOMEM",
    "prlimit64": "EINVAL EPERM",
    "read": "EINTR EIO EISDIR",
    "recvfrom": "ECONNREFUSED ECONNRESET EFAULT EHOSTUNREACH EINTR EINVAL ENETUNREACH ENOBUFS ENOMEM ENOTCONN ENOTSOCK "
                "EPIPE ETIMEDOUT",
    "recvmsg": "ECONNREFUSED EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK",
    "rt_sigtimedwait": "EINTR",
    "sched_getaffinity": "EINVAL EPERM ESRCH",
    "seccomp": "EACCES EINVAL ENOMEM EOPNOTSUPP ESRCH",
    "sendmsg": "EACCES EAGAIN ECONNREFUSED ECONNRESET EINTR EMSGSIZE ENOBUFS ENOENT ENOMEM ENOTCONN EPERM EPIPE "
               "ETOOMANYREFS",
    "sendto": "EACCES ECONNRESET EDESTADDRREQ EFAULT EHOSTUNREACH EINTR EINVAL EISCONN EMSGSIZE ENETUNREACH ENOBUFS "
              "ENOMEM ENOTCONN EOPNOTSUPP EPERM EPIPE ETIMEDOUT",
    "setsockopt": "EINVAL ENOBUFS ENOMEM ENOPROTOOPT",
    "shutdown": "EINVAL ENOTCONN",
    "signalfd4": "EMFILE ENFILE ENODEV ENOMEM",
    "socket": "EACCES EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT",
    "socketpair": "EAFNOSUPPORT EMFILE ENFILE EOPNOTSUPP EPROTONOSUPPORT",
    "splice": "EINVAL ENOMEM ESPIPE",
    "write": "EDQUOT EFBIG EINTR EIO ENOSPC EPERM EPIPE",
}

# Those that get no error, but are delayed and have signals sent to their caller.
WITHOUT_ERRORS = """
    access arch_prctl brk clock_nanosleep close execve exit exit_group fstat futex getegid geteuid getgid getpid gettid
    getuid madvise prctl rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_yield set_robust_list set_tid_address
    tgkill uname pread64 restart_syscall kill nanosleep dup3 dup2 fadvise64 gettimeofday clock_gettime
    geteuid32 getuid32 getgid32 getegid32 fstat64 stat64 statx fadvise64_64 clock_gettime64 futex_time64 set_thread_area
    clock_nanosleep_time64 ugetrlimit
""".split()

# By which memory comes and goes; they fail together.
MEMORY = "brk,mmap,mprotect" if os.uname().machine == "x86_64" else "brk,mmap2,mprotect"

# An error of these may cost the connection on which it is made, and only that.
COSTLY = {"epoll_ctl", "malloc", "mmap", "mprotect", "read", "recvfrom", "sendto", "shutdown",
          "splice"}

# Of these an error may cost a line of the log.
LOGGING = {"sendto", "write"}

# What i386 calls them, where a file's size or a user's number had fewer bits once.
ALIASES = {
    "_llseek": "lseek", "fcntl64": "fcntl", "mmap2": "mmap", "recv": "recvfrom", "send": "sendto",
}
CALLS |= {alias: CALLS[name] for alias, name in ALIASES.items()}
COSTLY |= {alias for alias, name in ALIASES.items() if name in COSTLY}
LOGGING |= {alias for alias, name in ALIASES.items() if name in LOGGING}

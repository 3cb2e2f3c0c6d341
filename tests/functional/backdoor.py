# SPDX-License-Identifier: MIT
"""A daemon whose threads make the system calls that a client orders, see backdoor.c."""

import atexit
import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import harness

AT_FDCWD = -100  # as openat(2) names the current folder


def compiler():
    if path := shutil.which("cc") or shutil.which("gcc") or shutil.which("clang"):
        return path
    raise unittest.SkipTest("no C compiler")


@functools.cache
def library():
    """The path of the library, compiled; skips the test where that cannot be."""
    folder = tempfile.mkdtemp(prefix="echod-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = os.path.join(folder, "backdoor.so")
    subprocess.run([compiler(), "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", path,
                    os.path.join(harness.SRCDIR, "tests/functional/backdoor.c")], check=True)
    os.chmod(folder, 0o755)
    return path


@functools.cache
def numbers():
    """The numbers of this architecture's system calls, by name."""
    text = subprocess.run([compiler(), "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                          check=True, capture_output=True, text=True).stdout
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", text, re.M)}


def built_without():
    """Why no thread is confined by this build, or None."""
    config = harness.read(harness.BUILDDIR, "config.h")
    return None if "#define HAVE_SECCOMP 1" in config else "built without a filter of system calls"


def order(thread, call, *arguments):
    """The message that has a thread make a call, by name, or one of the faults in backdoor.c."""
    call = numbers().get(call, call)
    return " ".join(["!" + thread, str(call), *map(str, arguments)]).encode().ljust(64)


class Backdoor(harness.Echod):
    """A daemon with the backdoor, one worker and a watchdog, so that it has all kinds of threads."""

    def __init__(self, *args, env=None, **options):
        env = {"LD_PRELOAD": library(), "WATCHDOG_USEC": "3600000000", **(env or {})}
        super().__init__("-o", "workers=1", *args, env=env, **options)

    def tell(self, thread, call, *arguments):
        """Has a thread make a call.  Returns the result, or None if that ended the process."""
        try:
            answer = self.say(order(thread, call, *arguments))
            if thread != "worker":
                answer = self.wake(thread)
            return int(answer)
        except ConnectionError:
            return None

    def say(self, message):
        with self.connect() as s:
            s.sendall(message)
            answer = harness.read_exactly(s, len(message))
        if not answer:
            raise ConnectionError("the daemon has ended")
        return answer

    def wake(self, thread):
        """All but workers look for orders whenever they wake up, which the acceptor does anyway."""
        number = {"echod": signal.SIGUSR1, "rescue": signal.SIGABRT}.get(thread)
        if number:
            os.kill(self.pid, number)
        question = b"?".ljust(64)
        return harness.wait_until(lambda: self.say(question).strip(b"? "), f"{thread} to obey")

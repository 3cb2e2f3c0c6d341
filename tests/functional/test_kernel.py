# SPDX-License-Identifier: MIT
"""The oldest kernel: no program needs a system call that is younger than Linux 4.18."""

import signal
import subprocess

import harness
from client import ECHOC, Client, target_of
from harness import Echod, Injected, strace

# Those that came since, by https://man7.org/linux/man-pages/man2/syscalls.2.html; "?": strace may not know it.
YOUNGER = ["?" + name for name in """
    pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount
    fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr
    quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease
    futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue
    statmount listmount mseal""".split()]
REFUSED = ",".join(YOUNGER) + ":error=ENOSYS"


@harness.needs_strace
class OldKernel(Client):
    def test_daemon(self):
        """the daemon starts, echoes small and large, reloads and stops"""
        with Injected("-o", "workers=2", inject=[REFUSED]) as d:
            with d.connect() as c:
                self.assertEchoes(c, b"x")
                self.assertEchoes(c, bytes(1 << 20))
            d.signal(signal.SIGHUP)
            d.wait_log("reloaded")
            self.assertServes(d)

    def test_client(self):
        """echoc talks, pings and loads, and does not try again what the kernel has refused"""
        trace = self.temporary("")
        with Echod() as d:
            for args, text in ((["ping", "-c", "2", "-i", "0.01"], ""), (["load", "--messages", "100"], ""),
                               (["load", "--rate", "50", "--messages", "10"], ""), (["--verify"], "hello\n")):
                with self.subTest(args=args):
                    r = subprocess.run([*strace([REFUSED], output=trace), ECHOC, *args, target_of(d)], input=text,
                                       capture_output=True, text=True, timeout=harness.DEADLINE)
                    self.assertEqual(r.returncode, 0, r.stderr)
                    with open(trace) as f:
                        self.assertLessEqual(f.read().count("epoll_pwait2"), 1)


if __name__ == "__main__":
    harness.main()

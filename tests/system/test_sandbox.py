# SPDX-License-Identifier: MIT
"""That each directive which hardens a unit bites, tried from inside.

For each one there is something that it forbids.  A probe tries that three
times: without any directive, where it must be allowed, so the check can fail;
with this directive alone, where it must fail as the manual of systemd says;
and with all of the unit's.
"""

import os
import re

import machine
from machine import UNITS, Machine, harness

PROBE = "/usr/bin/python3", "-ISB", "/usr/local/bin/probe.py"
PORT, KEY = 1007, 1007  # those of probe.py

# What is no part of the sandbox.
LIFE = re.compile("Type|Notify|Exec|Restart|Timeout|Watchdog|FileDescriptorStore|LimitNOFILE|"
                  "AmbientCapabilities")

# What a directive forbids, and what one then gets: an error, or one of several. systemd 257 leaves
# MemoryDenyWriteExecute= to PR_SET_MDWE where the kernel has that, which says EACCES; its filter
# says EPERM.
BITES = {
    "DynamicUser": ("be_root", "EPERM"),
    "User": ("be_root", "EPERM"),
    "CapabilityBoundingSet": ("hold_others", "EPERM"),
    "NoNewPrivileges": ("gain_privileges", "EPERM"),
    "PrivateNetwork": ("connect_out", "ECONNREFUSED"),
    "IPAddressDeny": ("send_out", "EPERM"),
    "PrivateUsers": ("see_users", "EPERM"),
    "ProtectSystem": ("write_usr write_etc write_var", "EROFS"),
    "ProtectHome": ("see_home", "ENOENT"),
    "PrivateTmp": ("see_tmp", "ENOENT"),
    "PrivateDevices": ("see_device", "ENOENT"),
    "PrivateIPC": ("see_queue", "ENOENT"),
    "PrivateMounts": ("see_mounts", "EPERM"),
    "ProtectKernelTunables": ("tune_kernel", "EROFS"),
    "ProtectKernelModules": ("load_module", "EPERM"),
    "ProtectKernelLogs": ("read_kernel_log", "EPERM"),
    "ProtectControlGroups": ("make_cgroup", "EROFS"),
    "ProtectClock": ("set_clock", "EPERM"),
    "ProtectHostname": ("set_hostname", "EPERM"),
    "ProtectProc": ("see_processes", "ENOENT"),
    "ProcSubset": ("see_memory", "ENOENT"),
    "RestrictAddressFamilies": ("open_netlink", "EAFNOSUPPORT"),
    "RestrictNamespaces": ("make_namespace", "EPERM"),
    "RestrictRealtime": ("be_realtime", "EPERM"),
    "RestrictSUIDSGID": ("make_suid", "EPERM"),
    "RemoveIPC": ("see_left_queue", "ENOENT"),
    "LockPersonality": ("set_personality", "EPERM"),
    "MemoryDenyWriteExecute": ("write_code", "EPERM EACCES"),
    "SystemCallArchitectures": ("call_foreign", "SIGSYS"),
    "SystemCallFilter": ("trace change_user set_priority", "SIGSYS"),
    "SystemCallErrorNumber": ("trace change_user set_priority", "EPERM"),
    "UMask": ("share_files", "EPERM"),
}

# What the sealed service is denied beside that.
SEALED = {
    "CapabilityBoundingSet": ("hold_others hold_bind", "EPERM"),
    "RestrictAddressFamilies": ("open_netlink open_inet", "EAFNOSUPPORT"),
}

# What a directive works on: root is let into all of /proc, and its queues are not removed.
NEEDS = {
    "ProtectProc": ("User",),
    "RemoveIPC": ("User",),
    "SystemCallErrorNumber": ("SystemCallFilter",),
}

# On i386 there is no other kind of system call to try, socket(2) is one of the calls behind socketcall(2), and
# systemd 257 installs a filter for personality(2) there that forbids nothing.
AMD64_ONLY = ("SystemCallArchitectures", "RestrictAddressFamilies", "LockPersonality")


def sandbox(unit):
    """The directives of a unit that harden it: {name: [its lines]}."""
    section = re.search(r"^\[Service\]\n(.*?)(?=^\[)", unit, re.M | re.S).group(1)
    directives = {}
    for line in re.findall(r"^\w+=.*$", section, re.M):
        name = line.split("=")[0]
        if not LIFE.match(name):
            directives.setdefault(name, []).append(line)
    return directives


class Laboratory(Machine):
    """A machine with the probe, and with what it looks for."""

    def __init__(self):
        super().__init__()
        self.write(PROBE[-1], harness.read(os.path.dirname(__file__), "probe.py"))
        for path in ("/root/for-probe", "/tmp/for-probe"):
            self.write(path, "")
        self.do("mknod", "/dev/for-probe", "c", "1", "3")
        self.do("/usr/bin/python3", "-c", f"import ctypes; ctypes.CDLL(None).msgget({KEY}, 0o1666)")
        with self.network():
            self.listener = harness.socket.create_server(("127.0.0.1", PORT))
        self.mounts = self.do("readlink", "/proc/1/ns/mnt").strip()

    def close(self):
        if hasattr(self, "listener"):
            self.listener.close()
        super().close()

    def run_probe(self, lines, attempts):
        settings = [f"--property={line}" for line in (*lines, f"Environment=MNT={self.mounts}")]
        output = self.do("systemd-run", "--quiet", "--pipe", "--wait", "--collect", *settings,
                         *PROBE, *attempts)
        return dict(line.split() for line in output.splitlines())

    def probe(self, lines, attempts):
        """What becomes of attempts under these settings, {attempt: result}."""
        if "see_left_queue" not in attempts:
            return self.run_probe(lines, attempts)
        self.run_probe(lines, ["leave_queue"])
        left = self.run_probe([], ["see_left_queue"])
        self.run("ipcrm", "-Q", str(KEY + 1))
        return {**self.run_probe(lines, [a for a in attempts if a != "see_left_queue"]), **left}


class Sandbox(machine.Test):
    def check(self, name, bites):
        with Laboratory() as m:
            directives = sandbox(m.read(f"{UNITS}/{name}"))
            self.assertEqual(set(directives) - set(bites), set(), "without a check")
            lines = [line for some in directives.values() for line in some]
            all_attempts = " ".join(bites[d][0] for d in directives).split()
            free, whole = m.probe([], all_attempts), m.probe(lines, all_attempts)
            print(f"# {name}: attempt: none, alone, all of the unit's")
            for directive, own in directives.items():
                if directive in AMD64_ONLY and os.uname().machine != "x86_64":
                    continue
                needs = [line for need in NEEDS.get(directive, ()) for line in directives[need]]
                attempts = bites[directive][0].split()
                without = m.probe(needs, attempts) if needs else free
                alone = m.probe(needs + own, attempts)
                for a in attempts:
                    print(f"# {directive}: {a}: {without[a]}, {alone[a]}, {whole[a]}")
                    expected = "SIGSYS" if directive == "SystemCallErrorNumber" else "allowed"
                    self.assertEqual(without[a], expected, f"{a} without {directive}")
                    self.assertIn(alone[a], bites[directive][1].split(), f"{a} with {directive} alone")
                    self.assertNotEqual(whole[a], "allowed", f"{a} in {name}")

    def test_service(self):
        """each directive of echod.service forbids what it is there for"""
        self.check("echod.service", BITES)

    def test_sealed(self):
        """each directive of echod-sealed.service forbids what it is there for"""
        self.check("echod-sealed.service", {**BITES, **SEALED})


if __name__ == "__main__":
    machine.main()

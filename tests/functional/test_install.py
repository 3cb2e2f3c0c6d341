# SPDX-License-Identifier: MIT
"""What "make install" puts where, and how the program was linked."""

import os
import re
import subprocess
import tempfile

import harness


UNITS = ("echod.service", "echod.socket", "echod-sealed.service")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Install(harness.Test):
    def setUp(self):
        self.root = self.enterContext(tempfile.TemporaryDirectory())
        self.prefix = re.search(r"^prefix = /(.*)$", harness.read(harness.BUILDDIR, "Makefile"), re.M).group(1)
        self.sysconfdir = harness.run("--help")[1].split("instead of /")[1].split("/echod.conf")[0]
        self.make("install")

    def make(self, target):
        """Runs make in the build folder as a packager does, and not as part of a running make."""
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        subprocess.run(["make", "-s", "-C", harness.BUILDDIR, target, f"DESTDIR={self.root}",
                        "systemdsystemunitdir=/lib/systemd/system", "sysusersdir=/usr/lib/sysusers.d",
                        "systemdcatalogdir=/usr/lib/systemd/catalog"],
                       check=True, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def path(self, name):
        return os.path.join(self.root, name)

    def test_files(self):
        """all is in its place; an edited configuration survives an installation and a removal"""
        for name in (f"{self.prefix}/sbin/echod", f"{self.prefix}/share/man/man8/echod.8",
                     f"{self.prefix}/share/man/man5/echod.conf.5",
                     f"{self.prefix}/share/man/man7/echod.journal.7", f"{self.sysconfdir}/echod.conf",
                     *(f"{self.prefix}/share/{path}" for path in (
                         "bash-completion/completions/echoc", "zsh/site-functions/_echoc",
                         "fish/vendor_completions.d/echoc.fish", "man/man1/echoc.1")),
                     *(f"lib/systemd/system/{unit}" for unit in UNITS),
                     "usr/lib/sysusers.d/echod.conf", "usr/lib/systemd/catalog/echod.catalog"):
            self.assertTrue(os.path.isfile(self.path(name)), name)

        self.check_edited()

    def check_edited(self):
        """An edited configuration survives an installation and a removal; the sample does not."""
        conf = self.path(f"{self.sysconfdir}/echod.conf")
        self.make("uninstall")
        self.assertFalse(os.path.exists(conf))
        self.make("install")
        with open(conf, "a") as f:
            f.write("workers = 1\n")
        self.make("install")
        self.make("uninstall")
        self.assertTrue(harness.read(conf).endswith("\nworkers = 1\n"))
        left = [os.path.join(d, f) for d, _, files in os.walk(self.root) for f in files]
        self.assertEqual(left, [conf])

    @harness.needs("systemd-analyze")
    def test_units(self):
        """systemd finds nothing wrong in the units, and a service is exposed as echod(8) says"""
        units = [self.path(f"lib/systemd/system/{unit}") for unit in UNITS]
        said = re.findall(r"^Its exposure is ([\d.]+\d)", harness.read(harness.BUILDDIR, "man/echod.8"), re.M)
        self.assertEqual(said, ["1.4", "0.2"])
        for unit, number in zip((units[0], units[2]), said):
            shown = output("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
            exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", shown).group(1)
            self.assertLessEqual(float(exposure), float(number), shown)
        for unit in units:
            text = harness.read(unit)
            self.assertNotRegex(text, r"@\w+@")
            with open(unit, "w") as f:  # the program that they name must exist for the check
                f.write(text.replace(f"/{self.prefix}/sbin/echod", harness.ECHOD))
        p = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
        self.assertEqual([line for line in p.stderr.splitlines() if "echod" in line], [])

    def test_tried_again(self):
        """what fails for want of an address is tried for ever: the limit of starts is never reached"""
        text = harness.read(self.path("lib/systemd/system/echod.service"))
        unit = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
        starts, interval = int(unit["StartLimitBurst"]), int(unit["StartLimitIntervalSec"].removesuffix("s"))
        self.assertGreater(int(unit["RestartSec"].removesuffix("ms")) / 1000 * starts, interval)

    @harness.needs("systemd-sysusers", "journalctl")
    def test_systemd(self):
        """systemd understands the user's definition, and the catalog, which has each kind of record"""
        for folder in "etc", "var/lib/systemd/catalog":
            os.makedirs(self.path(folder), exist_ok=True)
        output("systemd-sysusers", f"--root={self.root}")
        self.assertRegex(harness.read(self.path("etc/passwd")), r"(?m)^echod:")
        output("journalctl", f"--root={self.root}", "--update-catalog")
        listed = output("journalctl", f"--root={self.root}", "--list-catalog")
        self.assertEqual({line.split()[0] for line in listed.splitlines()},
                         {kind.id for kind in harness.kinds().values()})


@harness.needs("readelf", "objdump")
class Hardening(harness.Test):
    def test_program(self):
        """position-independent, relocated at the start, no writable code, stack and calls protected"""
        shown = output("readelf", "-Whld", "--dyn-syms", harness.ECHOD)
        for pattern in (r"DYN \(Position-Independent", "GNU_RELRO", r"BIND_NOW|FLAGS.*\bNOW\b", "GNU_STACK",
                        "__stack_chk_fail", r"__\w+_chk\b"):
            self.assertRegex(shown, pattern)
        self.assertNotRegex(shown, r"(?m)^  \S+ .*\bRWE\b")
        if os.uname().machine == "x86_64":
            self.assertIn("endbr64", output("objdump", "-d", "--disassemble=main", harness.ECHOD))


if __name__ == "__main__":
    harness.main()

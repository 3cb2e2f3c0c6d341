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
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = directory.name
        self.make("install")

    def make(self, target):
        """Runs make in the build folder as a packager does, and not as part of a running make."""
        with open(os.path.join(harness.BUILDDIR, "Makefile")) as f:
            text = f.read()
        self.prefix = re.search(r"^prefix = /(.*)$", text, re.M).group(1)
        self.sysconfdir = harness.run("--help")[1].split("instead of /")[1].split("/echod.conf")[0]
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        subprocess.run(["make", "-s", "-C", harness.BUILDDIR, target, f"DESTDIR={self.root}",
                        "systemdsystemunitdir=/lib/systemd/system",
                        "sysusersdir=/usr/lib/sysusers.d",
                        "systemdcatalogdir=/usr/lib/systemd/catalog"],
                       check=True, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def path(self, name):
        return os.path.join(self.root, name)

    def test_files(self):
        """program, manual, sample, completions, units, user and catalog are in their places"""
        for name in (f"{self.prefix}/sbin/echod", f"{self.prefix}/share/man/man8/echod.8",
                     f"{self.prefix}/share/man/man5/echod.conf.5",
                     f"{self.prefix}/share/man/man7/echod.journal.7", f"{self.sysconfdir}/echod.conf",
                     *(f"{self.prefix}/share/{path}" for path in (
                         "bash-completion/completions/echoc", "zsh/site-functions/_echoc",
                         "fish/vendor_completions.d/echoc.fish", "man/man1/echoc.1")),
                     *(f"lib/systemd/system/{unit}" for unit in UNITS),
                     "usr/lib/sysusers.d/echod.conf", "usr/lib/systemd/catalog/echod.catalog"):
            self.assertTrue(os.path.isfile(self.path(name)), name)

    def test_edited_configuration(self):
        """an edited configuration survives an installation and a removal; the sample does not"""
        conf = self.path(f"{self.sysconfdir}/echod.conf")
        self.make("uninstall")
        self.assertFalse(os.path.exists(conf))
        self.make("install")
        with open(conf, "a") as f:
            f.write("workers = 1\n")
        self.make("install")
        self.make("uninstall")
        with open(conf) as f:
            self.assertTrue(f.read().endswith("\nworkers = 1\n"))
        left = [os.path.join(d, f) for d, _, files in os.walk(self.root) for f in files]
        self.assertEqual(left, [conf])

    @harness.needs("systemd-analyze")
    def test_units(self):
        """systemd finds nothing to say about the units"""
        units = [self.path(f"lib/systemd/system/{unit}") for unit in UNITS]
        for unit in units:
            with open(unit) as f:
                text = f.read()
            self.assertNotRegex(text, r"@\w+@")
            with open(unit, "w") as f:  # the program that they name must exist for the check
                f.write(text.replace(f"/{self.prefix}/sbin/echod", harness.ECHOD))
        p = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True,
                           text=True)
        self.assertEqual([l for l in p.stderr.splitlines() if "echod" in l], [])

    def test_tried_again(self):
        """what fails for want of an address is tried for ever: the limit of starts is never reached"""
        with open(self.path("lib/systemd/system/echod.service")) as f:
            unit = dict(line.split("=", 1) for line in f.read().splitlines() if "=" in line)
        starts, interval = int(unit["StartLimitBurst"]), int(unit["StartLimitIntervalSec"].removesuffix("s"))
        self.assertGreater(int(unit["RestartSec"].removesuffix("ms")) / 1000 * starts, interval)

    @harness.needs("systemd-analyze")
    def test_exposure(self):
        """a service is exposed as echod(8) says: 1.4 if it binds itself, 0.2 if it is sealed"""
        with open(os.path.join(harness.BUILDDIR, "man/echod.8")) as f:
            said = re.findall(r"^Its exposure is ([\d.]+\d)", f.read(), re.M)
        self.assertEqual(said, ["1.4", "0.2"])
        for unit, number in zip(("echod.service", "echod-sealed.service"), said):
            shown = output("systemd-analyze", "security", "--offline=true", "--no-pager",
                           self.path(f"lib/systemd/system/{unit}"))
            exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", shown).group(1)
            self.assertLessEqual(float(exposure), float(number), shown)

    @harness.needs("systemd-sysusers")
    def test_user(self):
        """systemd understands the user's definition"""
        os.makedirs(self.path("etc"), exist_ok=True)
        subprocess.run(["systemd-sysusers", f"--root={self.root}"], check=True, capture_output=True)
        with open(self.path("etc/passwd")) as f:
            self.assertRegex(f.read(), r"(?m)^echod:")

    @harness.needs("journalctl")
    def test_catalog(self):
        """journalctl takes the catalog, with an entry for each kind of record"""
        os.makedirs(self.path("var/lib/systemd/catalog"), exist_ok=True)
        subprocess.run(["journalctl", f"--root={self.root}", "--update-catalog"], check=True,
                       capture_output=True)
        listed = output("journalctl", f"--root={self.root}", "--list-catalog")
        self.assertEqual({line.split()[0] for line in listed.splitlines()},
                         {kind.id for kind in harness.kinds().values()})


@harness.needs("readelf")
class Hardening(harness.Test):
    def test_position_independent(self):
        """the program is position-independent"""
        self.assertIn("DYN (Position-Independent", output("readelf", "-Wh", harness.ECHOD))

    def test_relro(self):
        """relocations are read-only, and all done at the start"""
        self.assertIn("GNU_RELRO", output("readelf", "-Wl", harness.ECHOD))
        self.assertRegex(output("readelf", "-Wd", harness.ECHOD), r"BIND_NOW|FLAGS.*\bNOW\b")

    def test_no_executable_data(self):
        """no segment is both writable and executable, the stack included"""
        segments = output("readelf", "-Wl", harness.ECHOD)
        self.assertIn("GNU_STACK", segments)
        self.assertNotRegex(segments, r"(?m)^  \S+ .*\bRWE\b")

    def test_protected_functions(self):
        """stack protector and fortified functions are in use"""
        symbols = output("readelf", "-W", "--dyn-syms", harness.ECHOD)
        self.assertIn("__stack_chk_fail", symbols)
        self.assertRegex(symbols, r"__\w+_chk\b")

    def test_control_flow(self):
        """on x86 a function begins with the landing mark of indirect branches"""
        if os.uname().machine != "x86_64":
            self.skipTest("not an x86-64")
        self.assertIn("endbr64", output("objdump", "-d", "--disassemble=main", harness.ECHOD))


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""What ./dev and README.md promise for a fresh clone of the repository."""

import os
import re
import shutil
import subprocess
import tempfile

import harness


class Dev(harness.Test):
    def setUp(self):
        self.tree = self.enterContext(tempfile.TemporaryDirectory())
        shutil.copy(os.path.join(harness.SRCDIR, "dev"), self.tree)

    def dev(self, *args):
        """Runs ./dev in a tree that has nothing else; its status and its messages."""
        p = subprocess.run([os.path.join(self.tree, "dev"), *args], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=harness.DEADLINE)
        return p.returncode, p.stdout + p.stderr

    def test_configured_tree(self):
        """in a source folder that is configured itself it says what to do, before it does anything"""
        with open(os.path.join(self.tree, "config.status"), "w"):
            pass
        for command in ("run", "test"):
            status, message = self.dev(command)
            self.assertEqual(status, 1)
            self.assertIn("make distclean", message)

    def test_usage(self):
        """what it does not know it refuses, with its usage"""
        for args in (["tests"], ["test", "plane"], ["platforms", "woody"]):
            status, message = self.dev(*args)
            self.assertEqual(status, 64, args)
            self.assertIn("Usage: ./dev", message)

    def test_installation(self):
        """README's way to install leaves the source folder unconfigured, so that ./dev works before and after"""
        installation = harness.read(harness.SRCDIR, "README.md").split("## Installation as a service")[1]
        configured = re.search(r"cd (\S+)\n *(\S+/configure) ", installation)
        self.assertIsNotNone(configured)
        folder, configure = configured.groups()
        self.assertEqual(os.path.normpath(os.path.join(folder, configure)), "configure")
        self.assertEqual(os.path.dirname(folder), "build")


if __name__ == "__main__":
    harness.main()

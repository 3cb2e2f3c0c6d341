# SPDX-License-Identifier: MIT
"""How many workers there are by default: as many as CPUs that the daemon may keep busy."""

import os

import harness
from harness import Echod


class Cpus(harness.Test):
    CPUS = len(os.sched_getaffinity(0))

    def workers(self, daemon):
        return int(daemon.wait_log(r"ready: (\d+) workers").group(1))

    def assertWorkers(self, n, group, quotas):
        """So many workers are started in a control group, where these have quotas: {path: cpu.max}"""
        tree = {"cgroup.controllers": ""}
        for path, quota in quotas.items():
            folder = tree
            for name in filter(None, path.split("/")):
                folder = folder.setdefault(name, {})
            folder["cpu.max"] = quota
        with self.subTest(group, quotas=quotas):
            with harness.Disguise({"/proc/self/cgroup": group, "/sys/fs/cgroup": tree}) as prefix:
                with Echod(prefix=prefix) as d:
                    self.assertEqual(self.workers(d), min(n, self.CPUS))

    def test_quota(self):
        """a quota of CPU time, rounded up to whole CPUs, bounds the workers"""
        for quota, n in (("100000 100000\n", 1), ("100001 100000\n", 2), ("1000 100000\n", 1),
                         ("50000 25000\n", 2), ("75000 25000\n", 3), ("max 100000\n", self.CPUS)):
            self.assertWorkers(n, "0::/a\n", {"/a": quota})

    def test_parents(self):
        """the least quota on the way to the root counts, and a container may see only the root's"""
        for path in ("/", "/a", "/a/b"):
            self.assertWorkers(1, "0::/a/b\n", {"/": "max 100000\n", "/a": "max 100000\n",
                                                "/a/b": "max 100000\n", path: "10000 100000\n"})
        self.assertWorkers(1, "0::/\n", {"/": "100000 100000\n"})
        self.assertWorkers(1, "4:memory:/x\n1:cpu:/x\n0::/a\n", {"/a": "100000 100000\n"})

    def test_no_quota(self):
        """where no quota can be read, the affinity mask alone counts"""
        for group, quotas in (("", {"/": "1 1\n"}), ("1:cpu:/a\n", {"/a": "1 1\n"}), ("0::/a\n", {}),
                              ("0::/a\n", {"/b": "1 1\n"}), ("0::/a\n", {"/a": ""}),
                              ("0::/a\n", {"/a": "0 0\n"}), ("0::/a\n", {"/a": "1\n"}),
                              ("0::/../a\n", {}), ("0::/" + "a/" * 3000 + "\n", {})):
            self.assertWorkers(self.CPUS, group, quotas)

    def test_number(self):
        """workers = N starts N, whatever the quota"""
        with harness.Disguise({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup": {"cpu.max": "1 1\n"}}) as prefix:
            with Echod("-o", "workers=5", prefix=prefix) as d:
                self.assertEqual(self.workers(d), 5)


if __name__ == "__main__":
    harness.main()

"""Breaks the sources in one place after the other, and sees whether the tests notice.

Each mutation is made in a fresh copy of the sources and of what was compiled of them, so only one
file is compiled again.  First the tests that are named must pass as things are: what fails anyway
notices nothing.  Then each of them must fail where its mutation was made; a hang is a failure.
"""

import argparse
import concurrent.futures
import contextlib
import ctypes
import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing

import mutations

SRCDIR = os.path.abspath(os.environ.get("SRCDIR", os.path.join(mutations.TESTS, "..")))
BUILDDIR = os.path.abspath(os.environ.get("BUILDDIR", os.path.join(SRCDIR, "build/plain")))

LIMIT = {"unit": 20, "functional": 40, "system": 120}  # seconds for a test
DEADLINE = "15"  # for what a functional test waits for; see harness.py
PROGRAMS = ["src/echod", "src/echoc/echoc"]
QUICK = ["turn-ends-idle", "rest-forgotten", "source-lost", "burst-off-by-one", "none-is-at-once",
         "last-bytes-unread"]

# What "make check" has told its tests is of another build.
FOREIGN = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "ECHOD", "ECHOC", "SANITIZERS",
           "CRITERION_OUTPUTS"}

CAUGHT, SURVIVED, INVALID, SKIPPED = "caught", "SURVIVED", "DOES NOT APPLY", "skipped"


class Outcome(typing.NamedTuple):
    name: str
    kind: str
    seconds: float
    detail: str  # of what was caught: how; of what was not: why, or what got through


class Tree:
    """A copy of sources and build; a context that removes it."""

    def __init__(self, original, build):
        self.parent = tempfile.mkdtemp(prefix="mutate-")
        self.source = os.path.join(self.parent, "tree")
        self.build = os.path.join(self.source, build)
        self.original_build = os.path.join(original, build)
        shutil.copytree(original, self.source, symlinks=True, ignore=self.unneeded)

    def unneeded(self, directory, names):
        """Other builds and systems, and what tests leave."""
        ignored = set(fnmatch.filter(names, "*.log") + fnmatch.filter(names, "*.trs"))
        ignored |= {".git", "autom4te.cache", "__pycache__"} & set(names)
        builds = [n for n in names if os.path.exists(os.path.join(directory, n, "config.status"))]
        ignored |= {n for n in builds if os.path.join(directory, n) != self.original_build}
        return ignored | ({"peers", "platforms"} & set(names) if directory.endswith("/build") else set())

    def environment(self):
        own = {"SRCDIR": self.source, "BUILDDIR": self.build, "TMPDIR": self.parent,
               "DEADLINE": DEADLINE, "PYTHONDONTWRITEBYTECODE": "1"}
        return {k: v for k, v in os.environ.items() if k not in FOREIGN} | own

    def run(self, command, limit):
        """Status, or None if it took too long, and output; nothing it has started is left."""
        with subprocess.Popen(command, cwd=self.build, env=self.environment(), text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, start_new_session=True) as p:
            try:
                output, status = p.communicate(timeout=limit)[0], p.returncode
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                end_children()
                output, status = p.communicate()[0], None
        end_children()
        return status, output

    def make(self, *targets, limit=600):
        return self.run(["make", "-s", "CFLAGS=-g -O2 -w", *targets], limit)

    def test(self, test):
        """None if it passes, else why not; SKIPPED if it says so."""
        program, name = test.split(" ")
        folder = program.split("/")[0]
        if folder == "unit":
            command = [f"tests/{program}", "--filter", f"{program[5:]}/{name}", "-j1"]
        else:
            command = [sys.executable, os.path.join(self.source, "tests", program), name]
        status, output = self.run(command, LIMIT[folder])
        if status is None:
            return f"no end after {LIMIT[folder]} s"
        if status == 0:
            return SKIPPED if re.search(r"^ok .*# SKIP", output, re.M) else None
        return reason_of(output) or f"status {status}"

    def test_all(self):
        """Those of all unit and functional tests that fail."""
        _, output = self.make("-k", "check", f"abs_top_builddir={self.build}",
                              f"abs_top_srcdir={self.source}",
                              "TESTS=$(unit_tests) $(client_tests) $(functional_tests)", limit=1800)
        return sorted(set(re.findall(r"^(?:FAIL|ERROR): (\S+)", output, re.M)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.parent, ignore_errors=True)


def end_children():
    """Kills what is left of a test; orphans are ours, see become_parent()."""
    me = os.getpid()
    with contextlib.suppress(ChildProcessError):
        while True:
            with open(f"/proc/{me}/task/{me}/children") as f:
                for pid in map(int, f.read().split()):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def become_parent():
    """Has orphans of this process's children become its own."""
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reason_of(output):
    """The line of a failed test that says why."""
    lines = [l.strip(" #\t") for l in output.splitlines()]
    for pattern in (r"Sanitizer|: Assertion .* failed", r"\w*(Error|Exception|Expired): ",
                    r"(?i)assertion failed|crash!|unexpected signal|timed out|\.c:\d+: "):
        if found := [l for l in lines if re.search(pattern, l)]:
            return found[-1][:200]
    return ""


def targets_of(tests):
    return PROGRAMS + sorted({"tests/" + t.split(" ")[0] for t in tests if t.startswith("unit/")})


def check_baseline(original, build, tests):
    """The tests that do not pass as things are, and why; of skipped ones SKIPPED."""
    with Tree(original, build) as tree:
        status, output = tree.make(*targets_of(tests))
        if status != 0:
            return {t: "it does not compile: " + output[-300:] for t in tests}
        return {t: why for t in tests if (why := tree.test(t))}


def try_mutation(original, build, mutation, useless, everything):
    """Breaks one place, and looks who of those that are of use notices.  An Outcome."""
    began = time.monotonic()

    def outcome(kind, detail):
        return Outcome(mutation.name, kind, time.monotonic() - began, detail)

    tests = [t for t in mutation.tests if t not in useless]
    if failing := [t for t in mutation.tests if useless.get(t, SKIPPED) != SKIPPED]:
        return outcome(INVALID, f"{failing[0]} fails without it")
    if not tests:
        return outcome(SKIPPED, ", ".join(mutation.tests))
    with Tree(original, build) as tree:
        path = os.path.join(tree.source, mutation.file)
        try:
            with open(path) as f:
                text = mutation.apply(f.read())
        except (OSError, ValueError) as e:
            return outcome(INVALID, str(e))
        os.unlink(path)
        with open(path, "w") as f:
            f.write(text)
        status, output = tree.make(*targets_of(mutation.tests))
        if status != 0:
            errors = [l for l in output.splitlines() if "error: " in l]
            return outcome(INVALID, "it does not compile: " + (errors or [output[-300:]])[0])
        told = {t: tree.test(t) for t in tests}
        blind = [t for t, why in told.items() if why in (None, SKIPPED)]
        if not blind:
            return outcome(CAUGHT, "; ".join(f"{t}: {why}" for t, why in told.items()))
        detail = f"{', '.join(blind)}: {mutation.brings}"
        if everything:
            detail += "; noticed by " + (", ".join(tree.test_all()) or "no test at all")
        return outcome(SURVIVED, detail)


class Campaign:
    def __init__(self, options):
        self.options = options
        known = mutations.load(options.sets)
        names = options.names or (QUICK if options.quick else ["*"])
        self.chosen = [m for m in known.values() if any(
            fnmatch.fnmatch(m.name, n) or n == m.set for n in names)]
        missing = [n for n in names if not fnmatch.filter([*known, *(m.set for m in known.values())], n)]
        if missing:
            sys.exit(f"no mutation and no set of that name: {', '.join(missing)}")
        self.build = os.path.relpath(BUILDDIR, SRCDIR)
        if self.build.startswith(".."):
            sys.exit("the build folder must be inside the source folder")

    def baseline(self, pool, original):
        """The tests of no use here, and why: they are skipped, or fail without any mutation."""
        tests = sorted({t for m in self.chosen for t in m.tests})
        halves = [tests[i::self.options.jobs] for i in range(self.options.jobs)]
        trouble = {}
        for part in pool.map(check_baseline, *zip(*[(original, self.build, h) for h in halves])):
            trouble |= part
        for test, why in trouble.items():
            print(f"{'skipped' if why == SKIPPED else 'FAILS AS IT IS'}: {test}: {why}")
        print(f"{len(tests) - len(trouble)} of {len(tests)} tests pass as things are\n", flush=True)
        return trouble

    def run(self):
        began = time.monotonic()
        with Tree(SRCDIR, self.build) as master, concurrent.futures.ProcessPoolExecutor(
                self.options.jobs, initializer=become_parent) as pool:
            useless = self.baseline(pool, master.source)
            runs = [pool.submit(try_mutation, master.source, self.build, m, useless,
                                self.options.all) for m in self.chosen]
            outcomes = []
            for run in concurrent.futures.as_completed(runs):
                outcomes.append(run.result())
                self.tell(outcomes[-1])
        return self.conclude(outcomes, time.monotonic() - began)

    def tell(self, o):
        detail = "" if o.kind == CAUGHT and not self.options.verbose else o.detail
        print(f"{o.kind:14} {o.seconds:5.1f} s  {o.name:32} {detail}".rstrip(), flush=True)

    def conclude(self, outcomes, seconds):
        """The table by sets, and the score.  Returns the exit status."""
        kinds = (CAUGHT, SURVIVED, INVALID, SKIPPED)
        print(f"\n{'set':12}" + "".join(f"{k.lower():>16}" for k in kinds))
        of = {m.name: m.set for m in self.chosen}
        for room in sorted(set(of.values())):
            seen = [o.kind for o in outcomes if of[o.name] == room]
            print(f"{room:12}" + "".join(f"{seen.count(k):16}" for k in kinds))
        seen = [o.kind for o in outcomes]
        tried = len(seen) - seen.count(SKIPPED)
        score = 100 * seen.count(CAUGHT) / tried if tried else 0
        print(f"\nscore: {seen.count(CAUGHT)} of {tried} caught, {score:.1f} %, in {seconds:.0f} s")
        return 0 if tried and seen.count(CAUGHT) == tried else 1


def main():
    parser = argparse.ArgumentParser(prog="./dev mutate", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a mutation, a pattern or a set")
    parser.add_argument("--quick", action="store_true", help="only a few, one of each kind")
    parser.add_argument("--all", action="store_true",
                        help="see whether any test notices what those that are named do not")
    parser.add_argument("--verbose", action="store_true", help="show how each was noticed")
    parser.add_argument("--sets", default=mutations.HERE, metavar="FOLDER",
                        help="where the mutations are; " + os.path.relpath(mutations.HERE))
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="at once; 2")
    sys.exit(Campaign(parser.parse_args()).run())


if __name__ == "__main__":
    main()

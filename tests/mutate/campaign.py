# SPDX-License-Identifier: MIT
"""Breaks the sources in one place after the other, and sees whether the tests notice.

Each mutation is made in a copy of the sources and of what was compiled of them, so only one file is
compiled again.  First the tests must pass as things are: what fails anyway notices nothing.  Then a
mutation that a person chose must be noticed by the test that it names, one by rule (operators.py) by
any of the tests that belong to its file; a hang is a failure.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import ctypes
import fnmatch
import glob
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
import operators

SRCDIR = os.path.abspath(os.environ.get("SRCDIR", os.path.join(mutations.TESTS, "..")))
BUILDDIR = os.path.abspath(os.environ.get("BUILDDIR", os.path.join(SRCDIR, "build/plain")))

JOBS = 2
LIMIT = 20  # seconds for a test, and five times what it takes as things are
DEADLINE = "15"  # for what a functional test waits for; see harness.py
PROGRAMS = ["src/echod", "src/echoc/echoc"]

# What "make check" has told its tests is of another build.
FOREIGN = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "ECHOD", "ECHOC", "SANITIZERS",
           "CRITERION_OUTPUTS"}

CAUGHT, SURVIVED, INVALID, SKIPPED = "caught", "SURVIVED", "DOES NOT APPLY", "skipped"
LEFT_OUT = "left out"  # by rule, and does not compile or means the same
KINDS = (CAUGHT, SURVIVED, INVALID, SKIPPED, LEFT_OUT)


class Outcome(typing.NamedTuple):
    mutation: typing.Any
    kind: str
    seconds: float
    detail: str  # of what was caught: how; of what was not: why, or what got through


class Tree:
    """A copy of sources and build, in a folder that its maker removes."""

    def __init__(self, original, build, parent):
        self.parent = tempfile.mkdtemp(dir=parent)
        self.source = os.path.join(self.parent, "tree")
        self.build = os.path.join(self.source, build)
        self.original_build = os.path.join(original, build)
        self.codes = {}
        os.chmod(self.parent, 0o755)  # some tests become another user
        shutil.copytree(original, self.source, symlinks=True, ignore=self.unneeded)

    def unneeded(self, directory, names):
        """Other builds and systems, and what tests leave."""
        ignored = set(fnmatch.filter(names, "*.log") + fnmatch.filter(names, "*.trs"))
        ignored |= {".git", "autom4te.cache", "__pycache__"} & set(names)
        ignored |= {n for n in names if os.path.exists(os.path.join(directory, n, "config.status"))
                    and os.path.join(directory, n) != self.original_build}
        return ignored | ({"peers", "platforms"} & set(names) if directory.endswith("/build") else set())

    def run(self, command, limit):
        """Status, or None if it took too long, and output; nothing it has started is left."""
        own = {"SRCDIR": self.source, "BUILDDIR": self.build, "TMPDIR": self.parent,
               "DEADLINE": DEADLINE, "PYTHONDONTWRITEBYTECODE": "1"}
        env = {k: v for k, v in os.environ.items() if k not in FOREIGN} | own
        with subprocess.Popen(command, cwd=self.build, env=env, text=True, errors="replace", start_new_session=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
            try:
                output, status = p.communicate(timeout=limit)[0], p.returncode
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                end_children()
                output, status = p.communicate()[0], None
        end_children()
        return status, output

    def make(self, *targets):
        status, output = self.run(["make", "-s", "CFLAGS=-O2 -w", *targets], 600)
        if status != 0:
            errors = [l for l in output.splitlines() if "error: " in l]
            raise ValueError("it does not compile: " + (errors or [output[-300:]])[0])

    def test(self, test, limit):
        """None if it passes, else why not; SKIPPED if it says so."""
        program, _, name = test.partition(" ")
        if program.endswith(".py"):
            self.make(*PROGRAMS)
            command = [sys.executable, os.path.join(self.source, "tests", program), *name.split()]
        else:
            self.make("tests/" + program)
            command = [f"tests/{program}"]
            command += ["--filter", f"{os.path.basename(program)}/{name}", "-j1"] if name else []
        status, output = self.run(command, limit)
        if status is None:
            return f"no end after {limit:.0f} s"
        if status == 0:
            told = re.findall(r"^ok .*", output, re.M)
            return SKIPPED if told and all("# SKIP" in line for line in told) else None
        return reason_of(output) or f"status {status}"

    @contextlib.contextmanager
    def changed(self, file, change):
        """Has a file be another one for a while."""
        path = os.path.join(self.source, file)

        def write(text):
            os.unlink(path)  # it may be read-only
            with open(path, "w") as f:
                f.write(text)

        with open(path) as f:
            original = f.read()
        try:
            write(change(original))
            yield
        finally:
            write(original)

    def compile(self, file):
        """What a source file is compiled to, without what is for debuggers; ValueError if it is not."""
        objects = re.sub(r"\.c$", ".o", file)
        self.make(objects)
        with open(os.path.join(self.build, objects), "rb") as f:
            return f.read()

    def original_code(self, file):
        if file not in self.codes:
            os.utime(os.path.join(self.source, file))
            self.codes[file] = self.compile(file)
        return self.codes[file]


def end_children():
    """Kills what is left of a test; orphans are ours, see begin()."""
    me = os.getpid()
    with contextlib.suppress(ChildProcessError):
        while True:
            with open(f"/proc/{me}/task/{me}/children") as f:
                for pid in map(int, f.read().split()):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def reason_of(output):
    """The line of a failed test that says why."""
    lines = [l.strip(" #\t") for l in output.splitlines()]
    for pattern in (r"Sanitizer|: Assertion .* failed", r"\w*(Error|Exception|Expired): ",
                    r"(?i)assertion failed|crash!|unexpected signal|timed out|\.c:\d+: "):
        if found := [l for l in lines if re.search(pattern, l)]:
            return found[-1][:200]
    return ""


# What runs in the pool; each of its processes has a tree, which is put back after each mutation.

def begin(*args):
    global tree
    PR_SET_CHILD_SUBREAPER = 36  # orphans of children become its own
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    tree = Tree(*args)


def check_baseline(tests):
    """For each test why it does not pass as things are, or None, and the seconds that it takes."""
    told = {}
    for test in tests:
        began = time.monotonic()
        told[test] = tree.test(test, 30 * LIMIT), time.monotonic() - began
    return told


def try_mutation(mutation, tests):
    """Breaks one place, and looks whether one of the tests, with their limits, notices.  An Outcome."""
    began = time.monotonic()
    kind, detail = SURVIVED, mutation.brings
    try:
        before = tree.original_code(mutation.file) if mutation.file.endswith(".c") else None
        with tree.changed(mutation.file, mutation.apply):
            if before and tree.compile(mutation.file) == before:
                raise ValueError("it is compiled to the same code")
            for test, limit in tests.items():
                if (why := tree.test(test, limit)) not in (None, SKIPPED):
                    kind, detail = CAUGHT, f"{test}: {why}"
                    break
    except (OSError, ValueError) as e:
        kind, detail = LEFT_OUT if is_by_rule(mutation) else INVALID, str(e)
    return Outcome(mutation, kind, time.monotonic() - began, detail)


def is_by_rule(mutation):
    return isinstance(mutation, operators.Mutation)


def exists(test):
    """True if there is a test of that name, and it is built."""
    return mutations.exists(test) and (".py" in test or os.path.exists(f"{BUILDDIR}/tests/{test}"))


def by_rule(name, options):
    """The mutations by rule of a file or folder, or a sample of them."""
    found = []
    for path in sorted(glob.glob(os.path.join(SRCDIR, "src/**/*.c"), recursive=True)):
        file = os.path.relpath(path, SRCDIR)
        if file == name or file.startswith(name.rstrip("/") + "/"):
            with open(path) as f:
                found += operators.mutations(file, f.read())
    if options.sample is not None:
        found = sorted(found, key=lambda m: m.rank(options.seed))[:options.sample]
    return found


class Campaign:
    def __init__(self, options):
        self.options, self.outcomes = options, []
        known = mutations.load(options.chosen)
        self.mutations = []
        for name in options.names or ["*", "src"]:
            found = [known[n] for n in fnmatch.filter(known, name)] + by_rule(name, options)
            if not found and options.names:
                sys.exit(f"no mutation, and nothing in src, of that name: {name}")
            self.mutations += found

    def tests_of(self, mutation):
        if not is_by_rule(mutation):
            return [mutation.test]
        found = operators.tests_of(mutation.file, exists)
        return [t for t in found if ".py" not in t] if self.options.units else found

    def baseline(self, pool):
        """For each test why it is of no use here, or None, and the seconds that it takes."""
        tests = sorted({t for m in self.mutations for t in self.tests_of(m)})
        told = {}
        for part in pool.map(check_baseline, [tests[i::JOBS] for i in range(JOBS)]):
            told |= part
        trouble = {test: why for test, (why, _) in told.items() if why}
        for test, why in trouble.items():
            print(f"{'skipped' if why == SKIPPED else 'FAILS AS IT IS'}: {test}: {why}")
        print(f"{len(tests) - len(trouble)} of {len(tests)} tests pass as things are\n", flush=True)
        return told

    def submit(self, pool, mutation, told):
        """Futures of its outcome; none if that is known."""
        tests = self.tests_of(mutation)
        useful = {t: LIMIT + 5 * told[t][1] for t in tests if not told[t][0]}
        if useful:
            return [pool.submit(try_mutation, mutation, useful)]
        skipped = all(told[t][0] == SKIPPED for t in tests)
        self.tell(Outcome(mutation, SKIPPED if skipped else INVALID, 0,
                          f"{', '.join(tests)}: " + ("skipped" if skipped else "fails without it")))
        return []

    def run(self):
        began = time.monotonic()
        build = os.path.relpath(BUILDDIR, SRCDIR)
        if build.startswith(".."):
            sys.exit("the build folder must be inside the source folder")
        with tempfile.TemporaryDirectory(prefix="mutate-") as parent:
            os.chmod(parent, 0o755)
            original = Tree(SRCDIR, build, parent).source  # edits here do not reach it any more
            with concurrent.futures.ProcessPoolExecutor(
                    JOBS, initializer=begin, initargs=(original, build, parent)) as pool:
                told = self.baseline(pool)
                runs = [run for m in sorted(self.mutations, key=lambda m: m.file) for run in self.submit(pool, m, told)]
                for run in concurrent.futures.as_completed(runs):
                    self.tell(run.result())
        return self.conclude(time.monotonic() - began)

    def tell(self, o):
        self.outcomes.append(o)
        detail = "" if o.kind == CAUGHT and not self.options.verbose else o.detail
        print(f"{o.kind:14} {o.seconds:5.1f} s  {o.mutation.name:32} {detail}".rstrip(), flush=True)

    def conclude(self, seconds):
        """The survivors, a table by folders, and the score.  Returns the exit status."""
        print("\nsurvivors:", *(f"  {o.mutation.name}: {o.detail}" for o in self.outcomes if o.kind == SURVIVED), sep="\n")
        rows = collections.defaultdict(list)
        for o in self.outcomes:
            rows[os.path.dirname(o.mutation.file) if is_by_rule(o.mutation) else "chosen"].append(o.kind)
        print(f"\n{'by rule in':16}" + "".join(f"{k.lower():>16}" for k in KINDS))
        for name, seen in sorted(rows.items()):
            print(f"{name:16}" + "".join(f"{seen.count(k):16}" for k in KINDS))
        seen = [o.kind for o in self.outcomes if o.kind not in (SKIPPED, LEFT_OUT)]
        score = 100 * seen.count(CAUGHT) / len(seen) if seen else 0
        print(f"\nscore: {seen.count(CAUGHT)} of {len(seen)} caught, {score:.1f} %, in {seconds:.0f} s")
        return 0 if seen and seen.count(CAUGHT) == len(seen) else 1


def main():
    parser = argparse.ArgumentParser(prog="./dev mutate", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="a mutation that a person chose, a pattern, or a file or folder of src")
    parser.add_argument("--sample", type=int, metavar="N", help="by rule only N, of each folder named")
    parser.add_argument("--seed", default="1", metavar="S", help="other ones; 1")
    parser.add_argument("--units", action="store_true", help="try no functional tests on those by rule")
    parser.add_argument("--verbose", action="store_true", help="show how each was noticed")
    parser.add_argument("--chosen", default=mutations.CHOSEN, metavar="FILE",
                        help="those that a person chose; " + os.path.relpath(mutations.CHOSEN))
    sys.exit(Campaign(parser.parse_args()).run())


if __name__ == "__main__":
    main()

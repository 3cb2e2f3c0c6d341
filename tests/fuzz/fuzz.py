# SPDX-License-Identifier: MIT
"""Runs the harnesses with libFuzzer, two processes at a time: "./dev fuzz [TARGET] [RUNS]".

What is found is kept in build/fuzz/findings, what it grew from in build/fuzz/corpus, which the next
campaign goes on with.  --keep puts as much of that into the tree as adds something.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
import typing

SRCDIR = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BUILDDIR = os.environ.get("BUILDDIR", os.path.join(SRCDIR, "build/fuzz"))
PROCESSES = 2
EVERY = 10  # seconds between two lines of progress
ASAN = "quarantine_size_mb=16"  # an input is short-lived, and memory that was just used is fast

# What libFuzzer tells while it runs, and at the end.
PULSE = r"^#(\d+)\s"
EDGES = r"\scov: (\d+) "
RUNS = r"^stat::number_of_executed_units:\s*(\d+)"
NEW = r"^stat::new_units_added:\s*(\d+)"
FOUND = re.compile("[0-9a-f]{40}$")  # the name that libFuzzer gives

# What means something, beside the options that the sources name.
WORDS = {
    "args": r"""127.0.0.1 [::1] [fe80::1%lo] [::ffff:1.2.3.4] :65535 :65536 :7 :echo \x0a talk ping load -c -o -t -p
        -V -h -4 -6 -i -s -w -q -- 1e6 1e-3 nan inf 0x1p9 18446744073709551615 18446744073709551616 -1 64-1024 true
        info compare plot p99=5ms 50,99.9 500ms 1h30m""",
    "conf": r"""listen include ; : [ == \x20=\x20 += { } ( ) ,\x20 \" ' \\ \\x00 \\0 \\n ${SEVEN} ${SEVEN:-8} ${ /* */ //
        # \x0a \xff ~ ~root true off yes debug error 0 -1 256 10m 1h30m 1w2d 64K 1g 1T 65535 16777216 1099511627776
        9223372036854775808 127.0.0.1:7 [::1]:7 [fe80::1%lo]:7""",
}
OPTIONS = {"args": (r"(?:--|OPTION\([^\"]*\")([a-z0-9-]+)", "--"), "conf": (r"SCALAR\((\w+)", "")}


class Target(typing.NamedTuple):
    """How a harness is run."""
    runs: int  # of ten million in all
    max_size: int  # bytes of an input


TARGETS = {
    "args": Target(2_000_000, 512),
    "conf": Target(1_000_000, 2048),
    "connection": Target(3_000_000, 512),
    "handover": Target(1_000_000, 1024),
    "worker": Target(3_000_000, 512),
}


def folder(*names):
    path = os.path.join(BUILDDIR, *names)
    os.makedirs(path, exist_ok=True)
    return path


def inputs(target):
    """Where the tree has inputs for it, of which the first is its corpus."""
    folders = [os.path.join(SRCDIR, "tests/fuzz", kind, target) for kind in ("corpus", "regressions")]
    return [f for f in folders if os.path.isdir(f)]


def dictionary(target):
    words, (pattern, prefix) = WORDS[target].split(), OPTIONS[target]
    for source in ("conf/option.c", "supervisor/cmdline.c", "echoc/options.def"):
        with open(os.path.join(SRCDIR, "src", source)) as f:
            words += [prefix + name for name in re.findall(pattern, f.read())]
    path = os.path.join(folder("logs"), f"{target}.dict")
    with open(path, "w") as f:
        f.write("".join(f'"{word}"\n' for word in words))
    return path


def command(target, *options):
    return [os.path.join(BUILDDIR, "tests/fuzz", target), f"-max_len={TARGETS[target].max_size}", *options,
            *([f"-dict={dictionary(target)}"] if target in WORDS else [])]


class Process:
    """One libFuzzer, which works on the corpus that the others work on too."""

    def __init__(self, target, number, runs, seed):
        self.log = os.path.join(folder("logs"), f"{target}-{number}.log")
        corpus = folder("corpus", target)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command(target, f"-runs={runs}", f"-seed={seed + number}", "-reload=10", "-timeout=60",
                        "-print_final_stats=1", f"-artifact_prefix={folder('findings', target)}/")
                + [corpus, *inputs(target)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env={**os.environ, "ASAN_OPTIONS": ASAN})

    def last(self, pattern):
        """What it has told last of this kind."""
        with open(self.log, errors="replace") as log:
            return int((re.findall(pattern, log.read(), re.M) or [0])[-1])


def wait_all(target, processes, runs):
    """Waits for all, and says now and then how far they are; true if all ended well."""
    begin = shown = time.monotonic()
    while any(p.process.poll() is None for p in processes):
        time.sleep(0.2)
        if time.monotonic() - shown > EVERY:
            shown = time.monotonic()
            done = sum(p.last(PULSE) for p in processes)
            print(f"{target}: {done:,} of {runs:,} runs, {done / (shown - begin):,.0f}/s, "
                  f"{max(p.last(EDGES) for p in processes)} edges", flush=True)
    return all(p.process.returncode == 0 for p in processes)


def fuzz(target, runs, seed):
    """A campaign; prints its summary, and returns true if it has found nothing."""
    findings = folder("findings", target)
    before = set(os.listdir(findings))
    begin = time.monotonic()
    processes = [Process(target, i, runs // PROCESSES, seed) for i in range(PROCESSES)]
    try:
        good = wait_all(target, processes, runs)
    finally:
        for p in processes:
            with contextlib.suppress(ProcessLookupError):
                p.process.terminate()
    seconds = time.monotonic() - begin
    done = sum(p.last(RUNS) or p.last(PULSE) for p in processes)
    new = sorted(set(os.listdir(findings)) - before)
    print(f"{target}: {done:,} runs in {seconds:.0f} s, {done / seconds:,.0f}/s, "
          f"{max(p.last(EDGES) for p in processes)} edges, {sum(p.last(NEW) for p in processes)} new inputs, "
          f"{len(new)} findings", flush=True)
    for name in new:
        print(f"  {os.path.join(findings, name)}")
    if not good:
        print(f"  see {' '.join(p.log for p in processes)}")
    return good and not new


def keep(target):
    """Puts into the tree, beside the inputs that have a name, the fewest that reach every other edge."""
    corpus = inputs(target)[0]
    merged = folder("merged", target)
    shutil.rmtree(merged)
    shutil.copytree(corpus, merged, ignore=lambda _, names: filter(FOUND.match, names))
    subprocess.run(command(target, "-merge=1", "-use_counters=0", merged, corpus, folder("corpus", target)),
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(corpus, ignore_errors=True)
    shutil.copytree(merged, corpus)
    sizes = [os.path.getsize(os.path.join(corpus, name)) for name in os.listdir(corpus)]
    print(f"{target}: {len(sizes)} inputs, {sum(sizes):,} bytes in {corpus}")


def main():
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("runs", nargs="?", type=int, help="of each target")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="minimise the corpus into the tree afterwards")
    arguments = parser.parse_args()
    targets = list(TARGETS) if arguments.target == "all" else [arguments.target]
    print(f"seed {arguments.seed}, {PROCESSES} processes, AddressSanitizer and UndefinedBehaviorSanitizer",
          flush=True)
    good = True
    for target in targets:
        runs = TARGETS[target].runs if arguments.runs is None else arguments.runs
        good &= fuzz(target, runs, arguments.seed)
        if arguments.keep:
            keep(target)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

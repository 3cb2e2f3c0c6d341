# SPDX-License-Identifier: MIT
"""Runs static analysers over src: none of them may find anything.

What is silenced, and why, stands in cppcheck.txt and clang-tidy.yaml beside
this file.
"""

import concurrent.futures
import functools
import glob
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.dirname(os.path.dirname(HERE))
BUILDDIR = os.path.abspath(os.environ.get("BUILDDIR", os.path.join(SRCDIR, "build/plain")))
CPUS = len(os.sched_getaffinity(0))


def run(*command):
    """Runs it in the build folder, where its flags are meant; returns the status and what it said."""
    p = subprocess.run(command, cwd=BUILDDIR, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return p.returncode, p.stdout


@functools.cache
def flags():
    """Those of the preprocessor, as make has them, one on a line."""
    status, said = run("make", "-s", "flags")
    if status != 0:
        sys.exit(said)
    return said.splitlines()


def gcc(path):
    """Paths through a function and what it calls, as gcc sees them."""
    analyzer = [] if has_hash(path) else ["-fanalyzer"]
    return ["gcc", *flags(), "-std=gnu11", "-O1", *analyzer, "-Wall", "-Wextra",
            "-Werror", "-c", "-o", "/dev/null", path]


def cppcheck(path):
    """Values that cannot be meant."""
    return ["cppcheck", "--quiet", "--error-exitcode=1", "--std=c11", "--inline-suppr",
            "--enable=warning,style,performance,portability",
            f"--suppressions-list={HERE}/cppcheck.txt", *for_cppcheck(), path]


def for_cppcheck():
    """It takes one macro definition as the whole configuration, and has no use for system headers."""
    found = flags()
    return [f"--include={BUILDDIR}/config.h", f"-I{SRCDIR}/src", "-D__linux__", "-D__x86_64__",
            *(f for f in found if f.startswith("-DSYSCONFDIR"))]


def has_hash(path):
    """Clang believes that the last entry can leave a table of uthash's without being the last; gcc 12
    follows each path through its macros, and has not come to an end after 25 minutes."""
    return os.path.basename(path) == "limiter.c"


def clang(path):
    """The same as gcc's, as clang sees them."""
    less = ["-Xclang", "-analyzer-disable-checker", "-Xclang", "unix.Malloc"] if has_hash(path) else []
    return ["clang", "--analyze", "--analyzer-output", "text", "-Xclang", "-analyzer-werror",
            *less, "-o", "/dev/null", *flags(), "-std=gnu11", path]


def tidy(path):
    """Patterns that are seldom meant."""
    less = ["--checks=-clang-analyzer-unix.Malloc"] if has_hash(path) else []
    return ["clang-tidy", "--quiet", f"--config-file={HERE}/clang-tidy.yaml", *less, path, "--",
            *flags(), "-std=gnu11"]


TOOLS = {"gcc": gcc, "cppcheck": cppcheck, "clang": clang, "clang-tidy": tidy}


def analyse(name, paths):
    """Runs a tool over all files; True if it found nothing."""
    start = time.monotonic()
    commands = [TOOLS[name](path) for path in paths]
    with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
        results = list(pool.map(lambda command: run(*command), commands))
    for path, (status, said) in zip(paths, results):
        if status != 0:
            print(f"{name}: {os.path.relpath(path, SRCDIR)}:\n{said}")
    bad = sum(status != 0 for status, _ in results)
    print(f"{name}: {len(paths)} files, {bad} with findings, {time.monotonic() - start:.1f} s", flush=True)
    return bad == 0


def main():
    paths = sorted(glob.glob(f"{SRCDIR}/src/*.c") + glob.glob(f"{SRCDIR}/src/*/*.c"))
    names = sys.argv[1:] or list(TOOLS)
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    results = [analyse(name, paths) for name in names]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

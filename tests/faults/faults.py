# SPDX-License-Identifier: MIT
"""Makes faults in echod by the thousand, one at a time, and sees that it bears each: ./dev faults

Which calls it makes in each scene of its life is asked of strace first; each is then given every
error of calls.py, at its first, its second and some later occurrence.  To these come delays,
signals at each call and at any instant, allocations that fail one after the other, and receives
and sends that are short.
"""

import argparse
import collections
import multiprocessing
import os
import random
import re
import sys
import time
import traceback

os.environ.setdefault("DEADLINE", "30")
os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")  # not possible under strace
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from calls import CALLS, MEMORY, WITHOUT_ERRORS
from scenes import BEGIN, SCENES, Fault, harness

# In which variants each scene is played.
PLAYED = {
    "start": ["plain", "limits"],
    "serve": ["plain", "pending", "peeking", "limits"],
    "reload": ["plain", "limits"],
    "stop": ["plain", "pending", "peeking"],
    "killed": ["plain"],
    "handover": ["plain", "pending"],
    "takeover": ["plain", "pending"],
}

# So many faults one after the other in one daemon's life.
BATCH = 25

# Delays of one call in so many, in microseconds.
DELAYS = ("delay_enter=3000", "delay_exit=3000")


def play(scene, variant, fault, by_shim=False):
    """One fault in a daemon of its own, or none; returns the scene after it."""
    s = SCENES[scene](variant, by_shim)
    try:
        s.suffer(fault)
        s.end()
    finally:
        s.close()
    return s


def count_calls(lines, start):
    """How often the busiest thread made each call: (before main() began, since then)."""
    main = lines[0][0]
    before, since = collections.Counter(), collections.defaultdict(collections.Counter)
    began = not start
    for thread, text in lines:
        call = re.match(r"(\w+)\(", text)
        if not call:
            continue
        began = began or text.startswith(BEGIN)
        if not began:
            before[call[1]] += 1
        elif not start or thread == main:
            since[thread][call[1]] += 1
    most = collections.Counter()
    for calls in since.values():
        most |= calls
    return {call: (before[call], n) for call, n in most.items()}


def profile(place):
    """The calls and the allocations of a scene, as (calls, allocations)."""
    scene, variant = place
    lines = play(scene, variant, None).lines
    if harness.SANITIZERS:  # which have a malloc of their own
        return count_calls(lines, scene in ("start", "takeover")), 0
    idle = Fault(scene, variant, "malloc", "fail", "0")
    spent = play(scene, variant, idle, by_shim=True).control.spent
    return count_calls(lines, scene in ("start", "takeover")), spent


def occurrences(before, n, rnd):
    """The first, the second and a later one."""
    some = {1, 2, rnd.randint(3, n)} if n > 2 else {1, n}
    return [str(before + i) for i in sorted(some)]


def faults_of(place, calls, allocations, rnd):
    """All faults of a scene."""
    scene, variant = place
    for call, (before, n) in sorted(calls.items()):
        errors = CALLS[call].split() if call in CALLS else []
        if scene == "killed":
            errors = []
        for error in errors:
            for when in occurrences(before, n, rnd):
                yield Fault(scene, variant, call, f"error={error}", when)
        if scene == "killed" or scene in ("start", "stop"):
            for when in occurrences(before, n, rnd):
                yield Fault(scene, variant, call, "signal=KILL", when)
        if scene == "start":
            for when in occurrences(before, n, rnd):
                yield Fault(scene, variant, call, "signal=TERM", when)
        if scene != "killed" and call != "execve":
            for delay in DELAYS:
                yield Fault(scene, variant, call, delay, f"{before + 1}+{1 + n // 8}")
    if scene == "killed":
        return
    for n in range(1, min(allocations, 120) + 1):
        yield Fault(scene, variant, "malloc", "fail", str(n))
    for n in sorted({rnd.randint(1, allocations) for _ in range(60)} if allocations > 120 else ()):
        yield Fault(scene, variant, "malloc", "fail", str(n))
    if scene not in ("start", "takeover"):
        for n in range(1, 4):
            yield Fault(scene, variant, MEMORY, "error=ENOMEM", f"{n}+")
    for error in ("EINTR", "EIO"):
        yield Fault(scene, variant, "close", f"error={error}", "1+")
    if place == ("serve", "plain"):
        for what in ("shorten", "again"):
            for n in range(2, 8):
                yield Fault(scene, variant, "io", what, str(n))


def instants(rnd):
    for _ in range(60):
        for name in ("TERM", "KILL"):
            yield Fault("instant", "plain", "load", f"signal={name}", str(rnd.randint(1, 400)))


def plan(pool, rnd):
    """All faults; complains of calls that calls.py does not know."""
    places = [(scene, variant) for scene, variants in PLAYED.items() for variant in variants]
    faults, unknown = list(instants(rnd)), set()
    for place, (calls, allocations) in zip(places, pool.map(profile, places, chunksize=1)):
        unknown |= {call for call in calls if call not in CALLS and call not in WITHOUT_ERRORS}
        faults += faults_of(place, calls, allocations, rnd)
    if harness.SANITIZERS:  # the memory is theirs
        return [f for f in faults if not f.by_shim() and not re.search("brk|mmap|mprotect|munmap", f.call)]
    if unknown:
        sys.exit(f"faults: not in calls.py: {' '.join(sorted(unknown))}")
    return faults


def sample(faults, size, rnd):
    """So many of them, spread over all calls and scenes."""
    groups = collections.defaultdict(list)
    for f in faults:
        groups[f.call].append(f)
    for group in groups.values():
        rnd.shuffle(group)
    chosen = []
    while len(chosen) < size and any(groups.values()):
        for group in groups.values():
            if group and len(chosen) < size:
                chosen.append(group.pop())
    return chosen


def batches(faults, rnd):
    """Those that can be in one daemon's life, together."""
    lives = collections.defaultdict(list)
    for f in faults:
        lives[f.scene, f.variant, f.by_shim()].append(f)
    made = []
    for life in lives.values():
        rnd.shuffle(life)
        made += [life[i:i + BATCH] for i in range(0, len(life), BATCH)]
    rnd.shuffle(made)
    return made


# Scenes in which a daemon can have one fault after the other.
LASTING = ("serve", "reload")


def describe(scene):
    error = traceback.format_exc(limit=-3)
    return error + "\n".join(["log:", *scene.log().splitlines()[-15:]]) if scene else error


def run(batch):
    """Makes the faults of a batch; returns (fault, how often it was made, what is wrong) of each."""
    results, scene = [], None
    for f in batch:
        made, wrong = 0, None
        try:
            scene = scene or SCENES[f.scene](f.variant, f.by_shim())
            made = scene.suffer(f)
            if f.scene not in LASTING or f.may_take_pipe() or f is batch[-1]:
                scene.end()
                scene = None
        except Exception:
            wrong = describe(scene)
            if scene:
                scene.close()
            scene = None
        results.append((str(f), made, wrong))
    if scene:
        scene.close()
    return results


class Totals:
    """What was done, by calls and errors."""

    def __init__(self, faults):
        self.planned = faults
        self.done = self.made = 0
        self.rows = collections.defaultdict(collections.Counter)
        self.findings = []
        self.began = self.told = time.monotonic()

    def add(self, name, made, wrong):
        f = Fault.parse(name)
        row = self.rows[f.call]
        self.done += 1
        row["runs"] += 1
        row["made"] += made
        row["hit"] += made > 0
        row[f.what.partition("=")[2] if f.is_error() and "=" in f.what else f.what] += made
        self.made += made > 0
        if wrong:
            row["findings"] += 1
            self.findings.append(name)
            print(f"\nFINDING {name}\n{wrong}\nRepeat it with: ./dev faults --only '{name}'\n", flush=True)
        if time.monotonic() - self.told > 10:
            self.told = time.monotonic()
            print(f"{self.done} of {self.planned} runs, {self.made} with a fault, {len(self.findings)} findings, "
                  f"{self.told - self.began:.0f} s", flush=True)

    def print(self):
        print(f"\n{'call':18} {'runs':>6} {'faults':>6} {'survived':>8} {'findings':>8}  made of each kind")
        for call, row in sorted(self.rows.items()):
            kinds = ", ".join(f"{k} {n}" for k, n in sorted(row.items())
                              if k not in ("runs", "made", "hit", "findings") and n)
            print(f"{call:18} {row['runs']:6} {row['hit']:6} {max(row['hit'] - row['findings'], 0):8} "
                  f"{row['findings']:8}  {kinds}")
        seconds = time.monotonic() - self.began
        print(f"\n{self.done} runs, {self.made} faults, {sum(r['made'] for r in self.rows.values())} calls that "
              f"failed, {len(self.findings)} findings, {seconds:.0f} s, {seconds / max(self.done, 1):.2f} s a run")


def parse():
    p = argparse.ArgumentParser(prog="./dev faults", description=__doc__.partition("\n")[0])
    p.add_argument("--seed", type=int, default=random.randrange(1 << 20), help="of what is chosen at random")
    p.add_argument("--sample", type=int, metavar="N", help="only so many, spread over all calls")
    p.add_argument("--jobs", type=int, default=2, help="so many at a time (2)")
    p.add_argument("--scene", help="only those of that scene")
    p.add_argument("--only", nargs="+", metavar="FAULT", help="these, as a finding names them")
    return p.parse_args()


def main():
    args = parse()
    rnd = random.Random(args.seed)
    harness.raise_descriptor_limit()
    with multiprocessing.Pool(args.jobs) as pool:
        if args.only:
            todo = [[Fault.parse(name)] for name in args.only]
        else:
            print(f"seed {args.seed}", flush=True)
            faults = [f for f in plan(pool, rnd) if args.scene in (None, f.scene)]
            todo = batches(sample(faults, args.sample, rnd) if args.sample else faults, rnd)
        totals = Totals(sum(map(len, todo)))
        for results in pool.imap_unordered(run, todo):
            for result in results:
                totals.add(*result)
    totals.print()
    return 1 if totals.findings else 0


if __name__ == "__main__":
    sys.exit(main())

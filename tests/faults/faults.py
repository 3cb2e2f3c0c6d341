# SPDX-License-Identifier: MIT
"""Makes thousands of faults in echod, one at a time, and checks that it survives each: ./dev faults

Which calls it makes in each scene of its life is asked of strace first; each is then given every
error of calls.py, at its first, its second and some later occurrence.  To these come delays,
signals at each call, allocations that fail one after the other, and receives and sends that are
short.
"""

import argparse
import collections
import functools
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
from scenes import BEGIN, SCENES, STARTS, Fault, harness

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

# Signals at each call of a scene.
SIGNALS = {"start": ["signal=KILL", "signal=TERM"], "stop": ["signal=KILL"], "killed": ["signal=KILL"]}

# Delays of one call in so many, in microseconds.
DELAYS = ("delay_enter=3000", "delay_exit=3000")

# Scenes in which a daemon can have one fault after the other, and how many.
LASTING = ("serve", "reload")
BATCH = 25


def play(fault):
    """One fault in a daemon of its own; returns what made it."""
    s = SCENES[fault.scene](fault.variant, fault.by_shim())
    try:
        s.suffer(fault)
        s.end()
    finally:
        s.close()
    return s.maker


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
    calls = count_calls(play(Fault(*place)).lines, place[0] in STARTS)
    if harness.SANITIZERS:  # which have a malloc of their own
        return calls, 0
    return calls, play(Fault(*place, "malloc", "fail", "0")).spent


def occurrences(before, n, rnd):
    """The first, the second and a later one."""
    some = {1, 2, rnd.randint(3, n)} if n > 2 else {1, n}
    return [str(before + i) for i in sorted(some)]


def faults_of(place, calls, allocations, rnd):
    """All faults of a scene."""
    fault, scene = functools.partial(Fault, *place), place[0]
    for call, (before, n) in sorted(calls.items()):
        errors = CALLS.get(call, "").split() if scene != "killed" else []
        for what in [f"error={e}" for e in errors] + SIGNALS.get(scene, []):
            for when in occurrences(before, n, rnd):
                yield fault(call, what, when)
        if scene != "killed" and call != "execve":
            for delay in DELAYS:
                yield fault(call, delay, f"{before + 1}+{1 + n // 8}")
    if scene == "killed":
        return
    for n in {*range(1, min(allocations, 120) + 1),
              *(rnd.randint(1, allocations) for _ in range(60 if allocations > 120 else 0))}:
        yield fault("malloc", "fail", str(n))
    if scene not in STARTS:
        for n in range(1, 4):
            yield fault(MEMORY, "error=ENOMEM", f"{n}+")
    for error in ("EINTR", "EIO"):
        yield fault("close", f"error={error}", "1+")
    if place == ("serve", "plain"):
        for n in (7, 100, 1000, 5000, 20000, 100000):
            yield fault("io", "most", str(n))
        for n in range(2, 8):
            yield fault("io", "eagain", str(n))


def plan(pool, rnd):
    """All faults; complains of calls that calls.py does not know."""
    places = [(scene, variant) for scene, variants in PLAYED.items() for variant in variants]
    faults, unknown = [], set()
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


def describe(scene):
    error = traceback.format_exc(limit=-3)
    return error + "\n".join(["log:", *scene.log().splitlines()[-15:]]) if scene else error


def run(batch):
    """Makes the faults of a batch; returns (fault, how often it was made, what is wrong) of each."""
    results, scene = [], None
    for f in batch:
        made, wrong, going_on = 0, None, f.scene in LASTING and not f.may_take_pipe() and f is not batch[-1]
        try:
            scene = scene or SCENES[f.scene](f.variant, f.by_shim())
            scene.suffer(f)
            made = scene.made
            if not going_on:
                scene.end()
        except Exception:
            wrong, going_on = describe(scene), False
            if scene:
                scene.close()
        scene = scene if going_on else None
        results.append((f, made, wrong))
    return results


class Totals:
    """What was done, by calls and errors."""

    def __init__(self, faults):
        self.planned = faults
        self.done = self.made = 0
        self.rows = collections.defaultdict(collections.Counter)
        self.findings = []
        self.began = self.told = time.monotonic()

    def add(self, f, made, wrong):
        row = self.rows[f.call]
        self.done += 1
        row["runs"] += 1
        row["made"] += made
        row["hit"] += made > 0
        row[f.what.partition("=")[2] if f.is_error() and "=" in f.what else f.what] += made
        self.made += made > 0
        if wrong:
            row["findings"] += 1
            self.findings.append(f)
            print(f"\nFINDING {f}\n{wrong}\nRepeat it with: ./dev faults --only '{f}'\n", flush=True)
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
    p.add_argument("--scene", help="only those of that scene")
    p.add_argument("--only", nargs="+", metavar="FAULT", help="these, as a finding names them")
    return p.parse_args()


def main():
    args = parse()
    rnd = random.Random(args.seed)
    harness.raise_descriptor_limit()
    with multiprocessing.Pool(2) as pool:
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

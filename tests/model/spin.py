# SPDX-License-Identifier: MIT
"""Runs spin over handoff.pml: each life as it is, and each way to do it wrong.

A life is explored to the last state; a bug is found, and as what it is.
"""

import concurrent.futures
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import typing

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "handoff.pml")


class Life(typing.NamedTuple):
    """What is explored; formula is one of the model's, under weak fairness, or None for its assertions."""
    what: str
    switches: tuple
    formula: str = None


LIVES = [
    Life("connections come and go, then the end", ("CONNS=3", "MAX=1", "TIMEOUTS")),
    Life("the same, with a reload", ("CONNS=2", "RELOAD", "ADD_MAY_FAIL", "TIMEOUTS")),
    Life("the same, then a hand-over", ("CONNS=3", "HAND_OVER", "TIMEOUTS")),
    Life("a reload, then a hand-over", ("CONNS=2", "RELOAD", "HAND_OVER", "TIMEOUTS")),
    Life("the end, for which no timeout is needed", ("CONNS=2", "PATIENT")),
    Life("the end, though nobody answers", ("CONNS=3", "SILENT")),
    Life("ends that are not acknowledged at once", ("CONNS=2", "MAX=1", "UNREAD", "PATIENT")),
    Life("the end comes", ("CONNS=2", "TIMEOUTS"), "ends"),
    Life("the end comes, for which no timeout is needed", ("CONNS=1", "RELOAD", "PATIENT"), "ends"),
    Life("every byte is echoed", ("CONNS=1", "RELOAD", "PATIENT"), "echoes"),
]

LOST = "invalid end state"  # someone waits for ever


class Bug(typing.NamedTuple):
    """A way to do it wrong, the life in which it shows, and what spin says of it."""
    switch: str
    life: tuple
    seen: str


BUGS = [
    Bug("CLOSE_BEFORE_LET_GO", ("CONNS=2", "TIMEOUTS"), "owner==0"),
    Bug("NO_SPARE", ("CONNS=3", "MAX=1"), "fd<"),
    Bug("CLOSE_UNACKNOWLEDGED", ("CONNS=1", "UNREAD"), "unread"),
    Bug("COUNT_AFTER_ADD", ("CONNS=2",), "closed[me]<accepted[me]"),
    Bug("FILL_AFTER_ADD", ("CONNS=2",), "source==file"),
    Bug("EXPIRE_BEFORE_COLLECT", ("CONNS=2", "TIMEOUTS"), "source==file"),
    Bug("DRAIN_BEFORE_ACCEPTOR_ENDED", ("CONNS=2",), "accepted[0]==closed[0]"),
    Bug("WAKE_BEFORE_ORDER", ("CONNS=1", "PATIENT"), LOST),
    Bug("OBEY_BEFORE_AWAKE", ("CONNS=1", "SILENT"), LOST),
    Bug("DONE_BEFORE_ENDED", ("CONNS=1", "PATIENT"), LOST),
    Bug("IDLE_NOT_DRAINED", ("CONNS=1", "PATIENT"), LOST),
    Bug("EDGE_FORGOTTEN", ("CONNS=1", "PATIENT"), LOST),
    Bug("OBEY_BEFORE_BATCH", ("CONNS=2", "RELOAD"), "listening"),
    Bug("CLOSE_UNSERVED", ("CONNS=2", "RELOAD"), "late"),
    Bug("TELL_UNTAKEN", ("CONNS=2", "RELOAD"), "listening"),
    Bug("SET_BEFORE_ORDER", ("CONNS=2", "RELOAD"), "listening"),
    Bug("FREEZE_BEFORE_ACCEPTOR_ENDED", ("CONNS=2", "HAND_OVER"), "file[i]==0"),
    Bug("COLLECT_BEFORE_ENDED", ("CONNS=2", "HAND_OVER"), "open==0"),
    Bug("ADOPTED_ONLY", ("CONNS=3", "HAND_OVER"), "file[i]==0"),
]


class Result(typing.NamedTuple):
    error: str  # what spin found, or None
    states: int
    seconds: float


def run(*command, cwd):
    p = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if p.returncode != 0 or p.stderr:
        raise AssertionError(f"{' '.join(command)}:\n{p.stdout}{p.stderr}")
    return p.stdout


def verifier(folder, switches, formula, optimize):
    """Has spin write a verifier, and compiles it; returns how to start it."""
    run("spin", *[f"-D{s}" for s in switches], "-a", MODEL, cwd=folder)
    run("gcc", optimize, "-w", "-DMEMLIM=4096", "-DNFAIR=3", *([] if formula else ["-DSAFETY", "-DNOCLAIM"]),
        "-o", "pan", "pan.c", cwd=folder)
    return ["./pan", "-n", "-m1000000", *(["-a", "-f", "-N", formula] if formula else [])]


def explore(switches, formula=None, optimize="-O0"):
    """Explores all that can happen, or as far as the first error."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="echod-model-") as folder:
        said = run(*verifier(folder, switches, formula, optimize), cwd=folder)
    error = re.search(r"^pan:\d+: (.*?)(?: \(at depth \d+\))?$", said, re.M)
    states = re.search(r"^ *([\d.e+]+) states, stored", said, re.M)
    if "error: " in said or not states or not error and "Search not completed" in said:
        raise AssertionError(said)
    return Result(error and error.group(1), int(float(states.group(1))), time.monotonic() - start)


def explore_all(act):
    """Calls act(life, result) for every life, and act(bug, result) for every bug, as they end."""
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        tasks = {pool.submit(explore, life.switches, life.formula, "-O1"): life for life in LIVES}
        tasks.update({pool.submit(explore, (*bug.life, f"BUG_{bug.switch}")): bug for bug in BUGS})
        for task in concurrent.futures.as_completed(tasks):
            act(tasks[task], task.result())


def verdict(case, result):
    """What is wrong with a result, or None."""
    if isinstance(case, Life):
        return result.error
    if not result.error or case.seen not in result.error.replace(" ", ""). \
            replace("invalidendstate", LOST):
        return f"not found as it should be, but: {result.error}"


def main():
    wrong = []

    def tell(case, result):
        bad = verdict(case, result)
        name = f"{case.what} ({', '.join((*case.switches, *filter(None, [case.formula])))})" \
            if isinstance(case, Life) else f"{case.switch}: {result.error}"
        print(f"{'BAD' if bad else 'ok':4}{result.states:10,} states {result.seconds:6.1f} s  {name}",
              flush=True)
        if bad:
            wrong.append(f"{name}: {bad}")

    start = time.monotonic()
    explore_all(tell)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{len(LIVES)} lives and {len(BUGS)} bugs in {time.monotonic() - start:.1f} s, with "
          f"{used.ru_utime + used.ru_stime:.1f} s of CPU time")
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""Runs spin over handoff.pml: each life as it is, and each way to do it wrong.

A life is explored to the last state; a bug is found, and as what it is.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time
import typing

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "handoff.pml")


class Case(typing.NamedTuple):
    """What is explored, what spin says of it, and by which of the model's formulas, under weak fairness."""
    what: str
    switches: str
    seen: str = None
    formula: str = None  # or the assertions


def bug(name, switches, seen):
    """A way to do it wrong, the life in which it shows, and what spin says of it."""
    return Case(name, f"{switches} BUG_{name}", seen)


LOST = "invalidendstate"  # a thread waits for ever

CASES = [
    Case("connections come and go, then the end", "CONNS=3 MAX=1 TIMEOUTS"),
    Case("the same, with a reload", "CONNS=2 RELOAD ADD_MAY_FAIL TIMEOUTS"),
    Case("the same, then a hand-over", "CONNS=3 HAND_OVER TIMEOUTS"),
    Case("a reload, then a hand-over", "CONNS=2 RELOAD HAND_OVER TIMEOUTS"),
    Case("the end, for which no timeout is needed", "CONNS=2 PATIENT"),
    Case("the end, though no client answers", "CONNS=3 SILENT"),
    Case("ends that are not acknowledged at once", "CONNS=2 MAX=1 UNREAD PATIENT"),
    Case("the end comes", "CONNS=2 TIMEOUTS", formula="ends"),
    Case("the end comes, for which no timeout is needed", "CONNS=1 RELOAD PATIENT", formula="ends"),
    Case("every byte is echoed", "CONNS=1 RELOAD PATIENT", formula="echoes"),
    bug("CLOSE_BEFORE_LET_GO", "CONNS=2 TIMEOUTS", "owner==0"),
    bug("NO_SPARE", "CONNS=3 MAX=1", "fd<"),
    bug("CLOSE_UNACKNOWLEDGED", "CONNS=1 UNREAD", "unread"),
    bug("COUNT_AFTER_ADD", "CONNS=2", "closed[me]<accepted[me]"),
    bug("FILL_AFTER_ADD", "CONNS=2", "source==file"),
    bug("EXPIRE_BEFORE_COLLECT", "CONNS=2 TIMEOUTS", "source==file"),
    bug("DRAIN_BEFORE_ACCEPTOR_ENDED", "CONNS=2", "accepted[0]==closed[0]"),
    bug("WAKE_BEFORE_ORDER", "CONNS=1 PATIENT", LOST),
    bug("OBEY_BEFORE_AWAKE", "CONNS=1 SILENT", LOST),
    bug("DONE_BEFORE_ENDED", "CONNS=1 PATIENT", LOST),
    bug("IDLE_NOT_DRAINED", "CONNS=1 PATIENT", LOST),
    bug("EDGE_FORGOTTEN", "CONNS=1 PATIENT", LOST),
    bug("OBEY_BEFORE_BATCH", "CONNS=2 RELOAD", "listening"),
    bug("CLOSE_UNSERVED", "CONNS=2 RELOAD", "drained"),
    bug("TELL_UNTAKEN", "CONNS=2 RELOAD", "listening"),
    bug("SET_BEFORE_ORDER", "CONNS=2 RELOAD", "listening"),
    bug("FREEZE_BEFORE_ACCEPTOR_ENDED", "CONNS=2 HAND_OVER", "file[i]==0"),
    bug("COLLECT_BEFORE_ENDED", "CONNS=2 HAND_OVER", "open==0"),
    bug("ADOPTED_ONLY", "CONNS=3 HAND_OVER", "file[i]==0"),
]


def run(*command, cwd):
    p = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if p.returncode != 0 or p.stderr:
        raise AssertionError(f"{' '.join(command)}:\n{p.stdout}{p.stderr}")
    return p.stdout


def verify(case, cwd):
    """Has spin write a verifier, compiles and runs it; returns what it says."""
    run("spin", *[f"-D{s}" for s in case.switches.split()], "-a", MODEL, cwd=cwd)
    how = [] if case.formula else ["-DSAFETY", "-DNOCLAIM"]
    run("gcc", "-O0" if case.seen else "-O1", "-w", "-DMEMLIM=4096", "-DNFAIR=3", *how, "-o", "pan", "pan.c", cwd=cwd)
    return run("./pan", "-n", "-m1000000", *(["-a", "-f", "-N", case.formula] if case.formula else []), cwd=cwd)


def explore(case):
    """Explores all that can happen, or as far as the first error; returns a line about it, and what is wrong or None."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="echod-model-") as folder:
        said = verify(case, folder)
    error = re.search(r"^pan:\d+: (.*?)(?: \(at depth \d+\))?$", said, re.M)
    states = re.search(r"^ *([\d.e+]+) states, stored", said, re.M)
    if "error: " in said or not states or not error and "Search not completed" in said:
        raise AssertionError(said)
    error = error and error[1]
    right = error and case.seen in error.replace(" ", "") if case.seen else not error
    line = f"{case.what} ({case.switches}): {int(float(states[1]))} states, {time.monotonic() - start:.1f} s"
    return line, None if right else f"{case.what}: not {case.seen}, but {error}"


def explore_all(tell):
    """Calls tell(line) as each case ends; returns what is wrong."""
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for task in concurrent.futures.as_completed([pool.submit(explore, case) for case in CASES]):
            line, error = task.result()
            tell(line)
            wrong += [error] if error else []
    return wrong


def main():
    sys.exit("\n".join(explore_all(lambda line: print(line, flush=True))) or 0)


if __name__ == "__main__":
    main()

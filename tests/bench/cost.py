"""What an echo costs: echod with one worker against a bare edge-triggered loop.

Both serve the same load, in turn, each on the same CPU, the load on another;
the figures are medians, and their ratio is what counts on a noisy machine.
"""

import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../functional"))
import harness  # noqa: E402

BENCH = os.path.join(harness.BUILDDIR, "tests/bench")
SERVER_CPU, LOAD_CPU = "0", "1"
ROUNDS = int(os.environ.get("ROUNDS", 7))
SECONDS = os.environ.get("SECONDS_EACH", "2")


def run_nanoseconds(pid):
    """CPU time of all threads, as the scheduler counts it (proc_pid_schedstat(5))."""
    total = 0
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
            total += int(f.read().split()[0])
    return total


def measure(pid, port, connections, size):
    """Microseconds of the server's CPU for one echo, and echoes a second."""
    before = run_nanoseconds(pid)
    out = subprocess.run(["taskset", "-c", LOAD_CPU, harness.ECHOC, "load", "--json",
                          "--connections", str(connections), "--size", str(size), "--duration",
                          SECONDS, f"127.0.0.1:{port}"], check=True, capture_output=True)
    result = json.loads(out.stdout)
    return ((run_nanoseconds(pid) - before) / 1000 / result["messages_verified"],
            result["achieved_rate"])


def bare(connections, size):
    holder = harness.socket.socket()
    holder.bind(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    holder.close()
    p = subprocess.Popen(["taskset", "-c", SERVER_CPU, os.path.join(BENCH, "bare"), str(port)],
                         stdout=subprocess.PIPE)
    try:
        p.stdout.readline()
        return measure(p.pid, port, connections, size)
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def echod(connections, size):
    with harness.Echod("-o", "workers=1", prefix=("taskset", "-c", SERVER_CPU)) as d:
        return measure(d.pid, d.port, connections, size)


def compare(connections, size):
    results = {bare: [], echod: []}
    for i in range(ROUNDS):
        for server in (bare, echod) if i % 2 else (echod, bare):
            results[server].append(server(connections, size))
    cost = {s: statistics.median(c for c, _ in r) for s, r in results.items()}
    rate = {s: statistics.median(n for _, n in r) for s, r in results.items()}
    ratios = [e[0] / b[0] for e, b in zip(results[echod], results[bare])]
    print(f"{size:6} B x {connections:3} connections: "
          f"echod {cost[echod]:6.2f} us/echo ({rate[echod]:8.0f}/s), "
          f"bare loop {cost[bare]:6.2f} us/echo ({rate[bare]:8.0f}/s), "
          f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    print(f"CPU of one worker for an echo; medians of {ROUNDS} alternating runs of {SECONDS} s")
    for connections, size in ((50, 64), (50, 4096), (1, 64)):
        compare(connections, size)

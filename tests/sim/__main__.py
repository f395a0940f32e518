"""python -m tests.sim SEED [--trace]: replay one run. python -m tests.sim FIRST LAST: many."""

from __future__ import annotations

import sys
import time
import traceback

from tests.sim.cluster import Cluster


def main(arguments: list[str]) -> int:
    trace = "--trace" in arguments
    seeds = [int(word) for word in arguments if word != "--trace"]
    if not seeds:
        print(__doc__)
        return 2
    changes = 0
    failed, committed, elections, installed, wiped, start = [], 0, 0, 0, 0, time.monotonic()
    for seed in range(seeds[0], seeds[-1] + 1):
        cluster = Cluster(seed, trace)
        try:
            cluster.run()
        except Exception as error:
            failed.append(seed)
            print(
                f"seed {seed}: {type(error).__name__}: {error}   (python -m tests.sim {seed} --trace)",
                flush=True,
            )
            if trace:
                traceback.print_exc()
        committed += len(cluster.checks.history)
        elections += len(cluster.checks.leaders)
        installed += cluster.installed
        wiped += cluster.wiped
        changes += len(cluster.checks.changes)
    runs, seconds = seeds[-1] + 1 - seeds[0], time.monotonic() - start
    print(
        f"{runs} runs, {len(failed)} failed; {committed} entries, {elections} leaders, {wiped} disks lost, "
        f"{changes} configurations, "
        f"{installed} snapshots installed; {seconds:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

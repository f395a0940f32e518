"""Runs many seeds, or replays one. See `--help`."""

from __future__ import annotations

import argparse
import logging
import os
import random
import re
import sys
import time
import traceback
from dataclasses import astuple, dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue

from tests.sim.whole import cluster

SECONDS_A_RUN = (cluster.STORM_MS + cluster.CALM_MS + 1500) / 1000
"""Simulated seconds in one run."""


@dataclass
class Tally:
    """What happened in a run, or in many."""

    runs: int = 0
    entries: int = 0
    operations: int = 0
    leaders: int = 0
    snapshots: int = 0
    disks_lost: int = 0
    changes: int = 0
    orders: int = 0
    undecided: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def one(seed: int) -> tuple[int, str | None, Tally]:
    """(seed, what was violated, what happened)"""
    try:
        run = cluster.run(seed)
    except Exception as error:
        return seed, f"{type(error).__name__}: {error}", Tally(runs=1)
    checks = run.checks
    tally = Tally(
        1,
        len(checks.log),
        len(checks.history),
        len(checks.leaders),
        run.snapshots,
        run.wiped + run.damaged,
        len(checks.configurations) - 1,
        run.orders_done,
        checks.history.undecided,
    )
    return seed, None, tally


class Pathless(logging.Formatter):
    """Two replays of a seed are to look alike, wherever they keep their files."""

    def format(self, record: logging.LogRecord) -> str:
        return re.sub(r"\S*/ironkv-sim-\w+", "", super().format(record))


def replay(seed: int) -> int:
    """One run with its trace, and what the nodes log."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Pathless("           log: %(message)s"))
    logging.basicConfig(handlers=[handler])
    try:
        run = cluster.run(seed, trace=True)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return 1
    print(f"no violation; {len(run.checks.log)} entries; the run's mark is {run.chance.getrandbits(32):08x}")
    return 0


def work(seeds: range, until: float, results: Queue[tuple[int, str | None, Tally] | None]) -> None:
    """In a process of its own."""
    for seed in seeds:
        if time.monotonic() > until:
            break
        results.put(one(seed))
    results.put(None)


def many(first: int, runs: int, minutes: float, jobs: int, *, only_one: bool) -> int:
    """Runs from seed `first` on, until there are so many or so much time has passed."""
    started = said = time.monotonic()
    failed: list[int] = []
    total = Tally()
    context = get_context("fork")
    results: Queue[tuple[int, str | None, Tally] | None] = context.Queue()
    processes = [
        context.Process(
            target=work, args=(range(first + job, first + runs, jobs), started + minutes * 60, results)
        )
        for job in range(jobs)
    ]
    for process in processes:
        process.start()
    ended = 0
    while ended < jobs:
        result = results.get()
        if result is None:
            ended += 1
            continue
        seed, violation, tally = result
        total += tally
        if violation is not None:
            failed.append(seed)
            print(f"seed {seed}: {violation}\n  replay: ./tools/sim --replay {seed}", flush=True)
            if only_one:
                for process in processes:
                    process.terminate()
                break
        now = time.monotonic()
        if now - said >= (2 if sys.stdout.isatty() else 60):
            said = now
            report(total, len(failed), now - started, end="\r" if sys.stdout.isatty() else "\n")
    for process in processes:
        process.join()
    report(total, len(failed), time.monotonic() - started)
    return 1 if failed else 0


def report(total: Tally, failed: int, seconds: float, end: str = "\n") -> None:
    speed = total.runs * SECONDS_A_RUN / max(seconds, 0.001)
    print(
        f"{total.runs:,} runs, {failed} with a violation; {total.entries:,} entries, "
        f"{total.operations:,} operations ({total.undecided} keys not judged), "
        f"{total.leaders:,} leaders, {total.snapshots:,} snapshots, "
        f"{total.disks_lost:,} disks lost, {total.changes:,} changes of members "
        f"({total.orders:,} orders done); {seconds:.0f} s, {speed:.0f} times real time",
        end=end,
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/sim", description="Whole clusters in virtual time, from seeds."
    )
    parser.add_argument("--seeds", type=int, default=1_000_000_000, metavar="N", help="how many runs")
    parser.add_argument("--minutes", type=float, default=0, metavar="M", help="stop after M minutes")
    parser.add_argument("--first", type=int, metavar="SEED", help="where to begin (else anywhere)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (else one per core)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="one run, with its trace")
    parser.add_argument("-x", action="store_true", help="stop at the first violation")
    asked = parser.parse_args()
    if asked.replay is not None:
        return replay(asked.replay)
    first = asked.first if asked.first is not None else random.SystemRandom().randrange(1 << 40)
    minutes = asked.minutes or (float("inf") if asked.seeds < 1_000_000_000 else 1)
    print(f"from seed {first} on, {asked.jobs} processes")
    return many(first, asked.seeds, minutes, asked.jobs, only_one=asked.x)


if __name__ == "__main__":
    sys.exit(main())

"""redis-benchmark against every partner, in turns."""

from __future__ import annotations

import csv
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ironkv.tools.bench.partners import (
    IRONKV,
    KEYS,
    REDIS_ALWAYS,
    REDIS_MEMORY,
    VALUE_BYTES,
    Partner,
    all_partners,
)

RUN_LIMIT_S = 120
REPEATS = 3
_CALIBRATION_S = 0.3
POPS = {"RPOP": "LPUSH"}
"""What takes away, and what puts there what it takes."""
PUSHED_FIRST = 5_000
SPREAD = {"SADD": 1_000_000_000, "SADD_SAME": 1}
"""Of how many members one is drawn, where not of KEYS. A set fills up, and whoever is faster would soon add
what is there already, which is other work: so every member is new, or always the same one."""


class Spoiled(Exception):
    """Leadership moved in the middle of a run, so that it was refused a command."""


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    pipeline: int
    clients: int
    operation: str

    def __str__(self) -> str:
        return f"{self.operation} c{self.clients} P{self.pipeline}"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of redis-benchmark."""

    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Cell:
    """One workload: what each partner did in each round, and what had to be repeated."""

    workload: Workload
    runs: dict[str, list[Run]] = field(default_factory=dict)
    spoiled: list[str] = field(default_factory=list)

    def per_second(self, partner: str) -> float:
        return statistics.median(run.per_second for run in self.runs[partner])

    def p99_ms(self, partner: str) -> float:
        return statistics.median(run.p99_ms for run in self.runs[partner])

    def ratio(self, partner: str) -> float:
        """IronKV to `partner`. Both ran within seconds of each other in a round, so each has its ratio."""
        pairs = zip(self.runs[IRONKV], self.runs[partner], strict=True)
        return statistics.median(own.per_second / other.per_second for own, other in pairs)


def workloads(quick: bool) -> list[Workload]:
    clients = (50, 200) if quick else (50, 200, 1000)
    pipelines = (1, 16) if quick else (1, 16, 64)
    return [Workload(p, c, operation) for p in pipelines for c in clients for operation in ("SET", "GET")]


def measure(
    parent: Path, wanted: Sequence[Workload], rounds: int, quick: bool, say: Callable[[str], None]
) -> list[Cell]:
    """Every workload against every partner, `rounds` times, each time with fresh servers."""
    program = shutil.which("redis-benchmark")
    if program is None:
        raise SystemExit("no redis-benchmark here (Debian: apt install redis-tools)")
    cells = [Cell(workload) for workload in wanted]
    seconds = 1.0 if quick else 2.5
    names = (IRONKV, REDIS_ALWAYS, REDIS_MEMORY)
    total = rounds * len(cells) * len(names)
    done = 0
    for turn in range(rounds):
        say(f"round {turn + 1} of {rounds}: starting fresh servers, loading {KEYS:,} keys into each")
        with all_partners(parent) as partners:
            for cell in cells:
                for name in _rotated(names, turn):
                    run = _repeated(program, partners[name], cell, seconds, say)
                    cell.runs.setdefault(name, []).append(run)
                    done += 1
                    say(f"[{done:3}/{total}] {cell.workload!s:<14} {name:<13} {run.per_second:>11,.0f}/s")
    return cells


def _rotated(names: tuple[str, ...], by: int) -> Iterator[str]:
    """Whoever comes first in one round comes later in the next."""
    return (names[(i + by) % len(names)] for i in range(len(names)))


def _repeated(program: str, partner: Partner, cell: Cell, seconds: float, say: Callable[[str], None]) -> Run:
    """A run without a change of leader in it. The others are counted and told: they are a finding too."""
    for _ in range(REPEATS):
        try:
            return _measured(program, partner, cell.workload, seconds)
        except Spoiled as error:
            cell.spoiled.append(str(error))
            say(f"! {cell.workload}: leadership moved, once more: {error}")
            for line in partner.last_words():
                say(f"    {line}")
    raise SystemExit(f"leadership moved in {REPEATS} runs of {cell.workload} on end")


def _measured(program: str, partner: Partner, workload: Workload, seconds: float) -> Run:
    """A run of about `seconds`, as long as a short one before it suggests."""
    batch = workload.clients * workload.pipeline
    if workload.operation in POPS:
        return _popped(program, partner.port(), workload, seconds)
    first = run(program, partner.port(), workload, max(4 * batch, 5_000))
    if first.per_second * _CALIBRATION_S > max(4 * batch, 5_000):
        first = run(program, partner.port(), workload, int(first.per_second * _CALIBRATION_S))
    return run(program, partner.port(), workload, max(4 * batch, int(first.per_second * seconds)))


def _popped(program: str, port: int, workload: Workload, seconds: float) -> Run:
    """A run whose every command finds an element: as many are pushed before as it takes away."""
    pushes = Workload(workload.pipeline, workload.clients, POPS[workload.operation])
    rate = run(program, port, pushes, PUSHED_FIRST).per_second
    enough = max(PUSHED_FIRST, int(rate * seconds))
    run(program, port, pushes, enough)
    return run(program, port, workload, enough)


def run(program: str, port: int, workload: Workload, requests: int, options: Sequence[str] = ()) -> Run:
    """One run of redis-benchmark, with more options. Raises Spoiled."""
    test = workload.operation.lower().removesuffix("_same")
    command = [program, "-h", "127.0.0.1", "-p", port, "-t", test, "-n", requests]
    command += [
        "-c",
        workload.clients,
        "-P",
        workload.pipeline,
        "-d",
        VALUE_BYTES,
        "-r",
        SPREAD.get(workload.operation, KEYS),
        "-e",
        "--csv",
        *options,
    ]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False
    )
    # A run with a single error is none. Before version 7, refusals count as successes unless -e shows them;
    # since then they end the run, and -e only brings a warning.
    said = "\n".join(x for x in (done.stdout + done.stderr).splitlines() if not x.startswith("WARNING:"))
    refusal = re.search("Error from server: ((NOTLEADER|CLUSTERDOWN).*)", said)
    if refusal:
        raise Spoiled(refusal[1])
    if done.returncode != 0 or "error" in said.lower():
        raise SystemExit(f"redis-benchmark failed for {workload} on port {port}:\n{done.stdout}{done.stderr}")
    return _parsed(done.stdout)


def _parsed(text: str) -> Run:
    header, *_, values = (row for row in csv.reader(text.splitlines()) if len(row) > 1)  # LRANGE pushes first
    row = dict(zip(header, values, strict=True))
    return Run(float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"]))

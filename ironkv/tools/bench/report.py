"""What was measured against what is wanted: tables for people, JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from ironkv.tools.bench.collections import Collections
from ironkv.tools.bench.connections import Crowd
from ironkv.tools.bench.failover import Pauses
from ironkv.tools.bench.growth import Growth
from ironkv.tools.bench.limits import Limits
from ironkv.tools.bench.machine import Machine
from ironkv.tools.bench.partners import IRONKV, REDIS_ALWAYS, REDIS_MEMORY, TITLES
from ironkv.tools.bench.replay import Replay
from ironkv.tools.bench.storage import Storage
from ironkv.tools.bench.targets import Target
from ironkv.tools.bench.throughput import Cell, Workload

# What redis-benchmark finds: against which partner, with which workload.
RATIOS: tuple[tuple[Target, str, Workload], ...] = (
    (
        Target("SET, pipeline 1, 50 connections, to redis fsync always", 0.35, 0.5),
        REDIS_ALWAYS,
        Workload(1, 50, "SET"),
    ),
    (
        Target("SET, pipeline 1, 200 connections, to the same", 0.5, 0.75),
        REDIS_ALWAYS,
        Workload(1, 200, "SET"),
    ),
    (
        Target("SET, pipeline 16, 50 connections, to the same", 0.35, 0.5),
        REDIS_ALWAYS,
        Workload(16, 50, "SET"),
    ),
    (
        Target("GET, pipeline 1, 50 connections, to redis in memory", 0.85, 1.0),
        REDIS_MEMORY,
        Workload(1, 50, "GET"),
    ),
    (
        Target("GET, pipeline 16, 50 connections, to the same", 0.5, 0.8),
        REDIS_MEMORY,
        Workload(16, 50, "GET"),
    ),
)
KILLED = Target("leader killed: to the next acknowledged write", 0.8, 0.35, " s", smaller_is_better=True)
KILLED_WORST = Target("the worst of these", 2.5, 1.0, " s", smaller_is_better=True)
ASKED_TO_GO = Target("leader asked to go: pause in writes", 0.2, 0.05, " s", smaller_is_better=True)
HANDED_OVER = Target("RAFT TRANSFER: pause in writes", 0.1, 0.02, " s", smaller_is_better=True)
JOINED = Target("a node joins three at half their load: part of the writes lost", 0.3, 0.1, "", True)
REPLAYED = Target("restart with a log of {:,} SETs", 10, 4, " s", smaller_is_better=True)
CONNECTED = Target("connections served at once without an error", 1_000, 10_000)


@dataclass(slots=True)
class Report:
    """What was measured; a section that did not run is empty."""

    machine: Machine
    rounds: int
    quick: bool
    throughput: list[Cell] = field(default_factory=list)
    failover: Pauses | None = None
    growth: list[Growth] = field(default_factory=list)
    replay: Replay | None = None
    connections: list[Crowd] = field(default_factory=list)
    storage: Storage | None = None
    collections: Collections | None = None
    limits: Limits | None = None

    def figures(self) -> list[tuple[Target, float]]:
        """Every target that this run can speak about, with its figure."""
        found: list[tuple[Target, float]] = []
        cells = {cell.workload: cell for cell in self.throughput}
        for target, partner, workload in RATIOS:
            if workload in cells:
                found.append((target, cells[workload].ratio(partner)))
        if self.failover is not None:
            pauses = self.failover
            found.append((KILLED, median(pauses.killed)))
            found.append((KILLED_WORST, max(pauses.killed)))
            found.append((ASKED_TO_GO, median(pauses.asked_to_go)))
            found.append((HANDED_OVER, median(pauses.handed_over)))
        if self.growth:
            found.append((JOINED, median(each.dip for each in self.growth if each.steady)))
        if self.replay is not None:
            named = REPLAYED.name.format(self.replay.writes)
            found.append((Target(named, REPLAYED.at_least, REPLAYED.aim, " s", True), self.replay.one_node_s))
        if self.connections:
            found.append((CONNECTED, max((c.asked for c in self.connections if c.is_clean), default=0)))
        if self.storage is not None:
            found += self.storage.figures
        if self.collections is not None:
            found += self.collections.figures()
        if self.limits is not None:
            found += self.limits.figures()
        return found

    def is_met(self) -> bool:
        return all(target.is_met(figure) for target, figure in self.figures())

    def text(self) -> str:
        """All of it as Markdown, readable as it is."""
        parts = [
            f"Machine: {self.machine}",
            f"Rounds: {self.rounds}{' (quick)' if self.quick else ''}; medians.",
        ]
        if self.throughput:
            parts += ["", *_throughput_table(self.throughput)]
            spoiled = sum(len(cell.spoiled) for cell in self.throughput)
            if spoiled:
                parts += ["", f"Runs repeated because leadership moved in the middle of them: {spoiled}"]
        if self.failover is not None:
            parts += ["", *_failover_table(self.failover)]
        if self.growth:
            parts += ["", *_growth_table(self.growth)]
        if self.replay is not None:
            parts += ["", *_replay_table(self.replay)]
        if self.connections:
            parts += ["", *_connections_table(self.connections)]
        if self.storage is not None:
            parts += ["", *table(["storage", "found"], self.storage.told)]
        if self.collections is not None:
            parts += ["", *table(["collections", "found"], self.collections.told())]
        if self.limits is not None:
            parts += ["", *table(["limits", "found"], self.limits.told())]
        rows = [
            [t.name, _figure(f, t.unit), _bound(t, t.at_least), _bound(t, t.aim), t.mark(f)]
            for t, f in self.figures()
        ]
        if rows:
            parts += ["", *table(["target", "measured", "at least", "aim", ""], rows)]
        return "\n".join(parts)

    def write_json(self, path: Path) -> None:
        document = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": self.machine.as_dict(),
            "rounds": self.rounds,
            "quick": self.quick,
            "throughput": [
                {
                    "operation": cell.workload.operation,
                    "clients": cell.workload.clients,
                    "pipeline": cell.workload.pipeline,
                    "runs": {name: [asdict(run) for run in runs] for name, runs in cell.runs.items()},
                    "spoiled": cell.spoiled,
                    "ratio": {name: round(cell.ratio(name), 3) for name in (REDIS_ALWAYS, REDIS_MEMORY)},
                }
                for cell in self.throughput
            ],
            "failover_s": asdict(self.failover) if self.failover else None,
            "growth": [each._asdict() for each in self.growth],
            "replay": asdict(self.replay) if self.replay else None,
            "connections": [asdict(crowd) for crowd in self.connections],
            "storage": dict(self.storage.told) if self.storage else None,
            "collections": dict(self.collections.told()) if self.collections else None,
            "limits": dict(self.limits.told()) if self.limits else None,
            "targets": [
                {"name": t.name, "measured": f, "at_least": t.at_least, "aim": t.aim, "met": t.is_met(f)}
                for t, f in self.figures()
            ],
        }
        path.write_text(json.dumps(document, indent=1) + "\n")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns line up; all but the first lean to the right."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)]) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
    return [line(heads), rule, *(line(row) for row in rows)]


def _throughput_table(cells: Sequence[Cell]) -> list[str]:
    heads = ["operation, connections, pipeline", TITLES[IRONKV]]
    for name in (REDIS_ALWAYS, REDIS_MEMORY):
        heads += [TITLES[name], "ratio"]
    rows = []
    for cell in cells:
        w = cell.workload
        row = [f"{w.operation} {w.clients:>4} connections, pipeline {w.pipeline}", _rate(cell, IRONKV)]
        for name in (REDIS_ALWAYS, REDIS_MEMORY):
            row += [_rate(cell, name), f"{cell.ratio(name):.2f}"]
        rows.append(row)
    return table(heads, rows)


def _rate(cell: Cell, name: str) -> str:
    return f"{cell.per_second(name):,.0f}/s, p99 {cell.p99_ms(name):.1f} ms"


def _failover_table(pauses: Pauses) -> list[str]:
    rows = [
        [
            name,
            f"{median(times) * 1000:,.0f} ms",
            f"{min(times) * 1000:,.0f} … {max(times) * 1000:,.0f} ms",
            str(len(times)),
        ]
        for name, times in (
            ("leader killed (SIGKILL) to the next acknowledged write", pauses.killed),
            ("leader asked to go (SIGTERM), pause in writes", pauses.asked_to_go),
            ("leader told to hand over (RAFT TRANSFER), pause in writes", pauses.handed_over),
        )
    ]
    return table(["failover", "median", "range", "tries"], rows)


def _growth_table(growth: Sequence[Growth]) -> list[str]:
    rows = [
        [
            "steady" if each.steady else "all they take",
            f"{each.before:,.0f}/s",
            f"{each.during:,.0f}/s for {each.took:.1f} s",
            f"{each.after:,.0f}/s",
        ]
        for each in growth
    ]
    return table(["SETs", "of three nodes", "while a fourth joins", "of four nodes"], rows)


def _replay_table(replay: Replay) -> list[str]:
    rows = [
        ["one node, empty", f"{replay.empty_start_s:.2f} s"],
        [
            f"one node, {replay.writes:,} SETs ({replay.log_bytes / 2**20:,.0f} MiB)",
            f"{replay.one_node_s:.2f} s",
        ],
        ["all three nodes at once, to a leader that serves", f"{replay.all_nodes_s:.2f} s"],
    ]
    return table(["restart", "until all is applied"], rows)


def _connections_table(crowds: Sequence[Crowd]) -> list[str]:
    rows = [
        [
            f"{c.asked:,}",
            f"{c.connected:,} in {c.connect_s:.1f} s",
            f"{c.round_s:.2f} s",
            f"{c.served:,}",
            f"{len(c.errors):,}",
        ]
        for c in crowds
    ]
    return table(["connections", "connected", "one SET and GET each", "commands served", "errors"], rows)


def _figure(figure: float, unit: str) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}{unit}"


def _bound(target: Target, bound: float) -> str:
    sign = "≤" if target.smaller_is_better else "≥"
    return f"{sign} {bound:,.0f}" if bound >= 100 else f"{sign} {bound:g}{target.unit}"

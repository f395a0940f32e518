"""The command line of `tools/bench`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ironkv.storage.room import filesystem
from ironkv.tools.bench import (
    collections,
    connections,
    failover,
    growth,
    limits,
    plot,
    replay,
    storage,
    throughput,
)
from ironkv.tools.bench.machine import IN_MEMORY, describe, disk_directory
from ironkv.tools.bench.report import Report

SECTIONS = ("throughput", "failover", "replay", "connections", "storage", "collections", "limits")


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    unknown = set(options.sections) - {*SECTIONS, "all"}
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    say = _narrator()
    parent = disk_directory(options.data_dir)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    if filesystem(parent) in IN_MEMORY:
        say(f"! {parent} is in memory: an fsync costs nothing there, so the figures mean little")
    report = Report(describe(parent), options.rounds or (1 if options.quick else 3), options.quick)
    say(f"{report.machine}")
    say(f"data in {parent} ({report.machine.filesystem})")
    wanted = SECTIONS if "all" in options.sections else options.sections
    for section in (s for s in SECTIONS if s in wanted):
        say(f"== {section}")
        _measure(section, report, parent, say)
        report.write_json(out / "bench.json")
        if report.throughput:
            (out / "throughput.svg").write_text(plot.throughput(report.throughput, str(report.machine)))
    text = report.text()
    (out / "bench.md").write_text(text + "\n")
    print(f"\n{text}\n\nwritten: {out}/bench.json, bench.md{', throughput.svg' if report.throughput else ''}")
    return 0 if report.is_met() else 1


def _measure(section: str, report: Report, parent: Path, say: Callable[[str], None]) -> None:
    quick = report.quick
    match section:
        case "throughput":
            report.throughput = throughput.measure(
                parent, throughput.workloads(quick), report.rounds, quick, say
            )
        case "failover":
            tries = failover.Tries(3, 3, 3) if quick else failover.Tries(50, 10, 20)
            report.failover = failover.measure(parent, tries, say)
            keys, joins, beside_s = (5_000, 1, 0.5) if quick else (500_000, 3, 4.0)
            report.growth = growth.measure(parent, keys, joins, beside_s, say)
        case "replay":
            report.replay = replay.measure(parent, 100_000 if quick else 1_000_000, say)
        case "connections":
            report.connections = connections.measure(parent, [1_000] if quick else [1_000, 10_000], say)
        case "storage":
            size, overwrites = (100_000, 300_000) if quick else (1_000_000, 10_000_000)
            report.storage = storage.measure(parent, size, overwrites, say)
        case "collections":
            size = 100_000 if quick else 1_000_000
            report.collections = collections.measure(parent, size, report.rounds, quick, say)
        case "limits":
            report.limits = limits.measure(parent, report.rounds, quick, say)


def _narrator() -> Callable[[str], None]:
    began = time.monotonic()

    def say(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"{minutes:2}:{seconds:02}  {line}", file=sys.stderr, flush=True)

    return say


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description="Measure a fresh three-node cluster beside a local redis-server. Takes about 15 minutes;"
        " exit status 0 when every figure reaches what is wanted at least.",
    )
    parser.add_argument(
        "sections", nargs="*", default=["all"], metavar="SECTION", help=", ".join((*SECTIONS, "all"))
    )
    parser.add_argument("--quick", action="store_true", help="a rough idea in two minutes")
    parser.add_argument("--rounds", type=int, help="rounds of throughput, of which the median counts (3)")
    parser.add_argument(
        "--out", type=Path, default=Path("bench-results"), help="where results go (bench-results/)"
    )
    parser.add_argument(
        "--data-dir", type=Path, help="where the servers keep their data meanwhile (a real disk)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

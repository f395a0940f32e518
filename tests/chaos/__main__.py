"""`tools/chaos`: real nodes, real disks, real trouble; then every answer a client got is judged."""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ironkv.tools.cluster import wait_for
from tests.chaos.clients import Load
from tests.chaos.faults import Faults
from tests.chaos.hosts import Hosts, build_weather
from tests.chaos.network import Network, NotAllowed
from tests.sim.checks import Violation

PROGRESS_S = 60.0
"""Once the trouble is over, within this long there is a leader that all follow."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    seed = options.seed if options.seed is not None else int(time.time())
    directory = Path(tempfile.mkdtemp(prefix="ironkv-chaos-"))
    try:
        build_weather(directory)
        with Network(options.hosts) as network:
            network.enter()
            run = Run(network, directory, options, seed)
            try:
                run.go()
                run.judge()
            except (Violation, AssertionError, ExceptionGroup) as error:
                print(f"\n✗ {error}\n{directory} is kept")
                print(f"again: tools/chaos --seed {seed} --minutes {options.minutes:g}")
                options.keep = True
                return 1
            finally:
                run.hosts.close()
            run.report()
            return 0
    except NotAllowed as error:
        print(f"NOT RUN: {error}")
        return 77
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="of trouble (1)")
    parser.add_argument("--seed", type=int, help="of what happens, though not of when: this is no simulation")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--hosts", type=int, default=5, help="three are members at first (5)")
    parser.add_argument("--keep", action="store_true", help="keep the nodes' directories and logs")
    parser.add_argument("--quiet", action="store_true", help="tell only the end")
    return parser


class Run:
    def __init__(self, network: Network, directory: Path, options: argparse.Namespace, seed: int) -> None:
        self._options = options
        self._seed = seed
        self._began = time.monotonic()
        self.hosts = Hosts(options.hosts, network, directory)
        self.load = Load(options.clients, network.addresses, seed)
        self.faults = Faults(self.hosts, seed, self._say)
        self._trouble = (0.0, 0.0)

    def _say(self, line: str) -> None:
        if not self._options.quiet:
            print(f"{time.monotonic() - self._began:8.2f}  {line}", flush=True)

    def go(self) -> None:
        """Start, make trouble, calm down, wait for progress."""
        for host in self.hosts.members:
            host.start()
        wait_for(self.hosts.level, "a cluster", PROGRESS_S, 0.1)
        clients = threading.Thread(target=self.load.run)
        clients.start()
        began = time.monotonic()
        try:
            self.faults.run(began + 60 * self._options.minutes)
        finally:
            self._trouble = began, time.monotonic()
            self.hosts.calm_down()
            time.sleep(1.0)
            self.load.stop()
            clients.join(60)
        if self.load.failures:
            raise self.load.failures[0]
        wait_for(self.hosts.level, "all members level, now that the trouble is over", PROGRESS_S, 0.1)
        self.load.read_all()
        self._compare()

    def _compare(self) -> None:
        """All members end at the same entry, and their directories agree."""
        members = self.hosts.members
        for host in members:
            host.terminate()
        for host in members:
            host.stop(grace=30.0)
        directories = [str(host.data_dir) for host in members]
        tool = [sys.executable, "-m", "ironkv.offline.verify", "--json", *directories]
        found = subprocess.run(tool, capture_output=True, text=True, check=False)
        if found.returncode != 0:
            raise Violation(f"the directories do not verify, or differ:\n{found.stdout}{found.stderr}")

    def judge(self) -> None:
        self._say(f"judging {len(self.load.record.history):,} operations")
        self.load.record.history.check()

    def report(self) -> None:
        record, history = self.load.record, self.load.record.history
        faults = self.faults
        outages = [
            after - moment for moment in faults.leader_kills if (after := record.next_ack(moment)) is not None
        ]
        rows = {
            "seed": self._seed,
            "minutes of trouble": round((self._trouble[1] - self._trouble[0]) / 60, 1),
            "operations": f"{len(history):,} on {history.judged:,} keys; " + _counts(record.outcomes),
            "troubles": _counts(faults.counts),
            "longest time without an acknowledged write": f"{record.longest_outage(*self._trouble):.2f} s",
            "kill -9 of the leader to the next write": (
                f"median {statistics.median(outages):.2f} s, worst {max(outages):.2f} s of {len(outages)}"
                if outages
                else "never with all else well"
            ),
            "violations": 0,
            "keys with too many open ends to judge": history.undecided,
        }
        width = max(map(len, rows))
        print()
        for name, value in rows.items():
            print(f"{name:<{width}}  {value}")


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(counter.items(), key=lambda each: -each[1])
    )


if __name__ == "__main__":
    sys.exit(main())

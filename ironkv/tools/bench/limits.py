"""What a node bears: clients that misbehave, ten thousand that idle, and what its guards cost."""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ironkv.tools.bench import abuse, guards
from ironkv.tools.bench.bystander import Bystanders, Waits
from ironkv.tools.bench.connections import DESCRIPTORS_BESIDE, ROOM_FOR_ALL, descriptors
from ironkv.tools.bench.targets import Target
from ironkv.tools.cluster import ThrowawayCluster
from ironkv.tools.nodes import Node

WAITING: Final = Target("others' p99 beside {}, to their p99 alone", 2.0, 1.5, "×", smaller_is_better=True)
GROWN: Final = Target("memory for {}", 256, 64, " MB", smaller_is_better=True)
IDLE: Final = Target("an idle connection", 20, 10, " KB", smaller_is_better=True)
GUARDED: Final = Target("metrics, ACL and rate limits, to none: {}", 0.9, 0.97)
ENCRYPTED: Final = Target("TLS to plain, as a share of redis-server's own: {}", 0.5, 0.8)
SECONDS: Final = 8.0
SETTLE_S: Final = 1.5


@dataclass(slots=True)
class Borne:
    """One kind of misbehaviour, in each round."""

    alone: list[Waits] = field(default_factory=list)
    beside: list[Waits] = field(default_factory=list)
    grown_mb: list[float] = field(default_factory=list)
    did: str = ""

    @property
    def ratio(self) -> float:
        pairs = zip(self.alone, self.beside, strict=True)
        return statistics.median(beside.p99 / alone.p99 for alone, beside in pairs)


@dataclass(slots=True)
class Limits:
    borne: dict[str, Borne] = field(default_factory=dict)
    idle_count: int = 0
    idle_mb: float = 0.0
    guarded: dict[str, guards.Compared] = field(default_factory=dict)
    encrypted: dict[str, guards.Compared] = field(default_factory=dict)
    encrypted_redis: dict[str, guards.Compared] = field(default_factory=dict)

    def figures(self) -> list[tuple[Target, float]]:
        found: list[tuple[Target, float]] = []
        for name, borne in self.borne.items():
            found.append((_named(WAITING, name), borne.ratio))
            found.append((_named(GROWN, name), max(borne.grown_mb)))
        if self.idle_count:
            found.append((IDLE, 1024 * self.idle_mb / self.idle_count))
        found += [(_named(GUARDED, name), compared.ratio) for name, compared in self.guarded.items()]
        for name, compared in self.encrypted.items():
            own = self.encrypted_redis.get(name)
            found.append((_named(ENCRYPTED, name), compared.ratio / (own.ratio if own else 1.0)))
        return found

    def told(self) -> list[tuple[str, str]]:
        rows = [
            (
                name,
                f"{borne.did}; others' p99 {_median(borne.beside):.2f} ms, "
                f"alone {_median(borne.alone):.2f} ms; memory +{max(borne.grown_mb):.0f} MB",
            )
            for name, borne in self.borne.items()
        ]
        if self.idle_count:
            rows.append((f"{self.idle_count:,} idle connections", f"{self.idle_mb:.0f} MB"))
        for title, cells in (
            ("metrics, ACL, rate limits", self.guarded),
            ("TLS", self.encrypted),
            ("redis-server with TLS", self.encrypted_redis),
        ):
            rows += [(f"{title}: {name}", compared.told()) for name, compared in cells.items()]
        return rows


def _named(target: Target, name: str) -> Target:
    return Target(
        target.name.format(name), target.at_least, target.aim, target.unit, target.smaller_is_better
    )


def _median(waits: list[Waits]) -> float:
    return statistics.median(each.p99 for each in waits)


def measure(parent: Path, rounds: int, quick: bool, say: Callable[[str], None]) -> Limits:
    found = Limits()
    descriptors()
    with ThrowawayCluster(3, parent=parent, settings=ROOM_FOR_ALL) as cluster:
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}")
            for case in abuse.CASES:
                borne = found.borne.setdefault(case, Borne())
                _bear(cluster, case, borne, SECONDS / 2 if quick else SECONDS)
                say(
                    f"{case:<28} p99 {borne.alone[-1].p99:.2f} → {borne.beside[-1].p99:.2f} ms, "
                    f"+{borne.grown_mb[-1]:.0f} MB ({borne.did})"
                )
    with ThrowawayCluster(3, parent=parent, settings=ROOM_FOR_ALL) as cluster:
        found.idle_count, found.idle_mb = _idle(cluster, 1_000 if quick else 10_000)
        say(f"{found.idle_count:,} idle connections take {found.idle_mb:.0f} MB")
    found.guarded = guards.guarded(parent, rounds, quick, say)
    found.encrypted, found.encrypted_redis = guards.encrypted(parent, rounds, quick, say)
    return found


def _bear(cluster: ThrowawayCluster, case: str, borne: Borne, seconds: float) -> None:
    leader = cluster.wait_for_leader()
    with leader.connect() as client:
        abuse.prepare(client)
    with Bystanders(leader.port) as others:
        time.sleep(SETTLE_S)
        borne.alone.append(others.over(seconds))
        before = resident_mb(leader)
        with _peak(leader) as peak:
            misbehaving = abuse.start(case, leader.port, seconds + SETTLE_S)
            time.sleep(SETTLE_S)  # until it has begun
            borne.beside.append(others.over(seconds - SETTLE_S / 2))
            borne.did = _finished(misbehaving)
        borne.grown_mb.append(peak[0] - before)
    if borne.beside[-1].errors:
        raise SystemExit(f"{case}: {borne.beside[-1].errors} of the others' commands failed")


def _finished(process: subprocess.Popen[str]) -> str:
    try:
        return process.communicate(timeout=60)[0].strip()
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _idle(cluster: ThrowawayCluster, count: int) -> tuple[int, float]:
    """How many connections were held, and what the leader's process grew by."""
    leader = cluster.wait_for_leader()
    count = min(count, descriptors() - DESCRIPTORS_BESIDE)
    before = resident_mb(leader)
    with contextlib.ExitStack() as held:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", leader.port), 30)
            held.callback(client.close)
            client.sendall(b"PING\r\n")
            assert client.recv(7) == b"+PONG\r\n"
        return count, resident_mb(leader) - before


def resident_mb(node: Node) -> float:
    """Memory of a node's process."""
    process = node.process()
    assert process is not None
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@contextlib.contextmanager
def _peak(node: Node) -> Iterator[list[float]]:
    """The most memory it has meanwhile, looked at twenty times a second."""
    most, over = [resident_mb(node)], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], resident_mb(node))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield most
    finally:
        over.set()
        looking.join()

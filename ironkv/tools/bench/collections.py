"""Lists, sets, sorted sets, hashes: throughput, reach into a large one, and memory, beside redis-server."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ironkv.tools.bench import throughput
from ironkv.tools.bench.partners import REDIS_ALWAYS, REDIS_MEMORY, TITLES, redis
from ironkv.tools.bench.storage import QUIET
from ironkv.tools.bench.targets import Target
from ironkv.tools.bench.throughput import Cell, Workload
from ironkv.tools.client import Argument, Client, Reply, encode
from ironkv.tools.cluster import ThrowawayCluster

WORKLOADS: Final = [
    Workload(16, 50, operation)
    for operation in ("LPUSH", "RPOP", "SADD", "SADD_SAME", "HSET", "ZADD", "MSET", "LRANGE_100")
]
RATIO: Final = Target("{} at pipeline 16, 50 connections, to {}", 0.25, 0.5)
REACH: Final = Target("{} of {:,}, to redis-server", 10, 5, "", True)
MEMORY: Final = Target("memory of a {} of {:,}, to redis-server", 4, 2, "", True)

CHUNK: Final = 1_000
LOOKS: Final = 300
"""Calls of each command on either server in one round, of which the median counts."""
ROUNDS: Final = 5


@dataclass(slots=True)
class Collections:
    """`cells` from redis-benchmark; `reached`: command -> microseconds (IronKV, redis-server); `resident`:
    type -> bytes by which the process grew (IronKV, redis-server)."""

    size: int
    cells: list[Cell] = field(default_factory=list)
    reached: dict[str, tuple[float, float]] = field(default_factory=dict)
    resident: dict[str, tuple[int, int]] = field(default_factory=dict)

    def figures(self) -> Iterator[tuple[Target, float]]:
        for cell in self.cells:
            partner = partner_of(cell.workload)
            yield _named(RATIO, cell.workload.operation, TITLES[partner]), cell.ratio(partner)
        for command, (mine, its) in self.reached.items():
            yield _named(REACH, command, self.size), mine / its
        for kind, (mine, its) in self.resident.items():
            yield _named(MEMORY, kind, self.size), mine / its

    def told(self) -> list[tuple[str, str]]:
        """What is behind the ratios."""
        rows = []
        for cell in self.cells:
            other = partner_of(cell.workload)
            rates = f"{cell.per_second('ironkv'):,.0f}/s, redis {cell.per_second(other):,.0f}/s"
            rows.append((str(cell.workload), rates))
        rows += [(c, f"{mine:.0f} µs, redis {its:.0f} µs") for c, (mine, its) in self.reached.items()]
        rows += [
            (f"a member of a {kind}", f"{mine / self.size:.0f} bytes, redis {its / self.size:.0f}")
            for kind, (mine, its) in self.resident.items()
        ]
        return rows


def partner_of(workload: Workload) -> str:
    """Reads are compared with a Redis in memory, writes with one that fsyncs."""
    return REDIS_MEMORY if workload.operation.startswith("LRANGE") else REDIS_ALWAYS


def measure(parent: Path, size: int, rounds: int, quick: bool, say: Callable[[str], None]) -> Collections:
    found = Collections(size)
    found.cells = throughput.measure(parent, WORKLOADS, rounds, quick, say)
    with (
        redis(parent) as other,
        ThrowawayCluster(1, parent=parent, settings=QUIET) as lone,
        Client("127.0.0.1", lone.nodes[0].port, 60) as mine,
        Client("127.0.0.1", other.port(), 60) as its,
    ):
        for kind in ("set", "sorted set", "hash", "list"):
            say(f"a {kind} of {size:,}")
            grown = [_growth(client, kind, size) for client in (mine, its)]
            if kind != "list":
                found.resident[kind] = grown[0], grown[1]
        say("reaching into them")
        with _on_one_processor(mine, its):
            found.reached = _reach(mine, its, size)
    return found


# -- memory


def _growth(client: Client, kind: str, size: int) -> int:
    """Bytes by which the server's process grows when it gets a collection."""
    before = _resident(client)
    for start in range(0, size, CHUNK):
        reply = client.call(*_members(kind, range(start, min(size, start + CHUNK))))
        assert isinstance(reply, int), reply
    return _resident(client) - before


def _members(kind: str, numbers: range) -> list[Argument]:
    match kind:
        case "set":
            return ["SADD", "set", *(f"member:{n}" for n in numbers)]
        case "sorted set":
            return ["ZADD", "sorted set", *(part for n in numbers for part in (n, f"member:{n}"))]
        case "hash":
            return ["HSET", "hash", *(part for n in numbers for part in (f"field:{n}", f"value:{n}"))]
        case _:
            return ["RPUSH", "list", *(f"element:{n}" for n in numbers)]


def _resident(client: Client) -> int:
    return int(_fact(client, "used_memory_rss"))


def _fact(client: Client, name: str) -> str:
    """What INFO says of it."""
    text = client.call("INFO")
    assert isinstance(text, bytes)
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)[name]


# -- reach


@contextlib.contextmanager
def _on_one_processor(*servers: Client) -> Iterator[None]:
    """Only one of all these works at a time. On different processors each answer would begin with waking one,
    which takes a virtual machine ten times what a lookup does; and who runs where would be chance."""
    everybody = os.sched_getaffinity(0)
    pids = [int(_fact(server, "process_id")) for server in servers]
    tasks = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    for task in (0, *tasks):
        os.sched_setaffinity(task, {min(everybody)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everybody)


def _reach(mine: Client, its: Client, size: int) -> dict[str, tuple[float, float]]:
    """By command, the microseconds that a client waits. The servers take turns."""
    middle = size // 2
    commands: dict[str, list[Argument]] = {
        "LRANGE of 100 in the middle": ["LRANGE", "list", middle, middle + 99],
        "ZRANGE of 100 in the middle": ["ZRANGE", "sorted set", middle, middle + 99],
        "LINDEX in the middle": ["LINDEX", "list", middle],
        "ZRANK in the middle": ["ZRANK", "sorted set", f"member:{middle}"],
    }
    found = {}
    for name, command in commands.items():
        reply = its.call(*command)
        assert mine.call(*command) == reply, name
        size_of_reply = _size(reply)
        rounds = [
            (_microseconds(mine, command, size_of_reply), _microseconds(its, command, size_of_reply))
            for _ in range(ROUNDS)
        ]
        medians = [statistics.median(server) for server in zip(*rounds, strict=True)]
        found[name] = medians[0], medians[1]
    return found


def _microseconds(client: Client, command: list[Argument], size_of_reply: int) -> float:
    """From sending until all of the reply is here; it is not looked at, which would take as long again."""
    request, link = encode(command), client.socket
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter_ns()
        link.sendall(request)
        left = size_of_reply
        while left:
            left -= len(link.recv(left))
        took.append((time.perf_counter_ns() - began) / 1_000)
    return statistics.median(took)


def _size(reply: Reply) -> int:
    """Bytes of it on the wire: an array of strings looks like a request."""
    if isinstance(reply, list):
        return len(encode([item for item in reply if isinstance(item, bytes)]))
    if isinstance(reply, bytes):
        return len(encode([reply])) - len(b"*1\r\n")
    assert isinstance(reply, int)
    return len(f":{reply}\r\n")


def _named(target: Target, *parts: object) -> Target:
    return Target(
        target.name.format(*parts), target.at_least, target.aim, target.unit, target.smaller_is_better
    )

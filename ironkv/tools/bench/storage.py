"""What snapshots cost and what they save: restarts, pauses, disk and memory, a follower that begins empty.

One node on its own, beside a redis-server with the same keys; a cluster only where it takes one.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ironkv.tools.bench.loads import Pings, benchmark, facts, fill, key, load, overwrite, rate
from ironkv.tools.bench.partners import redis
from ironkv.tools.bench.targets import Target
from ironkv.tools.client import Client, ErrorReply
from ironkv.tools.cluster import Sections, ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node

LOAD_S = 4.0
SNAPSHOTS = 3

RESTART = Target("restart with {:,} keys in a snapshot, to the first answer", 6, 2, " s", True)
STALL = Target("longest slice a snapshot takes from the loop, under writes", 20, 5, " ms", True)
THROUGHPUT = Target("writes a second while a snapshot is taken, to without", 0.7, 0.9)
SIZE = Target("size of a snapshot, to redis-server's RDB", 1.5, 1.0, "", True)
MEMORY = Target("memory a key, to redis-server", 2.5, 1.5, "", True)
REJOIN = Target("empty follower, {:,} keys, under load, to caught up", 30, 10, " s", True)
JOURNAL = Target("journal file after {:,} overwrites, to its tail", 10, 2, "", True)
"""At least means bounded: ten tails are 160 MB, a tenth of what is written in all."""


@dataclass(slots=True)
class Storage:
    """What was found: figures that have a target, and what is merely told."""

    figures: list[tuple[Target, float]] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)

    def add(self, target: Target, figure: float, number: int | None = None) -> None:
        name = target.name if number is None else target.name.format(number)
        named = Target(name, target.at_least, target.aim, target.unit, target.smaller_is_better)
        self.figures.append((named, round(figure, 3)))

    def tell(self, what: str, figure: str) -> None:
        self.told.append((what, figure))


def measure(parent: Path, keys: int, overwrites: int, say: Callable[[str], None]) -> Storage:
    found = Storage()
    with redis(parent) as other, ThrowawayCluster(1, parent=parent, settings=QUIET) as cluster:
        node = cluster.nodes[0]
        say(f"writing {keys:,} keys to both")
        empty = _resident(node), _redis_resident(other.port())
        fill(node.port, keys)
        fill(other.port(), keys)
        mine, its = _resident(node) - empty[0], _redis_resident(other.port()) - empty[1]
        found.add(MEMORY, mine / its)
        found.tell("memory a key", f"{mine / keys:.0f} bytes, redis {its / keys:.0f}")
        _snapshots(node, keys, found, say)
        _compare_with_rdb(node, other.port(), keys, parent, found, say)
    _rejoin(parent, keys, found, say)
    _overwrite(parent, overwrites, found, say)
    return found


QUIET: Sections = {"snapshot": {"journal_bytes": "1024gb", "entries": 1 << 40, "every_s": 0}}
"""Settings with which a snapshot is taken only when it is asked for."""


def _snapshots(node: Node, keys: int, found: Storage, say: Callable[[str], None]) -> None:
    say("snapshots under writes")
    ratios: list[float] = []
    took: list[float] = []
    pings = Pings(node.port)
    slowest: dict[bool, list[float]] = {True: [], False: []}
    with load(node.port, keys), pings:
        time.sleep(1.0)
        before = rate(node, LOAD_S)
        slowest[False].append(pings.slowest_ms())
        for _ in range(SNAPSHOTS):
            started = time.monotonic()
            while_it = rate(node, until=_saving(node))
            took.append(time.monotonic() - started)
            slowest[True].append(pings.slowest_ms())
            after = rate(node, LOAD_S)
            slowest[False].append(pings.slowest_ms())
            ratios.append(while_it / median((before, after)))
            before = after
    found.add(STALL, float(facts(node)["ironkv_snapshot_longest_slice_ms"]))
    found.add(THROUGHPUT, median(ratios))
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    found.tell("writes while a snapshot of all slots is taken", each)
    found.tell(
        "slowest PING beside these writes, with a snapshot and without",
        f"{median(slowest[True]):.0f} ms, {median(slowest[False]):.0f} ms",
    )
    found.tell("such a snapshot, under writes", f"{median(took):.1f} s, {_written(node)}")
    _save(node)
    few = [f"{{tag{n % 160}}}key{n}" for n in range(keys // 100)]
    overwrite(node.port, few)
    _save(node)
    say("snapshots after 1 % of the keys were written")
    overwrite(node.port, few)
    _save(node)
    found.tell("1 % of the keys written, in 160 slots", f"{_written(node)} by the snapshot")
    chance = random.Random(3)
    overwrite(node.port, [key(chance.randrange(keys)) for _ in range(keys // 100)])
    _save(node)
    found.tell("1 % of the keys written, in all slots", f"{_written(node)} by the snapshot")


def _compare_with_rdb(
    node: Node, port: int, keys: int, parent: Path, found: Storage, say: Callable[[str], None]
) -> None:
    """Size and time to load: both hold the same keys again."""
    with node.connect(120) as client:
        client.call("FLUSHALL")
    fill(node.port, keys)
    _save(node)
    with Client("127.0.0.1", port, timeout=120) as client:
        directory = Path(client.call("CONFIG", "GET", "dir")[1].decode())  # type: ignore[index, union-attr]
        client.call("SAVE")
    rdb = directory / "dump.rdb"
    images = int(facts(node)["ironkv_snapshot_bytes"]) - int(facts(node)["ironkv_snapshot_bytes_free"])
    found.add(SIZE, images / rdb.stat().st_size)
    found.tell("snapshot", f"{images / 1e6:.1f} MB, redis's RDB {rdb.stat().st_size / 1e6:.1f} MB")
    say("restarting both")
    node.terminate()
    node.stop()
    mine = []
    for _ in range(3):
        began = time.monotonic()
        node.start()
        wait_for(lambda: _holds(node.port, keys), "the node has loaded its snapshot", 120, pause=0.005)
        mine.append(time.monotonic() - began)
        node.kill()
    its = [_redis_load(rdb, keys, parent) for _ in range(3)]
    found.add(RESTART, median(mine), keys)
    found.tell("restart, to redis-server with its RDB", f"{median(mine):.2f} s to {median(its):.2f} s")


def _redis_load(rdb: Path, keys: int, parent: Path) -> float:
    copy = parent / f"load-{os.getpid()}.rdb"
    shutil.copyfile(rdb, copy)
    try:
        began = time.monotonic()
        with redis(parent, "--dir", str(parent), "--dbfilename", copy.name) as other:
            wait_for(lambda: _holds(other.port(), keys), "redis has loaded", 120, pause=0.005)
            return time.monotonic() - began
    finally:
        copy.unlink()


def _rejoin(parent: Path, keys: int, found: Storage, say: Callable[[str], None]) -> None:
    """A follower whose directory is gone, while clients write to the leader."""
    settings: Sections = {"snapshot": {"keep_entries": 1_000, "keep_bytes": "1mb"}}
    with ThrowawayCluster(3, parent=parent, settings=settings) as cluster:
        say(f"an empty follower joins {keys:,} keys")
        leader = cluster.wait_for_leader()
        fill(leader.port, keys)
        cluster.wait_until_level()
        _save(leader)
        follower = cluster.followers(leader)[0]
        follower.kill()
        shutil.rmtree(follower.data_dir)
        with load(leader.port, keys):
            time.sleep(1.0)
            before = rate(leader, 2.0)
            began = time.monotonic()
            follower.start()
            commit = int(facts(leader)["raft_commit_index"])

            def caught_up() -> bool:
                now = follower.facts()
                return now is not None and now.applied >= commit

            during = rate(leader, until=caught_up)
            took = time.monotonic() - began
        found.add(REJOIN, took, keys)
        found.tell("writes a second meanwhile, to before", f"{during:,.0f} to {before:,.0f}")


def _overwrite(parent: Path, overwrites: int, found: Storage, say: Callable[[str], None]) -> None:
    tail = 16 << 20
    settings: Sections = {
        "snapshot": {"journal_bytes": "16mb", "keep_bytes": str(tail), "keep_entries": 1 << 40}
    }
    with ThrowawayCluster(1, parent=parent, settings=settings) as cluster:
        node = cluster.nodes[0]
        say(f"overwriting 100,000 keys {overwrites:,} times in all")
        benchmark(node.port, overwrites, keys=100_000)
        wait_for(lambda: facts(node)["rdb_bgsave_in_progress"] == "0", "the last snapshot has ended")
        known = facts(node)
        size = (node.data_dir / "journal" / "data.mdb").stat().st_size
        found.add(JOURNAL, size / tail, overwrites)
        found.tell(
            "journal, snapshots",
            f"{size / 1e6:.0f} MB with a tail of {tail / 1e6:.0f} MB, "
            f"{int(known['ironkv_snapshot_bytes']) / 1e6:.0f} MB",
        )


# -- looking


def _saving(node: Node) -> Callable[[], bool]:
    """Begin a snapshot; whether it has ended."""
    with node.connect() as client:
        client.call("BGSAVE")
    return lambda: facts(node)["rdb_bgsave_in_progress"] == "0"


def _save(node: Node) -> None:
    with node.connect(120) as client:
        client.call("SAVE")


def _written(node: Node) -> str:
    return f"{int(facts(node)['ironkv_snapshot_last_bytes_written']) / 1e6:.1f} MB written"


def _holds(port: int, keys: int) -> bool:
    try:
        with Client("127.0.0.1", port, timeout=5) as client:
            size = client.call("DBSIZE")
            return isinstance(size, int) and size >= keys
    except (OSError, ErrorReply):
        return False


def _resident(node: Node) -> int:
    return int(facts(node)["used_memory_rss"])


def _redis_resident(port: int) -> int:
    with Client("127.0.0.1", port) as client:
        text = client.call("INFO", "memory")
    assert isinstance(text, bytes)
    fields = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return int(fields["used_memory_rss"])

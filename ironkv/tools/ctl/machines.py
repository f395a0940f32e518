"""What each node's machine gives it, as the node tells it in INFO host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ironkv.offline.console import size
from ironkv.storage.room import NETWORK
from ironkv.tools.ctl.findings import Finding, fine, trouble, warning
from ironkv.tools.ctl.seen import Seen

PARAMETERS: Final = ("raft.election_timeout_ms", "raft.heartbeat_ms", "disk.reserve")
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
LAYERED: Final = frozenset({"overlay", "aufs"})
UNFLUSHED: Final = frozenset({"nobarrier", "barrier=0"})
"""Options of mounts that make a flush a lie."""
OWN_FILES: Final = 128
ENOUGH: Final = 100
"""Journal writes from which on their times say something."""
QUICK_US: Final = 60
"""A write of the journal flushes twice; that no disk does in this time without a cache of its own."""
SLOW_US: Final = 50_000
LATE_US: Final = 100_000
BACKLOG: Final = 511
FULL: Final = 0.85
SWAPPED: Final = 16 << 20


def judge(nodes: Sequence[Seen]) -> Iterator[Finding]:
    """Trouble and warnings node by node; what is well with all of them in a word."""
    told = [node for node in nodes if "host_cores" in node.info]
    for subject, look in CHECKS.items():
        found = [finding for node in told for finding in look(node)]
        yield from found
        if told and not found:
            yield fine(subject, _well(subject, told))


def _well(subject: str, told: Sequence[Seen]) -> str:
    if subject == "disk speed":
        worst = max(node.number("host_journal_p99_usec") for node in told)
        return f"99 % of the journal's writes took {worst / 1000:.1f} ms or less, flushes included"
    if subject == "disk room":
        return f"{size(min(node.number('host_disk_free') for node in told))} free at least"
    return {"limits": "open files and address space do", "memory": "enough, and none swapped out",
            "disk": "/".join(sorted({node.info.get("host_disk_filesystem", "unknown") for node in told})),
            "kernel": "nothing to mend", "loop": "no node is held up"}[subject]  # fmt: skip


def _limits(node: Seen) -> Iterator[Finding]:
    files, clients = node.number("host_open_files"), node.number("maxclients")
    if 0 <= files < clients + OWN_FILES:
        yield warning(
            "limits", f"{node.id} may open {files:,} files, so no more than {files - OWN_FILES:,} clients get in, and "
            f"maxclients is {clients:,}: raise the limit (LimitNOFILE=, ulimit -n)",
        )  # fmt: skip
    space = node.number("host_address_space")
    if space >= 0:
        yield warning(
            "limits",
            f"{node.id}'s address space is limited to {size(space)} (ulimit -v): the journal maps its whole journal.map_size",
        )


def _memory(node: Seen) -> Iterator[Finding]:
    used, whole = node.number("used_memory_rss"), node.number("total_system_memory")
    limit = node.number("host_memory_limit")
    most = min(each for each in (limit, whole) if each > 0) if max(limit, whole) > 0 else 0
    if most and used > FULL * most:
        yield trouble(
            "memory",
            f"{node.id} uses {size(used)} of {size(most)}: soon the system kills it. Nothing is evicted here: delete keys, or give it more",
        )
    if node.number("host_memory_swapped") > SWAPPED:
        yield warning(
            "memory",
            f"{size(node.number('host_memory_swapped'))} of {node.id} are swapped out: commands that touch them wait for the disk",
        )


def _disk(node: Seen) -> Iterator[Finding]:
    kind, options = node.info.get("host_disk_filesystem", ""), node.info.get("host_disk_options", "")
    yield from filesystem(node.id, kind, options)


def filesystem(who: str, kind: str, options: str) -> Iterator[Finding]:
    """What is wrong with keeping data on such a file system."""
    if kind in IN_MEMORY:
        yield trouble(
            "disk",
            f"{who}'s data is in memory ({kind}): a restart of the machine loses all of it, whatever was acknowledged",
        )
    if kind in NETWORK:
        yield trouble(
            "disk",
            f"{who}'s data is on a network file system ({kind}), where LMDB's locks and flushes cannot be trusted: use a local disk",
        )
    if kind in LAYERED:
        yield warning(
            "disk",
            f"{who}'s data is in a container's own layer ({kind}): it goes when the container does. Use a volume",
        )
    if lies := UNFLUSHED & set(options.split(",")):
        yield trouble(
            "disk",
            f"{who}'s file system is mounted with {', '.join(sorted(lies))}: what is acknowledged may be lost in a power cut",
        )


def _speed(node: Seen) -> Iterator[Finding]:
    if node.number("host_journal_writes") < ENOUGH:
        return
    middle, worst = node.number("host_journal_p50_usec"), node.number("host_journal_p99_usec")
    timeout_us = 1000 * int(node.config.get("raft.election_timeout_ms", 0))
    if timeout_us and worst > timeout_us:
        yield trouble(
            "disk speed", f"{node.id}'s journal: one write in a hundred takes {worst / 1e6:.1f} s, longer than an election timeout: "
            "a leader with such a disk gives the leadership away. What else uses that disk?",
        )  # fmt: skip
    elif worst > SLOW_US:
        yield warning(
            "disk speed",
            f"{node.id}'s journal: one write in a hundred takes {worst / 1000:.0f} ms and more. What else uses that disk?",
        )
    if middle < QUICK_US and node.info.get("host_disk_filesystem") not in IN_MEMORY:
        yield quick(node.id, middle)


def quick(who: str, us: float) -> Finding:
    """A disk that flushes too quickly to be believed without a look."""
    return warning(
        "disk speed", f"{who}: a flush takes {us:.0f} µs. Either the disk keeps what it was told in a power cut (capacitors, a "
        "battery), or something answers before it is safe (a virtual disk with cache=unsafe, a drive that lies): find out which",
    )  # fmt: skip


def _room(node: Seen) -> Iterator[Finding]:
    free, whole = node.number("host_disk_free"), node.number("host_disk_total")
    held = max(node.number("ironkv_snapshot_bytes"), 0)
    reserve = int(node.config.get("disk.reserve", 0))
    if free < 0:
        return
    if free < 2 * reserve:
        yield trouble(
            "disk room", f"{node.id} has {size(free)} left; below {size(reserve)} what adds data is refused"
        )
    elif free < held + reserve:
        yield warning(
            "disk room",
            f"{node.id} has {size(free)} left, and the next snapshot may need {size(held)} before it frees the last one",
        )
    elif free < 0.1 * whole:
        yield warning("disk room", f"{node.id} has {size(free)} left, {100 * free / whole:.0f} % of the disk")


def _kernel(node: Seen) -> Iterator[Finding]:
    """Redis's warnings about overcommit and huge pages are about fork, which no node does. What is left of them:"""
    if node.info.get("host_overcommit_memory") == "2":
        yield warning(
            "kernel",
            f"{node.id}: vm.overcommit_memory is 2: memory can be refused while some is free. 0 or 1 is better",
        )
    if node.info.get("host_thp") == "always" and node.info.get("host_thp_defrag") == "always":
        yield warning(
            "kernel",
            f"{node.id}: the kernel stops processes to make huge pages (transparent_hugepage/defrag is always): choose madvise",
        )
    backlog = node.number("host_somaxconn")
    if 0 <= backlog < BACKLOG:
        yield warning(
            "kernel",
            f"{node.id}: net.core.somaxconn is {backlog}: when many clients connect at once, some are dropped. 4096 is usual",
        )


def _loop(node: Seen) -> Iterator[Finding]:
    late = node.number("host_loop_late_p99_usec")
    if late > LATE_US:
        yield warning(
            "loop",
            f"{node.id} is often held up, for {late / 1000:.0f} ms and more: heavy commands (SLOWLOG GET), or too little processor time",
        )


CHECKS: Final[dict[str, Callable[[Seen], Iterator[Finding]]]] = {
    "limits": _limits,
    "memory": _memory,
    "disk": _disk,
    "disk speed": _speed,
    "disk room": _room,
    "kernel": _kernel,
    "loop": _loop,
}

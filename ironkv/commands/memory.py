"""MEMORY: how much is held. Python does not say what of it is whose, so most of it is estimated."""

from __future__ import annotations

from sys import getsizeof
from typing import Any, Final

from ironkv.commands import info_sections
from ironkv.commands.arguments import integer
from ironkv.commands.help_texts import help_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.values import Value
from ironkv.resp.replies import OK, Reply, Verbatim

SECOND: Final = (2, 2, 1)
KEY_BYTES: Final = 100
"""What a key takes in its slot's dict, beside its own bytes and its value."""
DEADLINE_BYTES: Final = 150
ITEM_BYTES: Final = 40
"""What a structure takes for an item, beside the item's own bytes: its part of a dict or list."""
SAMPLES: Final = 5
SHARE: Final = 0.8
"""Of the machine's memory: more is worth a word."""

HELP: Final = help_of(
    "MEMORY",
    """
DOCTOR
    Return memory problems reports.
MALLOC-STATS
    Return internal statistics report from the memory allocator.
PURGE
    Attempt to purge dirty pages for reclamation by the allocator.
STATS
    Return information about the memory usage of the server.
USAGE <key> [SAMPLES <count>]
    Return memory in bytes used by <key> and its value. Nested values are
    sampled up to <count> times (default: 5, 0 means sample all).
""",
)


@command(
    "MEMORY",
    -2,
    Route.LOCAL,
    "",
    group="server",
    since="4.0.0",
    complexity="Depends on subcommand.",
    summary="A container for memory diagnostics commands.",
)
def memory(session: Session, args: Args) -> Reply:
    """MEMORY subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


def parse_usage(args: Args) -> int:
    """MEMORY USAGE key [SAMPLES count] -> samples"""
    if len(args) == 3:
        return SAMPLES
    if len(args) != 5 or args[3].upper() != b"SAMPLES":
        raise SyntaxFault
    samples = integer(args[4])
    if samples < 0:
        raise SyntaxFault
    return samples


@command(
    "MEMORY|USAGE",
    -3,
    Route.READ,
    "readonly",
    keys=SECOND,
    group="server",
    since="4.0.0",
    complexity="O(N) where N is the number of samples.",
    summary="Estimates the memory usage of a key.",
)
def memory_usage(db: Database, args: Args, now_ms: int) -> Reply:
    """MEMORY USAGE key [SAMPLES count]: bytes, estimated from the first `count` elements."""
    samples = parse_usage(args)
    value = db.find(args[2])
    if value is None:
        return None
    deadline = DEADLINE_BYTES if db.deadline(args[2]) is not None else 0
    return KEY_BYTES + getsizeof(args[2]) + deadline + footprint(value, samples)


def footprint(value: Value, samples: int) -> int:
    """About how many bytes a value takes, estimated from that many elements, 0 for all of them."""
    if type(value) is bytes:
        return getsizeof(value)
    total, seen, count = 0, 0, 0
    for piece in value.pieces(samples or 4096):
        count += len(piece)
        looked_at = piece[: 2 * samples - seen] if samples else piece
        seen += len(looked_at)
        total += sum(ITEM_BYTES + getsizeof(item) for item in looked_at)
        if samples and seen >= 2 * samples:
            break
    items = max(len(value) * _items_each(value), count)
    return getsizeof(value) + (total * items // seen if seen else 0)


def _items_each(value: Any) -> int:
    """How many items of its pieces an element is."""
    return 2 if value.type_name in (b"hash", b"zset") else 1


@command(
    "MEMORY|STATS",
    2,
    Route.LOCAL,
    "",
    group="server",
    since="4.0.0",
    complexity="O(1)",
    summary="Returns details about memory usage.",
)
def memory_stats(session: Session, args: Args) -> Reply:
    """MEMORY STATS: of Redis's fields those that are known here."""
    node = session.node
    found: dict[str, Any] = dict(info_sections.memory(node))
    used, peak = found["used_memory"], found["used_memory_peak"]
    keys = sum(map(len, node.keyspace.used()))
    buffers = sum(sum(other.buffer_sizes()) for other in node.sessions.values())
    return {
        b"peak.allocated": peak,
        b"total.allocated": used,
        b"clients.normal": buffers,
        b"keys.count": keys,
        b"keys.bytes-per-key": used // keys if keys else 0,
        b"peak.percentage": 100 * used / peak,
    }


@command(
    "MEMORY|DOCTOR",
    2,
    Route.LOCAL,
    "",
    group="server",
    since="4.0.0",
    complexity="O(1)",
    summary="Outputs a memory problems report.",
)
def memory_doctor(session: Session, args: Args) -> Reply:
    """MEMORY DOCTOR"""
    found: dict[str, Any] = dict(info_sections.memory(session.node))
    used, total = found["used_memory"], found["total_system_memory"]
    report = f"This node holds {info_sections.human(used)} of {info_sections.human(total)}."
    if used > SHARE * total:
        report += " That is more than a snapshot or a burst of writes leaves room for: give it more memory."
    else:
        report += " Nothing stands out."
    return Verbatim(report.encode() + b"\n")


@command(
    "MEMORY|MALLOC-STATS",
    2,
    Route.LOCAL,
    "",
    group="server",
    since="4.0.0",
    complexity="Depends on how much memory is allocated, could be slow",
    summary="Returns the allocator statistics.",
)
def memory_malloc_stats(session: Session, args: Args) -> Reply:
    """MEMORY MALLOC-STATS: what Redis says without jemalloc."""
    return b"Stats not supported for the current allocator"


@command(
    "MEMORY|PURGE",
    2,
    Route.LOCAL,
    "",
    group="server",
    since="4.0.0",
    complexity="Depends on how much memory is allocated, could be slow",
    summary="Asks the allocator to release memory.",
)
def memory_purge(session: Session, args: Args) -> Reply:
    """MEMORY PURGE: OK, and nothing to do, as in Redis without jemalloc."""
    return OK


@command(
    "MEMORY|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="4.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def memory_help(session: Session, args: Args) -> Reply:
    """MEMORY HELP"""
    return HELP

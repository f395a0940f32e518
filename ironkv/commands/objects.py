"""OBJECT: how a value is held."""

from __future__ import annotations

from typing import Final

from ironkv.commands.arguments import integer
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, NotInteger
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.values import Value, encoding
from ironkv.resp.replies import Reply, Status

SECOND: Final = (2, 2, 1)

SHARED_INTEGERS: Final = 10_000
SHARED: Final = 2**31 - 1
"""Redis keeps one object for every small integer and never frees it: so many references it claims."""

HELP: Final = [
    Status(line.encode())
    for line in (
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Print this help.",
    )
]


@command(
    "OBJECT",
    -2,
    Route.READ,
    "",
    group="generic",
    since="2.2.3",
    complexity="Depends on subcommand.",
    summary="A container for object introspection commands.",
)
def object_(db: Database, args: Args, now_ms: int) -> Reply:
    """OBJECT subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


@command(
    "OBJECT|ENCODING",
    3,
    Route.READ,
    "readonly",
    keys=SECOND,
    group="generic",
    since="2.2.3",
    complexity="O(1)",
    summary="Returns the internal encoding of a Redis object.",
)
def object_encoding(db: Database, args: Args, now_ms: int) -> Reply:
    """OBJECT ENCODING key: as Redis would hold it when it is set anew."""
    value = db.find(args[2])
    return None if value is None else encoding(value)


@command(
    "OBJECT|REFCOUNT",
    3,
    Route.READ,
    "readonly",
    keys=SECOND,
    group="generic",
    since="2.2.3",
    complexity="O(1)",
    summary="Returns the reference count of a value of a key.",
)
def object_refcount(db: Database, args: Args, now_ms: int) -> Reply:
    """OBJECT REFCOUNT key"""
    value = db.find(args[2])
    if value is None:
        return None
    return SHARED if _is_shared(value) else 1


def _is_shared(value: Value) -> bool:
    if type(value) is not bytes:
        return False
    try:
        return 0 <= integer(value) < SHARED_INTEGERS
    except NotInteger:
        return False


@command(
    "OBJECT|IDLETIME",
    3,
    Route.READ,
    "readonly",
    keys=SECOND,
    group="generic",
    since="2.2.3",
    complexity="O(1)",
    summary="Returns the time since the last access to a Redis object.",
)
def object_idletime(db: Database, args: Args, now_ms: int) -> Reply:
    """OBJECT IDLETIME key: access times are not kept, so no key is ever idle."""
    return None if db.find(args[2]) is None else 0


@command(
    "OBJECT|FREQ",
    3,
    Route.READ,
    "readonly",
    keys=SECOND,
    group="generic",
    since="4.0.0",
    complexity="O(1)",
    summary="Returns the logarithmic access frequency counter of a Redis object.",
)
def object_freq(db: Database, args: Args, now_ms: int) -> Reply:
    """OBJECT FREQ key: there is no eviction, so no frequencies are kept."""
    if db.find(args[2]) is None:
        return None
    raise CommandError(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
        "switching between policies at runtime LRU and LFU data will take some time to adjust."
    )


@command(
    "OBJECT|HELP",
    2,
    Route.READ,
    "loading stale",
    group="generic",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def object_help(db: Database, args: Args, now_ms: int) -> Reply:
    """OBJECT HELP"""
    return HELP

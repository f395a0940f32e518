"""Scripts while the leader's memory is full (`limits.maxmemory`).

Whether memory is full is the leader's to say, and differs from node to node. A script finds out when one of
its commands is refused, so the log says that it came in such a time: the server puts IRONKV TIGHT in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ironkv.commands import script_calls
from ironkv.commands.acting import ACTING, Wrapped, carried_out
from ironkv.commands.table import Args, Command, Route, command, find
from ironkv.errors import CommandError, NotAvailable
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import Reply

OUT_OF_MEMORY: Final = NotAvailable(script_calls.OUT_OF_MEMORY)
"""What other commands are told that add data."""

HEAD: Final = 2
"""IRONKV TIGHT: what stands before the request itself."""
_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA", "IRONKV|AS"})


def runs_tight(row: Command) -> bool:
    """Whether a command finds out by itself what it may not do while memory is full."""
    return row.name in _SCRIPTS


def tightened(args: Args) -> Args:
    """A script's request, as it is logged while memory is full."""
    return [Wrapped(b"IRONKV"), b"TIGHT", *args]


def _inner(args: Args) -> tuple[Command, Args]:
    row = find(args[HEAD:])
    if not runs_tight(row):
        raise CommandError("ERR only scripts know what to do without memory")
    return row, args[HEAD:]


def check_tight(args: Args) -> None:
    """IRONKV TIGHT script-command [arg ...]. Raises CommandError."""
    row, inner = _inner(args)
    if row.check is not None:
        row.check(inner)


def keys_within(args: Args) -> Sequence[bytes]:
    """The keys that the script's caller declares. Raises CommandError."""
    row, inner = _inner(args)
    return row.key_args(inner)


@command(
    "IRONKV|TIGHT",
    -5,
    Route.WRITE,
    "write admin noscript stale skip_monitor movablekeys",
    check=check_tight,
    find_keys=keys_within,
    group="scripting",
    since="0.2.0",
    complexity="That of the script.",
    summary="Runs a script as while memory is full.",
)
def run_tight(db: Database, args: Args, now_ms: int) -> Reply:
    """IRONKV TIGHT (EVAL | EVALSHA) script numkeys [key ...] [arg ...]"""
    row, inner = _inner(args)
    script_calls.tight = True
    try:
        if row.name in ACTING:  # which sees to that itself
            return row.handler(db, inner, now_ms)
        return carried_out(row, db, inner, now_ms)
    finally:
        script_calls.tight = False

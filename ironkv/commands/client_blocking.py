"""CLIENT UNBLOCK, PAUSE and UNPAUSE: ending others' waiting, and making all wait."""

from __future__ import annotations

from typing import Final

from ironkv.commands import clients  # noqa: F401  (CLIENT's own row comes first)
from ironkv.commands.arguments import integer
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, NotInteger
from ironkv.resp.replies import NULL_ARRAY, OK, Reply

UNBLOCKED: Final = "UNBLOCKED client unblocked via CLIENT UNBLOCK"


@command(
    "CLIENT|UNBLOCK",
    -3,
    Route.LOCAL,
    "admin noscript loading stale",
    group="connection",
    since="5.0.0",
    complexity="O(log N) where N is the number of client connections",
    summary="Unblocks a client blocked by a blocking command from a different connection.",
)
def client_unblock(session: Session, args: Args) -> Reply:
    """CLIENT UNBLOCK client-id [TIMEOUT | ERROR]: whether it was blocked."""
    reason = args[3].upper() if len(args) == 4 else b"TIMEOUT"
    if len(args) > 4 or reason not in (b"TIMEOUT", b"ERROR"):
        raise CommandError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    other = session.node.sessions.get(integer(args[2]))
    if other is None:
        return 0
    return 1 if other.unblock(CommandError(UNBLOCKED) if reason == b"ERROR" else NULL_ARRAY) else 0


@command(
    "CLIENT|PAUSE",
    -3,
    Route.LOCAL,
    "admin noscript loading stale",
    group="connection",
    since="2.9.50",
    complexity="O(1)",
    summary="Suspends commands processing.",
)
def client_pause(session: Session, args: Args) -> Reply:
    """CLIENT PAUSE timeout [WRITE | ALL]"""
    mode = args[3].upper() if len(args) == 4 else b"ALL"
    if len(args) > 4 or mode not in (b"WRITE", b"ALL"):
        raise CommandError("ERR CLIENT PAUSE mode must be WRITE or ALL")
    try:
        timeout_ms = integer(args[2])
    except NotInteger:
        raise CommandError("ERR timeout is not an integer or out of range") from None
    if timeout_ms < 0:
        raise CommandError("ERR timeout is negative")
    session.node.pause_clients(timeout_ms, writes_only=mode == b"WRITE")
    return OK


@command(
    "CLIENT|UNPAUSE",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="connection",
    since="6.2.0",
    complexity="O(N) Where N is the number of paused clients",
    summary="Resumes processing commands from paused clients.",
)
def client_unpause(session: Session, args: Args) -> Reply:
    """CLIENT UNPAUSE"""
    session.node.pause_clients(0, writes_only=True)
    return OK

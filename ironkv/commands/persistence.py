"""SAVE and its kin. Every acknowledged write is on disk anyway: a snapshot only makes a restart quick and
lets the journal be trimmed. Each is about the node that is asked, and about no other."""

from __future__ import annotations

from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.resp.replies import Reply, Status


@command(
    "SAVE",
    1,
    Route.LOCAL,
    "admin noscript no_async_loading no_multi",
    group="server",
    since="1.0.0",
    complexity="O(N) where N is the total number of keys in all databases",
    summary="Synchronously saves the database(s) to disk.",
)
def save(session: Session, args: Args) -> Reply:
    """SAVE: OK once a snapshot is on disk. Other clients are served meanwhile."""
    return session.node.save()


@command(
    "BGSAVE",
    -1,
    Route.LOCAL,
    "admin noscript no_async_loading",
    group="server",
    since="1.0.0",
    complexity="O(1)",
    summary="Asynchronously saves the database(s) to disk.",
)
def bgsave(session: Session, args: Args) -> Reply:
    """BGSAVE [SCHEDULE]"""
    schedule = len(args) > 1
    if len(args) > 2 or (schedule and args[1].upper() != b"SCHEDULE"):
        raise SyntaxFault
    try:
        session.node.save()
    except CommandError:
        if not schedule:
            raise
        session.node.save_again()
        return Status(b"Background saving scheduled")
    return Status(b"Background saving started")


@command(
    "BGREWRITEAOF",
    1,
    Route.LOCAL,
    "admin noscript no_async_loading",
    group="server",
    since="1.0.0",
    complexity="O(1)",
    summary="Asynchronously rewrites the append-only file to disk.",
)
def bgrewriteaof(session: Session, args: Args) -> Reply:
    """BGREWRITEAOF: the journal is this node's append-only file. A snapshot lets it be trimmed."""
    try:
        session.node.save()
    except CommandError:
        session.node.save_again()
        return Status(b"Background append only file rewriting scheduled")
    return Status(b"Background append only file rewriting started")


@command(
    "LASTSAVE",
    1,
    Route.LOCAL,
    "loading stale fast",
    group="server",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the Unix timestamp of the last successful save to disk.",
    categories="admin dangerous",
)
def lastsave(session: Session, args: Args) -> Reply:
    """LASTSAVE: when the newest snapshot was taken, in seconds since the epoch."""
    saved: int = session.node.snapshot_view()["saved_s"]
    return saved

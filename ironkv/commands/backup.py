"""IRONKV BACKUP and IRONKV RECORDS: what `ironkv-backup` asks a running node for. Redis has no such."""

from __future__ import annotations

from ironkv.commands.arguments import integer
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.resp.replies import Reply


@command(
    "IRONKV",
    -2,
    Route.LOCAL,
    "",
    group="server",
    since="0.1.0",
    complexity="Depends on subcommand.",
    summary="A container for commands that only IronKV has.",
)
def ironkv(session: Session, args: Args) -> Reply:
    """IRONKV"""
    raise AssertionError("a subcommand answers")


@command(
    "IRONKV|BACKUP",
    2,
    Route.LOCAL,
    "admin noscript no_multi",
    group="server",
    since="0.1.0",
    complexity="O(N) where N is the total number of keys in all databases",
    summary="Takes a snapshot that can be read with IRONKV RECORDS.",
)
def backup(session: Session, args: Args) -> Reply:
    """IRONKV BACKUP: [manifest, cluster, version] once a snapshot of all that is applied now is on disk."""
    return session.node.backup()


@command(
    "IRONKV|RECORDS",
    4,
    Route.LOCAL,
    "admin noscript no_multi",
    group="server",
    since="0.1.0",
    complexity="O(1)",
    summary="Returns part of a snapshot that IRONKV BACKUP took.",
)
def records(session: Session, args: Args) -> Reply:
    """IRONKV RECORDS index after: [key, record, ...], about 1 MB of them behind `after`; none at the end."""
    return session.node.backup_records(integer(args[2]), args[3])

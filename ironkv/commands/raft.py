"""RAFT: how this node sees its cluster, and what an operator may ask of it. Redis has no such."""

from __future__ import annotations

from typing import Final

from ironkv.commands.connection import leads
from ironkv.commands.help_texts import help_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError
from ironkv.resp.replies import OK, Reply

HELP: Final = help_of(
    "RAFT",
    """
MEMBERS
    Return the members of the cluster as this node sees them.
SNAPSHOT
    Take a snapshot of this node's state; reply once it is on disk.
STATUS
    Return this node's role, term and indices.
TRANSFER [<id>]
    Hand the leadership to node <id>, or to the follower that has most of the log.
""",
)


@command(
    "RAFT",
    -2,
    Route.LOCAL,
    "",
    group="server",
    since="0.1.0",
    complexity="Depends on subcommand.",
    summary="A container for commands about the cluster's consensus.",
)
def raft(session: Session, args: Args) -> Reply:
    """RAFT"""
    raise AssertionError("a subcommand answers")


@command(
    "RAFT|STATUS",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="0.1.0",
    complexity="O(1)",
    summary="Returns the role, term and indices of this node.",
)
def raft_status(session: Session, args: Args) -> Reply:
    """RAFT STATUS: a map. `leader` is null while this node knows of none."""
    view = session.node.raft_view()
    names = ("role", "term", "leader", "commit", "applied", "last_index")
    shown: dict[Reply, Reply] = {b"id": session.node.settings.node.id.encode()}
    for name in names:
        value = view[name]
        shown[name.encode()] = value.encode() if isinstance(value, str) else value
    shown[b"fresh"] = int(view["fresh"])
    shown[b"transferring"] = int(session.node.transferring)
    return shown


@command(
    "RAFT|MEMBERS",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="0.1.0",
    complexity="O(N) where N is the number of members",
    summary="Returns the members of the cluster.",
)
def raft_members(session: Session, args: Args) -> Reply:
    """RAFT MEMBERS: a map each. `match` (index) and `lag_ms` are null where only the leader would know."""
    members: list[Reply] = []
    for member in session.node.raft_view()["nodes"]:
        shown: dict[Reply, Reply] = {}
        for name in ("id", "host", "port", "role", "match", "lag_ms"):
            value = member[name]
            shown[name.encode()] = value.encode() if isinstance(value, str) else value
        shown[b"online"] = int(member["online"])
        members.append(shown)
    return members


@command(
    "RAFT|TRANSFER",
    -2,
    Route.LOCAL,
    "admin noscript stale",
    group="server",
    since="0.1.0",
    complexity="O(1)",
    summary="Hands the leadership to another node.",
)
def raft_transfer(session: Session, args: Args) -> Reply:
    """RAFT TRANSFER [id]: OK once it is being handed over; it is given up after an election timeout."""
    node = session.node
    if len(args) > 3:
        raise CommandError("ERR wrong number of arguments for 'raft|transfer' command")
    if not node.settings.cluster.enabled:
        raise CommandError("ERR leadership cannot be handed over: this node stands alone")
    if not leads(node):
        leader = node.raft_view()["leader"]
        raise CommandError(f"NOTLEADER {f'the leader is {leader}' if leader else 'no leader is known'}")
    node.transfer(args[2].decode("utf-8", "surrogateescape") if len(args) == 3 else None)
    return OK


@command(
    "RAFT|SNAPSHOT",
    2,
    Route.LOCAL,
    "admin noscript no_async_loading no_multi",
    group="server",
    since="0.1.0",
    complexity="O(N) where N is the total number of keys in all databases",
    summary="Takes a snapshot of this node's state.",
)
def raft_snapshot(session: Session, args: Args) -> Reply:
    """RAFT SNAPSHOT: OK once it is on disk."""
    return session.node.save()


@command(
    "RAFT|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="0.1.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def raft_help(session: Session, args: Args) -> Reply:
    """RAFT HELP"""
    return HELP

"""RAFT: how this node sees its cluster, and what an operator may ask of it. Redis has no such."""

from __future__ import annotations

import re
from typing import Final

from ironkv.commands.arguments import integer
from ironkv.commands.help_texts import help_of
from ironkv.commands.later import Later
from ironkv.commands.session import NodeView, Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError
from ironkv.resp.replies import Reply

NAME: Final = rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

HELP: Final = help_of(
    "RAFT",
    """
ADD <id> <host> <port> <cluster-port>
    Add a node to the cluster, or change the address of a member. It begins as a learner,
    and gets its vote once it has caught up.
MEMBERS
    Return the members of the cluster as this node sees them.
PROMOTE <id>
    Give a learner its vote now.
REMOVE <id>
    Take a node out of the cluster.
SNAPSHOT
    Take a snapshot of this node's state; reply once it is on disk.
STATUS
    Return this node's role, term and indices, and its view of the members.
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
    summary="Returns the role, term and indices of this node, and the members as it sees them.",
)
def raft_status(session: Session, args: Args) -> Reply:
    """RAFT STATUS: a map. `leader` is null while this node knows of none; `members` is what RAFT MEMBERS
    says, with how far each has come if this node leads."""
    view = session.node.raft_view()
    names = ("role", "term", "leader", "commit", "applied", "last_index")
    settings = session.node.settings
    shown: dict[Reply, Reply] = {b"id": settings.node.id.encode(), b"cluster": settings.cluster.name.encode()}
    for name in names:
        value = view[name]
        shown[name.encode()] = value.encode() if isinstance(value, str) else value
    shown[b"fresh"] = int(view["fresh"])
    shown[b"transferring"] = int(session.node.transferring)
    shown[b"member"] = int(view["member"])
    shown[b"members"] = raft_members(session, args)
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
    """RAFT MEMBERS: a map each. `vote`: `voter`, `learner`, or `leaving` while a change of voters is under
    way; `match` (index) and `lag_ms` are null where only the leader would know."""
    members: list[Reply] = []
    for member in session.node.raft_view()["nodes"]:
        shown: dict[Reply, Reply] = {}
        for name in ("id", "host", "port", "cluster_port", "vote", "role", "match", "lag_ms"):
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
    if len(args) > 3:
        raise CommandError("ERR wrong number of arguments for 'raft|transfer' command")
    return order(session.node, args[1:])


@command(
    "RAFT|ADD",
    6,
    Route.LOCAL,
    "admin noscript no_multi stale",
    group="server",
    since="0.1.0",
    complexity="O(1); the new node then fetches the whole state",
    summary="Adds a node to the cluster, or changes the address of one.",
)
def raft_add(session: Session, args: Args) -> Reply:
    """RAFT ADD id host port cluster_port: OK once it is a learner, or is known by that address."""
    return order(session.node, args[1:])


@command(
    "RAFT|PROMOTE",
    3,
    Route.LOCAL,
    "admin noscript no_multi stale",
    group="server",
    since="0.1.0",
    complexity="O(1)",
    summary="Gives a learner its vote.",
)
def raft_promote(session: Session, args: Args) -> Reply:
    """RAFT PROMOTE id: OK once it votes. Learners that have caught up are promoted by themselves."""
    return order(session.node, args[1:])


@command(
    "RAFT|REMOVE",
    3,
    Route.LOCAL,
    "admin noscript no_multi stale",
    group="server",
    since="0.1.0",
    complexity="O(1)",
    summary="Takes a node out of the cluster.",
)
def raft_remove(session: Session, args: Args) -> Reply:
    """RAFT REMOVE id: OK once it is no member any more."""
    return order(session.node, args[1:])


def order(node: NodeView, words: Args) -> Reply | Later:
    """ADD, PROMOTE, REMOVE or TRANSFER and what belongs to it. Raises CommandError, NotAvailable."""
    if not node.settings.cluster.enabled:
        raise CommandError("ERR this node stands alone, it is in no cluster")
    what = words[0].upper()
    if what == b"ADD":
        _check_address(words[1:])
    return node.order_members([what, *words[1:]])


def _check_address(words: Args) -> None:
    """Of a node that is to be added: id, host, port, cluster port."""
    if not re.fullmatch(NAME, words[0]):
        raise CommandError("ERR an id has 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first")
    if not words[1]:
        raise CommandError("ERR a host is wanted")
    for port in words[2:4]:
        if not 1 <= integer(port) <= 65535:
            raise CommandError("ERR Invalid port")


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

"""INFO, ROLE and TIME: what this node knows of itself."""

from __future__ import annotations

from typing import Final

from ironkv.commands import info_sections
from ironkv.commands.connection import leads
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.resp.replies import Reply, Verbatim

EVERY: Final = frozenset(info_sections.SECTIONS)
DEFAULT: Final = EVERY - info_sections.LONG
_GROUPS: Final = {
    "default": DEFAULT,
    "all": EVERY,
    "everything": EVERY,
    "module_list": frozenset({"modules"}),
}


@command(
    "INFO",
    -1,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns information and statistics about the server.",
    categories="dangerous",
)
def info(session: Session, args: Args) -> Reply:
    """INFO [section [section ...]]: also `default`, `all` and `everything`; unknown ones are passed over."""
    wanted: set[str] = set()
    for arg in args[1:]:
        name = arg.decode("utf-8", "surrogateescape").lower()
        wanted |= _GROUPS.get(name, {name})
    return Verbatim(info_sections.written(wanted if len(args) > 1 else set(DEFAULT), session.node))


@command(
    "ROLE",
    1,
    Route.LOCAL,
    "noscript loading stale fast",
    group="server",
    since="2.8.12",
    complexity="O(1)",
    summary="Returns the replication role.",
    categories="admin dangerous",
)
def role(session: Session, args: Args) -> Reply:
    """ROLE: a leader's followers, or a follower's leader; offsets are indices of log entries."""
    node = session.node
    raft = node.raft_view()
    if leads(node):
        online = [member for member in info_sections.replicas(node) if member["online"]]
        followers = [
            [_bulk(member["host"]), _bulk(member["port"]), _bulk(member["match"] or 0)] for member in online
        ]
        return [b"master", raft["last_index"], followers]
    host, port, up = info_sections.master_link(node)
    return [b"slave", _bulk(host), port, b"connected" if up else b"connect", raft["applied"]]


def _bulk(value: object) -> bytes:
    return str(value).encode()


@command(
    "TIME",
    1,
    Route.LOCAL,
    "loading stale fast",
    group="server",
    since="2.6.0",
    complexity="O(1)",
    summary="Returns the server time.",
)
def time(session: Session, args: Args) -> Reply:
    """TIME: seconds since the epoch, and microseconds of the next."""
    seconds, microseconds = divmod(session.node.clock_us(), 1_000_000)
    return [b"%d" % seconds, b"%d" % microseconds]

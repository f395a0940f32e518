"""SHUTDOWN and FAILOVER: a node leaves, or gives the leadership away."""

from __future__ import annotations

from typing import Any, Final

from ironkv.commands.arguments import integer
from ironkv.commands.connection import leads
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, NotInteger, SyntaxFault
from ironkv.resp.replies import OK, Reply

SHUTDOWN_OPTIONS: Final = frozenset((b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT"))


@command(
    "SHUTDOWN",
    -1,
    Route.LOCAL,
    "admin noscript loading stale no_multi allow_busy",
    group="server",
    since="1.0.0",
    complexity="O(N) when saving, where N is the total number of keys in all databases when saving data, "
    "otherwise O(1)",
    summary="Synchronously saves the database(s) to disk and shuts down the Redis server.",
)
def shutdown(session: Session, args: Args) -> Reply:
    """SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]: every acknowledged write is on disk anyway. A leader
    gives the leadership away before it goes; connections are closed without a reply."""
    options = [word.upper() for word in args[1:]]
    if not SHUTDOWN_OPTIONS.issuperset(options) or {b"NOSAVE", b"SAVE"} <= set(options):
        raise SyntaxFault
    if b"ABORT" in options:
        if len(options) > 1:
            raise SyntaxFault
        raise CommandError("ERR No shutdown in progress.")
    session.closing = True
    session.replies = "off"
    session.node.stop()
    return OK


@command(
    "FAILOVER",
    -1,
    Route.LOCAL,
    "admin noscript stale",
    group="server",
    since="6.2.0",
    complexity="O(1)",
    summary="Starts a coordinated failover from a server to one of its replicas.",
)
def failover(session: Session, args: Args) -> Reply:
    """FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]: OK once the leadership is being given
    away, to the follower that has most of the log if none is named. It is given up by itself after an
    election timeout; FORCE changes nothing, since a follower without the last writes cannot be elected."""
    host, port, abort = _parse_failover(args)
    node = session.node
    if not node.settings.cluster.enabled:
        raise CommandError("ERR FAILOVER requires connected replicas.")
    if abort:
        if not node.transferring:
            raise CommandError("ERR No failover in progress.")
        raise CommandError("ERR a transfer cannot be aborted; it ends within an election timeout")
    if not leads(node):
        raise CommandError("ERR FAILOVER is not valid when server is a replica.")
    if node.transferring:
        raise CommandError("ERR FAILOVER already in progress.")
    node.transfer(None if host is None else _follower_at(node, host, port))
    return OK


def _parse_failover(args: Args) -> tuple[str | None, int, bool]:
    """(host, port, whether ABORT). Raises CommandError."""
    host, port, force, abort, timeout_ms, place = None, 0, False, False, 0, 1
    while place < len(args):
        word, more = args[place].upper(), len(args) - place - 1
        if word == b"TO" and more >= 2 and host is None:
            host, port = args[place + 1].decode("utf-8", "surrogateescape"), integer(args[place + 2])
            place += 3
            if place < len(args) and args[place].upper() == b"FORCE":
                force = True
                place += 1
        elif word == b"TIMEOUT" and more >= 1 and not timeout_ms:
            timeout_ms = _timeout_ms(args[place + 1])
            place += 2
        elif word == b"ABORT" and len(args) == 2:
            abort = True
            place += 1
        else:
            raise SyntaxFault
    if force and not timeout_ms:
        raise CommandError("ERR FAILOVER with force option requires both a timeout and target HOST and IP.")
    return host, port, abort


def _timeout_ms(text: bytes) -> int:
    try:
        timeout_ms = integer(text)
    except NotInteger:
        raise CommandError("ERR value is not an integer or out of range") from None
    if timeout_ms <= 0:
        raise CommandError("ERR FAILOVER timeout must be greater than 0")
    return timeout_ms


def _follower_at(node: Any, host: str, port: int) -> str:
    for member in node.raft_view()["nodes"]:
        if (member["host"], member["port"]) == (host, port) and member["id"] != node.settings.node.id:
            found: str = member["id"]
            return found
    raise CommandError("ERR FAILOVER target HOST and PORT is not a replica.")

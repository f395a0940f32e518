"""MONITOR: see every command that clients of this node send."""

from __future__ import annotations

from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError
from ironkv.resp.replies import OK, Reply


@command(
    "MONITOR",
    1,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="1.0.0",
    complexity="",
    summary="Listens for all requests received by the server in real-time.",
)
def monitor(session: Session, args: Args) -> Reply:
    """MONITOR: commands of clients of this node, as they arrive; not those that administer it."""
    if session.in_exec:
        raise CommandError("ERR MONITOR isn't allowed for DENY BLOCKING client")
    session.node.monitor(session)
    return OK

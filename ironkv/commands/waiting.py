"""WAIT: how many replicas have a connection's writes on disk."""

from __future__ import annotations

from ironkv.commands.arguments import integer
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError
from ironkv.resp.replies import Reply


@command(
    "WAIT",
    3,
    Route.LOCAL,
    "blocking",
    group="generic",
    since="3.0.0",
    complexity="O(1)",
    summary="Blocks until the asynchronous replication of all preceding write commands sent by the "
    "connection is completed.",
    categories="connection -keyspace",
)
def wait(session: Session, args: Args) -> Reply:
    """WAIT numreplicas timeout: followers that hold this connection's writes durably.

    A write's own reply already means a majority has it; WAIT tells of the others.
    """
    replicas = integer(args[1])
    try:
        timeout_ms = integer(args[2])
    except CommandError:
        raise CommandError("ERR timeout is not an integer or out of range") from None
    if timeout_ms < 0:
        raise CommandError("ERR timeout is negative")
    if session.in_exec:
        replicas = 0  # whoever has it by now
    return session.node.wait_replicas(session.last_write_index, replicas, timeout_ms)

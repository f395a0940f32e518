"""WAIT and WAITAOF: who has a connection's writes on disk."""

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
    replicas, timeout_ms = integer(args[1]), _timeout_ms(args[2])
    if session.in_exec:
        replicas = 0  # whoever has it by now
    return session.node.wait_replicas(session.last_write_index, replicas, timeout_ms)


def _timeout_ms(text: bytes) -> int:
    try:
        timeout_ms = integer(text)
    except CommandError:
        raise CommandError("ERR timeout is not an integer or out of range") from None
    if timeout_ms < 0:
        raise CommandError("ERR timeout is negative")
    return timeout_ms


@command(
    "WAITAOF",
    4,
    Route.LOCAL,
    "blocking",
    group="generic",
    since="7.2.0",
    complexity="O(1)",
    summary="Blocks until all of the preceding write commands sent by the connection are written to the "
    "append-only file of the master and/or replicas.",
    categories="connection -keyspace",
)
def waitaof(session: Session, args: Args) -> Reply:
    """WAITAOF numlocal numreplicas timeout: [whether this node has this connection's writes on disk, how many
    followers have them]. A leader's own disk may be the last to have what a majority holds."""
    local = integer(args[1])
    if not 0 <= local <= 1:
        raise CommandError("ERR value is out of range, must be between 0 and 1")
    replicas = integer(args[2])
    if replicas < 0:
        raise CommandError("ERR value is out of range, must be positive")
    timeout_ms = _timeout_ms(args[3])
    if session.in_exec:
        local = replicas = 0
    return session.node.wait_durable(session.last_write_index, local, replicas, timeout_ms)

"""IRONKV AS: a script of a user who may not do everything, as it is logged.

A script's commands are checked where they run: at apply, on every replica, against the users as they are
then. So the log says for whom. The server wraps such requests itself (`server.guarding`); from a client it
takes neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ironkv.commands import backup, script_calls, usage  # noqa: F401  (IRONKV's own row comes first)
from ironkv.commands.permissions import permissions_of
from ironkv.commands.table import Args, Command, Route, command, find
from ironkv.errors import CommandError, ReplyError
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import Reply

HEAD: Final = 3
"""IRONKV AS user: what stands before the request itself."""
SCRIPTS: Final = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"})
ACTING: Final = frozenset({"IRONKV|AS", "IRONKV|READ-AS"})


class Wrapped(bytes):
    """The name of a request that this node wrapped: no client can send one."""


def wrapped(user: bytes, row: Command, args: Args) -> Args:
    """The request, to be carried out with this user's permissions."""
    return [Wrapped(b"IRONKV"), b"AS" if row.route is Route.WRITE else b"READ-AS", user, *args]


def _inner(args: Args) -> tuple[Command, Args]:
    row = find(args[HEAD:])
    if row.name not in SCRIPTS:
        raise CommandError("ERR only scripts are run for somebody else")
    return row, args[HEAD:]


def check_as(args: Args) -> None:
    """IRONKV AS user script-command [arg ...]. Raises CommandError."""
    row, inner = _inner(args)
    if row.route is not Route.WRITE:
        raise CommandError("ERR a read is not logged")
    if row.check is not None:
        row.check(inner)


def keys_within(args: Args) -> Sequence[bytes]:
    """The keys that the script's caller declares. Raises CommandError."""
    row, inner = _inner(args)
    return row.key_args(inner)


def carried_out(row: Command, db: Database, args: Args, now_ms: int) -> Reply:
    """The reply to a request that was wrapped; it counts as what it was before. Raises CommandError."""
    try:
        reply = row.timed(db, args, now_ms)
    except CommandError:
        row.usage.failed += usage.ours
        raise
    row.usage.failed += usage.ours and isinstance(reply, ReplyError)
    return reply


def _run(db: Database, args: Args, now_ms: int) -> Reply:
    row, inner = _inner(args)
    user = db.keyspace.users.get(args[2])
    if user is None:
        raise CommandError("NOPERM the user for whom this script was to run does not exist any more")
    script_calls.acting = permissions_of(user)
    try:
        return carried_out(row, db, inner, now_ms)
    finally:
        script_calls.acting = None


@command(
    "IRONKV|AS",
    -6,
    Route.WRITE,
    "write denyoom admin noscript stale skip_monitor movablekeys",
    check=check_as,
    find_keys=keys_within,
    group="scripting",
    since="0.2.0",
    complexity="That of the script.",
    summary="Runs a script with the permissions of a user.",
)
def run_as(db: Database, args: Args, now_ms: int) -> Reply:
    """IRONKV AS user (EVAL | EVALSHA) script numkeys [key ...] [arg ...]"""
    return _run(db, args, now_ms)


@command(
    "IRONKV|READ-AS",
    -6,
    Route.READ,
    "readonly admin noscript stale skip_monitor movablekeys",
    find_keys=keys_within,
    group="scripting",
    since="0.2.0",
    complexity="That of the script.",
    summary="Runs a script that does not write with the permissions of a user.",
)
def read_as(db: Database, args: Args, now_ms: int) -> Reply:
    """IRONKV READ-AS user (EVAL_RO | EVALSHA_RO) script numkeys [key ...] [arg ...]"""
    return _run(db, args, now_ms)

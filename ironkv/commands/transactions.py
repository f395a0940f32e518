"""Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.

Between MULTI and EXEC requests are only queued (`server.transactions`); EXEC is one item of the log, so that
no crash and no change of leader can divide it, and no other command comes in between.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from ironkv.commands.later import NothingYet
from ironkv.commands.session import Session
from ironkv.commands.table import ALL_KEYS, TABLE, Args, Command, Handler, Route, command, find
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database, Due
from ironkv.resp.replies import NULL_ARRAY, OK, Reply

log = logging.getLogger(__name__)

ABORTED: Final = "EXECABORT Transaction discarded because of"


@command(
    "MULTI",
    1,
    Route.LOCAL,
    "noscript loading stale fast allow_busy",
    group="transactions",
    since="1.2.0",
    complexity="O(1)",
    summary="Starts a transaction.",
)
def multi(session: Session, args: Args) -> Reply:
    """MULTI"""
    session.begin()
    return OK


@command(
    "DISCARD",
    1,
    Route.LOCAL,
    "noscript loading stale fast allow_busy",
    group="transactions",
    since="2.0.0",
    complexity="O(N), when N is the number of queued commands",
    summary="Discards a transaction.",
)
def discard(session: Session, args: Args) -> Reply:
    """DISCARD"""
    if session.queued < 0:
        raise CommandError("ERR DISCARD without MULTI")
    session.discard()
    return OK


@command(
    "WATCH",
    -2,
    Route.LOCAL,
    "noscript loading stale fast allow_busy",
    keys=ALL_KEYS,
    group="transactions",
    since="2.2.0",
    complexity="O(1) for every key.",
    summary="Monitors changes to keys to determine the execution of a transaction.",
)
def watch(session: Session, args: Args) -> Reply:
    """WATCH key [key ...]"""
    if session.queued >= 0:
        raise CommandError("ERR WATCH inside MULTI is not allowed")
    session.watch(args[1:])
    return OK


@command(
    "UNWATCH",
    1,
    Route.LOCAL,
    "noscript loading stale fast allow_busy",
    group="transactions",
    since="2.2.0",
    complexity="O(1)",
    summary="Forgets about watched keys of a transaction.",
)
def unwatch(session: Session, args: Args) -> Reply:
    """UNWATCH"""
    session.unwatch()
    return OK


# -- carrying out


def _without_multi(args: Args) -> None:
    """EXEC: inside a transaction this is never asked."""
    raise CommandError("ERR EXEC without MULTI")


@command(
    "EXEC",
    1,
    Route.WRITE,
    "noscript loading stale skip_slowlog",
    check=_without_multi,
    group="transactions",
    since="1.2.0",
    complexity="Depends on commands in the transaction",
    summary="Executes all commands in a transaction.",
)
def exec_(db: Database, item: list[Any], now_ms: int) -> Reply:
    """EXEC

    At apply it is [EXEC, doom_ms, [item, ...]]. `doom_ms`: when the first of the watched keys dies; at that
    time or later nothing is done. 0: never. An item is a write, the number of the database for what follows,
    or, where clients are answered, something with a method `answer(db, now_ms)`: a read, or what the node
    does without the state.
    """
    _, doom_ms, items = item
    if doom_ms and doom_ms <= now_ms:
        return NULL_ARRAY
    replies: list[Reply] = []
    for each in items:
        if type(each) is list:
            row = TABLE[each[0]]
            handler = find(each).handler if row.subcommands else row.timed
            replies.append(attempt(handler, db, each, now_ms))
        elif type(each) is int:
            db = db.keyspace.database(each)
        else:
            replies.append(each.answer(db, now_ms))
    return replies


def attempt(handler: Handler, db: Database, args: Args, now_ms: int) -> Reply:
    """The reply to one command among others, an error included. Raises Due, and what must stop the node."""
    try:
        return handler(db, args, now_ms)
    except CommandError as error:
        return error.with_traceback(None)
    except NothingYet:
        return NULL_ARRAY
    except (Due, MemoryError, RecursionError):
        raise
    except Exception:
        log.exception("%r failed in a transaction", args[0])
        return CommandError("ERR internal error, see the node's log")


def is_queued(row: Command) -> bool:
    """Whether it waits for EXEC when it is sent after MULTI."""
    return row.name not in ("EXEC", "DISCARD", "MULTI", "WATCH", "QUIT", "RESET")

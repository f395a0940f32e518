"""IronKV without a node: the table, the checks and the handlers on a keyspace, with a clock in hand."""

from __future__ import annotations

import time

from ironkv.commands import (  # noqa: F401  (importing fills the table)
    bitfields,
    bitmaps,
    counters,
    dumping,
    expiration,
    geo,
    geo_search,
    hashes,
    hyperloglog,
    keys,
    lcs,
    list_elements,
    lists,
    objects,
    scanning,
    scripting,
    set_algebra,
    sets,
    sorting,
    stream_claims,
    stream_groups,
    stream_info,
    stream_reads,
    streams,
    strings,
    zset_algebra,
    zset_ranges,
    zsets,
)
from ironkv.commands.arguments import database_index
from ironkv.commands.later import NothingYet
from ironkv.commands.table import TABLE, Command, Route, find
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database, Due, Keyspace
from ironkv.resp.replies import NULL_ARRAY, OK, Reply, encode

MALFORMED = (
    "ERR syntax error",
    "ERR wrong number of arguments",
    "ERR Unsupported option",
    "ERR NX and XX, GT or LT",
    "ERR GT and LT",
    "ERR DB index",
    "ERR invalid first DB index",
    "ERR invalid second DB index",
    "ERR offset is out of range",
    "ERR decrement would overflow",
    "ERR value is out of range, must be positive",
    "ERR value is NaN or Infinity",
)
"""Errors that a check finds without the state: a handler that is given only what was checked has none."""


class Local:
    """One connection to a keyspace of its own."""

    def __init__(self, now_ms: int | None = None) -> None:
        self.keyspace = Keyspace()
        self.index = 0
        self.now_ms = now_ms
        """The clock; None: the real one."""

    @property
    def db(self) -> Database:
        return self.keyspace.database(self.index)

    def ask(self, args: list[bytes], proto: int = 2) -> bytes:
        """The bytes of the reply to a command."""
        return encode(self.reply(args), proto)

    def reply(self, args: list[bytes]) -> Reply:
        """The reply to a command, an error included."""
        try:
            return self._run(args)
        except CommandError as error:
            return error

    def do(self, text: str) -> Reply:
        """The reply to a command written in one line."""
        return self.reply(text.encode().split())

    def _run(self, args: list[bytes]) -> Reply:
        now_ms = time.time_ns() // 1_000_000 if self.now_ms is None else self.now_ms
        stand_in = STAND_INS.get(args[0].upper())
        known = TABLE.get(args[0].upper())
        if stand_in is not None and (known is None or known.route is Route.LOCAL):
            return stand_in(self, args)
        row = find(args)
        if row.check is not None:
            row.check(args)
        if row.route is Route.WRITE:
            self.keyspace.advance(now_ms)
            return self._apply(row, args)
        self.keyspace.now_ms = max(now_ms, self.keyspace.stamp_ms)
        try:
            return row.handler(self.db, args, self.keyspace.now_ms)
        except Due:
            self.keyspace.advance(now_ms)  # what the node does by logging a tick
            return row.handler(self.db, args, self.keyspace.stamp_ms)
        except NothingYet:  # nobody waits here
            return NULL_ARRAY

    def _apply(self, row: Command, args: list[bytes]) -> Reply:
        before = list(args)
        try:
            return row.handler(self.db, args, self.keyspace.stamp_ms)
        except CommandError as error:
            if str(error).startswith(MALFORMED):
                raise AssertionError(f"{args} must not have come as far as the log") from error
            raise
        finally:
            assert args == before, "a handler must not change what was logged"


def _select(local: Local, args: list[bytes]) -> Reply:
    if len(args) != 2:
        raise CommandError("ERR wrong number of arguments for 'select' command")
    local.index = database_index(args[1])
    return OK


STAND_INS = {b"SELECT": _select}
"""Commands that need more than a keyspace."""

"""Pipelines of one command: dealt with in one go, which is where much of the speed comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ironkv.commands.table import TABLE, Command, Route
from ironkv.keyspace.keyspace import Database
from ironkv.resp.parser import Request
from ironkv.server.vain import answer_in_vain

if TYPE_CHECKING:
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch

RUN_LEAST: Final = 4
"""Requests from which on it pays to see whether a chunk is all one command."""


def run_alike(
    dispatch: Dispatch, connection: Connection, database: Database, requests: list[Request]
) -> bool:
    """Deal with a pipeline of one command in one go, if that is what it is."""
    row = TABLE.get(requests[0][0])
    if row is None:
        return False
    if row.route is Route.WRITE:
        done = _write_alike(dispatch, connection, row, requests)
    elif row.name == "PUBLISH":
        done = _publish_alike(dispatch, connection, row, requests)
    elif row.run is None or connection.pending or connection.replies != "on":
        return False
    else:
        may = dispatch.server.may_read(connection)
        done = may and row.run(database, requests, connection.out, connection.proto)
    if done:
        connection.last_row = dispatch.alike = row
    return done


def _publish_alike(dispatch: Dispatch, connection: Connection, row: Command, requests: list[Request]) -> bool:
    if connection.pending or connection.replies != "on" or connection.subscriptions is not None:
        return False
    name = requests[0][0]
    for args in requests:
        if len(args) != row.arity or args[0] != name:
            return False
    publish = dispatch.pubsub.publish
    connection.out += [b":%d\r\n" % publish(channel, message) for _, channel, message in requests]
    return True


def _write_alike(dispatch: Dispatch, connection: Connection, row: Command, requests: list[Request]) -> bool:
    server = dispatch.server
    if (
        not server.leading
        or dispatch.blocking.queues
        or dispatch.pausing.writes
        or server.no_room is not None
    ):
        return False
    name, size = requests[0][0], row.plain_size
    if size:
        for args in requests:
            if len(args) != size or args[0] != name:
                return False
    elif row.blocks or row.subcommands or not _are_sound(row, name, requests):
        return False
    if row.vain is not None:
        answered = answer_in_vain(dispatch, connection, row, requests)
        if answered == len(requests):
            return True
        requests = requests[answered:] if answered else requests
    if name != row.wire_name:
        for args in requests:
            args[0] = row.wire_name
    dispatch.propose(connection, requests)
    return True


def _are_sound(row: Command, name: bytes, requests: list[Request]) -> bool:
    """Whether requests of various lengths are all for this command, and nothing is wrong with them."""
    least, most, check = row.least, row.most, row.check
    for args in requests:
        if args[0] != name or not least <= len(args) <= most:
            return False
    if check is not None:
        try:
            for args in requests:
                check(args)
        except Exception:  # one by one they are told what it is
            return False
    return True

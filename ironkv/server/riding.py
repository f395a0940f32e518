"""Reads and ready replies that ride behind writes (`node.proposals`), and what answers them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ironkv.commands.later import NothingYet
from ironkv.commands.table import Command, Route
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Keyspace
from ironkv.resp.replies import NULL_ARRAY, Reply
from ironkv.server.host import Server
from ironkv.server.rides import Ride

if TYPE_CHECKING:
    from ironkv.node.proposals import Proposals
    from ironkv.server.connection import Connection

log = logging.getLogger(__name__)


def crashed(row: Command, error: Exception) -> CommandError:
    """What the client is told of a fault of ours."""
    log.error("command %s failed", row.lower_name, exc_info=error)
    return CommandError("ERR internal error, see the node's log")


class Riding:
    """Answers rides."""

    def __init__(self, server: Server, proposals: Proposals, keyspace: Keyspace) -> None:
        self._server = server
        self._proposals = proposals
        self._keyspace = keyspace

    def answer(self, ride: Ride, applied: bool) -> Reply:
        """Answer what rode behind writes; `applied` False: those writes were not applied."""
        row = ride.row
        if row is None:
            return ride.args
        if not applied and row.route is not Route.LOCAL:
            return self._server.no_quorum()
        keyspace = self._keyspace
        try:
            if row.route is Route.LOCAL:
                return row.handler(ride.owner, ride.args)
            return row.timed(keyspace.database(ride.database), ride.args, keyspace.now_ms)
        except CommandError as error:
            row.usage.failed += 1
            return error
        except NothingYet:
            return NULL_ARRAY
        except Exception as error:
            return crashed(row, error)

    def read_due(self, connection: Connection, row: Command, args: list[Any]) -> None:
        """A read met a key whose deadline has come: log that first, then read."""
        ride = Ride(connection, row, args, connection.db_index)
        if self._server.leading:
            self._proposals.tick_and_ride(ride)
            self._server.wake()
        else:  # the leader has not logged it yet, so for this index the key is alive
            keyspace = self._keyspace
            keyspace.now_ms = keyspace.stamp_ms
            connection.answer(self.answer(ride, True))

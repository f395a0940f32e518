"""Writes that would change nothing: answered as reads are, neither logged nor waited for.

Redis does not log them either. A member that is in the set already, a lock that somebody else holds:
whoever asks again and again would keep three disks busy with nothing. Such a reply is linearizable for the
reason that a read's is: while the lease holds, nothing has been acknowledged that this state lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING

from ironkv.commands.table import Command
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Due
from ironkv.resp import replies
from ironkv.resp.parser import Request

if TYPE_CHECKING:
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch


def answer_in_vain(
    dispatch: Dispatch, connection: Connection, row: Command, requests: Sequence[Request]
) -> int:
    """Answer sound requests for a write up to the first that may change something; how many those were.

    None behind writes of the same client that are not acknowledged yet: they may change what is seen here.
    """
    if row.vain is None or connection.pending or connection.replies != "on":
        return 0
    if not dispatch.server.is_current():
        return 0
    leading, reply = row.vain
    database = dispatch.node.keyspace.database(connection.db_index)
    began = perf_counter_ns()
    try:
        count = leading(database, requests)
    except (CommandError, Due):  # the log has the word
        return 0
    if not count:
        return 0
    row.usage.took(perf_counter_ns() - began, count)
    connection.answer(reply)  # a relayed session keeps count of what it answers
    if count > 1:
        wire: list[bytes] = []
        replies.append(wire, reply, connection.proto)
        connection.out.append(b"".join(wire) * (count - 1))
    return count

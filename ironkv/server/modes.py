"""When only some commands are served: to subscribers, and by a node that loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ironkv.commands.table import Command, Route, find
from ironkv.errors import CommandError, NotAvailable
from ironkv.resp.parser import Request

if TYPE_CHECKING:
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch

SUBSCRIBING: Final = frozenset(
    {"SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE"}
)
OF_SUBSCRIBERS: Final = SUBSCRIBING | {"PING", "QUIT", "RESET"}
"""What a subscriber may send in RESP2, where a reply cannot be told from a message."""
_CHANGES_NODE: Final = frozenset(
    {
        "transactions",
        "CONFIG|SET",
        "CONFIG|REWRITE",
        "CONFIG|RESETSTAT",
        "CLIENT|KILL",
        "CLIENT|PAUSE",
        "SHUTDOWN",
        "DEBUG",
    }
)
LOADING: Final = "LOADING Redis is loading the dataset in memory"


def run_subscriber(dispatch: Dispatch, connection: Connection, requests: list[Request]) -> None:
    """Requests of a RESP2 connection that is subscribed to something."""
    rest = iter(requests)
    for args in rest:
        try:
            row = find(args)
        except CommandError as error:
            connection.answer(error)
            continue
        if row.name in OF_SUBSCRIBERS:
            dispatch.answer_local(connection, row, args)
        else:
            if row.name == "EXEC":
                connection.discard()
            connection.answer(_not_for_subscribers(row))
        if connection.closing:
            return
        if connection.subscriptions is None:
            if following := list(rest):
                dispatch.run(connection, following)
            return


def run_loading(dispatch: Dispatch, connection: Connection, requests: list[Request]) -> None:
    """While the log is replayed only commands that do without the state are served."""
    rest = iter(requests)
    for args in rest:
        try:
            row = find(args)
        except CommandError as error:
            connection.answer(error)
            continue
        # Who may change the node is not known before the users are recovered.
        may = (
            row.route is Route.LOCAL and "loading" in row.flags and not _CHANGES_NODE & {row.name, row.group}
        )
        if may:
            guard = connection.guard
            dispatch.answer_local(connection, row, args)
            if connection.guard is not guard:
                if following := list(rest):
                    dispatch.run(connection, following)
                return
            if connection.closing:
                return
            if connection.subscriptions is not None and connection.proto == 2:
                run_subscriber(dispatch, connection, list(rest))
                return
        else:
            connection.answer(NotAvailable(LOADING))


def _not_for_subscribers(row: Command) -> CommandError:
    begin = "EXECABORT Transaction discarded because of:" if row.name == "EXEC" else "ERR"
    return CommandError(
        f"{begin} Can't execute '{row.lower_name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
        "RESET are allowed in this context"
    )

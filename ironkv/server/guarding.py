"""Connections that may not do everything: not authenticated yet, or a user with a rule.

All others have no guard (`Connection.guard` is None), and pay for none of this. What a guard refuses goes
its way as a request that stands for its error (`commands.table.Refused`), so every reply comes in its turn,
in transactions and behind writes alike.

A request is checked when its turn comes, by what this node has applied by then; a transaction again at EXEC;
what a script calls, where it runs (`commands.acting`).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from ironkv.commands.acl_rules import text
from ironkv.commands.acting import ACTING, HEAD, SCRIPTS, Wrapped, wrapped
from ironkv.commands.client_list import line_of
from ironkv.commands.permissions import Denial, Reason, permissions_of
from ironkv.commands.subscriptions import Kind
from ironkv.commands.table import Args, Command, Refused, find
from ironkv.errors import CommandError
from ironkv.keyspace.users import DEFAULT_NAME
from ironkv.resp.parser import Request
from ironkv.server.connection import OUT_SLICE

if TYPE_CHECKING:
    from ironkv.commands.accounts import Accounts
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch

log = logging.getLogger(__name__)

NOAUTH: Final = "NOAUTH Authentication required."
CHANGES_WHO: Final = frozenset({"AUTH", "HELLO", "RESET"})
_CHANGED_MEANWHILE: Final = (
    "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This "
    "command is no longer allowed for the following reason: "
)
_WHY: Final = {
    Reason.COMMAND: "no permission to execute the command or subcommand",
    Reason.KEY: "no permission to touch the specified keys",
    Reason.CHANNEL: "no permission to access one of the channels used as arguments to the command",
}


class Guard(Protocol):
    """Says what may not be done."""

    def plainly(self, requests: Sequence[Args]) -> bool:
        """Whether all of them may be done, as far as can be seen at a glance."""

    def refusal(self, row: Command, args: Args) -> tuple[CommandError, Denial | None] | None:
        """The error for the client, and what ACL LOG is to have of it; None: go ahead."""


class _Stranger:
    """Guards a connection that has not authenticated."""

    def plainly(self, requests: Sequence[Args]) -> bool:
        return False

    def refusal(self, row: Command, args: Args) -> tuple[CommandError, Denial | None] | None:
        return None if "no_auth" in row.flags else (CommandError(NOAUTH), None)


STRANGER: Final = _Stranger()


class Guarding:
    """Who each connection is, and what of its requests is let through."""

    def __init__(self, dispatch: Dispatch, accounts: Accounts) -> None:
        self._dispatch = dispatch
        self.accounts = accounts

    # -- who

    def greet(self, connection: Connection) -> None:
        """A connection begins, or begins anew (RESET): the default user's, if that needs no password."""
        connection.password_given = False
        self._become(connection, DEFAULT_NAME, self.accounts.open)

    def authenticate(self, connection: Connection, name: bytes, password: bytes) -> bool:
        accepted = self.accounts.accepts(name, password)
        if accepted:
            connection.password_given = True
            self._become(connection, name, True)
        else:
            context = b"multi" if connection.in_exec else b"toplevel"
            self._note(connection, Reason.AUTH, context, b"AUTH", name)
        return accepted

    def _become(self, connection: Connection, name: bytes, authenticated: bool) -> None:
        connection.user, connection.authenticated = name, authenticated
        connection.advanced_commands = connection.advanced_bytes = 0
        connection.parser.trusted = authenticated
        user = self.accounts.user(name)
        if not authenticated or user is None:
            connection.guard = STRANGER
        else:
            connection.guard = None if user.unrestricted else permissions_of(user)

    def users_changed(self) -> None:
        """As of an entry that is being applied, or of a snapshot."""
        for connection in [*self._dispatch.connections.values()]:
            if self.accounts.user(connection.user) is None:
                self._dismiss(connection)
            else:
                self._become(connection, connection.user, connection.authenticated)
                if connection.subscriptions is not None and not self._may_listen(connection):
                    self._dismiss(connection)

    def recovered(self) -> None:
        """The state is complete, and with it the users: until now nobody knew whether the default user needs
        a password."""
        for connection in [*self._dispatch.connections.values()]:
            if connection.user == DEFAULT_NAME and not connection.password_given:
                self.greet(connection)
        self.users_changed()

    def _may_listen(self, connection: Connection) -> bool:
        user = self.accounts.user(connection.user)
        if user is None or connection.subscriptions is None:
            return False
        permissions = permissions_of(user)
        return all(
            permissions.may_subscribe([channel], patterns=kind is Kind.PATTERN)
            for kind, channels in connection.subscriptions.items()
            for channel in channels
        )

    def _dismiss(self, connection: Connection) -> None:
        """Close it; if it is owed a reply, such as that its user is deleted, after that."""
        log.info(
            "%s is closed: user %s lost what it was there for", connection.address, text(connection.user)
        )
        connection.user, connection.authenticated, connection.guard = DEFAULT_NAME, False, STRANGER
        if connection.pending:
            connection.closing = True
        else:
            connection.kill()

    # -- what

    def run(self, connection: Connection, requests: list[Request], readable: bool) -> None:
        """As `Dispatch.run`, with what is not allowed replaced by its refusal."""
        backlog = connection.backlog
        behind = len(backlog)
        rest = deque(requests)
        while rest:
            if connection.guard is None:
                taken = list(rest)
                rest.clear()
            else:
                taken = self._checked(connection, connection.guard, rest)
            self._dispatch.run_allowed(connection, taken, readable)
            waits = len(backlog) > behind or connection.stalled or connection.heavy > OUT_SLICE
            if waits or connection.closing:
                backlog.rotate(behind)
                backlog.extend(rest)
                backlog.rotate(-behind)
                return

    def _checked(self, connection: Connection, guard: Guard, rest: deque[Request]) -> list[Request]:
        """Take requests off the left end, up to one that may change who the client is."""
        taken: list[Request] = []
        while rest:
            args = rest.popleft()
            if type(args[0]) is Wrapped:
                taken.append(args)
                continue
            try:
                row = find(args)
            except CommandError:
                taken.append(args)  # it is refused as what it is
                continue
            refusal = guard.refusal(row, args)
            if refusal is None and row.name in ACTING:
                refusal = CommandError("NOPERM nobody runs scripts for another user"), None
            if refusal is not None:
                self._refused(connection, refusal[1])
                taken.append(Refused.because(refusal[0]))
                continue
            taken.append(wrapped(connection.user, row, args) if row.name in SCRIPTS else args)
            if row.name in CHANGES_WHO:
                break
        return taken

    def refusal_at_exec(self, connection: Connection, row: Command, args: Args) -> CommandError | None:
        """Why a command of a transaction must not be carried out any more."""
        if connection.guard is None:
            return None
        if row.name in ACTING:
            args = args[HEAD:]
            row = find(args)
        refusal = connection.guard.refusal(row, args)
        if refusal is None:
            return None
        error, denial = refusal
        self._refused(connection, denial)
        return error if denial is None else CommandError(_CHANGED_MEANWHILE + _WHY[denial.reason])

    def refusal_on_waking(self, connection: Connection, row: Command, args: Args) -> CommandError | None:
        """Why a command that has waited must not be carried out any more."""
        refusal = None if connection.guard is None else connection.guard.refusal(row, args)
        if refusal is None:
            return None
        self._refused(connection, refusal[1])
        return refusal[0]

    def _refused(self, connection: Connection, denial: Denial | None) -> None:
        if denial is not None:
            context = b"multi" if connection.transaction is not None else b"toplevel"
            self._note(connection, denial.reason, context, denial.object, denial.user)

    def _note(self, connection: Connection, reason: Reason, context: bytes, what: bytes, user: bytes) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.accounts.log.add(reason, context, what, user, line_of(connection), now_ms)

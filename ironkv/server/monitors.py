"""Clients that see what other clients send (MONITOR)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ironkv.commands.slowlog import without_secrets
from ironkv.commands.table import Args, find
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import DATABASES
from ironkv.resp.parser import Request

if TYPE_CHECKING:
    from ironkv.server.connection import Connection

_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))},
    ord("\\"): "\\\\", ord('"'): '\\"', 10: "\\n", 13: "\\r", 9: "\\t", 7: "\\a", 8: "\\b",
}  # fmt: skip
"""As sdscatrepr writes them."""

_OF_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"})
"""Shown though their flags say no: before what they call, not after."""


class Monitors:
    """Who listens; told of each chunk before it is dealt with."""

    def __init__(self, wake: Callable[[], None], enforce: Callable[[Connection], None]) -> None:
        """`enforce` closes a listener that does not read."""
        self.clients: dict[int, Connection] = {}
        self._wake = wake
        self._enforce = enforce

    def join(self, connection: Connection) -> None:
        self.clients[connection.id] = connection

    def leave(self, connection: Connection) -> None:
        self.clients.pop(connection.id, None)

    def tell(self, sender: Connection, requests: list[Request]) -> None:
        """`sender` sent these requests."""
        now, database = time.time(), sender.db_index
        lines: list[str] = []
        heard = None
        """How many lines a listener is shown of what it sends itself: RESET ends that."""
        for args in requests:
            name = args[0].upper()
            if name == b"RESET" and heard is None:
                heard = len(lines)
            if name == b"SELECT" and len(args) == 2 and args[1].isdigit():  # shown with what it selects
                database = int(args[1]) if int(args[1]) < DATABASES else database
            if _is_shown(args):
                lines.append(_line(now, database, sender.address, args))
        for listener in list(self.clients.values()):
            self._show(listener, lines[:heard] if listener is sender else lines, its_own=listener is sender)
        self._wake()

    def tell_of_script(self, database: int, args: Args) -> None:
        """A script calls this. Its own EVAL was shown when it arrived, to who listens where it did."""
        if _is_shown(args):
            lines = [_line(time.time(), database, "lua", args)]
            for listener in list(self.clients.values()):
                self._show(listener, lines)

    def _show(self, listener: Connection, lines: list[str], *, its_own: bool = False) -> None:
        if lines:
            listener.push("".join(lines).encode(), after_reply=its_own)
            self._enforce(listener)


def _line(now_s: float, database: int, address: str, args: Args) -> str:
    return f"+{now_s:.6f} [{database} {address}] {_quoted(args)}\r\n"


def _is_shown(args: Args) -> bool:
    """Unknown commands are not, nor those that administer the node."""
    try:
        row = find(args)
    except CommandError:
        return False
    return not row.flags & {"admin", "skip_monitor"} or row.name in _OF_SCRIPTS


def _quoted(args: Args) -> str:
    return " ".join(f'"{arg.decode("latin-1").translate(_ESCAPES)}"' for arg in without_secrets(args))

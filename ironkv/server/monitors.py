"""Clients that see what other clients send (MONITOR)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ironkv.commands.slowlog import without_secrets
from ironkv.commands.table import Args, find
from ironkv.errors import CommandError
from ironkv.resp.parser import Request

if TYPE_CHECKING:
    from ironkv.server.connection import Connection

_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))},
    ord("\\"): "\\\\", ord('"'): '\\"', 10: "\\n", 13: "\\r", 9: "\\t", 7: "\\a", 8: "\\b",
}  # fmt: skip
"""As sdscatrepr writes them."""


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
        lines = []
        for args in requests:
            if _is_shown(args):
                lines.append(f"+{now:.6f} [{database} {sender.address}] {_quoted(args)}\r\n")
            if args[0].upper() == b"SELECT" and len(args) == 2 and args[1].isdigit():
                database = int(args[1])
        wire = "".join(lines).encode()
        for listener in list(self.clients.values()) if wire else ():
            listener.push(wire)
            self._enforce(listener)
        self._wake()


def _is_shown(args: Args) -> bool:
    """Unknown commands are not, nor those that administer the node."""
    try:
        return not find(args).flags & {"admin", "skip_monitor"}
    except CommandError:
        return False


def _quoted(args: Args) -> str:
    return " ".join(f'"{arg.decode("latin-1").translate(_ESCAPES)}"' for arg in without_secrets(args))

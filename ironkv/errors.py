"""What can go wrong, cut by what the caller may conclude from it.

    CommandError     the client's mistake; the same reply on every replica
    NotAvailable     nothing was done; safe to send again
    OutcomeUnknown   a write was in flight when leadership moved; it may or may not have happened
    Fault            this node's disk or state cannot be trusted any more; it stops, the quorum carries on

The first three are Redis error replies: `str(error)` is the line without the leading `-`.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "UNKNOWN leadership moved while this write was in flight: it may or may not have happened"


class IronKVError(Exception):
    """Base of everything this package raises on purpose."""


class ReplyError(IronKVError):
    """An error that a client is told: `CODE message`."""

    @property
    def wire(self) -> bytes:
        """The RESP error line. Line breaks would end the reply early, so they become blanks."""
        return b"-%b\r\n" % str(self).replace("\r", " ").replace("\n", " ").encode("utf-8", "surrogateescape")


class CommandError(ReplyError):
    """The command cannot be carried out as written, here or on any replica."""


class WrongType(CommandError):
    """The key holds another type than the command works on."""

    def __init__(self) -> None:
        super().__init__("WRONGTYPE Operation against a key holding the wrong kind of value")


class SyntaxFault(CommandError):
    """Redis's catch-all for options that make no sense."""

    def __init__(self) -> None:
        super().__init__("ERR syntax error")


class NotInteger(CommandError):
    """An argument or a stored value is no signed 64-bit integer in its canonical form."""

    def __init__(self) -> None:
        super().__init__("ERR value is not an integer or out of range")


class NotAvailable(ReplyError):
    """Not now, or not here. Nothing was done."""


class OutcomeUnknown(ReplyError):
    """The write was handed to the log, and this node cannot say what became of it."""


class Fault(IronKVError):
    """Durability or state is in doubt: the node must stop. The message says what to do."""

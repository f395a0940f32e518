"""SLOWLOG: the commands that took long to carry out, waiting for the log or the disk excluded."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final, NamedTuple

from ironkv.commands.arguments import integer
from ironkv.commands.help_texts import help_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, NotInteger
from ironkv.resp.replies import OK, Reply

ARGUMENTS_MOST: Final = 32
BYTES_MOST: Final = 128
"""Of each argument (slowlog.h)."""
NEVER_NS: Final = 1 << 62
REDACTED: Final = b"(redacted)"
_SECRETS: Final = {b"AUTH": 1, b"HELLO": 2, b"ACL": 3, b"MIGRATE": 6}
"""From which argument on nobody is to read what was sent."""
_SECRET_SETTINGS: Final = frozenset({b"REQUIREPASS", b"MASTERAUTH", b"MASTERUSER"})

HELP: Final = help_of(
    "SLOWLOG",
    """
GET [<count>]
    Return top <count> entries from the slowlog (default: 10, -1 mean all).
    Entries are made of:
    id, timestamp, time in microseconds, arguments array, client IP and port,
    client name
LEN
    Return the length of the slowlog.
RESET
    Reset the slowlog.
""",
)


class Slow(NamedTuple):
    number: int
    at_s: int
    """Unix time."""
    us: int
    args: list[bytes]
    address: str
    name: bytes


class SlowLog:
    """The newest slow commands, within the settings `slowlog.log_slower_than` and `slowlog.max_len`."""

    def __init__(self) -> None:
        self.least_ns = NEVER_NS
        """From which time on a command is slow."""
        self.entries: deque[Slow] = deque(maxlen=128)
        """Newest first."""
        self._next = 0

    def bound(self, slower_than_us: int, most: int) -> None:
        """`slower_than_us` below 0: no command is slow; 0: all are."""
        self.least_ns = 1000 * slower_than_us if slower_than_us >= 0 else NEVER_NS
        if most != self.entries.maxlen:
            self.entries = deque(islice(self.entries, most), maxlen=most)

    def note(self, args: Args, ns: int, at_s: float, address: str = "", name: bytes = b"") -> None:
        """A command was slow."""
        self.entries.appendleft(Slow(self._next, int(at_s), ns // 1000, shortened(args), address, name))
        self._next += 1


def shortened(args: Args) -> list[bytes]:
    """As much of a request as is kept, without its secrets."""
    args = without_secrets(args)
    kept = args if len(args) <= ARGUMENTS_MOST else args[: ARGUMENTS_MOST - 1]
    shown = [
        arg if len(arg) <= BYTES_MOST else arg[:BYTES_MOST] + b"... (%d more bytes)" % (len(arg) - BYTES_MOST)
        for arg in kept
    ]
    if len(args) > ARGUMENTS_MOST:
        shown.append(b"... (%d more arguments)" % (len(args) - ARGUMENTS_MOST + 1))
    return shown


def without_secrets(args: Args) -> Args:
    """A request as others may read it: passwords are blotted out."""
    name = args[0].upper()
    first = _SECRETS.get(name)
    if first is not None:
        return [*args[:first], *(REDACTED for _ in args[first:])]
    if name == b"CONFIG" and any(arg.upper() in _SECRET_SETTINGS for arg in args[2::2]):
        return [*args[:2], *(REDACTED if place % 2 else arg for place, arg in enumerate(args[2:]))]
    return args


@command(
    "SLOWLOG",
    -2,
    Route.LOCAL,
    "",
    group="server",
    since="2.2.12",
    complexity="Depends on subcommand.",
    summary="A container for slow log commands.",
)
def slowlog(session: Session, args: Args) -> Reply:
    """SLOWLOG subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


@command(
    "SLOWLOG|GET",
    -2,
    Route.LOCAL,
    "admin loading stale",
    group="server",
    since="2.2.12",
    complexity="O(N) where N is the number of entries returned",
    summary="Returns the slow log's entries.",
)
def slowlog_get(session: Session, args: Args) -> Reply:
    """SLOWLOG GET [count]: the newest first."""
    if len(args) > 3:
        raise CommandError("ERR wrong number of arguments for 'slowlog|get' command")
    count = 10
    if len(args) == 3:
        try:
            count = integer(args[2])
        except NotInteger:
            count = -2
        if count < -1:
            raise CommandError("ERR count should be greater than or equal to -1")
    entries = session.node.slow_log.entries
    return [
        [each.number, each.at_s, each.us, list(each.args), each.address.encode(), each.name]
        for each in islice(entries, len(entries) if count == -1 else count)
    ]


@command(
    "SLOWLOG|LEN",
    2,
    Route.LOCAL,
    "admin loading stale",
    group="server",
    since="2.2.12",
    complexity="O(1)",
    summary="Returns the number of entries in the slow log.",
)
def slowlog_len(session: Session, args: Args) -> Reply:
    """SLOWLOG LEN"""
    return len(session.node.slow_log.entries)


@command(
    "SLOWLOG|RESET",
    2,
    Route.LOCAL,
    "admin loading stale",
    group="server",
    since="2.2.12",
    complexity="O(N) where N is the number of entries in the slowlog",
    summary="Clears all entries from the slow log.",
)
def slowlog_reset(session: Session, args: Args) -> Reply:
    """SLOWLOG RESET"""
    session.node.slow_log.entries.clear()
    return OK


@command(
    "SLOWLOG|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def slowlog_help(session: Session, args: Args) -> Reply:
    """SLOWLOG HELP"""
    return HELP

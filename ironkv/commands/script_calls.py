"""What redis.call does inside a script: the table's handlers, on the database the script has selected."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Final

from ironkv.commands import usage
from ironkv.commands.arguments import database_index, integer
from ironkv.commands.permissions import Permissions
from ironkv.commands.table import TABLE, Args, Command, Route
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import OK, PONG, Reply

acting: Permissions | None = None
"""What the user may do for whom a script is run; None: everything. See `commands.acting`."""

tight = False
"""Whether memory was full when the script was logged. See `commands.tight`."""

OUT_OF_MEMORY: Final = "OOM command not allowed when used memory > 'maxmemory'."

_MAY_REPLICATE: Final = frozenset({"PFCOUNT", "PUBLISH", "SPUBLISH"})
"""They are no writes, yet no script may call them that promised not to write."""

_LOOKS_AT_ALL: Final = frozenset({
    "APPEND", "BITCOUNT", "BITFIELD", "BITFIELD_RO", "BITOP", "BITPOS", "COPY", "DUMP", "LCS", "LINSERT",
    "LPOS", "LREM", "PFCOUNT", "PFMERGE", "SDIFF", "SDIFFSTORE", "SETBIT", "SETRANGE", "SINTER",
    "SINTERCARD", "SINTERSTORE", "SORT", "SORT_RO", "SUNION", "SUNIONSTORE", "ZDIFF", "ZDIFFSTORE",
    "ZINTER", "ZINTERCARD", "ZINTERSTORE", "ZUNION", "ZUNIONSTORE",
})  # fmt: skip
"""Commands whose work grows with what is at their keys, more than their replies tell."""

_READS_STREAMS: Final = frozenset({"XREAD", "XREADGROUP"})
_OPTIONS: Final = {b"COUNT": 2, b"GROUP": 3, b"NOACK": 1}
"""What may stand before BLOCK -> how many words it is."""

_ELEMENTS_PER_WEIGHT: Final = 16
_BYTES_PER_WEIGHT: Final = 4_096
_PAIRS_PER_WEIGHT: Final = 100_000
"""Of LCS, which compares every byte of one string with every byte of the other."""


class ScriptCalls:
    """The commands of one run of a script: a `scripting.interpreter.Caller`."""

    def __init__(self, db: Database, now_ms: int, *, read_only: bool, may_add: bool) -> None:
        self.db = db
        """SELECT changes it, for this script alone."""
        self.now_ms = now_ms
        self._read_only = read_only
        self._permissions = acting
        self._may_add = may_add
        """Otherwise nothing that takes memory, before the script has written anything."""

    def call(self, args: Args) -> tuple[Reply, int]:
        """The reply, and what the command weighs. Raises CommandError, and Due when the script is a read."""
        row = _row_of(args)
        if "noscript" in row.flags:
            raise _not_allowed()
        if self._permissions is not None:
            refusal = self._permissions.refusal(row, args)
            if refusal is not None:
                raise CommandError(f"NOPERM ACL failure in script: {str(refusal[0]).partition(' ')[2]}")
        if self._read_only and ("write" in row.flags or row.name in _MAY_REPLICATE):
            raise CommandError("ERR Write commands are not allowed from read-only scripts.")
        if not self._may_add and "denyoom" in row.flags:
            row.usage.rejected += usage.ours
            raise CommandError(OUT_OF_MEMORY)
        watcher = self.db.keyspace.watcher
        if watcher is None:
            return self._counted(row, args)
        shown = list(args)
        try:
            return self._counted(row, args)
        finally:
            watcher(self.db.index, shown)

    def _counted(self, row: Command, args: Args) -> tuple[Reply, int]:
        """A call that is allowed, in INFO commandstats of the node whose client sent the script."""
        if not usage.ours:
            return self._carry_out(row, args)
        began = perf_counter_ns()
        try:
            return self._carry_out(row, args)
        except CommandError:
            row.usage.failed += 1
            raise
        finally:
            row.usage.took(perf_counter_ns() - began)

    def _carry_out(self, row: Command, args: Args) -> tuple[Reply, int]:
        """A call that is allowed."""
        if row.route is Route.LOCAL:
            answer = _OF_THE_CONNECTION.get(row.name)
            if answer is None:
                raise _not_allowed()
            return answer(self, args), 1
        if row.name in _READS_STREAMS and _wants_to_wait(args):
            name = args[0].decode("utf-8", "surrogateescape")
            raise CommandError(f"ERR {name} command is not allowed with BLOCK option from scripts")
        if row.route is Route.WRITE:
            if row.check is not None and len(args) != row.plain_size:
                row.check(args)
            args[0] = row.wire_name
            self._may_add = True
        weight = 1
        if row.name in _LOOKS_AT_ALL or row.name == "KEYS":
            weight += self._weight(row, args)
        return row.handler(self.db, args, self.now_ms), weight

    def chance(self) -> int:
        """Of the entry, so that all replicas have the same; of a read, its own."""
        return self.db.keyspace.choice.getrandbits(32)

    def may(self, args: Args) -> bool | None:
        """Whether the user may do this, for whom the script runs; None: there is no such command."""
        row = TABLE.get(args[0].upper())
        if row is not None and row.subcommands:
            row = row.subcommands.get(args[1].upper()) if len(args) > 1 else None
        if row is None or self._permissions is None:
            return None if row is None else True
        try:
            return self._permissions.denial(row, args) is None
        except (CommandError, IndexError):
            return True  # too few arguments to name keys: then none is forbidden

    def _weight(self, row: Command, args: Args) -> int:
        if row.name == "KEYS":
            return len(self.db) // _ELEMENTS_PER_WEIGHT
        values = [value for key in row.key_args(args) if (value := self.db.find(key)) is not None]
        if row.name == "LCS" and len(values) == 2 and all(type(value) is bytes for value in values):
            return len(values[0]) * len(values[1]) // _PAIRS_PER_WEIGHT
        return sum(
            len(value) // (_BYTES_PER_WEIGHT if type(value) is bytes else _ELEMENTS_PER_WEIGHT)
            for value in values
        )


def _row_of(args: Args) -> Command:
    """The row for a call, in the words of scripts where there is none. Raises CommandError."""
    row = TABLE.get(args[0]) or TABLE.get(args[0].upper())
    if row is not None and row.subcommands and len(args) > 1:
        row = row.subcommands.get(args[1].upper())
    if row is None:
        raise CommandError("ERR Unknown Redis command called from script")
    if not row.least <= len(args) <= row.most:
        raise CommandError("ERR Wrong number of args calling Redis command from script")
    return row


def _wants_to_wait(args: Args) -> bool:
    """Whether an XREAD or XREADGROUP has the option BLOCK, as far as its options can be read."""
    place = 1
    while place < len(args) - 1:
        option = args[place].upper()
        if option == b"BLOCK":
            return True
        if option not in _OPTIONS:
            return False
        place += _OPTIONS[option]
    return False


def _not_allowed() -> CommandError:
    return CommandError("ERR This Redis command is not allowed from script")


# -- what else a connection would answer


def _ping(calls: ScriptCalls, args: Args) -> Reply:
    if len(args) > 2:
        raise CommandError("ERR wrong number of arguments for 'ping' command")
    return args[1] if len(args) == 2 else PONG


def _echo(calls: ScriptCalls, args: Args) -> Reply:
    return args[1]


def _select(calls: ScriptCalls, args: Args) -> Reply:
    calls.db = calls.db.keyspace.database(database_index(args[1]))
    return OK


def _time(calls: ScriptCalls, args: Args) -> Reply:
    """The time of the entry that the script is in: the same on every replica, and constant meanwhile."""
    seconds, milliseconds = divmod(calls.now_ms, 1000)
    return [b"%d" % seconds, b"%d" % (milliseconds * 1000)]


def _publish(calls: ScriptCalls, args: Args) -> Reply:
    """To the subscribers on every node, as each runs the script. How many they are must not matter: 0."""
    messenger = calls.db.keyspace.messenger
    if messenger is not None:
        messenger([(args[0].upper() == b"SPUBLISH", args[1], args[2])])
    return 0


def _wait(calls: ScriptCalls, args: Args) -> Reply:
    """WAIT and WAITAOF do not wait here, and nobody has yet what the script is about to write."""
    numbers = list(map(integer, args[1:]))
    if numbers[-1] < 0:
        raise CommandError("ERR timeout is negative")
    return 0 if len(numbers) == 2 else [0, 0]


_OF_THE_CONNECTION: Final[dict[str, Callable[[ScriptCalls, Args], Reply]]] = {
    "PING": _ping,
    "ECHO": _echo,
    "SELECT": _select,
    "TIME": _time,
    "PUBLISH": _publish,
    "SPUBLISH": _publish,
    "WAIT": _wait,
    "WAITAOF": _wait,
}

"""The command table: one row per command, the one source of arity, flags, keys, route and docs.

A command is a row and a function:

    @command("APPEND", 3, Route.WRITE, "fast denyoom", keys=ONE_KEY, group="string", since="2.0.0", ...)
    def append(db: Database, args: Args, now_ms: int) -> Reply: ...

Field meanings follow https://redis.io/docs/latest/commands/command/ : `arity` counts the name and is
negative for "at least"; `keys` is (first, last, step), `last` negative counts from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar

from ironkv.commands.usage import Usage
from ironkv.errors import CommandError
from ironkv.resp.replies import Reply

Args: TypeAlias = list[bytes]
"""A request as sent: the name first. Handlers must not change it: it is what is logged."""

Handler: TypeAlias = Callable[..., Reply]
"""READ and WRITE: (Database, Args, now_ms) -> Reply, at the state. LOCAL: (Session, Args) -> Reply."""

RunHandler: TypeAlias = Callable[[Any, Sequence[Args], list[bytes], int], bool]
"""(Database, requests, output, protocol) -> whether it answered them all; if not, it added nothing."""

Vain: TypeAlias = tuple[Callable[[Any, Sequence[Args]], int], Reply]
"""(Database, requests) -> whether none of them would change anything; and what is answered to each then."""

Check: TypeAlias = Callable[[Args], Any]
"""Parses the arguments, raises CommandError. Runs before a write is logged: nothing malformed is."""

F = TypeVar("F", bound=Handler)


class Refused(bytes):
    """Stands in a request where its name stood: whoever looks it up, whenever its turn comes, gets the error.

    So what must not be carried out takes the way of every other request, and is answered in its turn.
    """

    error: CommandError

    @classmethod
    def because(cls, error: CommandError) -> Args:
        """A request in place of one that is refused."""
        name = cls()
        name.error = error
        return [name]


class Route(Enum):
    """Where a command is decided."""

    LOCAL = "local"
    """By this node alone, without the state."""
    READ = "read"
    """At this node's state, once that is known to be current."""
    WRITE = "write"
    """At apply, on every replica."""


NO_KEYS: Final = (0, 0, 0)
ONE_KEY: Final = (1, 1, 1)
ALL_KEYS: Final = (1, -1, 1)


_GROUP_CATEGORIES: Final = {
    "bitmap": "bitmap",
    "connection": "connection",
    "generic": "keyspace",
    "geo": "geo",
    "hash": "hash",
    "hyperloglog": "hyperloglog",
    "list": "list",
    "pubsub": "pubsub",
    "scripting": "scripting",
    "set": "set",
    "sorted-set": "sortedset",
    "stream": "stream",
    "string": "string",
    "transactions": "transaction",
}
"""The ACL category that all commands of a group have; `server` and `cluster` have none."""


class Command:
    """A row of the table."""

    __slots__ = (
        "adds_data",
        "arity",
        "blocks",
        "categories",
        "check",
        "complexity",
        "find_keys",
        "flags",
        "group",
        "handler",
        "keys",
        "least",
        "lower_name",
        "most",
        "name",
        "plain_size",
        "route",
        "run",
        "since",
        "subcommands",
        "summary",
        "timed",
        "usage",
        "vain",
        "wire_name",
    )

    def __init__(
        self,
        name: str,
        arity: int,
        route: Route,
        flags: str,
        handler: Handler,
        *,
        keys: tuple[int, int, int],
        check: Check | None,
        plain: int,
        find_keys: Callable[[Args], Sequence[bytes]] | None,
        group: str,
        since: str,
        complexity: str,
        summary: str,
        categories: str,
    ) -> None:
        self.name = name
        """Upper case; a subcommand's is `CONTAINER|SUB`."""
        self.wire_name = name.partition("|")[0].encode()
        """The canonical first argument; one object, so its hash is computed once."""
        self.arity = arity
        self.least = abs(arity)
        self.most = arity if arity > 0 else 1 << 62
        self.route = route
        self.flags = frozenset(flags.split())
        self.blocks = "blocking" in self.flags and bool(keys[0] or find_keys)
        """It may wait for one of its keys."""
        self.handler = self.timed = handler
        """`timed` is the same, unless a node has heavy commands timed one by one."""
        self.usage = Usage()
        """On this node, since it started or CONFIG RESETSTAT."""
        self.keys = keys
        self.check = check
        self.find_keys = find_keys
        """For commands whose keys stand where (first, last, step) cannot say."""
        self.group = group
        self.since = since
        self.complexity = complexity
        self.summary = summary
        self.categories = frozenset(categories.split())
        """ACL categories beyond those that follow from flags and group, without `@`; with a leading `-` one
        that follows from the group and yet does not hold (WAIT is `generic`, but not of the keyspace)."""
        self.subcommands: dict[bytes, Command] = {}
        self.lower_name = name.lower()
        """As error messages and COMMAND INFO write it: `get`, `client|list`."""
        self.plain_size = plain or (arity if arity > 0 and check is None else 0)
        """WRITE: a request of this many arguments needs no check; 0 when there is no such number."""
        self.adds_data = "denyoom" in self.flags or name in ("EVAL", "EVALSHA", "SCRIPT|LOAD")
        """Refused when there is no room on the disk; what a script will do nobody knows before."""
        self.run: RunHandler | None = None
        """READ: answers a run of such requests at once (see `run_of`)."""
        self.vain: Vain | None = None
        """WRITE: tells of requests that would change nothing (see `server.vain`)."""

    @property
    def acl_categories(self) -> frozenset[str]:
        """All its ACL categories, without `@`. https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/"""
        found = set(self.flags & {"write", "admin", "pubsub", "blocking"})
        found.add("fast" if "fast" in self.flags else "slow")
        if "admin" in self.flags:
            found.add("dangerous")
        if not self.subcommands:  # a container is of its subcommands' kinds, not of its own
            found |= {_GROUP_CATEGORIES[self.group]} if self.group in _GROUP_CATEGORIES else set()
        found |= {name for name in self.categories if name[0] != "-"}
        if "readonly" in self.flags and "scripting" not in found:
            found.add("read")
        return frozenset(found - {name[1:] for name in self.categories if name[0] == "-"})

    def wrong_arity(self) -> CommandError:
        complaint = f"wrong number of arguments for '{self.lower_name}' command"
        if self.name == "EXEC":
            return CommandError(f"EXECABORT Transaction discarded because of: {complaint}")
        return CommandError(f"ERR {complaint}")

    def key_args(self, args: Args) -> Sequence[bytes]:
        """The keys among `args`."""
        if self.find_keys is not None:
            return self.find_keys(args)
        first, last, step = self.keys
        return args[first : (last if last > 0 else len(args) + last) + 1 : step] if first else ()


TABLE: Final[dict[bytes, Command]] = {}
"""Commands by upper-case and by lower-case name; other spellings go through `find`."""


def commands() -> list[Command]:
    """The top-level rows, by name."""
    return sorted({row.name: row for row in TABLE.values()}.values(), key=lambda row: row.name)


def every() -> list[Command]:
    """All rows by name, subcommands behind their containers."""
    return [each for row in commands() for each in (row, *row.subcommands.values())]


def command(
    name: str,
    arity: int,
    route: Route,
    flags: str,
    *,
    keys: tuple[int, int, int] = NO_KEYS,
    check: Check | None = None,
    plain: int = 0,
    find_keys: Callable[[Args], Sequence[bytes]] | None = None,
    group: str,
    since: str,
    complexity: str,
    summary: str,
    categories: str = "",
) -> Callable[[F], F]:
    """Enter the decorated handler into the table. A container's row comes before its subcommands'.

    `plain`: how many arguments a request without options has, which `check` need not look at.
    """

    def enter(handler: F) -> F:
        row = Command(
            name,
            arity,
            route,
            flags,
            handler,
            keys=keys,
            check=check,
            plain=plain,
            find_keys=find_keys,
            group=group,
            since=since,
            complexity=complexity,
            summary=summary,
            categories=categories,
        )
        container, _, sub = name.encode().partition(b"|")
        if sub:
            TABLE[container].subcommands[sub] = row
        else:
            TABLE[container] = TABLE[container.lower()] = row
        return handler

    return enter


def run_of(name: str) -> Callable[[RunHandler], RunHandler]:
    """Enter a function that answers many requests at once, if all are like the first, a READ.

    A pipeline of GETs is the most frequent thing a busy store sees. Taken request by request, half
    its time goes into calling things.
    """

    def enter(handler: RunHandler) -> RunHandler:
        TABLE[name.encode()].run = handler
        return handler

    return enter


def in_vain(name: str, reply: Reply) -> Callable[[F], F]:
    """Enter a function that counts how many requests for a WRITE, from the first on, would change nothing.
    To each of them `reply` is the answer.

    Their arguments are sound. It may raise CommandError and Due, as a read does."""

    def enter(sees: F) -> F:
        TABLE[name.encode()].vain = sees, reply
        return sees

    return enter


def find(args: Args) -> Command:
    """The row that answers `args`, its arity checked. Raises CommandError with Redis's texts."""
    name = args[0]
    row = TABLE.get(name) or TABLE.get(name.upper())
    if row is None:
        if type(name) is Refused:
            raise name.error
        raise CommandError(_unknown(name, args[1:]))
    if row.subcommands and len(args) > 1:
        sub = row.subcommands.get(args[1].upper())
        if sub is None:
            raise CommandError(f"ERR unknown subcommand '{_text(args[1][:128])}'. Try {row.name} HELP.")
        row = sub
    if not row.least <= len(args) <= row.most:
        row.usage.rejected += 1
        raise row.wrong_arity()
    return row


def _unknown(name: bytes, rest: Iterable[bytes]) -> str:
    # Redis shows 128 bytes of the name and of all arguments together (processCommand).
    shown = b""
    for arg in rest:
        if len(shown) >= 128:
            break
        shown += b"'%b' " % _c_string(arg)[: 128 - len(shown)]
    return f"ERR unknown command '{_text(name[:128])}', with args beginning with: {_text(shown)}"


def _c_string(data: bytes) -> bytes:
    """What C's printf takes of it: everything before the first NUL."""
    return data.partition(b"\0")[0]


def _text(data: bytes) -> str:
    return _c_string(data).decode("utf-8", "surrogateescape")

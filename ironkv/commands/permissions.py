"""Whether a user may make a request, and what it is told if not. For those who may not do everything.

A request is allowed when one selector allows the command, all its keys and all its channels. What `acl_rules`
has kept as words is looked at once per command and remembered, so that a restricted user costs little more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from ironkv.commands.acl_rules import matches, text
from ironkv.commands.key_specs import key_specs, keys_and_uses
from ironkv.commands.patterns import matcher
from ironkv.commands.plain_permissions import PlainPermissions
from ironkv.commands.table import Args, Command
from ironkv.errors import CommandError
from ironkv.keyspace.users import READ, WRITE, Selector, User

USERS_KNOWN: Final = 256
"""Users, as of one moment each, whose rules are kept ready."""
_PUBLISHING: Final = frozenset({"PUBLISH", "SPUBLISH"})
_SUBSCRIBING: Final = frozenset({"SUBSCRIBE", "SSUBSCRIBE"})
_CHANGES: Final = frozenset({"insert", "delete", "update"})


class Reason(Enum):
    """What stands in the way, as ACL LOG says it."""

    COMMAND = "command"
    KEY = "key"
    CHANNEL = "channel"
    AUTH = "auth"


class Denial(NamedTuple):
    """A request that is not allowed."""

    user: bytes
    reason: Reason
    object: bytes
    """The command, the key or the channel."""

    def told(self) -> str:
        """In full, for ACL DRYRUN."""
        who = f"User {text(self.user)} has no permissions to"
        if self.reason is Reason.COMMAND:
            return f"{who} run the '{text(self.object)}' command"
        return f"{who} access the '{text(self.object)}' {self.reason.value}"

    def error(self) -> CommandError:
        """As a client is told: the name of a key is not repeated."""
        if self.reason is Reason.COMMAND:
            return CommandError(f"NOPERM {self.told()}")
        return CommandError(f"NOPERM No permissions to access a {self.reason.value}")


class Rules:
    """A selector, ready to be asked."""

    def __init__(self, selector: Selector) -> None:
        self._selector = selector
        self._commands: dict[Command, bool | None] = {}
        self._readable = [matcher(pattern) for uses, pattern in selector.keys if uses & READ]
        self._writable = [matcher(pattern) for uses, pattern in selector.keys if uses & WRITE]
        self._both = [matcher(pattern) for uses, pattern in selector.keys if uses == READ | WRITE]
        self._any = [matcher(pattern) for _, pattern in selector.keys]
        self._channels = [matcher(pattern) for pattern in selector.channels]

    def allows(self, row: Command, args: Args) -> bool:
        if "no_auth" in row.flags:
            return True
        known = self._commands.get(row, ...)
        if known is ... or known is None:
            return self._look_up(row, args)
        return bool(known)

    def _look_up(self, row: Command, args: Args) -> bool:
        """By the last word that is about it. Not remembered where the arguments matter."""
        begins = (f"+{row.lower_name}|".encode(), f"-{row.lower_name}|".encode())
        allowed = self._selector.all_commands
        for word in reversed(self._selector.commands):
            if matches(word, row, args):
                allowed = word[:1] == b"+"
                break
        if not any(word.startswith(begins) for word in self._selector.commands):
            self._commands[row] = allowed
        return allowed

    def forbidden_key(self, needed: Sequence[tuple[bytes, int]]) -> bytes | None:
        """The first key that may not be used so, if any."""
        if self._selector.all_keys:
            return None
        lists = (self._any, self._readable, self._writable, self._both)
        for key, uses in needed:
            if not any(fits(key) for fits in lists[uses]):
                return key
        return None

    def plainly(self, row: Command, uses: int) -> Sequence[bytes] | None:
        """Patterns of keys with which a command is allowed whatever else it says; None: with any key."""
        allowed = self.allows(row, [row.wire_name])
        depends = self._commands.get(row) is None and "no_auth" not in row.flags
        if depends or not allowed:
            return ()
        if self._selector.all_keys:
            return None
        return [pattern for granted, pattern in self._selector.keys if granted & uses == uses]

    def reads_all_keys(self) -> bool:
        return self._selector.all_keys or any(
            uses & READ and pattern == b"*" for uses, pattern in self._selector.keys
        )

    def forbidden_channel(self, channels: Sequence[bytes], *, patterns: bool) -> bytes | None:
        """The first channel that may not be used; a pattern must be allowed literally."""
        if self._selector.all_channels:
            return None
        for channel in channels:
            allowed = (
                channel in self._selector.channels
                if patterns
                else any(fits(channel) for fits in self._channels)
            )
            if not allowed:
                return channel
        return None


class Permissions:
    """What a user may do."""

    def __init__(self, user: User) -> None:
        self.user = user
        self._selectors = [Rules(selector) for selector in (user.root, *user.selectors)]
        self.plainly = PlainPermissions(self._selectors, _uses).allow
        """Whether requests are allowed, as far as can be seen at a glance."""
        self._keys_of: dict[Command, Callable[[Args], Sequence[tuple[bytes, int]]]] = {}

    def denial(self, row: Command, args: Args) -> Denial | None:
        """Why the request is not allowed, or None. The selector that comes furthest gives the reason."""
        user, worst = self.user, Denial(self.user.name, Reason.COMMAND, row.lower_name.encode())
        if user.unrestricted:
            return None
        needed: Sequence[tuple[bytes, int]] | None = None
        found = worst
        for rules in self._selectors:
            if not rules.allows(row, args):
                continue
            if needed is None:
                needed = self._keys(row)(args)
            key = rules.forbidden_key(needed)
            if key is not None:
                found = Denial(user.name, Reason.KEY, key) if found.reason is Reason.COMMAND else found
                continue
            channels = _channels(row, args)
            channel = channels and rules.forbidden_channel(channels, patterns=row.name == "PSUBSCRIBE")
            if not channel and channel != b"":
                return None
            found = Denial(user.name, Reason.CHANNEL, channel)
        return found

    def refusal(self, row: Command, args: Args) -> tuple[CommandError, Denial | None] | None:
        """The error for the client, and what ACL LOG is to have of it; None: go ahead."""
        denial = self.denial(row, args)
        if denial is not None:
            return denial.error(), denial
        if row.name in ("SORT", "SORT_RO") and not any(rules.reads_all_keys() for rules in self._selectors):
            for option in _names_keys(args):
                return CommandError(
                    f"ERR {option} option of SORT denied due to insufficient ACL permissions"
                ), None
        return None

    def may_subscribe(self, channels: Sequence[bytes], *, patterns: bool) -> bool:
        """Whether one selector lets it hear all of these."""
        return any(rules.forbidden_channel(channels, patterns=patterns) is None for rules in self._selectors)

    def _keys(self, row: Command) -> Callable[[Args], Sequence[tuple[bytes, int]]]:
        found = self._keys_of.get(row)
        if found is None:
            found = self._keys_of[row] = _finder(row)
        return found


@lru_cache(USERS_KNOWN)
def permissions_of(user: User) -> Permissions:
    """What a user may do, made once for each that there has been lately."""
    return Permissions(user)


@lru_cache(1024)
def _finder(row: Command) -> Callable[[Args], Sequence[tuple[bytes, int]]]:
    """A function that finds a request's keys and what they are used for."""
    specs = key_specs(row)
    if not specs and row.find_keys is None:
        return lambda args: ()
    first, last, step = row.keys
    if first and len(specs) == 1 and "variable_flags" not in specs[0].flags and row.find_keys is None:
        if "not_key" in specs[0].flags:
            return lambda args: ()
        uses = _uses(specs[0].flags)
        if (first, last, step) == (1, 1, 1):
            return lambda args: ((args[1], uses),)
        return lambda args: [(key, uses) for key in row.key_args(args)]
    return lambda args: [
        (key, _uses(flags)) for key, flags in keys_and_uses(row, args) if "not_key" not in flags
    ]


def _uses(flags: Sequence[str]) -> int:
    """Only what looks at a value or changes it counts: EXISTS needs any permission for its key."""
    return READ * ("access" in flags) | WRITE * (not _CHANGES.isdisjoint(flags))


def _channels(row: Command, args: Args) -> Sequence[bytes]:
    if row.name in _PUBLISHING:
        return args[1:2]
    if row.name in _SUBSCRIBING or row.name == "PSUBSCRIBE":
        return args[1:]
    return ()


def _names_keys(args: Args) -> list[str]:
    """The options of a SORT that make it read keys it does not name."""
    found = []
    for place in range(2, len(args) - 1):
        option, pattern = args[place].upper(), args[place + 1]
        if (option == b"BY" and b"*" in pattern) or (option == b"GET" and pattern != b"#"):
            found.append(option.decode())
    return found

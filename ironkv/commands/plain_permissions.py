"""The common case of a restricted user: commands with one key, which fit one of his patterns.

Judged by the bytes of the request alone, some hundred nanoseconds each. What is not plainly allowed here is
not refused: `permissions` looks at it in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ironkv.commands.key_specs import key_specs
from ironkv.commands.patterns import beginning, matcher
from ironkv.commands.table import TABLE, Args, Command
from ironkv.keyspace.users import READ, WRITE

if TYPE_CHECKING:
    from ironkv.commands.permissions import Rules

NOT_PLAIN: Final = frozenset({"SORT", "SORT_RO"})
Fits = Callable[[bytes], object]


class PlainPermissions:
    """By command, what its key must begin with or else fit."""

    def __init__(self, selectors: Sequence[Rules], uses_of: Callable[[Sequence[str]], int]) -> None:
        self._selectors = selectors
        self._uses_of = uses_of
        self._begins: dict[bytes, tuple[bytes, ...]] = {}
        self._fits: dict[bytes, list[Fits]] = {}

    def allow(self, requests: Sequence[Args]) -> bool:
        """Whether all of these are plainly allowed."""
        begins = self._begins
        for args in requests:
            if len(args) < 2:
                return False
            if not args[1].startswith(begins.get(args[0], ())) and not self._allows(args):
                return False
        return True

    def _allows(self, args: Args) -> bool:
        """Whether a request is plainly allowed by a pattern that is no mere beginning, or not known yet."""
        name, key = args[0], args[1]
        fits = self._fits.get(name)
        if fits is not None:
            return any(one(key) for one in fits)
        row = TABLE.get(name)
        if row is None:  # or in another spelling, and of those there is no end
            return False
        patterns = self._patterns(row)
        if patterns is None:
            self._begins[name], self._fits[name] = (b"",), []
        else:
            beginnings = {pattern: beginning(pattern) for pattern in patterns}
            self._begins[name] = tuple(each for each in beginnings.values() if each is not None)
            self._fits[name] = [matcher(pattern) for pattern, each in beginnings.items() if each is None]
        return self.allow([args])

    def _patterns(self, row: Command) -> list[bytes] | None:
        """Which keys are plainly allowed to a command; None: all."""
        specs = key_specs(row)
        if row.subcommands or row.find_keys is not None or row.keys != (1, 1, 1) or len(specs) != 1:
            return []
        if row.name in NOT_PLAIN or "not_key" in specs[0].flags:
            return []
        # Where the use depends on the arguments, who may both read and write may do either.
        uses = READ | WRITE if "variable_flags" in specs[0].flags else self._uses_of(specs[0].flags)
        allowed = [rules.plainly(row, uses) for rules in self._selectors]
        if None in allowed:
            return None
        return [pattern for patterns in allowed for pattern in patterns or ()]

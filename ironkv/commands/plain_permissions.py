"""The common case of a restricted user: commands with one key, which fit one of his patterns.

Judged by the bytes of the request alone, some hundred nanoseconds each. What is not plainly allowed here is
not refused: `permissions` looks at it in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ironkv.commands.key_specs import key_specs
from ironkv.commands.table import TABLE, Args, Command
from ironkv.keyspace.users import READ, WRITE

if TYPE_CHECKING:
    from ironkv.commands.permissions import Rules

Fits = Callable[[bytes], object]
NOT_PLAIN: Final = frozenset({"SORT", "SORT_RO"})


class PlainPermissions:
    """By command, what its key must fit."""

    def __init__(self, selectors: Sequence[Rules], uses_of: Callable[[Sequence[str]], int]) -> None:
        self._selectors = selectors
        self._uses_of = uses_of
        self._known: dict[bytes, Fits | None] = {}

    def allow(self, requests: Sequence[Args]) -> bool:
        """Whether all of these are plainly allowed."""
        known = self._known
        for args in requests:
            fits = known.get(args[0], ...)
            if fits is ...:
                fits = self._learn(args[0])
            if fits is None or len(args) < 2 or not fits(args[1]):
                return False
        return True

    def _learn(self, name: bytes) -> Fits | None:
        row = TABLE.get(name) or TABLE.get(name.upper())
        if row is None or name not in (row.name.encode(), row.lower_name.encode()):
            return None  # there is no end of spellings
        fits = self._known[name] = self._of(row)
        return fits

    def _of(self, row: Command) -> Fits | None:
        specs = key_specs(row)
        if row.subcommands or row.find_keys is not None or row.keys != (1, 1, 1) or len(specs) != 1:
            return None
        if row.name in NOT_PLAIN or "not_key" in specs[0].flags:
            return None
        # Where the use depends on the arguments, who may both read and write may do either.
        uses = READ | WRITE if "variable_flags" in specs[0].flags else self._uses_of(specs[0].flags)
        found: list[Fits] = []
        for rules in self._selectors:
            allowed, fits = rules.plainly(row, uses)
            if allowed and fits is None:
                return _anything
            if allowed:
                found += fits or ()
        return found[0] if len(found) == 1 else lambda key: any(fits(key) for fits in found)


def _anything(key: bytes) -> bool:
    return True

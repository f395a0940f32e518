"""Where a command's keys stand and how it uses them, in the words of COMMAND INFO.

https://redis.io/docs/latest/develop/reference/key-specs/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ironkv.commands.command_facts import IRREGULAR, KEY_FLAGS, NOTES
from ironkv.commands.table import Args, Command
from ironkv.errors import CommandError
from ironkv.resp.replies import Members, Reply, Status

GENERAL_FLAGS: Final = {"write": "RW access update", "readonly": "RO access"}
"""For a command that the facts do not name: the worst that its row allows."""
BOTH: Final = ("RW", "access", "update")


class KeySpec(NamedTuple):
    """One set of keys among the arguments."""

    begin: str
    """A position, `WORD@n`, or `?`."""
    find: str
    """`range last step limit`, `keynum place first step`, or `?`."""
    flags: tuple[str, ...]
    note: str

    def positions(self, args: Args) -> Iterator[int]:
        """Where in `args` these keys stand. Raises ValueError when it is not said there rightly."""
        begin = self._begin(args)
        kind, *numbers = self.find.split()
        if begin is None or kind == "?":
            return iter(())
        first, second, step = map(int, numbers)
        if kind == "keynum":
            count = int(args[begin + first])
            begin += second
            if count < 0 or begin + count * step > len(args):
                raise ValueError
            return iter(range(begin, begin + count * step, step))
        limit, last, step = step, first, second
        end = len(args) + last if last < 0 else begin + last
        if limit > 1:  # of what follows, only one part in `limit` are keys
            end = begin + (end - begin + 1) // limit - 1
        return iter(range(begin, min(end, len(args) - 1) + 1, step))

    def _begin(self, args: Args) -> int | None:
        word, at, start = self.begin.partition("@")
        if not at:
            return int(word) if word != "?" else None
        place, step = int(start), 1
        if place < 0:
            place, step = len(args) + place, -1
        while 0 < place < len(args):
            if args[place].upper() == word.encode():
                return place + 1
            place += step
        return None

    def described(self) -> dict[bytes, Reply]:
        """As COMMAND INFO gives it."""
        note: dict[bytes, Reply] = {b"notes": self.note.encode()} if self.note else {}
        return {
            **note,
            b"flags": statuses(self.flags),
            b"begin_search": self._begin_described(),
            b"find_keys": self._find_described(),
        }

    def _begin_described(self) -> dict[bytes, Reply]:
        word, at, start = self.begin.partition("@")
        if word == "?":
            return {b"type": b"unknown", b"spec": {}}
        if at:
            return {b"type": b"keyword", b"spec": {b"keyword": word.encode(), b"startfrom": int(start)}}
        return {b"type": b"index", b"spec": {b"index": int(word)}}

    def _find_described(self) -> dict[bytes, Reply]:
        kind, *numbers = self.find.split()
        names = {
            "range": (b"lastkey", b"keystep", b"limit"),
            "keynum": (b"keynumidx", b"firstkey", b"keystep"),
            "?": (),
        }[kind]
        spec = dict(zip(names, map(int, numbers), strict=True))
        return {b"type": b"unknown" if kind == "?" else kind.encode(), b"spec": spec}


def statuses(words: Iterable[str]) -> Members:
    """Words as a set of simple strings."""
    return Members(Status(word.encode()) for word in words)


def key_specs(row: Command) -> list[KeySpec]:
    """The sets of keys that a command takes."""
    notes = NOTES.get(row.name, ())
    texts = (
        [text.strip() for text in IRREGULAR[row.name].split(";")] if row.name in IRREGULAR else _regular(row)
    )
    return [_parse(text, notes[place] if notes else "") for place, text in enumerate(texts)]


def _regular(row: Command) -> list[str]:
    first, last, step = row.keys
    flags = KEY_FLAGS.get(row.name) or next(
        (text for flag, text in GENERAL_FLAGS.items() if flag in row.flags), "RO access"
    )
    if first:
        return [f"{first} range {last - first if last > 0 else last} {step} 0: {flags}"]
    return [f"? ?: {flags}"] if row.find_keys is not None else []


def _parse(text: str, note: str) -> KeySpec:
    where, _, flags = text.partition(": ")
    begin, _, find = where.partition(" ")
    return KeySpec(begin, find, tuple(flags.split()), note)


def keys_and_uses(row: Command, args: Args) -> list[tuple[bytes, tuple[str, ...]]]:
    """The keys of a request and how it uses them; none when they are not named rightly."""
    specs = key_specs(row)
    try:
        found = [
            (args[place], _flags_now(row, spec, args)) for spec in specs for place in spec.positions(args)
        ]
        known = {key for key, _ in found}
        # What only the command itself can find, such as SORT's STORE, is what its last specification is for.
        return found + [(key, specs[-1].flags) for key in row.key_args(args) if key not in known]
    except (CommandError, ValueError, IndexError):
        return []


def _flags_now(row: Command, spec: KeySpec, args: Args) -> tuple[str, ...]:
    """Of a command whose options decide what it does to its key, what it does here."""
    if "variable_flags" not in spec.flags:
        return spec.flags
    words = {arg.upper() for arg in args[2:]}
    if row.name == "SET":
        return BOTH if b"GET" in {arg.upper() for arg in args[3:]} else ("OW", "update")
    return BOTH if words & {b"SET", b"INCRBY"} else ("RO", "access")

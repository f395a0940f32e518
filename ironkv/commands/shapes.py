"""The arguments of a command, for COMMAND DOCS, read off the first line of its handler's docstring:

    SET key value [NX | XX] [GET] [EX s | PX ms | KEEPTTL]

    words in capitals   tokens, and so are the signs = ~ * $; the small words behind one are its value: `EX s`
    small words         what the client fills in
    [ ]                 may be left out
    ( )                 around a choice that must be made
    |                   one of these; `TYPE ZSET | HASH` means TYPE and then one of the two
    [key ...]           any number more of what stands before it, or of itself

The line goes on while brackets are open or the next one begins with one, and ends at a colon or an arrow.
redis-cli shows the result as a hint while one types.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ironkv.commands.key_specs import key_specs
from ironkv.commands.table import Command
from ironkv.resp.replies import Members, Status

Argument = dict[bytes, Any]
"""As COMMAND DOCS gives it: name, type, display_text, key_spec_index, token, flags, arguments."""

KEYS: Final = frozenset({"key", "key1", "key2", "newkey", "source", "destination", "destkey", "sourcekey"})
INTEGERS: Final = (
    "client-id", "count", "db", "decrement", "destination-db", "end", "increment", "index", "index1",
    "index2", "milliseconds", "min-match-len", "numreplicas", "offset", "protover", "seconds", "start",
    "timeout",
)  # fmt: skip
UNIX_TIMES: Final = frozenset({"unix-time-seconds", "unix-time-milliseconds"})
LONG_NAMES: Final = {
    "EX s": "seconds",
    "PX ms": "milliseconds",
    "EXAT s": "unix-time-seconds",
    "PXAT ms": "unix-time-milliseconds",
}
"""Redis's names for what docstrings abbreviate."""

SIGNS: Final = frozenset(("[", "]", "(", ")", "|", "..."))

_words = re.compile(r"[\[\]()|]|\.\.\.|[^\s\[\]()|]+").findall
_is_token = re.compile(r"[A-Z][A-Z0-9-]*|[=~*$]").fullmatch


def shape(row: Command) -> str:
    """`key value [NX | XX]`: the line without the command's own name."""
    line, *more = (row.handler.__doc__ or "").splitlines()
    for following in more:
        if line.count("[") == line.count("]") and following.strip()[:1] not in ("[", "("):
            break
        line += following
    line = re.split(r": | -> |:$", line)[0]
    # Two rows may share a handler, so the name is not always this row's.
    words = line.split()[row.name.count("|") + 1 :]
    return "" if row.subcommands else " ".join(words)


def arguments(row: Command) -> list[Argument]:
    """The arguments of a row; none for a container."""
    found = _Shape(_words(shape(row))).alternatives()
    if row.name == "INCRBYFLOAT":
        found[1][b"type"] = b"double"
    if row.name == "CLUSTER|KEYSLOT":  # it computes with a name, and touches no key
        found[0][b"type"] = b"string"
    _number_keys(found, iter(range(len(key_specs(row)))), 0)
    if row.name == "SORT":  # one group is of the keys that patterns name, the last of the destination
        found[-1][b"key_spec_index"] = 2
    return found


def _number_keys(found: list[Argument], numbers: Any, number: int) -> int:
    """Say of every key which group of COMMAND INFO's key specifications it belongs to."""
    for argument in found:
        if argument[b"type"] == b"key":
            number = next(numbers, number)
            argument[b"key_spec_index"] = number
        number = _number_keys(argument.get(b"arguments", []), numbers, number)
    return number


class _Shape:
    """A parser by recursive descent over the words of a shape."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def alternatives(self) -> list[Argument]:
        """What stands between `|`s, up to a closing bracket: one argument, or a sequence of them."""
        choices = [self._sequence()]
        while self._take("|"):
            choices.append(self._sequence())
        if len(choices) == 1:
            return choices[0]
        first, *others = choices
        if len(first) > 1 and b"token" in first[0] and b"token" in first[1]:
            # `TYPE ZSET | HASH`: the first token belongs to all of them.
            return [_choice([first[1:], *others], first[0][b"token"])]
        if b"token" in first[0] and not any(b"token" in other[0] for other in others):
            # `SKIPME yes | no`: so it does here.
            return [_choice(choices, first[0].pop(b"token"))]
        return [_choice(choices)]

    def _sequence(self) -> list[Argument]:
        found: list[Argument] = []
        while self._words and self._words[0] not in ("]", ")", "|"):
            if self._take("["):
                self._optional(found)
            elif self._take("("):
                found.append(_one(self.alternatives()))
                self._take(")")
            else:
                found.append(self._word())
        return found

    def _optional(self, before: list[Argument]) -> None:
        """A bracket that was just opened."""
        inside = self.alternatives()
        more = bool(inside) and inside[-1][b"name"] == b"..."
        self._take("]")
        if not more:
            before.append(_flagged(_one(inside), b"optional"))
            return
        inside.pop()
        names = [argument[b"name"] for argument in inside]
        if names and [argument[b"name"] for argument in before[-len(names) :]] == names:
            before[-len(names) :] = [_flagged(_one(before[-len(names) :]), b"multiple")]
        else:
            before.append(_flagged(_flagged(_one(inside), b"multiple"), b"optional"))

    def _word(self) -> Argument:
        word = self._words.pop(0)
        if not _is_token(word):
            return _argument(word, _type_of(word))
        if self._words and f"{word} {self._words[0]}" in LONG_NAMES:
            self._words[0] = LONG_NAMES[f"{word} {self._words[0]}"]
        values = []
        while self._words and self._words[0] not in SIGNS and not _is_token(self._words[0]):
            values.append(self._word())
        if not values:
            return _argument(word.lower(), "pure-token", token=word)
        argument = _one(values, word.lower())
        argument[b"token"] = word.encode()
        return argument

    def _take(self, word: str) -> bool:
        if self._words and self._words[0] == word:
            self._words.pop(0)
            return True
        return False


def _choice(choices: list[list[Argument]], token: bytes = b"") -> Argument:
    """One of several sequences, behind a token perhaps."""
    argument = _argument(token.decode().lower() or "one-of", "oneof", arguments=list(map(_one, choices)))
    return argument | {b"token": token} if token else argument


def _one(found: list[Argument], name: str = "block") -> Argument:
    """A sequence as one argument."""
    return found[0] if len(found) == 1 else _argument(name, "block", arguments=found)


def _argument(
    name: str, kind: str, *, token: str | None = None, arguments: list[Argument] | None = None
) -> Argument:
    argument: Argument = {b"name": name.encode(), b"type": kind.encode()}
    if arguments is None:
        argument[b"display_text"] = name.encode()
    else:
        argument[b"arguments"] = arguments
    if token is not None:
        argument[b"token"] = token.encode()
    return argument


def _flagged(argument: Argument, flag: bytes) -> Argument:
    flags = argument.setdefault(b"flags", Members())
    flags.insert(0, Status(flag))  # Redis puts `optional` before `multiple`
    return argument


def _type_of(word: str) -> str:
    if word in KEYS:
        return "key"
    if word in UNIX_TIMES:
        return "unix-time"
    if word in INTEGERS:
        return "integer"
    return "pattern" if word == "pattern" else "string"

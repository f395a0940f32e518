"""Keys that stand behind their number: `LMPOP numkeys key [key ...]`, `ZUNIONSTORE destination numkeys …`."""

from __future__ import annotations

from collections.abc import Callable

from ironkv.commands.arguments import INT64_MAX, integer
from ironkv.commands.table import Args
from ironkv.errors import CommandError, NotInteger, SyntaxFault


def numbered_keys(place: int) -> Callable[[Args], list[bytes]]:
    """What finds the keys of a command whose `numkeys` is argument `place`; a destination comes before it.
    Raises CommandError."""

    def find_keys(args: Args) -> list[bytes]:
        count = integer(args[place])
        if not 0 <= count < len(args) - place:
            raise SyntaxFault
        return args[1:place] + args[place + 1 : place + 1 + count]

    return find_keys


def number_between(text: bytes, low: int, high: int, complaint: str = "") -> int:
    """An integer within bounds (getRangeLongFromObjectOrReply). Raises CommandError; `complaint` replaces
    what it says of a text that is no integer, too."""
    try:
        value = integer(text)
    except NotInteger:
        if complaint:
            raise CommandError(complaint) from None
        raise
    if low <= value <= high:
        return value
    raise CommandError(complaint or f"ERR value is out of range, value must between {low} and {high}")


def amount(text: bytes, complaint: str = "ERR value is out of range, must be positive") -> int:
    """An integer from 0 on (getPositiveLongFromObjectOrReply). Raises CommandError."""
    return number_between(text, 0, INT64_MAX, complaint)


def parse_mpop(args: Args, ends: tuple[bytes, bytes]) -> tuple[list[bytes], bool, int]:
    """numkeys key [key ...] end [COUNT count] -> (keys, whether it is the first end, count)"""
    numkeys = number_between(args[1], 1, INT64_MAX, "ERR numkeys should be greater than 0")
    words = iter(args[2 + numkeys :])
    end = next(words, b"").upper()
    if end not in ends:
        raise SyntaxFault
    count = None
    for word in words:
        argument = next(words, None)
        if word.upper() != b"COUNT" or argument is None or count is not None:
            raise SyntaxFault
        count = number_between(argument, 1, INT64_MAX, "ERR count should be greater than 0")
    return args[2 : 2 + numkeys], end == ends[0], 1 if count is None else count

"""LCS: the longest common subsequence of two strings.

Redis fills a table of lengths, L(i, j) for the first i bytes of one string and the first j of the other,
and walks back from its end. The reply depends on how the walk decides where several ways are equally
good, so the walk here visits the same places. But neighbours in a row differ by 0 or 1: a row of the
table is kept as one big integer, a bit per step up (Hyyrö 2004), and a few additions and shifts on it
replace a loop over the row. The table takes 1 bit per cell instead of 32, and the largest that Redis
allows (some 11,000 by 11,000 bytes) takes tens of milliseconds.

The rows run along the shorter string, so that there are few of them; the walk back then needs two
forms, one for each string that the bits may run along.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from ironkv.commands.arguments import STRING_MOST, integer, next_word
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, SyntaxFault, WrongType
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import Reply

TWO_KEYS: Final = (1, 2, 1)
REDIS_CELL_BYTES: Final = 4


class LcsOptions(NamedTuple):
    """How LCS replies."""

    length: bool = False
    ranges: bool = False
    range_least: int = 0
    range_lengths: bool = False


def parse_lcs(args: Args) -> LcsOptions:
    """LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]"""
    length = ranges = range_lengths = False
    range_least = 0
    words = iter(args[3:])
    for word in words:
        option = word.upper()
        if option == b"IDX":
            ranges = True
        elif option == b"LEN":
            length = True
        elif option == b"WITHMATCHLEN":
            range_lengths = True
        elif option == b"MINMATCHLEN":
            range_least = max(0, integer(next_word(words)))
        else:
            raise SyntaxFault
    if length and ranges:
        raise CommandError("ERR If you want both the length and indexes, please just use IDX.")
    return LcsOptions(length, ranges, range_least, range_lengths)


@command(
    "LCS",
    -3,
    Route.READ,
    "readonly",
    keys=TWO_KEYS,
    group="string",
    since="7.0.0",
    complexity="O(N*M) where N and M are the lengths of s1 and s2, respectively",
    summary="Finds the longest common substring.",
)
def lcs(db: Database, args: Args, now_ms: int) -> Reply:
    """LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]"""
    try:
        one, other = db.string(args[1]) or b"", db.string(args[2]) or b""
    except WrongType:
        raise CommandError("ERR The specified keys must contain string values") from None
    options = parse_lcs(args)
    if (len(one) + 1) * (len(other) + 1) * REDIS_CELL_BYTES > STRING_MOST:
        raise CommandError("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if options.length:
        return length_of(one, other)
    matches = list(walk(one, other))
    if options.ranges:
        return {b"matches": _range_replies(matches, options), b"len": len(matches)}
    return bytes(one[place] for place, _ in reversed(matches))


def _range_replies(matches: list[tuple[int, int]], options: LcsOptions) -> list[Reply]:
    replies: list[Reply] = []
    for i, j, size in _ranges(matches):
        if size >= options.range_least:
            reply: list[Reply] = [[i, i + size - 1], [j, j + size - 1]]
            replies.append([*reply, size] if options.range_lengths else reply)
    return replies


def _ranges(matches: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Matches that continue each other, as (start in one, start in other, size); the last ones first."""
    size = 0
    for place, (i, j) in enumerate(matches):
        size += 1
        if matches[place + 1 : place + 2] != [(i - 1, j - 1)]:
            yield i, j, size
            size = 0


# -- the table


def _rows(along: bytes, across: bytes, masks: dict[int, int]) -> Iterator[int]:
    """The table's row behind each byte of `along`: bit j is set if L grows from j to j + 1 bytes of `across`.
    `masks` says where the bytes of `along` stand in `across`."""
    full = (1 << len(across)) - 1
    flat = full  # the complement of the row: it makes the carry of the addition find the next step
    for byte in along:
        steps = flat & masks[byte]
        flat = ((flat + steps) | (flat - steps)) & full
        yield full ^ flat


def _masks(text: bytes, wanted: set[int]) -> dict[int, int]:
    """Where each of the `wanted` bytes stands in `text`: bit j for place j."""
    backwards = text[::-1]
    masks = {}
    for byte in wanted:
        ones_and_zeros = backwards.translate(b"0" * byte + b"1" + b"0" * (255 - byte))
        masks[byte] = int(ones_and_zeros or b"0", 2)
    return masks


def length_of(one: bytes, other: bytes) -> int:
    """The length of the longest common subsequence."""
    along, across = sorted((one, other), key=len)
    last = deque(_rows(along, across, _masks(across, set(along))), maxlen=1)
    return last[0].bit_count() if last else 0


def walk(one: bytes, other: bytes) -> Iterator[tuple[int, int]]:
    """The places (in one, in other) of the bytes of Redis's choice of the subsequence, from last to first."""
    return _walk_along_one(one, other) if len(one) <= len(other) else _walk_along_other(one, other)


# Redis's rule at (i, j), for bytes that differ: to i - 1 if L(i-1, j) > L(i, j-1), else to j - 1.


def _walk_along_one(one: bytes, other: bytes) -> Iterator[tuple[int, int]]:
    """The walk with a row for every byte of `one`.

    If L steps up at j, then L(i, j-1) = L - 1, hence L(i-1, j) = L, and the way is to i - 1. If it does
    not, L(i, j-1) = L cannot be exceeded and the way is to j - 1: on to the next step or match.
    """
    masks = _masks(other, set(one))
    rows = list(_rows(one, other, masks))
    i, j = len(one), len(other)
    while i and j:
        mask = masks[one[i - 1]]
        j = ((rows[i - 1] | mask) & ((1 << j) - 1)).bit_length()
        if j and one[i - 1] == other[j - 1]:
            yield i - 1, j - 1
            j -= 1
        i -= 1


def _walk_along_other(one: bytes, other: bytes) -> Iterator[tuple[int, int]]:
    """The walk with a row for every byte of `other`.

    If L(i, j-1) = L, the way is to j - 1. Otherwise it is L - 1, L(i-1, j) must be L, and the way is to
    i - 1; L(i, j-1) stays below L on that way, so it leads on to the next match.
    """
    masks = _masks(one, set(other))
    rows = [0, *_rows(other, one, masks)]
    i, j = len(one), len(other)
    left = rows[j].bit_count()
    while left:
        before = (1 << i) - 1
        if one[i - 1] != other[j - 1]:
            if (rows[j - 1] & before).bit_count() == left:
                j -= 1
                continue
            i = (masks[other[j - 1]] & before).bit_length()
        yield i - 1, j - 1
        left -= 1
        i -= 1
        j -= 1

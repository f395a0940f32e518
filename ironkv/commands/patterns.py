"""Glob patterns as Redis matches them (KEYS, SCAN MATCH, PSUBSCRIBE, ACL keys).

    *          any bytes, none included          [abc]      one of these
    ?          any one byte                      [^abc]     one other byte
    \\x         x itself                          [a-z]      one of a range, in either order

The authority is `stringmatchlen` in Redis's util.c. It is followed to the letter where a pattern is
odd: an open `[` ends with the pattern, `-` before `]` makes a range that ends in `]`, and bytes in a
range compare as the signed chars they are on x86.

A pattern is a chain of pieces between stars, each as long as what it matches. So the leftmost fit of
every piece decides, and no choice is ever taken back: atomic groups say that to the regex engine,
which is thereby as safe from `*a*a*a*a*b` as Redis is, and far faster than a loop in Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

STARS_MOST: Final = 1_000
"""Redis gives up on a pattern that nests deeper, and says that nothing matches."""

MATCHES_NOTHING: Final = b"(?!)"


@lru_cache(maxsize=256)
def matcher(pattern: bytes) -> Callable[[bytes], object]:
    """A function that returns something true for the bytes that match."""
    return re.compile(_regex(pattern), re.DOTALL).match


def beginning(pattern: bytes) -> bytes | None:
    """What all bytes begin with that match, if that is all there is to it (`user:*`)."""
    fixed = pattern[:-1]
    if not fixed or pattern[-1:] != b"*" or _special(fixed):
        return None
    return fixed


_special: Final = re.compile(rb"[*?\[\\]").search


def _regex(pattern: bytes) -> bytes:
    pieces = _pieces(pattern)
    head, tail = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return head + rb"\Z"
    if pieces == [b"", b""]:
        return b"."  # Only the empty pattern matches the empty string, `*` does not (KEYS knows better).
    if len(pieces) - (1 if tail else 2) > STARS_MOST:
        return MATCHES_NOTHING
    middle = b"".join(b"(?>.*?%b)" % piece for piece in pieces[1:-1])
    return head + middle + b".*" + (tail + rb"\Z" if tail else b"")


def _pieces(pattern: bytes) -> list[bytes]:
    """Regular expressions of what stands between the stars; a run of stars is one star."""
    pieces: list[list[bytes]] = [[]]
    place, end = 0, len(pattern)
    while place < end:
        char = pattern[place : place + 1]
        place += 1
        if char == b"*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append([])
        elif char == b"?":
            pieces[-1].append(b".")
        elif char == b"[":
            one_byte, place = _class(pattern, place)
            pieces[-1].append(one_byte)
        else:
            if char == b"\\" and place < end:
                char = pattern[place : place + 1]
                place += 1
            pieces[-1].append(re.escape(char))
    return [b"".join(piece) for piece in pieces]


def _class(pattern: bytes, place: int) -> tuple[bytes, int]:
    """The regular expression of the class that begins behind `[`, and where the pattern goes on."""
    end = len(pattern)
    negated = pattern[place : place + 1] == b"^"
    if negated:
        place += 1
    wanted: set[int] = set()
    while place < end and pattern[place] != ord("]"):
        if pattern[place] == ord("\\") and end - place >= 2:
            wanted.add(pattern[place + 1])
            place += 2
        elif end - place >= 3 and pattern[place + 1] == ord("-"):
            wanted |= _range(pattern[place], pattern[place + 2])
            place += 3
        else:
            wanted.add(pattern[place])
            place += 1
    if negated:
        wanted = set(range(256)) - wanted
    members = b"".join(b"\\x%02x" % byte for byte in sorted(wanted))
    return (b"[%b]" % members if members else MATCHES_NOTHING), place + 1


def _range(one: int, other: int) -> set[int]:
    """The bytes from one to the other, ordered as signed chars."""
    first, last = sorted((_signed(one), _signed(other)))
    return {byte & 0xFF for byte in range(first, last + 1)}


def _signed(byte: int) -> int:
    return byte - 256 if byte >= 128 else byte

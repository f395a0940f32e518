"""Glob patterns against Redis's own algorithm, transcribed, and against Redis itself."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ironkv.commands.patterns import matcher
from tests.commands.oracle import Oracle
from tests.commands.wire import meaning


def stringmatchlen(pattern: bytes, string: bytes) -> bool:
    """Redis 7.2's util.c, line by line (case-sensitive). `p` and `s` are the C pointers."""
    p, s = 0, 0

    def at(place: int) -> int:
        return pattern[place] if place < len(pattern) else 0  # the NUL behind every sds

    while p < len(pattern) and s < len(string):
        char = at(p)
        if char == ord("*"):
            while at(p + 1) == ord("*"):
                p += 1
            if p + 1 == len(pattern):
                return True
            return any(stringmatchlen(pattern[p + 1 :], string[start:]) for start in range(s, len(string)))
        if char == ord("["):
            p += 1
            negated = at(p) == ord("^")
            if negated:
                p += 1
            match = False
            while True:
                left = len(pattern) - p
                if at(p) == ord("\\") and left >= 2:
                    p += 1
                    match |= at(p) == string[s]
                elif at(p) == ord("]"):
                    break
                elif left == 0:
                    p -= 1
                    break
                elif left >= 3 and at(p + 1) == ord("-"):
                    first, last = sorted((_signed(at(p)), _signed(at(p + 2))))
                    p += 2
                    match |= first <= _signed(string[s]) <= last
                else:
                    match |= at(p) == string[s]
                p += 1
            if match == negated:
                return False
        elif char != ord("?"):
            if char == ord("\\") and len(pattern) - p >= 2:
                p += 1
            if at(p) != string[s]:
                return False
        s += 1
        p += 1
        if s == len(string):
            while at(p) == ord("*"):
                p += 1
            break
    return p >= len(pattern) and s == len(string)


def _signed(char: int) -> int:
    return char - 256 if char > 127 else char


WEIRD = st.sampled_from([bytes([char]) for char in b"abc*?[]^-\\z\x80\xff"])
patterns = st.lists(WEIRD, max_size=9).map(b"".join)
strings = st.lists(st.sampled_from([bytes([char]) for char in b"abc]-\\z^[\x80\xff\n"]), max_size=7).map(
    b"".join
)


@given(patterns, strings)
@example(b"[", b"[")
@example(b"[^", b"x")
@example(b"[a-", b"-")
@example(b"[a-]", b"^")
@example(b"[z-a]", b"c")
@example(b"[a-\xff]", b"\x80")
@example(b"[a\\]b]", b"]")
@example(b"[]a]", b"a")
@example(b"\\", b"\\")
@example(b"**a**", b"a")
@example(b"?*", b"")
@example(b"", b"")
@example(b"*", b"\n")
@example(b"*", b"")
def test_matches_as_redis_does(pattern: bytes, string: bytes) -> None:
    assert bool(matcher(pattern)(string)) == stringmatchlen(pattern, string)


@pytest.mark.parametrize(
    "pattern",
    [b"*", b"h?llo", b"h*llo", b"h[ae]llo", b"h[^e]llo", b"h[a-b]llo", b"h\\[llo", b"[h-", b"h[\\]a]llo",
     b"[a-\xff]ello", b"[^\x80-\xff]*", b"*l*l*", b"h\\", b"hello\n", b"*[", b"[]", b"h[a-]llo", b"**o"],
)  # fmt: skip
def test_keys_finds_what_redis_finds(oracle: Oracle, pattern: bytes) -> None:
    names = [
        b"hello",
        b"hallo",
        b"hxllo",
        b"hllo",
        b"h[llo",
        b"\xffello",
        b"h]llo",
        b"h\\",
        b"hello\n",
        b"[",
        b"h^llo",
    ]
    oracle.ask([b"FLUSHALL"])
    for name in names:
        oracle.ask([b"SET", name, b""])
    expected = sorted(meaning(oracle.ask([b"KEYS", pattern])))
    assert sorted(name for name in names if matcher(pattern)(name)) == expected


@pytest.mark.parametrize(
    "pattern", [b"a*" * 40 + b"b", b"*a" * 40 + b"b", b"*?" * 40 + b"b", b"*[a-b]" * 40 + b"\\b"]
)
def test_many_stars_take_no_time(pattern: bytes) -> None:
    started = time.perf_counter()
    assert not matcher(pattern)(b"a" * 5_000)
    assert time.perf_counter() - started < 1.0


def test_too_many_stars_match_nothing(oracle: Oracle) -> None:
    for stars, expected in ((1_000, True), (1_001, False)):
        name, pattern = b"a" * stars, b"*a" * stars
        assert bool(matcher(pattern)(name)) is expected
        oracle.ask([b"FLUSHALL"])
        oracle.ask([b"SET", name, b""])
        assert meaning(oracle.ask([b"KEYS", pattern])) == [name] * expected

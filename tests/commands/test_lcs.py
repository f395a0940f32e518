"""LCS on bit rows against the table of lengths that Redis fills."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ironkv.commands.lcs import length_of, walk
from tests.commands.local import Local
from tests.commands.oracle import Oracle

texts = st.one_of(
    st.text(alphabet="ab", max_size=14).map(str.encode),
    st.text(alphabet="abcde", max_size=14).map(str.encode),
)


def redis_walk(one: bytes, other: bytes) -> list[tuple[int, int]]:
    """lcsCommand of Redis's t_string.c."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if a == b else max(table[i - 1][j], table[i][j - 1])
    i, j, matches = len(one), len(other), []
    while i and j:
        if one[i - 1] == other[j - 1]:
            matches.append((i - 1, j - 1))
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return matches


@settings(max_examples=1_000)
@given(texts, texts)
def test_the_walk_is_redis_walk(one: bytes, other: bytes) -> None:
    expected = redis_walk(one, other)
    assert list(walk(one, other)) == expected
    assert length_of(one, other) == len(expected)


@settings(max_examples=200, deadline=None)
@given(texts, texts, st.integers(0, 3))
def test_ranges_are_those_of_redis(oracle: Oracle, one: bytes, other: bytes, least: int) -> None:
    local = Local()
    command = [b"LCS", b"a", b"b", b"IDX", b"MINMATCHLEN", b"%d" % least, b"WITHMATCHLEN"]
    for args in ([b"MSET", b"a", one, b"b", other], command, command[:3], [*command[:3], b"LEN"]):
        for proto in (2, 3):
            assert local.ask(args, proto) == oracle.ask(args, proto)


def test_too_large(oracle: Oracle) -> None:
    local = Local()
    for args in ([b"SETRANGE", b"a", b"11585", b"x"], [b"COPY", b"a", b"b"], [b"LCS", b"a", b"b", b"LEN"]):
        oracle.ask([b"DEL", args[1]]) if args[0] == b"SETRANGE" else None
        oracle.ask([b"DEL", b"b"]) if args[0] == b"COPY" else None
        reply = local.ask(args)
        assert reply == oracle.ask(args)
    assert reply.startswith(b"-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")

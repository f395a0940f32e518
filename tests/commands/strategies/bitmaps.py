"""Random commands on bitmaps."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import ODD_INTEGERS, Args, any_integers, call, several, texts

few_keys = st.sampled_from([b"a", b"b", b"c", b"{a}1"])
MOST = 3_000
"""The furthest bit: Redis would make a string as long as it is told."""
places = st.one_of(
    st.integers(0, 70), st.integers(0, MOST), st.sampled_from([-1, -(2**63), 2**32, 2**62, 2**63 - 1])
).map(lambda n: b"%d" % n)
odd_places = st.sampled_from([*ODD_INTEGERS, b"#1", b"#", b"-1"])
offsets = st.one_of(places, places, places, odd_places)
ends = st.one_of(
    st.integers(-20, 20).map(lambda n: b"%d" % n),
    st.integers(-MOST, MOST).map(lambda n: b"%d" % n),
    any_integers,
)
units = st.sampled_from([b"BIT", b"BYTE", b"bit", b"Byte", b"bits"])
strings = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda byte, count, tail: byte * count + tail,
        st.sampled_from([b"\0", b"\xff"]),
        st.integers(0, 200),
        st.binary(max_size=3),
    ),
    texts,
)
encodings = st.one_of(
    st.builds(lambda sign, width: sign + b"%d" % width, st.sampled_from([b"i", b"u"]), st.integers(1, 64)),
    st.sampled_from(
        [b"i8", b"u8", b"u4", b"i5", b"u63", b"i64", b"u64", b"i65", b"u0", b"i", b"x8", b"U8", b"i08"]
    ),
)
indexes = st.one_of(
    places, st.integers(0, 40).map(lambda n: b"#%d" % n), st.sampled_from([b"#", b"#-1", b"##1"])
)
numbers = st.one_of(st.integers(-300, 300).map(lambda n: b"%d" % n), any_integers)
gets = st.tuples(st.sampled_from([b"GET", b"get"]), encodings, indexes)
sets = st.tuples(st.sampled_from([b"SET", b"Set"]), encodings, indexes, numbers)
increments = st.tuples(st.just(b"INCRBY"), encodings, indexes, numbers)
overflows = st.tuples(st.just(b"OVERFLOW"), st.sampled_from([b"WRAP", b"SAT", b"FAIL", b"sat", b"x"]))
steps = st.lists(st.one_of(gets, sets, increments, increments, overflows), max_size=5).map(
    lambda lists: [word for words in lists for word in words]
)
reads = st.lists(gets, max_size=3).map(lambda lists: [word for words in lists for word in words])


def _ranged(name: str, *before: st.SearchStrategy[bytes]) -> list[st.SearchStrategy[Args]]:
    return [
        call(name, few_keys, *before),
        call(name, few_keys, *before, ends),
        call(name, few_keys, *before, ends, ends),
        call(name, few_keys, *before, ends, ends, units),
    ]


bit = st.sampled_from([b"0", b"1", b"0", b"1", b"0", b"1", b"2", b"x"])

COMMANDS: list[st.SearchStrategy[Args]] = [
    call("SET", few_keys, strings),
    call("SETRANGE", few_keys, st.sampled_from([b"0", b"9", b"300"]), strings),
    call("SETBIT", few_keys, offsets, bit),
    call("SETBIT", few_keys, offsets, bit),
    call("GETBIT", few_keys, offsets),
    call("GET", few_keys),
    *_ranged("BITCOUNT"),
    *_ranged("BITPOS", bit),
    call(
        "BITOP",
        st.sampled_from([b"AND", b"OR", b"XOR", b"xor", b"NOT", b"nand"]),
        few_keys,
        several(few_keys, most=3),
    ),
    call("BITOP", st.just(b"NOT"), few_keys, few_keys),
    call("BITFIELD", few_keys, steps),
    call("BITFIELD", few_keys, steps),
    call("BITFIELD_RO", few_keys, reads),
    call("BITFIELD_RO", few_keys, steps),
]

"""Random commands on elements in order."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import (
    FLOATS,
    ODD_FLOATS,
    Args,
    any_integers,
    call,
    option,
    options,
    several,
)

# No numbers that C's strtod says are out of range: Redis does not reset errno before it looks at it, so the
# next SORT would fail, whatever it sorts.
few_keys = st.sampled_from([b"a", b"b", b"c"])
numbers = st.one_of(
    st.integers(-5, 15).map(lambda n: b"%d" % n),
    st.sampled_from([*FLOATS[:12], b" 4", b"0x10", b"-7.5", b"inf"]),
)
elements = st.one_of(numbers, numbers, numbers, st.sampled_from([b"x", b"Y", b"\xff", b"", *ODD_FLOATS[:6]]))
sound = st.integers(-9, 30).map(lambda n: b"%d" % n)
weights = st.one_of(numbers, numbers, st.sampled_from([b"w", b"", b"1x", b" ", b"nan"]))
patterns = st.sampled_from(
    [
        b"w_*",
        b"w_*",
        b"h_*->f",
        b"h_*->g",
        b"h_*->",
        b"*",
        b"#",
        b"nosort",
        b"a->f",
        b"w_*_x",
        b"*->f",
        b"w_**",
        b"h_*->f->g",
    ]
)
windows = st.one_of(
    st.tuples(
        st.just(b"LIMIT"),
        st.integers(-2, 8).map(lambda n: b"%d" % n),
        st.integers(-2, 8).map(lambda n: b"%d" % n),
    ),
    st.tuples(st.just(b"LIMIT"), any_integers, any_integers),
).map(list)
usual = options(
    option("DESC"),
    option("ASC"),
    option("ALPHA"),
    windows,
    option("GET", patterns),
    option("GET", st.just(b"#")),
    most=4,
)
by = options(option("BY", patterns), most=1)
store = options(option("STORE", few_keys), most=1)

COMMANDS: list[st.SearchStrategy[Args]] = [
    call("RPUSH", few_keys, several(sound, most=8)),
    call("RPUSH", few_keys, several(elements, most=8)),
    call("SADD", few_keys, several(sound, most=8)),
    call("SADD", few_keys, several(elements, most=8)),
    call("ZADD", few_keys, several(sound, sound, most=8)),
    call("SET", sound.map(lambda n: b"w_" + n), weights),
    call("HSET", sound.map(lambda n: b"h_" + n), several(st.sampled_from([b"f", b"g"]), weights)),
    call("MSET", several(sound.map(lambda n: b"w_" + n), weights, most=9)),
    call("SORT", few_keys, by, usual, store),
    call("SORT", few_keys, by, usual),
    call("SORT_RO", few_keys, by, usual),
    call("SORT_RO", few_keys, usual),
    call("LRANGE", few_keys, st.just([b"0", b"-1"])),
]

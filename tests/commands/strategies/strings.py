"""Random string commands."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import (
    any_floats,
    any_integers,
    call,
    integers,
    keys,
    milliseconds,
    option,
    options,
    seconds,
    several,
    texts,
    unix_milliseconds,
    unix_seconds,
    values,
)

expiries = [
    option("EX", seconds),
    option("PX", milliseconds),
    option("EXAT", unix_seconds),
    option("PXAT", unix_milliseconds),
]
offsets = st.one_of(st.integers(-8, 80).map(lambda n: b"%d" % n), any_integers)

COMMANDS = [
    call("GET", keys),
    call("SET", keys, values),
    call(
        "SET", keys, values, options(option("NX"), option("XX"), option("GET"), option("KEEPTTL"), *expiries)
    ),
    call("GETSET", keys, values),
    call("GETDEL", keys),
    call("GETEX", keys, options(option("PERSIST"), *expiries, most=2)),
    call("MGET", several(keys)),
    call("MSET", several(keys, values)),
    call("MSETNX", several(keys, values)),
    call("SETNX", keys, values),
    call("SETEX", keys, seconds, values),
    call("PSETEX", keys, milliseconds, values),
    call("APPEND", keys, values),
    call("STRLEN", keys),
    call("INCR", keys),
    call("DECR", keys),
    call("INCRBY", keys, any_integers),
    call("DECRBY", keys, any_integers),
    call("INCRBYFLOAT", keys, any_floats),
    call("GETRANGE", keys, offsets, offsets),
    call("SUBSTR", keys, offsets, offsets),
    call("SETRANGE", keys, st.one_of(offsets, st.just(b"536870912")), texts),
    call(
        "LCS",
        keys,
        keys,
        options(option("LEN"), option("IDX"), option("WITHMATCHLEN"), option("MINMATCHLEN", any_integers)),
    ),
    call("SET", keys, integers),
]

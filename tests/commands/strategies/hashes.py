"""Random commands on hashes."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import (
    FLOATS,
    INTEGERS,
    ODD_FLOATS,
    Args,
    any_floats,
    any_integers,
    call,
    keys,
    option,
    options,
    several,
    texts,
)
from tests.commands.strategies.scanning import patterns

few_keys = st.one_of(st.sampled_from([b"a", b"b"]), keys)
fields = st.one_of(
    st.sampled_from([b"f", b"g", b"h", b"f", b"g", b"h", b"", b"1", b"x\r\n\xff", b"l" * 64, b"L" * 65]),
    texts,
)
values = st.one_of(texts, st.sampled_from([*INTEGERS, *FLOATS, *ODD_FLOATS, b"v" * 64, b"V" * 65]))
counts = st.one_of(
    st.integers(-7, 7).map(lambda n: b"%d" % n), st.sampled_from([b"100", b"130"]), any_integers
)
scan_options = options(
    option("MATCH", patterns), option("COUNT", any_integers), option("TYPE", st.just(b"hash"))
)


def _many(first: int, count: int) -> Args:
    return [word for n in range(first, first + count) for word in (b"f%d" % n, b"%d" % (n * n))]


many_pairs = st.builds(_many, st.sampled_from([0, 300]), st.sampled_from([40, 130, 300, 512]))
many_fields = many_pairs.map(lambda pairs: pairs[::2])

COMMANDS = [
    call("HSET", few_keys, several(fields, values)),
    call("HSET", few_keys, fields, values),
    call("HSET", few_keys, many_pairs),
    call("HMSET", few_keys, several(fields, values)),
    call("HSETNX", few_keys, fields, values),
    call("HGET", few_keys, fields),
    call("HMGET", few_keys, several(fields)),
    call("HGETALL", few_keys),
    call("HKEYS", few_keys),
    call("HVALS", few_keys),
    call("HDEL", few_keys, several(fields)),
    call("HDEL", few_keys, many_fields),
    call("HEXISTS", few_keys, fields),
    call("HLEN", few_keys),
    call("HSTRLEN", few_keys, fields),
    call("HINCRBY", few_keys, fields, any_integers),
    call("HINCRBYFLOAT", few_keys, fields, any_floats),
    call("HRANDFIELD", few_keys),
    call("HRANDFIELD", few_keys, counts, options(option("WITHVALUES"), most=1)),
    call("HSCAN", few_keys, st.one_of(st.just(b"0"), st.just(b"0"), any_integers), scan_options),
]

"""Random commands on sets."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import (
    INTEGERS,
    ODD_INTEGERS,
    Args,
    any_integers,
    call,
    keys,
    option,
    options,
    several,
    texts,
)
from tests.commands.strategies.hashes import counts
from tests.commands.strategies.scanning import patterns

few_keys = st.one_of(st.sampled_from([b"a", b"b", b"c", b"{a}1"]), keys)
numbers = st.one_of(st.integers(-4, 12).map(lambda n: b"%d" % n), st.sampled_from(INTEGERS))
members = st.one_of(
    numbers,
    numbers,
    st.sampled_from([b"x", b"y", b"z", b"", b"m" * 64, b"M" * 65, *ODD_INTEGERS]),
    texts,
)


def _many(first: int, count: int) -> Args:
    return [b"%d" % n for n in range(first, first + count)]


many = st.builds(_many, st.sampled_from([-5, 0, 300]), st.sampled_from([40, 120, 129, 300, 512]))
scan_options = options(
    option("MATCH", patterns), option("COUNT", any_integers), option("TYPE", st.just(b"set"))
)
some_keys = several(few_keys, most=3)

COMMANDS = [
    call("SADD", few_keys, several(members)),
    call("SADD", few_keys, several(numbers)),
    call("SADD", few_keys, several(numbers)),
    call("SADD", few_keys, many),
    call("SREM", few_keys, several(members)),
    call("SREM", few_keys, many),
    call("SMEMBERS", few_keys),
    call("SISMEMBER", few_keys, members),
    call("SMISMEMBER", few_keys, several(members)),
    call("SCARD", few_keys),
    call("SPOP", few_keys),
    call("SPOP", few_keys, counts),
    call("SRANDMEMBER", few_keys),
    call("SRANDMEMBER", few_keys, counts),
    call("SMOVE", few_keys, few_keys, members),
    call("SINTER", some_keys),
    call("SUNION", some_keys),
    call("SDIFF", some_keys),
    call("SINTERSTORE", few_keys, some_keys),
    call("SUNIONSTORE", few_keys, some_keys),
    call("SDIFFSTORE", few_keys, some_keys),
    call(
        "SINTERCARD",
        some_keys.flatmap(
            lambda found: st.tuples(
                st.just([b"%d" % len(found), *found]), options(option("LIMIT", any_integers), most=2)
            )
        ).map(lambda parts: parts[0] + parts[1]),
    ),
    call("SINTERCARD", any_integers, some_keys),
    call("SSCAN", few_keys, st.one_of(st.just(b"0"), st.just(b"0"), any_integers), scan_options),
]

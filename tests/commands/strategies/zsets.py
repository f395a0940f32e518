"""Random commands on sorted sets."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import (
    any_floats,
    any_integers,
    call,
    cased,
    keys,
    option,
    options,
    several,
)

members = st.sampled_from([b"a", b"b", b"c", b"dd", b"", b"1", b"\xff\x00", b"x" * 64])
"""Few, so that they are found again."""
scores = st.one_of(
    st.sampled_from([b"0", b"1", b"1", b"2", b"-1", b"1.5", b"0.1", b"0.2", b"inf", b"-inf", b"-0"]),
    any_floats,
)
places = st.one_of(st.integers(-6, 6).map(lambda n: b"%d" % n), any_integers)
counts = st.one_of(st.integers(0, 4).map(lambda n: b"%d" % n), any_integers)

_bounds = st.one_of(
    st.sampled_from([b"-inf", b"+inf", b"0", b"1", b"2", b"-1", b"1.5", b"inf"]),
    st.sampled_from([b"", b" 1", b"1 ", b"1\x00x", b"1e999", b"-1e999", b"1e-999", b"nan", b"0x1p1", b"0x"]),
    any_floats,
)
bounds = st.one_of(_bounds, _bounds, _bounds.map(lambda text: b"(" + text))
lex_bounds = st.one_of(
    st.sampled_from([b"-", b"+", b"-", b"+", b"", b"a", b"+x", b"-\x00", b"+\x00x", b"[", b"("]),
    members.map(lambda member: b"[" + member),
    members.map(lambda member: b"(" + member),
)
limits = option("LIMIT", places, places)
with_scores = option("WITHSCORES")

add_options = options(
    option("NX"), option("XX"), option("GT"), option("LT"), option("CH"), option("INCR"), most=2
)
numbered_keys = st.lists(keys, min_size=1, max_size=3).map(lambda names: [b"%d" % len(names), *names])
aggregates = option("AGGREGATE", st.one_of(cased(b"SUM"), cased(b"MIN"), cased(b"MAX")))


@st.composite
def weighted_keys(draw: st.DrawFn) -> list[bytes]:
    names = draw(st.lists(keys, min_size=1, max_size=3))
    words = [b"%d" % len(names), *names]
    if draw(st.booleans()):
        words += [b"WEIGHTS", *(draw(scores) for _ in names)]
    return words


combining = options(aggregates, most=1)

COMMANDS = [
    call("ZADD", keys, several(scores, members, most=8)),
    call("ZADD", keys, several(scores, members, most=8)),
    call("ZADD", keys, several(st.just(b"1"), members, most=8)),
    call("ZADD", keys, add_options, several(scores, members, most=3)),
    call("ZADD", keys, add_options, scores, members),
    call("ZINCRBY", keys, scores, members),
    call("ZREM", keys, several(members)),
    call("ZCARD", keys),
    call("ZSCORE", keys, members),
    call("ZMSCORE", keys, several(members)),
    call("ZRANK", keys, members),
    call("ZREVRANK", keys, members),
    call("ZCOUNT", keys, bounds, bounds),
    call("ZLEXCOUNT", keys, lex_bounds, lex_bounds),
    call("ZRANGE", keys, places, places, options(option("REV"), with_scores, limits, option("BYLEX"))),
    call("ZRANGE", keys, bounds, bounds, option("BYSCORE"), options(option("REV"), with_scores, limits)),
    call("ZRANGE", keys, lex_bounds, lex_bounds, option("BYLEX"), options(option("REV"), limits)),
    call("ZRANGESTORE", keys, keys, places, places, options(option("REV"), limits, most=1)),
    call("ZRANGESTORE", keys, keys, bounds, bounds, option("BYSCORE"), options(option("REV"), limits)),
    call("ZRANGESTORE", keys, keys, lex_bounds, lex_bounds, option("BYLEX"), options(option("REV"), limits)),
    call("ZREVRANGE", keys, places, places, options(with_scores, limits, most=1)),
    call("ZRANGEBYSCORE", keys, bounds, bounds, options(with_scores, limits)),
    call("ZREVRANGEBYSCORE", keys, bounds, bounds, options(with_scores, limits)),
    call("ZRANGEBYLEX", keys, lex_bounds, lex_bounds, options(with_scores, limits, limits, most=1)),
    call("ZREVRANGEBYLEX", keys, lex_bounds, lex_bounds, options(with_scores, limits, limits, most=1)),
    call("ZREMRANGEBYRANK", keys, places, places),
    call("ZREMRANGEBYSCORE", keys, bounds, bounds),
    call("ZREMRANGEBYLEX", keys, lex_bounds, lex_bounds),
    call("ZPOPMIN", keys, st.lists(counts, max_size=1)),
    call("ZPOPMAX", keys, st.lists(counts, max_size=1)),
    call(
        "ZMPOP",
        numbered_keys,
        st.one_of(cased(b"MIN"), cased(b"MAX")),
        options(option("COUNT", counts), most=1),
    ),
    call("ZRANDMEMBER", keys),
    call("ZRANDMEMBER", keys, counts, options(with_scores, most=1)),
    call("ZUNION", weighted_keys(), combining, options(with_scores, most=1)),
    call("ZINTER", weighted_keys(), combining, options(with_scores, most=1)),
    call("ZDIFF", numbered_keys, options(with_scores, most=1)),
    call("ZINTERCARD", numbered_keys, options(option("LIMIT", counts), most=1)),
    call("ZUNIONSTORE", keys, weighted_keys(), combining),
    call("ZINTERSTORE", keys, weighted_keys(), combining),
    call("ZDIFFSTORE", keys, numbered_keys),
    call(
        "ZSCAN",
        keys,
        st.one_of(st.just(b"0"), any_integers),
        options(option("COUNT", counts), option("MATCH", st.sampled_from([b"*", b"a*", b"?"])), most=2),
    ),
]

"""Random commands on streams. Ids of new entries ascend with the place in the sequence, in steps of ten."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import (
    Later,
    any_integers,
    call,
    option,
    options,
    several,
)

few_keys = st.sampled_from([*[b"a"] * 12, *[b"b"] * 4, b"{a}1", b"c"])
fields = st.sampled_from([b"f", b"f", b"f", b"g", b"", b"12", b"long-field-name"])
values = st.one_of(
    st.sampled_from([b"v", b"", b"\x00\xff\r\n", b"v" * 64, b"v" * 130, b"127", b"-4096", b"007", b"4096"]),
    any_integers,
)
pairs = several(fields, values, most=3)
same_pairs = st.sampled_from([[b"f", b"v"], [b"f", b"1", b"g", b"2"], [b"f", b"x" * 50]])

EXTREME_IDS = [
    b"0", b"0-0", b"0-1", b"-", b"+", b"$", b">", b"18446744073709551615-18446744073709551615",
    b"18446744073709551615", b"18446744073709551614-18446744073709551615", b"1-18446744073709551615",
]  # fmt: skip
ODD_IDS = [
    b"", b"abc", b"1-", b"-1", b"1-2-3", b"01-1", b" 10-\t0", b"*", b"10-*", b"+10-+0", b"10--0", b"10--5",
    b"10--00018446744073709551615", b"18446744073709551616-1", b"1-18446744073709551616", b"10-0\x00x",
    b"1-1 ", b"0" * 125 + b"10", b"0" * 126 + b"10", b"-\x00x", b"(1", b"()", b"(",
]  # fmt: skip

_ms = st.integers(0, 60).map(lambda n: 10 * n)
known_ids = st.one_of(
    _ms.map(lambda ms: b"%d" % ms),
    st.builds(lambda ms, sequence: b"%d-%d" % (ms, sequence), _ms, st.integers(0, 2)),
)
ids = st.one_of(*[known_ids] * 6, st.sampled_from(EXTREME_IDS), st.sampled_from(ODD_IDS))
bounds = st.one_of(*[st.just(b"-"), st.just(b"+")] * 3, ids, known_ids, ids.map(lambda text: b"(" + text))
next_ids = st.builds(Later, st.sampled_from([0, 0, 3]), st.just(1))
new_ids = st.one_of(
    next_ids,
    next_ids,
    next_ids,
    next_ids,
    next_ids,
    known_ids.map(lambda text: text.partition(b"-")[0] + b"-*"),
    ids,
)

_few = st.integers(0, 4).map(lambda n: b"%d" % n)
counts = st.one_of(_few, _few, _few, any_integers)
idle_times = st.one_of(
    st.sampled_from([b"0", b"0", b"0", b"100000", b"-1"]),
    st.sampled_from([b"500000", b"1000000000000", b"9223372036854775807", b"-9223372036854775808", b"x"]),
)
times = st.sampled_from([b"0", b"1", b"1000000000000", b"4102444800000", b"-1", b"x"])

groups = st.sampled_from([*[b"g"] * 12, b"h", b"h", b"", b"g\x00x"])
consumers = st.sampled_from([b"c", b"c", b"d", b"\xff\r\n", b""])

signs = st.sampled_from([[], [b"~"], [b"~"], [b"="]])
limits = options(option("LIMIT", counts), most=1)
_lengths = st.integers(0, 8).map(lambda n: b"%d" % n)
lengths = st.one_of(_lengths, _lengths, _lengths, any_integers)
trims = st.one_of(
    st.tuples(st.just([b"MAXLEN"]), signs, lengths.map(lambda n: [n]), limits),
    st.tuples(st.just([b"MINID"]), signs, ids.map(lambda n: [n]), limits),
).map(lambda parts: [word for part in parts for word in part])
add_options = st.lists(st.one_of(option("NOMKSTREAM"), trims), max_size=2).map(
    lambda lists: [word for words in lists for word in words]
)

read_options = options(
    option("COUNT", counts),
    option("COUNT", counts),
    option("BLOCK", st.sampled_from([b"1", b"x", b"-1"])),
    most=2,
)
group_options = st.one_of(read_options, read_options, st.just([b"NOACK"]))


def _streams(names: list[bytes], starts: list[bytes]) -> list[bytes]:
    return [b"STREAMS", *names, *(starts * 3)[: len(names)]]


some_keys = st.lists(few_keys, min_size=1, max_size=3)
read_ids = st.one_of(st.just([b"0"]), st.lists(ids, min_size=1, max_size=2))
group_ids = st.one_of(
    st.just([b">"]), st.just([b">"]), st.just([b"0"]), st.lists(ids, min_size=1, max_size=2)
)

ADDITIONS = [
    call("XADD", few_keys, next_ids, pairs),
    call("XADD", few_keys, next_ids, same_pairs),
    call("XADD", st.just(b"a"), next_ids, same_pairs),
    call("XADD", st.just(b"a"), next_ids, same_pairs),
]
DELIVERIES = [
    call("XGROUP", option("CREATE", few_keys, groups, ids), st.just([b"MKSTREAM"])),
    call("XGROUP", option("CREATE", few_keys, st.just(b"g"), st.just(b"0")), st.just([b"MKSTREAM"])),
    call(
        "XREADGROUP",
        option("GROUP", groups, consumers),
        group_options,
        st.builds(_streams, some_keys, group_ids),
    ),
    call("XREADGROUP", option("GROUP", st.just(b"g"), consumers), st.just([b"STREAMS", b"a", b">"])),
]
COMMANDS = [
    *ADDITIONS,
    call("XADD", few_keys, add_options, new_ids, pairs),
    call("XADD", few_keys, add_options, next_ids, same_pairs),
    call("XRANGE", few_keys, bounds, bounds, options(option("COUNT", counts), most=2)),
    call("XREVRANGE", few_keys, bounds, bounds, options(option("COUNT", counts), most=2)),
    call("XLEN", few_keys),
    call("XDEL", few_keys, several(ids)),
    call("XDEL", few_keys, several(known_ids)),
    call("XTRIM", few_keys, trims),
    call("XTRIM", few_keys, trims),
    call(
        "XSETID",
        few_keys,
        ids,
        options(option("ENTRIESADDED", any_integers), option("MAXDELETEDID", ids), most=2),
    ),
    call("XREAD", read_options, st.builds(_streams, some_keys, read_ids)),
    *DELIVERIES,
    *DELIVERIES,
    call(
        "XGROUP",
        option("CREATE", few_keys, groups, ids),
        options(option("MKSTREAM"), option("ENTRIESREAD", any_integers)),
    ),
    call(
        "XGROUP",
        option("SETID", few_keys, groups, ids),
        options(option("ENTRIESREAD", any_integers), option("MKSTREAM"), most=1),
    ),
    call("XGROUP", option("DESTROY", few_keys, groups)),
    call("XGROUP", option("CREATECONSUMER", few_keys, groups, consumers)),
    call("XGROUP", option("DELCONSUMER", few_keys, groups, consumers)),
    call("XGROUP", option("HELP")),
    call("XACK", few_keys, groups, several(known_ids)),
    call("XACK", few_keys, groups, several(ids)),
    call("XPENDING", few_keys, groups),
    call(
        "XPENDING",
        few_keys,
        groups,
        options(option("IDLE", idle_times), most=1),
        bounds,
        bounds,
        counts,
        st.lists(consumers, max_size=1),
    ),
    call(
        "XCLAIM",
        few_keys,
        groups,
        consumers,
        idle_times,
        several(ids),
        options(
            option("IDLE", idle_times),
            option("TIME", times),
            option("RETRYCOUNT", any_integers),
            option("FORCE"),
            option("JUSTID"),
            option("LASTID", ids),
        ),
    ),
    call("XCLAIM", few_keys, groups, consumers, st.just(b"0"), several(known_ids), st.just([b"FORCE"])),
    call(
        "XAUTOCLAIM",
        few_keys,
        groups,
        consumers,
        idle_times,
        bounds,
        options(option("COUNT", counts), option("JUSTID"), most=2),
    ),
    call(
        "XAUTOCLAIM",
        few_keys,
        groups,
        consumers,
        st.just(b"0"),
        st.just(b"0"),
        options(option("COUNT", counts), most=1),
    ),
    call("XINFO", option("STREAM", few_keys)),
    call(
        "XINFO",
        option("STREAM", few_keys),
        options(option("FULL"), most=1),
        options(option("COUNT", counts), most=1),
    ),
    call("XINFO", option("GROUPS", few_keys)),
    call("XINFO", option("CONSUMERS", few_keys, groups)),
    call("XINFO", option("HELP")),
]

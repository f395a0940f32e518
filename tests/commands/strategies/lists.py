"""Random list commands."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import any_integers, call, cased, keys, option, options, several

elements = st.sampled_from([b"x", b"y", b"z", b"", b"1", b"-77", b"x" * 70])
"""Few, so that they are found again."""
places = st.one_of(st.integers(-6, 6).map(lambda n: b"%d" % n), any_integers)
counts = st.one_of(st.integers(0, 4).map(lambda n: b"%d" % n), any_integers)
ends = st.one_of(cased(b"LEFT"), cased(b"RIGHT"))
sides = st.one_of(cased(b"BEFORE"), cased(b"AFTER"))
numbered_keys = st.lists(keys, min_size=1, max_size=3).map(lambda names: [b"%d" % len(names), *names])

COMMANDS = [
    call("LPUSH", keys, several(elements)),
    call("RPUSH", keys, several(elements, most=10)),
    call("LPUSHX", keys, several(elements)),
    call("RPUSHX", keys, several(elements)),
    call("LPOP", keys, st.lists(counts, max_size=1)),
    call("RPOP", keys, st.lists(counts, max_size=1)),
    call("LLEN", keys),
    call("LRANGE", keys, places, places),
    call("LINDEX", keys, places),
    call("LSET", keys, places, elements),
    call("LINSERT", keys, sides, elements, elements),
    call("LREM", keys, places, elements),
    call("LTRIM", keys, places, places),
    call(
        "LPOS",
        keys,
        elements,
        options(option("RANK", places), option("COUNT", counts), option("MAXLEN", counts)),
    ),
    call("LMOVE", keys, keys, ends, ends),
    call("RPOPLPUSH", keys, keys),
    call("LMPOP", numbered_keys, ends, options(option("COUNT", counts), most=1)),
]

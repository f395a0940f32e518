"""Random DUMPs and RESTOREs."""

from __future__ import annotations

from hypothesis import strategies as st

from ironkv.keyspace.hashes import Hash
from ironkv.keyspace.lists import List
from ironkv.keyspace.sets import Set
from ironkv.keyspace.values import Value
from ironkv.keyspace.zsets import SortedSet
from ironkv.rdb.payload import dump
from tests.commands.strategies.common import (
    any_integers,
    call,
    keys,
    later_ms,
    option,
    options,
    unix_milliseconds,
)

VALUES: list[Value] = [
    b"",
    b"hello world",
    b"-17",
    b"x" * 100,
    List.rebuilt(b"listpack", [b"a", b"1", b"", b"x" * 70]),
    List.rebuilt(b"quicklist", [b"a" * 5_000, b"b" * 9_000, b"300"]),
    Set.rebuilt(b"intset", [b"5", b"-70000", b"1"]),
    Set.rebuilt(b"hashtable", [b"a" * 65, b"2"]),
    Hash.rebuilt(b"listpack", [(b"f", b"1"), (b"g", b"")]),
    Hash.rebuilt(b"hashtable", [(b"f", b"v" * 65), (b"g", b"")]),
    SortedSet.rebuilt(b"listpack", [(b"a", -1.5), (b"b", 2.0)]),
    SortedSet.rebuilt(b"skiplist", [(b"a" * 65, 0.1), (b"b", float("inf"))]),
]
PAYLOADS = [dump(value) for value in VALUES]
SPOILT = [b"", b"junk", PAYLOADS[1][:-1], b"\7" + PAYLOADS[1][1:]]

payloads = st.one_of(*(st.sampled_from(PAYLOADS) for _ in range(4)), st.sampled_from(SPOILT))
ttls = st.one_of(st.just(b"0"), st.just(b"0"), later_ms)

COMMANDS = [
    call("DUMP", keys),
    call(
        "RESTORE",
        keys,
        ttls,
        payloads,
        options(
            option("REPLACE"),
            option("REPLACE"),
            option("IDLETIME", st.one_of(st.sampled_from([b"0", b"100"]), any_integers)),
            option("FREQ", st.one_of(st.sampled_from([b"0", b"255", b"256"]), any_integers)),
        ),
    ),
    call("RESTORE", keys, unix_milliseconds, payloads, option("ABSTTL")),
    call("RESTORE", keys, unix_milliseconds, payloads, option("REPLACE"), option("ABSTTL")),
]

"""Streams: against a real Redis, against a plain dict, and what only we can look at."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from ironkv.commands import streams as commands
from ironkv.keyspace import stream_blocks
from tests.commands.compare import agree, answer, written_out
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import companions, streams
from tests.commands.strategies.common import KEYS, Args, Later, spoiled

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "150"))

STREAMS = st.one_of(streams.COMMANDS)
COMPANY = st.one_of(companions.COMMANDS)
SEQUENCES = st.lists(
    st.one_of(st.one_of(streams.ADDITIONS), STREAMS, STREAMS, STREAMS, STREAMS, COMPANY, spoiled(STREAMS)),
    min_size=8,
    max_size=50,
)
PRELUDE: list[Args] = [
    [b"XGROUP", b"CREATE", b"a", b"g", b"0", b"MKSTREAM"],
    *([b"XADD", b"a", Later(0, 1), b"f", b"%d" % n] for n in range(8)),
    [b"XREADGROUP", b"GROUP", b"g", b"c", b"COUNT", b"3", b"STREAMS", b"a", b">"],
    [b"XREADGROUP", b"GROUP", b"g", b"d", b"COUNT", b"2", b"STREAMS", b"a", b">"],
    [b"XADD", b"b", Later(0, 1), b"f", b"v", b"g", b"w"],
]


def _looks() -> list[list[bytes]]:
    """Commands that show all there is of each key."""
    names = [b"a", b"b", b"{a}1"]
    groups = [b"g", b"h", b"", b"g\x00x"]
    return [
        *([b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"] for key in KEYS),
        *([b"XINFO", b"CONSUMERS", key, group] for key in names for group in groups),
        *([b"TYPE", key] for key in KEYS),
    ]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    prelude=st.sampled_from([0, 9, len(PRELUDE), len(PRELUDE)]),
    sequence=SEQUENCES,
    proto=st.sampled_from([2, 3]),
    limits=st.sampled_from([(100, 4096), (3, 4096), (100, 120), (2, 300)]),
)
def test_every_reply_is_as_from_redis(
    oracle: Oracle, prelude: int, sequence: list[Args], proto: int, limits: tuple[int, int]
) -> None:
    local = Local()
    entries, size = limits
    for args in ([b"FLUSHALL"], [b"SELECT", b"0"]):
        oracle.ask(args, proto)
    _configure(oracle, entries, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_blocks, "BLOCK_ENTRIES", entries)
        patch.setattr(stream_blocks, "BLOCK_BYTES", size)
        patch.setattr(commands, "ROUGH_LIMIT", 100 * entries)
        try:
            for place, words in enumerate([*PRELUDE[:prelude], *sequence, *_looks()]):
                args = written_out(words, place)
                theirs = answer(lambda args: oracle.ask(args, proto), args)
                ours = answer(lambda args: local.ask(args, proto), args)
                note(f"{args} -> {theirs!r}")
                assert agree(args, ours, theirs), f"{args}\n  Redis   {theirs!r}\n  IronKV  {ours!r}"
        finally:
            _configure(oracle, 100, 4096)


def _configure(oracle: Oracle, entries: int, size: int) -> None:
    oracle.ask([b"CONFIG", b"SET", b"stream-node-max-entries", b"%d" % entries])
    oracle.ask([b"CONFIG", b"SET", b"stream-node-max-bytes", b"%d" % size])

"""Very many short sequences of commands through IronKV and through Redis, sent to it in pipelines.

The other tests draw every command of a sequence anew, ask one by one, and read answers that may differ by
their meaning. Here hypothesis draws a few dozen commands at a time and chance makes hundreds of sequences of
them, whose replies are compared byte for byte: several times as many sequences in a fraction of the time.
Commands whose answers need reading (`compare.MEANINGS`) are left to the other tests, and so are HyperLogLogs.

More of them: `IRONKV_EXAMPLES=1000 pytest tests/commands/test_in_bulk.py`.
"""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.commands.compare import MEANINGS, agree, written_out
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import (
    bitmaps,
    expiration,
    geo,
    hashes,
    keys,
    lists,
    sets,
    sorting,
    strings,
    zsets,
)
from tests.commands.strategies.common import KEYS, Args, spoiled

POOLS = int(os.environ.get("IRONKV_EXAMPLES", "75"))
SEQUENCES = 240
"""Of each pool of commands."""
LONGEST = 12
BEGIN = [[b"SELECT", b"0"], [b"DEL", *KEYS]]

SLOW = frozenset((b"FLUSHALL", b"FLUSHDB", b"SWAPDB"))
"""They take thousands of times as long as others where a database has 16,384 slots."""

GROUPS = (bitmaps, expiration, geo, hashes, keys, lists, sets, sorting, strings, zsets)
sound = st.one_of([st.one_of(group.COMMANDS) for group in GROUPS])
pools = st.lists(st.one_of(sound, sound, sound, sound, spoiled(sound)), min_size=20, max_size=40)


def is_plain(words: Args) -> bool:
    """Whether its replies can be compared as they are."""
    name = words[0]
    return isinstance(name, bytes) and name.upper() not in MEANINGS and name.upper() not in SLOW


@settings(
    max_examples=POOLS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(pool=pools, proto=st.sampled_from([2, 3]), seed=st.integers(0, 2**32))
def test_every_reply_is_as_from_redis(oracle: Oracle, pool: list[Args], proto: int, seed: int) -> None:
    chance = random.Random(seed)
    plain = [words for words in pool if is_plain(words)]
    if not plain:
        return
    local = Local()
    oracle.ask([b"FLUSHALL"], proto)
    for _ in range(SEQUENCES):
        drawn = [chance.choice(plain) for _ in range(chance.randrange(2, LONGEST))]
        sequence = BEGIN + [written_out(words, place) for place, words in enumerate(drawn)]
        theirs = oracle.ask_all(sequence, proto)
        for args, expected in zip(sequence, theirs, strict=True):
            ours = local.ask(list(args), proto)
            assert ours == expected or agree(args, ours, expected), (
                f"{args} in {sequence}\n  Redis   {expected!r}\n  IronKV  {ours!r}"
            )

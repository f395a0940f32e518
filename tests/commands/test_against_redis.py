"""Random sequences of commands, through IronKV and through a real Redis: every reply must be the same.

More sequences than usual: `IRONKV_EXAMPLES=20000 pytest tests/commands/test_against_redis.py`.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.commands.compare import agree, answer, written_out
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import SEQUENCES
from tests.commands.strategies.common import Args

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "500"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=SEQUENCES, proto=st.sampled_from([2, 3]))
def test_every_reply_is_as_from_redis(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    local = Local()

    def ask_redis(args: list[bytes]) -> bytes:
        return oracle.ask(args, proto)

    def ask_ironkv(args: list[bytes]) -> bytes:
        return local.ask(args, proto)

    ask_redis([b"FLUSHALL"])
    ask_redis([b"SELECT", b"0"])
    for place, words in enumerate(sequence):
        args = written_out(words, place)
        theirs, ours = answer(ask_redis, args), answer(ask_ironkv, args)
        note(f"{args} -> {theirs!r}")
        assert agree(args, ours, theirs), f"{args}\n  Redis   {theirs!r}\n  IronKV  {ours!r}"

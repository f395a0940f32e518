"""One sequence of commands through IronKV and through Redis."""

from __future__ import annotations

from hypothesis import note

from tests.commands.compare import agree, answer, written_out
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies.common import Args


def answers_agree(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    """Assert that every reply is as from Redis."""
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

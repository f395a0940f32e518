"""Random sequences of commands, each called from a script or not, through IronKV and through a real Redis."""

from __future__ import annotations

import os
import re

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.commands.compare import Ask, agree, answer, written_out
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import ALL
from tests.commands.strategies.common import Args

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "100"))

SCRIPTS = [
    b"return redis.call(unpack(ARGV))",
    b"return redis.pcall(unpack(ARGV))",
    b"redis.setresp(3) return redis.call(unpack(ARGV))",
    b"redis.setresp(3) local reply = redis.pcall(unpack(ARGV)) return reply",
]
_place = re.compile(rb" script: [0-9a-f]{40}, on @user_script:1\.")

SEQUENCES = st.lists(st.tuples(ALL, st.sampled_from([None, *SCRIPTS])), min_size=1, max_size=30)


def in_script(ask: Ask, script: bytes | None) -> Ask:
    """Has commands called by a script; errors then look as if they were not."""

    def asked(args: list[bytes]) -> bytes:
        if script is None or not args:
            return ask(args)
        return _place.sub(b"", ask([b"EVAL", script, b"0", *args]))

    return asked


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=SEQUENCES, proto=st.sampled_from([2, 3]))
def test_a_command_replies_in_a_script_as_in_redis(
    oracle: Oracle, sequence: list[tuple[Args, bytes | None]], proto: int
) -> None:
    local = Local()

    def ask_redis(args: list[bytes]) -> bytes:
        return oracle.ask(args, proto)

    def ask_ironkv(args: list[bytes]) -> bytes:
        return local.ask(args, proto)

    ask_redis([b"FLUSHALL"])
    ask_redis([b"SELECT", b"0"])
    for place, (words, script) in enumerate(sequence):
        args = written_out(words, place)
        theirs = answer(in_script(ask_redis, script), args)
        ours = answer(in_script(ask_ironkv, script), args)
        note(f"{script!r} {args} -> {theirs!r}")
        assert agree(args, ours, theirs), f"{script!r} {args}\n  Redis   {theirs!r}\n  IronKV  {ours!r}"

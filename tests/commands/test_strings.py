"""What random sequences do not reach: details of single string commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironkv.commands.strings import get_run
from ironkv.resp.replies import encode
from tests.commands.local import Local
from tests.commands.oracle import Oracle

VALUES = [b"", b"0", b"1", b"-1", b"9999", b"10000", b"01", b"-0", b"9223372036854775807",
          b"9223372036854775808", b"-9223372036854775808", b"x" * 44, b"x" * 45, b"1.5"]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_how_a_value_is_held(oracle: Oracle, value: bytes) -> None:
    local = Local()
    for args in ([b"SET", b"a", value], [b"OBJECT", b"ENCODING", b"a"], [b"OBJECT", b"REFCOUNT", b"a"]):
        assert local.ask(args) == oracle.ask(args)


@pytest.mark.parametrize("args", [
    [b"SETRANGE", b"a", b"536870911", b"xx"],
    [b"SETRANGE", b"a", b"9223372036854775807", b"x"],
    [b"SETRANGE", b"a", b"-1", b""],
    [b"SETRANGE", b"a", b"9223372036854775807", b""],
])  # fmt: skip
def test_no_string_beyond_the_limit(oracle: Oracle, args: list[bytes]) -> None:
    oracle.ask([b"FLUSHALL"])
    assert Local().ask(args) == oracle.ask(args)


def test_append_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ironkv.commands.arguments.STRING_MOST", 10)
    local = Local()
    assert local.do("APPEND a 0123456789") == 10
    assert str(local.do("APPEND a x")) == "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    assert local.do("STRLEN a") == 10


keys = st.sampled_from([b"a", b"b", b"{a}1", b"mortal", b"missing"])


@given(st.lists(keys, min_size=1, max_size=6), st.sampled_from([2, 3]))
def test_a_run_of_gets_answers_as_get_does(names: list[bytes], proto: int) -> None:
    local = Local(now_ms=1_000)
    for line in ("SET a 1", "SET {a}1 2", f"SET b {'x' * 3000}", "SET mortal 1 PX 100"):
        local.do(line)
    out: list[bytes] = []
    answered = get_run(local.db, [[b"GET", name] for name in names], out, proto)
    assert answered is (b"mortal" not in names)
    expected = b"".join(encode(local.reply([b"GET", name]), proto) for name in names)
    assert b"".join(out) == (expected if answered else b"")


def test_a_run_of_gets_leaves_other_types_to_get() -> None:
    local = Local()
    local.do("LPUSH a 1")
    out: list[bytes] = []
    assert not get_run(local.db, [[b"GET", b"b"], [b"GET", b"a"]], out, 2)
    assert out == []

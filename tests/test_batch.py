"""What one entry carries."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironkv import batch
from ironkv.errors import Fault

items = st.lists(st.integers(0, 15) | st.lists(st.binary(max_size=50), min_size=1, max_size=5), max_size=20)


@given(st.integers(0, 1 << 60), items)
def test_a_batch_comes_through(stamp_ms: int, program: list[batch.Item]) -> None:
    assert batch.decode(batch.encode(stamp_ms, program)) == (stamp_ms, program)


@given(items)
def test_the_same_batch_has_the_same_bytes(program: list[batch.Item]) -> None:
    assert batch.encode(7, program) == batch.encode(7, [*program])


def test_large_values_and_many_items() -> None:
    program: list[batch.Item] = [[b"SET", b"a", bytes(64 << 20)]]
    assert batch.decode(batch.encode(1, program)) == (1, program)
    program = [[b"SET", b"%d" % n, b"v"] for n in range(200_000)]
    assert batch.decode(batch.encode(1, program)) == (1, program)


def test_another_version_is_no_guess() -> None:
    with pytest.raises(Fault, match="upgrade this node"):
        batch.decode(msgpack.packb((2, 0, [])))

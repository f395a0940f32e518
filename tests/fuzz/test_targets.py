"""Bytes from outside, good ones that were damaged and any at all, raise only what is meant for them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.damage import damaged, good
from tests.fuzz.targets import TARGETS

GOOD = good()


@pytest.mark.parametrize("target", TARGETS)
def test_good_bytes_come_through(target: str) -> None:
    for data in GOOD[target]:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=200)
@given(data=st.data())
def test_damaged_bytes(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(damaged(GOOD[target])))


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=100)
@given(data=st.binary(max_size=200))
def test_any_bytes(target: str, data: bytes) -> None:
    TARGETS[target](data)

"""LOLWUT: plain text with both versions, whatever version of it is asked for."""

from __future__ import annotations

import pytest

from ironkv.commands.connection import REDIS_VERSION
from tests.commands.fakes import FakeSession
from tests.commands.oracle import Oracle


@pytest.mark.parametrize("line", ["LOLWUT", "LOLWUT VERSION 5 1 2 3", "lolwut version", "LOLWUT nonsense"])
def test_it_names_the_versions(line: str) -> None:
    session = FakeSession()
    text = session.do(line)
    assert isinstance(text, bytes)
    assert session.node.version.encode() in text
    assert REDIS_VERSION.encode() in text


def test_a_version_is_a_number(oracle: Oracle) -> None:
    session = FakeSession()
    args = [b"LOLWUT", b"VERSION", b"x"]
    assert session.ask(args) == oracle.ask(args)

"""Rates, and who is closed for idling or for not reading."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ironkv.node.upkeep import SAMPLES, Rates, Totals, close_idle, close_slow
from ironkv.server.connection import Connection


class FakeConnection:
    def __init__(self, last_active: float = 0.0, unsent: int = 0, **state: Any) -> None:
        self.address = "127.0.0.1:5"
        self.last_active = last_active
        self.unsent = unsent
        self.pending = state.get("pending", 0)
        self.stalled = state.get("stalled", False)
        self.killed = False
        self.subscriptions = None

    def buffer_sizes(self) -> tuple[int, int]:
        return 0, self.unsent

    def kill(self) -> None:
        self.killed = True


def killed(*connections: FakeConnection) -> list[bool]:
    return [connection.killed for connection in connections]


def as_connections(*fakes: FakeConnection) -> list[Connection]:
    return cast(list[Connection], list(fakes))


def test_who_has_asked_nothing_for_long_is_closed() -> None:
    fakes = [
        FakeConnection(last_active=89.9),
        FakeConnection(last_active=90.0),
        FakeConnection(last_active=10.0, pending=1),
        FakeConnection(last_active=10.0, stalled=True),
    ]
    close_idle(as_connections(*fakes), 100.0, 10)
    assert killed(*fakes) == [True, False, False, False]


def test_who_does_not_read_is_closed() -> None:
    fakes = [FakeConnection(unsent=1000), FakeConnection(unsent=1001)]
    close_slow(as_connections(*fakes), 1000)
    assert killed(*fakes) == [False, True]


def test_rates_are_those_of_the_last_seconds() -> None:
    rates = Rates()
    assert rates.per_second() == (0.0, 0.0, 0.0)
    for second in range(100):
        rates.sample(Totals(float(second), 1000 * min(second, 95), 10 * second, 0))
    span = SAMPLES - 1
    assert rates.per_second() == (pytest.approx(1000 * (span - 4) / span), pytest.approx(10.0), 0.0)
    rates.forget()
    assert rates.per_second() == (0.0, 0.0, 0.0)

"""Commands and bytes a second, by address and by user."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ironkv.server import rate_limits
from ironkv.server.rate_limits import RateLimits, Rates
from tests.node.virtual import Cluster, Maker, VirtualNode

LIMITED = "-LIMITED too many requests from this client or user, try again later"


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    return make_cluster().boot()


@pytest.fixture
def leader(cluster: Cluster) -> VirtualNode:
    return cluster.elect()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(rate_limits, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def of(address: str) -> Any:
    return SimpleNamespace(address=address, user=b"default", advanced_commands=0, advanced_bytes=0)


def test_commands(leader: VirtualNode, clock: list[float]) -> None:
    client = leader.client()
    assert client.ask("CONFIG SET limits.rate_limit_address_commands 10") == [b"OK"]
    assert client.ask(*["INCR n"] * 25) == [*range(1, 11), *[LIMITED] * 15]
    assert leader.client().ask("PING") == [LIMITED], "another connection of the same address"
    clock[0] += 0.5
    assert client.ask(*["INCR n"] * 6) == [11, 12, 13, 14, 15, LIMITED]
    clock[0] += 100
    assert client.ask(*["PING"] * 11) == [b"PONG"] * 10 + [LIMITED], "a burst is a second's worth"
    clock[0] += 100
    assert client.ask("CONFIG SET limits.rate_limit_address_commands 0") == [b"OK"]
    assert client.ask(*["PING"] * 100) == [b"PONG"] * 100
    assert leader.dispatch.rate_limits is None
    assert leader.dispatch.rates.limited_commands == 18


def test_transactions_are_not_cut_in_two(leader: VirtualNode, clock: list[float]) -> None:
    client = leader.client()
    client.ask("CONFIG SET limits.rate_limit_address_commands 2")
    assert client.ask("MULTI", "SET a 1", "SET b 1") == [b"OK", b"QUEUED", LIMITED]
    clock[0] += 10
    assert client.ask("EXEC", "EXISTS a") == [
        "-EXECABORT Transaction discarded because of previous errors.",
        0,
    ]


def test_bytes_and_users(leader: VirtualNode, clock: list[float]) -> None:
    client = leader.client()
    client.ask(
        "ACL SETUSER bob on nopass ~* +@all",
        "CONFIG SET limits.rate_limit_user_bytes 100 limits.rate_limit_burst 2",
    )
    bob: Any = leader.client()
    bob.ask("AUTH bob x")
    assert bob.ask("SET a " + "x" * 1000) == [b"OK"], "what is larger than a burst is paid for later"
    assert bob.ask("GET a") == [LIMITED]
    assert client.ask("STRLEN a") == [1000], "another user"
    clock[0] += 12
    assert bob.ask("STRLEN a") == [1000]


def test_the_number_of_buckets_is_bounded(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "KNOWN_MOST", 100)
    limits = RateLimits(Rates(address_commands=1))
    for n in range(1000):
        clock[0] += 0.001
        peer = of(f"10.0.{n // 250}.{n % 250}:1")
        assert limits.admit(peer, [[b"PING"]], 10) == [[b"PING"]]
        assert len(limits._buckets) <= 100


def test_what_is_advanced_is_taken_out_of_the_bucket(clock: list[float]) -> None:
    """Large rates are not asked for each chunk, and hold all the same."""
    rate = 100_000
    limits = RateLimits(Rates(address_commands=rate, user_bytes=10 * rate))
    peers = [of(f"10.0.0.1:{n}") for n in range(20)]
    chunk = [[b"PING"]] * 10
    admitted = asked = 0
    while asked < 3 * rate:
        for peer in peers:
            admitted += sum(args == [b"PING"] for args in limits.admit(peer, chunk, 50))
            asked += len(chunk)
    assert 0.99 * rate < admitted <= rate
    assert limits.limited_commands == asked - admitted
    clock[0] += 0.1
    assert len(limits.admit(peers[0], chunk, 50)) == 10


def test_what_is_advanced_is_not_for_the_next_user(leader: VirtualNode, clock: list[float]) -> None:
    client = leader.client()
    client.ask("ACL SETUSER bob on nopass ~* +@all", "CONFIG SET limits.rate_limit_user_commands 1000000")
    client.ask("PING")
    assert client.connection.advanced_commands > 200
    client.ask("AUTH bob x")
    assert client.connection.advanced_commands == 0
    client.ask("PING", "CONFIG SET limits.rate_limit_user_commands 2")
    assert client.ask(*["PING"] * 5) == [b"PONG", b"PONG", LIMITED, LIMITED, LIMITED]

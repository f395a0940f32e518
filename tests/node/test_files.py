"""The limit on open files follows the number of clients, as far as the system lets it."""

from __future__ import annotations

import resource

import pytest

from ironkv.node.files import OWN_FILES, allow_clients


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """[soft, hard]"""
    found = [1024, 4096]

    def change(_: int, wanted: tuple[int, int]) -> None:
        found[:] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(found))
    monkeypatch.setattr(resource, "setrlimit", change)
    return found


@pytest.mark.parametrize(
    ("wanted", "allowed", "soft"),
    [
        (100, 100, 1024),
        (1024 - OWN_FILES, 1024 - OWN_FILES, 1024),
        (2000, 2000, 2000 + OWN_FILES),
        (10_000, 4096 - OWN_FILES, 4096),
    ],
)
def test_as_many_as_the_system_lets(limits: list[int], wanted: int, allowed: int, soft: int) -> None:
    assert allow_clients(wanted) == allowed
    assert limits == [soft, 4096]


def test_no_limit(limits: list[int]) -> None:
    limits[1] = resource.RLIM_INFINITY
    assert allow_clients(1_000_000) == 1_000_000
    limits[0] = resource.RLIM_INFINITY
    assert allow_clients(1_000_000) == 1_000_000

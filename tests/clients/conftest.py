"""One cluster for all clients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster

VERY_CALM = {"raft": {"election_timeout_ms": 3_000}}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("clients"), settings=VERY_CALM) as running:
        yield running


def lacking(what: str) -> None:
    """Skip, and say why; in CI nothing may be lacking."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def programs(folder: str) -> Path:
    return Path(__file__).with_name(folder)

"""One redis-server for all tests of its serialization; clusters to import into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster
from tests.commands.oracle import Oracle, running_oracle


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(parent=tmp_path, settings={"raft": {"election_timeout_ms": 1_000}}) as running:
        yield running

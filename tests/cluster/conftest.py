"""Throwaway clusters. A test that only talks shares one with its module; one that kills has its own.

Their election timeouts are longer than the default, so that a machine that is busy with other things for a
moment does not depose a leader in the middle of a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster

CALM = {"raft": {"election_timeout_ms": 1_000}}
VERY_CALM = {"raft": {"election_timeout_ms": 3_000}}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(parent=tmp_path, settings=CALM) as running:
        yield running


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("shared"), settings=VERY_CALM) as running:
        yield running


@pytest.fixture
def lone_node(tmp_path: Path) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(1, parent=tmp_path) as running:
        yield running

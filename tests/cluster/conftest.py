"""Throwaway clusters. A test that only talks shares one with its module; one that kills has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(parent=tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def lone_node(tmp_path: Path) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(1, parent=tmp_path) as running:
        yield running

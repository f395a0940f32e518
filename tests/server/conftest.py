from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.virtual import Maker, clusters


@pytest.fixture
def make_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    """Makes clusters in virtual time; see `virtual`."""
    yield from clusters(tmp_path, monkeypatch)

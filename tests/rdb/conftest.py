"""One redis-server for all tests of its serialization."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands.oracle import Oracle, running_oracle


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as server:
        yield server

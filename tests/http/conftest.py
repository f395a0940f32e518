"""One small cluster with HTTP ports for all tests here that only look."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from ironkv.tools.cluster import ThrowawayCluster
from ironkv.tools.nodes import Node
from tests.cluster.conftest import CALM

TOKEN = "a token of this test"


class Answer(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def get(node: Node, path: str, token: str | None = None, method: str = "GET", **headers: str) -> Answer:
    """Ask the HTTP port of a node for `path`."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.settings.http_port}{path}", headers=headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, response.read().decode(), dict(response.headers))
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.read().decode(), dict(refused.headers))


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    settings = {**CALM, "http": {"enabled": True}}
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("watched"), settings=settings) as running:
        yield running

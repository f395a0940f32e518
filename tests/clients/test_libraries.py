"""Job queues, caches, sessions, locks and rate limiters from PyPI and npm, unmodified."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster
from tests.clients.conftest import lacking, programs
from tests.clients.crew import Crew

# The longest first: the others run beside them.
PYTHON = ("celery_tasks", "dramatiq_tasks", "rq_queue", "redis_py", "redis_py_asyncio", "django_cache")
NODE = ("bullmq", "rate_limiter", "ioredis", "node_redis", "connect_redis")
DATABASES = {name: i for i, name in enumerate((*PYTHON, *NODE))}
OLDEST_NODE = 20


@pytest.fixture(scope="module")
def crew(
    cluster: ThrowawayCluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Crew]:
    """All programs that were asked for, on their way."""
    crew = Crew(tmp_path_factory.mktemp("crew"))
    node_is_here = node_complaint() is None
    port = cluster.wait_for_leader().port
    for item in request.session.items:
        if item.path != Path(__file__):
            continue
        name = item.callspec.params["name"]  # type: ignore[attr-defined]
        url = f"redis://127.0.0.1:{port}/{DATABASES[name]}"
        if name in PYTHON:
            crew.send(name, [sys.executable, str(programs("python") / f"{name}.py"), url])
        elif node_is_here:
            crew.send(name, ["node", str(programs("node") / f"{name}.mjs"), url])
    yield crew
    crew.close()


def node_complaint() -> str | None:
    """Why the programs in `node/` cannot run here."""
    if not shutil.which("node") or not shutil.which("npm"):
        return "no node or npm here (Debian: apt install nodejs npm)"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        return f"node {version} is too old: the clients need {OLDEST_NODE}"
    if not (programs("node") / "node_modules" / ".package-lock.json").exists():
        return "run: npm ci --ignore-scripts --prefix tests/clients/node"
    return None


@pytest.mark.parametrize("name", PYTHON)
def test_of_python(name: str, crew: Crew) -> None:
    crew.outcome(name)


@pytest.mark.parametrize("name", NODE)
def test_of_node(name: str, crew: Crew) -> None:
    complaint = node_complaint()
    if complaint is not None:
        lacking(complaint)
    crew.outcome(name)

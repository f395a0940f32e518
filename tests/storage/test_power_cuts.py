"""The power goes at any moment of writes, snapshots, trims, installs and compaction: what was promised is
there.

A node's writes to its files are recorded as it makes them, and a directory is made for a moment of the record
as a disk may leave it that loses, and tears, what was not synced. Real LMDB, real fsync calls.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv import images
from ironkv.keyspace.keyspace import Keyspace
from ironkv.storage.stopped import StoppedNode
from tests.node.virtual import Cluster, make_time_virtual
from tests.storage.lossy.disk import Disk, Step, compiled, recorded

ROOT = Path(__file__).resolve().parents[2]
CUTS = int(os.environ.get("POWER_CUTS", "20"))
"""Moments at which the power goes, in each record."""


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.fail(
            "no C compiler: a disk that loses what was not synced needs one (Debian: apt install gcc)"
        )
    return compiled(tmp_path_factory.mktemp("recorder"))


def record(recorder: Path, folder: Path, what: str, node: str, seed: int) -> list[Step]:
    """Do the work on a recorded disk."""
    (folder / "disk").mkdir()
    log = folder / "log"
    environment = {
        **os.environ, "LD_PRELOAD": str(recorder), "LOSSY_LOG": str(log),
        "LOSSY_ROOT": str(folder / "disk" / node), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    words = [sys.executable, "-m", "tests.storage.lossy.work", what, str(folder / "disk"), node, str(seed)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return list(recorded(log))


class Marked:
    """What clients knew at each step of a record."""

    def __init__(self, root: Path, steps: list[Step]) -> None:
        self.root = root
        self.steps: list[Step] = []
        self.durable: list[int] = []
        """By number of steps done: up to which entry the log was promised."""
        self.digests = {0: images.digest_of_keyspace(Keyspace()).hex()}
        marks, durable = -1, 0
        for step in steps:
            if step.content == f"{root}.marks".encode():
                marks = step.fd
            elif step.fd == marks and step.kind == "W":
                mark = json.loads(step.content)
                durable = mark["durable"]
                self.digests[mark["applied"]] = mark["digest"]
            else:
                self.steps.append(step)
                self.durable.append(durable)

    def cuts(self, folder: Path, chance: random.Random) -> Iterator[tuple[Path, int]]:
        """Directories as they may be found, and what was promised then."""
        # Most steps come close together: a moment of each kind is worth more than one of each second.
        moments = set(chance.sample(range(len(self.steps)), min(CUTS, len(self.steps))))
        disk = Disk(self.root)
        for place, step in enumerate(self.steps):
            disk.play(step)
            if place in moments:
                keep = chance.choice((0.0, 0.3, 0.7, 1.0))
                into = folder / f"{place}"
                disk.cut(into / self.root.name, chance, keep)
                yield into, self.durable[place]
                shutil.rmtree(into)


@pytest.mark.parametrize(
    ("what", "node", "seed"),
    [("serve", "node1", 1), ("serve", "node1", 2), ("install", "node2", 3), ("fold", "node1", 4)],
)
def test_what_was_promised_is_there(
    recorder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, node: str, seed: int
) -> None:
    marked = Marked(tmp_path / "disk" / node, record(recorder, tmp_path, what, node, seed))
    assert marked.durable[-1] > 20
    found = 0
    for path, durable in marked.cuts(tmp_path / "cuts", random.Random(seed)):
        cluster = Cluster(path, 3 if what == "install" else 1)
        make_time_virtual(cluster, monkeypatch)
        cluster.boot(node)  # raises what a node would stop with
        booted = cluster.nodes[node]
        assert booted.core.last_index >= durable
        cluster.crash(node)
        with StoppedNode(path / node) as stopped:
            state = stopped.state(stopped.last)
        if state.applied in marked.digests:
            assert images.digest_of_keyspace(state.keyspace).hex() == marked.digests[state.applied]
            found += 1
    assert found > min(CUTS, len(marked.steps)) / 2

"""Bugs that can no longer be planted would be missed only when somebody runs `./tools/mutate`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.mutation.__main__ import ROOT, planted
from tests.mutation.plants import PLANTS, Plant


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_every_bug_can_be_planted(plant: Plant, tmp_path: Path) -> None:
    file = tmp_path / "ironkv" / plant.file
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / "ironkv" / plant.file, file)
    planted(plant, tmp_path)
    compile(file.read_text(), plant.file, "exec")
    assert file.read_text() != (ROOT / "ironkv" / plant.file).read_text()

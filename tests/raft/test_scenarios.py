"""Stories about the core: each file in tests/scenarios/raft is one.

A file is a row of blocks: commands, `----`, and the trace they leave, up to an empty line. The
commands are the methods `do_…` of `World` (world.py). `pytest tests/raft --rewrite` writes the traces.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.raft.world import World

FOLDER = Path(__file__).parent.parent / "scenarios" / "raft"


def play(text: str) -> str:
    """The same story, with the traces as they come out now."""
    world, told = World(), []
    for block in text.strip().split("\n\n"):
        script = block.split("\n----")[0].rstrip()
        trace = [line for command in script.split("\n") for line in world.run(command)]
        told.append("\n".join([script, "----", *trace]) if "----" in block or trace else script)
    return "\n\n".join(told) + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_scenario(path: Path, request: pytest.FixtureRequest) -> None:
    told = path.read_text(encoding="utf-8")
    assert told.startswith("# "), "a story begins with what it shows"
    found = play(told)
    if request.config.getoption("--rewrite", default=False):
        path.write_text(found, encoding="utf-8")
    else:
        assert found == told

"""What the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTING = (ROOT / "docs" / "testing.md").read_text()


def test_every_trap_has_its_line() -> None:
    assert re.findall(r"^\| T(\d+) \|", TESTING, re.MULTILINE) == [str(number) for number in range(1, 35)]


def test_the_tests_that_are_named_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TESTING))
    assert len(named) > 30
    for file, test in named:
        assert (ROOT / file).is_file(), file
        if test:
            assert re.search(
                rf"^def {test}\(|^async def {test}\(", (ROOT / file).read_text(), re.MULTILINE
            ), test


def test_the_stories_that_are_named_exist() -> None:
    for story in set(re.findall(r"`(\w+\.txt)`", TESTING)):
        assert (ROOT / "tests" / "scenarios" / "raft" / story).is_file(), story

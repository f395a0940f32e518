"""A short run of `tools/chaos`, and that its judge would notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.clients import Record
from tests.sim.checks import Violation
from tests.sim.whole.history import UNKNOWN, History, Op

ROOT = Path(__file__).resolve().parents[2]


def test_a_few_seconds_of_everything() -> None:
    words = [sys.executable, "-m", "tests.chaos", "--minutes", "0.2"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    if found.returncode == 77:
        pytest.skip(f"NOT TESTED: real nodes cut off from each other. {found.stdout}")
    assert found.returncode == 0, found.stdout + found.stderr
    assert " answered" in found.stdout


@pytest.mark.parametrize(
    "told",
    [
        [("set", b"1", b"OK"), ("get", b"", None)],  # lost
        [("set", b"1", b"OK"), ("set", b"2", b"OK"), ("get", b"", b"1")],  # stale
        [("set", b"1", b"OK"), ("get", b"", b"3")],  # invented
        [("push", b"1", 1), ("push", b"2", UNKNOWN), ("list", b"", [b"1", b"2", b"2"])],  # twice
        [("incr", b"", 1), ("incr", b"", 1)],  # two leaders
        [("push", b"1", 1), ("pop", b"", b"1"), ("pop", b"", b"1")],  # popped twice
    ],
)
def test_lies_are_noticed(told: list[tuple[str, bytes, Any]]) -> None:
    history = History()
    for at, (kind, value, reply) in enumerate(told):
        op = history.began(Op(kind, b"key", value, 10.0 * at))
        if reply is not UNKNOWN:
            op.ended, op.reply = 10.0 * at + 5, reply
    with pytest.raises(Violation):
        history.check()


def test_the_longest_outage() -> None:
    record = Record()
    record.acked += [1.0, 1.5, 4.0, 4.5]
    assert record.longest_outage(1.0, 5.0) == 2.5
    assert record.longest_outage(1.0, 9.0) == 4.5
    assert record.next_ack(1.5) == 4.0
    assert record.next_ack(4.5) is None

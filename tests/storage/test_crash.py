"""kill -9 in the middle of writing: what was reported durable is there, whole, and the rest is a prefix."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from ironkv.storage.journal import Journal

WRITE = """
import random, sys
from pathlib import Path
from ironkv.raft.messages import Entry, EntryKind, Mark, Persist
from ironkv.storage.journal import Journal

journal = Journal(Path(sys.argv[1]), 64 << 20)
chance = random.Random(int(sys.argv[2]))
term = journal.term_now + 1
while True:
    # Sometimes a new leader replaces the tail; more often the log grows.
    first = journal.last_index + 1
    if chance.random() < 0.3:
        term += 1
        first = max(1, first - chance.randrange(4))
    last = first + chance.randrange(4)
    data = bytes(chance.randrange(20_000))
    new = tuple(Entry(i, term, EntryKind.BATCH, b"%d %d " % (i, term) + data) for i in range(first, last + 1))
    print("begin", first, last, term, flush=True)
    journal.write(Persist(Mark(1, term, last), term, f"node{term}", 0, new))
    print("done", first, last, term, flush=True)
"""


@pytest.mark.parametrize("seed", range(8))
def test_nothing_reported_durable_is_lost(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    model: list[int] = []  # the term of each entry
    hard = 0
    for _ in range(3):
        model, hard = _write_and_kill(tmp_path, chance, model, hard)


def _write_and_kill(path: Path, chance: random.Random, model: list[int], hard: int) -> tuple[list[int], int]:
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), str(chance.randrange(1000))],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(chance.randrange(1, 120))]
        writer.kill()
        lines += writer.stdout.readlines()
    after = list(model)
    for line in lines:
        if not line.endswith("\n"):
            break  # the report itself was cut
        what, *numbers = line.split()
        first, last, term = map(int, numbers)
        after = [*model[: first - 1], *[term] * (last + 1 - first)]
        if what == "done":
            model, hard = after, term
    journal = Journal(path, 64 << 20)
    found = list(journal.replay())
    terms = [entry.term for entry in found]
    assert terms in (model, after), "all of the write under way, or nothing"
    assert [entry.index for entry in found] == list(range(1, len(found) + 1))
    assert all(entry.data.startswith(b"%d %d " % (entry.index, entry.term)) for entry in found)
    if terms == model and terms != after:
        assert (journal.term_now, journal.voted_for) == (hard, f"node{hard}" if hard else None)
    assert journal.term_now >= hard
    result = terms, journal.term_now
    journal.close()
    return result

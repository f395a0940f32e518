"""When a snapshot is due, and when one that is under way should hurry."""

from __future__ import annotations

from ironkv.config import SnapshotSection
from ironkv.node.compaction import Compaction

MB = 1 << 20


def test_a_snapshot_is_behind_once_the_next_is_due_before_it_has_ended() -> None:
    compaction = Compaction(SnapshotSection(journal_bytes=16 * MB), 0.0)
    compaction.advanced(1, 16 * MB)
    assert compaction.due(1.0)
    compaction.begun(1.0)
    compaction.advanced(2, 15 * MB)
    assert not compaction.behind
    compaction.advanced(3, MB)
    assert compaction.behind

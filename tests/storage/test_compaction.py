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


def test_what_failed_for_want_of_room_is_tried_again_soon_once_that_is_known() -> None:
    """The snapshot finds out first, a moment before the node says that it is short of room."""
    compaction = Compaction(SnapshotSection(), 0.0)
    compaction.advanced(1, 100)
    compaction.begun(0.0)
    compaction.finished(None, 0, 10.0)
    assert not compaction.due(1_000.0, short_of_room=True)
    assert compaction.due(2_500.0, short_of_room=True)
    assert not compaction.due(2_500.0)

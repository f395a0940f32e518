"""Majority maths."""

from __future__ import annotations

import pytest

from ironkv.raft.membership import Voters
from ironkv.raft.quorum import majority, majority_index


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_majority_is_more_than_half(voters: int, needed: int) -> None:
    assert majority(voters) == needed


@pytest.mark.parametrize(
    ("acked", "index"),
    [([7], 7), ([9, 3], 3), ([9, 3, 7], 7), ([1, 2, 3, 4], 2), ([5, 5, 1, 1, 1], 1), ([5, 5, 5, 0, 0], 5)],
)
def test_majority_index_is_reached_by_a_majority(acked: list[int], index: int) -> None:
    assert majority_index(acked) == index
    assert sum(each >= index for each in acked) >= majority(len(acked))


def test_voters_count_themselves_and_the_others() -> None:
    voters = Voters(frozenset({"a", "b", "c"}), "b")
    assert voters.others == ("a", "c")
    assert not voters.won({"b"})
    assert voters.won({"b", "c"})
    assert voters.agreed(9, {"a": 3, "c": 7}.__getitem__) == 7


def test_a_node_that_is_no_voter_is_refused() -> None:
    with pytest.raises(ValueError, match="not among the voters"):
        Voters(frozenset({"a"}), "b")

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
    assert not voters.won({"b": False})
    assert voters.won({"b": False, "c": False})


def test_a_fresh_voter_counts_only_where_all_have_voted() -> None:
    voters = Voters(frozenset({"a", "b", "c"}), "b")
    assert not voters.won({"b": False, "c": True})
    assert not voters.won({"b": True, "c": False})
    assert voters.won({"b": True, "c": True, "a": True})
    five = Voters(frozenset("abcde"), "a")
    assert not five.won({"a": True, "b": False, "c": False, "d": False}), "the candidate forgets, too"
    assert not five.won({"b": False, "c": False, "d": False}), "our own vote is not on disk"
    assert five.won({"a": False, "b": True, "c": False, "d": False})
    assert not Voters(frozenset("a"), "a").won({"a": True}), "nobody remembers what it promised"
    assert not Voters(frozenset("a"), "b").won({"b": False, "a": True}), "nor does anybody who has a vote"
    assert Voters(frozenset("a"), "b").won({"b": False, "a": False})
    assert voters.agreed(9, {"a": 3, "c": 7}.__getitem__) == 7


def test_in_a_joint_configuration_both_majorities_are_needed() -> None:
    voters = Voters(frozenset({"a", "d", "e"}), "a", frozenset({"a", "b", "c"}))
    assert voters.others == ("b", "c", "d", "e")
    assert not voters.won({"a": False, "b": False, "c": False})
    assert not voters.won({"a": False, "d": False, "e": False})
    assert voters.won({"a": False, "b": False, "d": False})
    assert not voters.won({"a": False, "b": False, "d": True}), "a fresh one counts only where all have voted"
    assert voters.won(dict.fromkeys("abcde", True))
    assert voters.agreed(9, {"b": 3, "c": 0, "d": 7, "e": 8}.__getitem__) == 3


def test_who_has_no_vote_does_not_count_itself() -> None:
    voters = Voters(frozenset({"b", "c"}), "a")
    assert voters.agreed(9, {"b": 3, "c": 7}.__getitem__) == 3
    assert not voters.won({"a": False, "b": False})
    assert voters.won({"a": False, "b": False, "c": False})
    assert not Voters(frozenset(), "a").won({"a": False}), "nobody has a vote"

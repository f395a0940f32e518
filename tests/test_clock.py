"""The cluster's time: no single machine can throw it, and it never goes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironkv import clock
from ironkv.clock import ClusterClock

WALL = 1_800_000_000_000.0
YEAR = 365 * 24 * 3600 * 1000.0
offsets = st.floats(-50, 50)
bad = st.sampled_from([-YEAR, -3_600_000.0, 3_600_000.0, YEAR])


def test_the_steady_clock_does_not_go_back() -> None:
    assert clock.boot_ms() <= clock.boot_ms()
    assert abs(clock.wall_ms() - clock.wall_ms()) < 60_000


@given(offsets, offsets, bad, st.permutations(["a", "b", "c"]))
def test_one_bad_clock_of_three_moves_nothing(one: float, two: float, off: float, names: list[str]) -> None:
    """Whoever is elected, when all have been heard: the bad one too."""
    wall = dict(zip(names, (WALL + one, WALL + two, WALL + off), strict=True))
    for me in names:
        mine = ClusterClock(1000.0, wall[me])
        for peer in names:
            if peer != me:
                mine.heard(peer, wall[peer], 1000.0)
        mine.anchor(1000.0, wall[me])
        assert abs(mine.now_ms(1000.0) - WALL) <= 51


@given(offsets, st.sampled_from([3_600_000.0, YEAR]))
def test_a_clock_that_is_ahead_is_not_believed_on_the_word_of_two(own: float, off: float) -> None:
    ahead = ClusterClock(0.0, WALL + off)
    ahead.heard("peer", WALL + own, 0.0)
    ahead.anchor(0.0, WALL + off)
    assert abs(ahead.now_ms(0.0) - WALL) <= 51


def test_how_far_off_the_own_clock_is_gets_told() -> None:
    mine = ClusterClock(0.0, WALL + YEAR)
    mine.heard("a", WALL, 0.0)
    mine.heard("b", WALL + 3, 0.0)
    assert mine.anchor(0.0, WALL + YEAR) == YEAR - 3


def test_a_step_of_the_system_clock_is_not_followed() -> None:
    mine = ClusterClock(0.0, WALL)
    mine.anchor(0.0, WALL)
    mine.heard("a", WALL + YEAR, 10.0)
    assert mine.now_ms(10.0) == WALL + 10


@given(offsets, bad, offsets)
def test_a_new_leader_is_not_behind_the_one_before(first: float, second: float, peer: float) -> None:
    old, new = ClusterClock(0.0, WALL + first), ClusterClock(0.0, WALL + second)
    old.heard("c", WALL + peer, 0.0)
    old.anchor(0.0, WALL + first)
    said = old.now_ms(100.0)
    new.heard_leader(said, 100.0)
    new.heard("c", WALL + peer, 100.0)
    new.anchor(100.0, WALL + second + 100.0)
    assert new.now_ms(100.0) >= said


@given(st.lists(st.tuples(st.sampled_from(["heard", "leader", "anchor"]), st.floats(-1e6, 1e6)), max_size=30))
def test_the_time_of_a_leader_never_goes_back(happenings: list[tuple[str, float]]) -> None:
    mine = ClusterClock(0.0, WALL)
    mine.anchor(0.0, WALL)
    said = 0
    for now, (what, by) in enumerate(happenings):
        if what == "heard":
            mine.heard("a", WALL + by, now)
        elif what == "leader":
            mine.heard_leader(WALL + by, now)
        else:
            mine.heard_leader(mine.now_ms(now), now)  # it followed somebody who was not behind
            mine.anchor(now, WALL + by)
        assert mine.now_ms(now) >= said
        said = mine.now_ms(now)


def test_a_follower_goes_by_its_leader_s_time_and_not_by_its_own() -> None:
    follower = ClusterClock(0.0, WALL + YEAR)
    follower.heard_leader(WALL + 20, 20.0)
    assert follower.now_ms(30.0) == WALL + 30

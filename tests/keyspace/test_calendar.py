"""The calendar against a dict of deadlines that is sorted anew each time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ironkv.keyspace import expiry
from ironkv.keyspace.expiry import DAY_BITS, Calendar, part_of

KEYS = [b"%d" % n for n in range(8)]
ONE_PART = sorted(b"%d" % n for n in range(500) if part_of(b"%d" % n) == 7)[:8]


CROWDS = [2, 4_096]
"""From how many keys on a day is kept in parts: it must not show."""


@pytest.fixture(params=CROWDS)
def crowd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "CROWD", request.param)


def naive_due(deadlines: dict[bytes, int], stamp_ms: int, most: int) -> list[bytes]:
    """Up to `most` keys of days that have passed, by day, part and key; they leave the dict."""
    today = stamp_ms >> DAY_BITS
    passed = sorted(
        (at >> DAY_BITS, part_of(key), key) for key, at in deadlines.items() if at >> DAY_BITS < today
    )
    taken = [key for _, _, key in passed[:most]]
    for key in taken:
        del deadlines[key]
    return taken


class CalendarAgainstDict(RuleBasedStateMachine):
    """Keys get deadlines, lose them, get others; time passes; some of what is due is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.calendar = Calendar()
        self.deadlines: dict[bytes, int] = {}
        self.stamp_ms = 0
        self.usual_crowd = expiry.CROWD

    @initialize(crowd=st.sampled_from(CROWDS))
    def choose_crowd(self, crowd: int) -> None:
        self.usual_crowd, expiry.CROWD = expiry.CROWD, crowd

    def teardown(self) -> None:
        expiry.CROWD = self.usual_crowd

    @rule(key=st.sampled_from(KEYS), ahead_ms=st.integers(1, 5_000))
    def set_deadline(self, key: bytes, ahead_ms: int) -> None:
        if key in self.deadlines:
            self.calendar.discard(key, self.deadlines[key])
        self.deadlines[key] = self.stamp_ms + ahead_ms
        self.calendar.add(key, self.stamp_ms + ahead_ms)

    @precondition(lambda self: self.deadlines)
    @rule(data=st.data())
    def clear_deadline(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.deadlines)))
        self.calendar.discard(key, self.deadlines.pop(key))

    @rule(ms=st.integers(0, 3_000))
    def pass_time(self, ms: int) -> None:
        self.stamp_ms += ms

    @rule(most=st.integers(0, 4))
    def take(self, most: int) -> None:
        assert self.calendar.due(self.stamp_ms, most) == naive_due(self.deadlines, self.stamp_ms, most)

    @rule()
    def restore(self) -> None:
        """From an image: the same keys, in whatever order the slots have them."""
        self.calendar = Calendar()
        for key, deadline in self.deadlines.items():
            self.calendar.add(key, deadline)

    @invariant()
    def says_when_something_is_due(self) -> None:
        expected = min((((at >> DAY_BITS) + 1) << DAY_BITS for at in self.deadlines.values()), default=None)
        assert self.calendar.due_from_ms() == expected
        if expected is not None:
            copy = dict(self.deadlines)
            assert naive_due(copy, expected - 1, 1) == []
            assert len(naive_due(copy, expected, 1)) == 1


CalendarAgainstDict.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCalendar = CalendarAgainstDict.TestCase


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(1, 4_000)), unique_by=lambda pair: pair[0]),
    st.integers(1, 4),
)
def test_small_bites_take_the_same_as_one(pairs: list[tuple[bytes, int]], most: int) -> None:
    one, other = Calendar(), Calendar()
    for key, deadline in pairs:
        one.add(key, deadline)
    for key, deadline in reversed(pairs):
        other.add(key, deadline)
    bites: list[bytes] = []
    while bite := one.due(10_000, most):
        bites += bite
    assert bites == other.due(10_000, 1_000)


@pytest.mark.usefixtures("crowd")
def test_a_key_that_left_does_not_count_against_the_bound() -> None:
    calendar = Calendar()
    for key in reversed(ONE_PART):
        calendar.add(key, 500)
    assert calendar.due(5_000, 2) == ONE_PART[:2]
    calendar.discard(ONE_PART[2], 500)
    calendar.discard(ONE_PART[3], 500)
    assert calendar.due(5_000, 2) == ONE_PART[4:6]


@pytest.mark.usefixtures("crowd")
def test_a_crowded_day_ends() -> None:
    calendar = Calendar()
    for _ in range(2):
        for n in range(5_000):
            calendar.add(b"%d" % n, 500)
        taken: list[bytes] = []
        while some := calendar.due(5_000, 1_000):
            taken += some
        assert len(set(taken)) == len(taken) == 5_000
        assert calendar.due_from_ms() is None
        assert not calendar._crowded
        assert not calendar._pages


@pytest.mark.usefixtures("crowd")
def test_a_crowded_day_whose_keys_all_leave_can_fill_again() -> None:
    calendar = Calendar()
    for _ in range(2):
        for key in KEYS:
            calendar.add(key, 500)
        for key in KEYS:
            calendar.discard(key, 500)
        assert calendar.due_from_ms() is None
    calendar.add(b"a", 500)
    assert calendar.due(5_000, 10) == [b"a"]


def test_nothing_is_taken_from_a_day_that_has_not_passed() -> None:
    calendar = Calendar()
    calendar.add(b"a", 1_030)
    assert calendar.due(2_047, 10) == []
    assert calendar.due_from_ms() == 2_048
    assert calendar.due(2_048, 10) == [b"a"]
    assert calendar.due_from_ms() is None

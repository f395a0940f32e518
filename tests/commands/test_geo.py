"""Places against a real Redis, and searches against looking at every place there is."""

from __future__ import annotations

import os
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.keyspace.geohash import Box, Circle, Point, cell_of, covering, distance, point_of
from tests.commands.differential import answers_agree
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import geo
from tests.commands.strategies.common import Args
from tests.commands.strategies.companions import sequences

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "250"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=sequences(geo.COMMANDS), proto=st.sampled_from([2, 3]))
def test_every_reply_is_as_from_redis(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    answers_agree(oracle, sequence, proto)


def _anywhere(chance: Random) -> Point:
    return Point(chance.uniform(-180, 180), chance.uniform(-85, 85))


@pytest.mark.parametrize("seed", range(5))
def test_no_place_that_is_near_is_missed(seed: int) -> None:
    chance = Random(seed)
    local = Local()
    places = [point_of(cell_of(_anywhere(chance)).bits) for _ in range(300)]
    for number, place in enumerate(places):
        local.do(f"GEOADD a {place.longitude!r} {place.latitude!r} {number}")
    for _ in range(40):
        center = Point(chance.uniform(-150, 150), chance.uniform(-60, 60))
        metres = 10 ** chance.uniform(4, 6)
        found = local.do(
            f"GEOSEARCH a FROMLONLAT {center.longitude!r} {center.latitude!r} BYRADIUS {metres!r} M"
        )
        near = {number for number, place in enumerate(places) if distance(center, place) <= metres}
        assert {int(member) for member in found} == near
        assert len(found) == len(near)


def test_cells_go_on_at_the_other_edge() -> None:
    east = cell_of(Point(179.9, 10.0), 5)
    west = cell_of(Point(-179.9, 10.0), 5)
    assert east.neighbour(1, 0) == west
    assert west.neighbour(-1, 0) == east
    assert west.neighbour(-1, 0).neighbour(0, 1) == east.neighbour(0, 1)


@pytest.mark.parametrize("shape", [Circle(float("inf")), Circle(1e300), Box(float("inf"), float("inf"))])
def test_the_whole_world_is_covered(shape: Circle | Box) -> None:
    ranges = sorted(cell.scores() for cell in covering(shape, Point(0.0, 0.0)))
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 1 << 52
    assert all(before[1] == after[0] for before, after in pairwise(ranges))


def test_a_stored_search_may_replace_its_source() -> None:
    local = Local()
    local.do("GEOADD a 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 2.35 48.85 Paris")
    assert local.do("GEOSEARCHSTORE a a FROMMEMBER Palermo BYRADIUS 200 km STOREDIST") == 2
    assert local.do("ZRANGE a 0 -1") == [b"Palermo", b"Catania"]
    assert local.do("GEORADIUS a 0 0 1 m STORE a") == 0
    assert local.do("EXISTS a") == 0


def test_digits_are_those_of_redis(oracle: Oracle) -> None:
    chance = Random(3)
    local = Local()
    for number in range(300):
        place = _anywhere(chance)
        add = f"GEOADD digits {place.longitude!r} {place.latitude!r} {number}".encode().split()
        assert local.ask(add) == oracle.ask(add)
    for number in range(299):
        for text in (f"GEODIST digits {number} {number + 1} mi", f"GEOPOS digits {number}"):
            for proto in (2, 3):
                assert local.ask(text.encode().split(), proto) == oracle.ask(text.encode().split(), proto)

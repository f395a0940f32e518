"""Names in a list, and their places in a dict beside it: what big hashes and sets are made of.

A random name, and the next few names of a scan, are then found without counting through the others.

Always true between two commands
    N1  names[places[name]] == name, for every name; the two hold the same names
    N2  the order of `names` is part of the state, alike on all replicas: chance and scans count on it. A
        name comes at the end; when one goes, the last takes its place. An image keeps the order. The
        order within `places` shows nowhere.

A scan walks from the last place to the first, its cursor being the number of places still to come. What
moves comes from the end, where the walk began, and only ever moves towards the start: what is there from
the first call to the last is returned, some of it twice perhaps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator


def index(names: list[bytes]) -> dict[bytes, int]:
    """The places of names that are all different."""
    return dict(zip(names, range(len(names)), strict=True))


def take_out(names: list[bytes], places: dict[bytes, int], name: bytes) -> int | None:
    """Remove a name; the place it had, where the last one is now, or None if it was not there."""
    place = places.pop(name, None)
    if place is not None:
        last = names.pop()
        if place < len(names):
            names[place] = last
            places[last] = place
    return place


def walk(size: int, cursor: int, most: int) -> range:
    """The places of the next part of a scan; the first of them is the cursor that goes on from there."""
    end = min(cursor, size) if cursor else size
    return range(max(0, end - most), end)


def any_place(size: int, chance: random.Random) -> int:
    """One of `size` places.

    `random()` is the one method whose numbers Python promises to be the same in every version; and
    replicas need not have been upgraded at the same time.
    """
    return int(chance.random() * size)


def distinct_places(size: int, count: int, chance: random.Random) -> Iterator[int]:
    """`count` of `size` places, all different, in random order: the start of a shuffled list of them
    all, of which only what differs from a list in order is kept."""
    moved: dict[int, int] = {}
    for first in range(count):
        pick = first + any_place(size - first, chance)
        yield moved.get(pick, pick)
        moved[pick] = moved.get(first, first)

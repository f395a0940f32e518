"""A snapshot of the keyspace while it is being served: no fork, no pause.

The groups that changed since the snapshot before are walked slot by slot, a little at a time. A write that
is about to change a slot not yet walked has it imaged first (`before_write`); so all images show the
state as of the moment `Imaging` was made. What a cleared or swapped database held is held on to here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ironkv.images import GROUP_SLOTS, GROUPS, extras, parts, slots_of
from ironkv.keyspace.keyspace import Keyspace
from ironkv.keyspace.slots import SLOTS
from ironkv.keyspace.values import Value

Place = tuple[int, int]
"""(database, slot)"""


class Imaging:
    """Made between two commands; from then on the keyspace tells it of the first change of each slot."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self.stamp_ms = keyspace.stamp_ms
        self.keys = sum(map(len, keyspace.used()))
        self.extras = extras(keyspace)
        self.groups: list[tuple[int, int]] = []
        self._values: dict[int, list[dict[bytes, Value]]] = {}
        self._deadlines: dict[int, list[dict[bytes, int] | None]] = {}
        self._todo: dict[int, bytearray] = {}
        self._where: dict[int, int] = {}
        """Identity of a slot's dict → `database * SLOTS + slot`, as of now: SWAPDB moves it."""
        for database, changed in keyspace.mark_images():
            # The lists are copied: a cleared database is swept out of its lists, slot by slot.
            index, values = database.index, database.values[:]
            self._values[index], self._deadlines[index] = values, database.deadlines[:]
            todo = self._todo[index] = bytearray(SLOTS)
            for group in range(GROUPS):
                first = group * GROUP_SLOTS
                if changed.find(1, first, first + GROUP_SLOTS) >= 0:
                    self.groups.append((index, group))
                    todo[first : first + GROUP_SLOTS] = b"\1" * GROUP_SLOTS
            self._where.update(zip(map(id, values), range(index * SLOTS, (index + 1) * SLOTS), strict=True))
        self._early: dict[Place, Iterable[bytes]] = {}
        self._open: tuple[Place, Iterator[bytes]] | None = None
        self._walked = 0
        self.early = 0
        """Slots imaged because a write came first."""
        keyspace.imager = self.before_write

    def before_write(self, values: dict[bytes, Value]) -> None:
        """The slot with these values is about to change: image it, unless that is done."""
        number = self._where.get(id(values))
        if number is None:
            return
        index, slot = place = divmod(number, SLOTS)
        if self._open is not None and self._open[0] == place:
            self._early[place] = list(self._open[1])
        elif self._todo[index][slot]:
            self._todo[index][slot] = 0
            self.early += 1
            deadlines = self._deadlines[index][slot]
            if set(map(type, values.values())) <= {bytes}:
                # Nothing in there can change but the dicts: a copy of these will do, and is made in a moment.
                self._early[place] = parts(values.copy(), deadlines and deadlines.copy())
            else:
                self._early[place] = list(parts(values, deadlines))

    def walk(self) -> Iterator[tuple[tuple[int, int], list[Any] | None]]:
        """For each group its parts, `(group, [slot, part])`, then `(group, None)` at its end.

        Between two of these the keyspace may change. Ends the imaging.
        """
        for group in self.groups:
            self._walked += 1
            for slot in slots_of(group[1]):
                place = group[0], slot
                for part in self._parts(place):
                    yield group, [slot, part]
            yield group, None
        self.end()

    def _parts(self, place: Place) -> Iterator[bytes]:
        index, slot = place
        if not self._todo[index][slot]:
            yield from self._early.pop(place)
            return
        self._todo[index][slot] = 0
        image = parts(self._values[index][slot], self._deadlines[index][slot])
        self._open = place, image
        yield from image
        self._open = None
        yield from self._early.pop(place, ())

    @property
    def progress(self) -> float:
        """How much has been walked: 0 to 1."""
        return self._walked / max(len(self.groups), 1)

    def end(self) -> None:
        """Nobody need tell of changes any more."""
        if self._keyspace.imager == self.before_write:
            self._keyspace.imager = None

    def abandon(self) -> None:
        """Give up: all that was to be imaged still is."""
        self.end()
        for index, group in self.groups:
            changed = self._keyspace.database(index).changed
            changed[group * GROUP_SLOTS : (group + 1) * GROUP_SLOTS] = b"\1" * GROUP_SLOTS

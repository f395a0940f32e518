"""The databases: where values and deadlines are kept, and the rules of life and death.

Two times matter, both in milliseconds since the epoch and both given from outside:

    stamp_ms   the state's own time: the stamp of the last applied entry. A key whose deadline is at
               or before it is dead, for every command, on every replica, for ever.
    now_ms     the time at which a command looks. While an entry is applied it equals `stamp_ms`. For
               a read it is the leader's clock and may be ahead.

A read that meets a key with stamp_ms < deadline <= now_ms raises `Due`: the key is about to die, but
that must be logged before anybody may see it, or the key could come back under the next leader.

A string is plain `bytes` in its slot's dict, so that GET is a lookup and a type check. Other types
are objects of their own classes (`values.Structure`). Nothing here depends on the order of Python's
string hashing.

Two things may want to know of changes, and cost next to nothing while nobody does:

    before one   `Keyspace.imager` is told before the first change to a slot since `mark_images`, so that a
                 snapshot can take the slot as it was. A structure counts as changed as soon as a write has
                 found it: nobody can change what he has not found.
    after one    `Keyspace.listener` is told what happened to which key, as Redis's keyspace events say it.

Always true between two commands
    K1  a key with a deadline has a value: deadlines[slot] names only keys of values[slot]
    K2  the calendar holds exactly the pairs (key, deadline) of `deadlines`
    K3  no value is None, and no structure is empty: what would be empty is removed; save a stream, which
        remembers ids and groups
    K4  the order of a slot's dict is part of the state, alike on all replicas: SCAN counts on it, so an
        image of a slot keeps it
"""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import or_
from typing import Any, Final

from ironkv.errors import WrongType
from ironkv.keyspace.expiry import Calendar
from ironkv.keyspace.slots import SLOTS, slot_of
from ironkv.keyspace.thresholds import DEFAULT
from ironkv.keyspace.users import User
from ironkv.keyspace.values import Value

DATABASES: Final = 16

SWEEP_WORTH = 10_000
"""Keys from which on a cleared database's memory is not freed at once."""

SWEEP_SLOTS: Final = 128
"""Slots of a cleared database whose memory is freed with every purge: about 2 ms, of a million keys."""


class Due(Exception):
    """A read met a key whose deadline has come but is not logged yet: log a tick, then read again."""


class Database:
    """One of the numbered databases. `values` and `deadlines` are lists of dicts, one per slot."""

    __slots__ = ("calendar", "changed", "deadlines", "index", "keyspace", "quiet", "values")

    def __init__(self, keyspace: Keyspace, index: int) -> None:
        self.keyspace = keyspace
        self.index = index
        self.changed = bytearray(SLOTS)
        """By slot: 1 when it differs from its newest image."""
        self._begin()

    def clear(self) -> None:
        """Remove every key. Of many keys the memory is freed by and by, see `Keyspace.sweep`."""
        if self.keyspace.replacing is not None:
            self.keyspace.replacing(self, None)
        count = len(self)
        self.keyspace.changes += count
        if count > SWEEP_WORTH:
            self.keyspace.swept_out += self.values, self.deadlines
        self.mark_all()
        self._begin()

    def _begin(self) -> None:
        self.quiet = bytearray(SLOTS)
        """By slot: 1 when its dict is known to have changed, so that nobody need be told before it does. It
        goes where the dict goes: whoever is told twice would take a changed slot for one as it was."""
        self.values: list[dict[bytes, Value]] = [{} for _ in range(SLOTS)]
        self.deadlines: list[dict[bytes, int] | None] = [None] * SLOTS
        self.calendar = Calendar()

    # -- looking

    def find(self, key: bytes) -> Value | None:
        """The live value of `key`, or None. Changes nothing. Raises Due (reads only)."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 0x3FFF
        value = self.values[slot].get(key)
        if value is not None:
            if type(value) is not bytes and not self.quiet[slot] and self.keyspace.writing:
                self.touch(slot)
            deadlines = self.deadlines[slot]
            if deadlines and key in deadlines and self._is_dead(deadlines[key]):
                return None
        return value

    def string(self, key: bytes) -> bytes | None:
        """The live string at `key`, or None. Raises WrongType, Due."""
        value = self.find(key)
        if value is None or type(value) is bytes:
            return value
        raise WrongType

    def deadline(self, key: bytes) -> int | None:
        """When the live key `key` dies; None if it has no deadline or is not there. Raises Due."""
        deadlines = self.deadlines[slot_of(key)]
        deadline = deadlines.get(key) if deadlines else None
        return None if deadline is None or self._is_dead(deadline) else deadline

    def _is_dead(self, deadline: int) -> bool:
        keyspace = self.keyspace
        if deadline <= keyspace.stamp_ms:
            return True
        if deadline <= keyspace.now_ms:
            raise Due
        return False

    # -- changing (only while an entry is applied)

    def touch(self, slot: int) -> None:
        """The slot is about to change, for the first time since it was imaged."""
        imager = self.keyspace.imager
        if imager is not None:
            imager(self.values[slot])
        self.quiet[slot] = self.changed[slot] = 1

    def mark_all(self) -> None:
        """Every slot that holds something is about to hold something else. The dicts themselves stay as they
        are, so that whoever images them may go on."""
        for slot, values in enumerate(self.values):
            if values:
                self.changed[slot] = 1

    def notify(self, event: bytes, key: bytes) -> None:
        """Count a change, and tell the listener what was done to `key`, after it was done.
        https://redis.io/docs/latest/develop/use/keyspace-notifications/"""
        self.keyspace.changes += 1
        if self.keyspace.listener is not None:
            self.tell(event, key)

    def tell(self, event: bytes, key: bytes) -> None:
        """Tell the listener of what is a consequence, or no command's doing."""
        if self.keyspace.listener is not None:
            self.keyspace.listener(self, event, key)

    def set(self, key: bytes, value: Value) -> None:
        """Put a value in place of whatever was there, its deadline included."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 0x3FFF
        if not self.quiet[slot]:
            self.touch(slot)
        values, deadlines = self.values[slot], self.deadlines[slot]
        was_dead = False
        if deadlines and key in deadlines:
            was_dead = self._end_deadline(key, deadlines)
        if self.keyspace.listener is not None and (was_dead or key not in values):
            self.tell(b"new", key)
        values[key] = value

    def update(self, key: bytes, value: Value) -> None:
        """Change a live key's value and leave its deadline; a dead key is replaced as by `set`."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 0x3FFF
        if not self.quiet[slot]:
            self.touch(slot)
        values, deadlines = self.values[slot], self.deadlines[slot]
        was_dead = False
        if deadlines and key in deadlines and deadlines[key] <= self.keyspace.stamp_ms:
            was_dead = self._end_deadline(key, deadlines)
        if self.keyspace.listener is not None and (was_dead or key not in values):
            self.tell(b"new", key)
        values[key] = value

    def _end_deadline(self, key: bytes, deadlines: dict[bytes, int]) -> bool:
        """The key has no deadline any more; whether it had passed, so that the key was dead."""
        deadline = deadlines.pop(key)
        self.calendar.discard(key, deadline)
        if deadline > self.keyspace.stamp_ms:
            return False
        self.keyspace.expired += 1
        self.tell(b"expired", key)
        return True

    def remove(self, key: bytes) -> bool:
        """Delete the key; True if it was there and alive."""
        slot = slot_of(key)
        if key not in self.values[slot]:
            return False
        if not self.quiet[slot]:
            self.touch(slot)
        del self.values[slot][key]
        deadlines = self.deadlines[slot]
        if deadlines and key in deadlines:
            return not self._end_deadline(key, deadlines)
        return True

    def set_deadline(self, key: bytes, deadline_ms: int) -> None:
        """Let a live key die at `deadline_ms`; at once when that has passed already."""
        if deadline_ms <= self.keyspace.stamp_ms:
            self.remove(key)
            return
        slot = slot_of(key)
        if not self.quiet[slot]:
            self.touch(slot)
        deadlines = self.deadlines[slot]
        if deadlines is None:
            deadlines = self.deadlines[slot] = {}
        elif key in deadlines:
            self.calendar.discard(key, deadlines[key])
        deadlines[key] = deadline_ms
        self.calendar.add(key, deadline_ms)

    def clear_deadline(self, key: bytes) -> bool:
        """Let a live key live for ever; True if it had a deadline."""
        slot = slot_of(key)
        deadlines = self.deadlines[slot]
        if not deadlines or deadlines.get(key, 0) <= self.keyspace.stamp_ms:
            return False
        if not self.quiet[slot]:
            self.touch(slot)
        self.calendar.discard(key, deadlines.pop(key))
        return True

    def purge(self, most: int) -> int:
        """Free up to `most` dead keys whose day has passed; how many were freed."""
        keys = self.calendar.due(self.keyspace.stamp_ms, most)
        for key in keys:
            slot = slot_of(key)
            if not self.quiet[slot]:
                self.touch(slot)
            deadlines = self.deadlines[slot]
            assert deadlines is not None, "K2: the calendar names a key without a deadline"
            del deadlines[key]
            del self.values[slot][key]
            self.tell(b"expired", key)
        self.keyspace.expired += len(keys)
        return len(keys)

    def restore(self, key: bytes, value: Value, deadline_ms: int | None) -> None:
        """Put a key back as an image holds it, dead or not: a dead key must be purged where the others do."""
        slot = slot_of(key)
        self.values[slot][key] = value
        if deadline_ms is not None:
            deadlines = self.deadlines[slot]
            if deadlines is None:
                deadlines = self.deadlines[slot] = {}
            deadlines[key] = deadline_ms
            self.calendar.add(key, deadline_ms)

    # -- the whole

    def __len__(self) -> int:
        """Keys held, dead ones that are not purged yet included (as Redis's DBSIZE)."""
        return sum(map(len, self.values))

    def deadline_count(self) -> int:
        """Keys that have a deadline."""
        return sum(len(deadlines) for deadlines in self.deadlines if deadlines)

    def keys(self) -> Iterator[bytes]:
        """Every live key, slot by slot. Raises Due (reads only)."""
        for slot, values in enumerate(self.values):
            if values:
                yield from self.live(slot)

    def live(self, slot: int) -> Iterable[bytes]:
        """The live keys of a slot, in the slot's order. Raises Due (reads only)."""
        values, deadlines = self.values[slot], self.deadlines[slot]
        if not deadlines:
            return values
        return [key for key in values if key not in deadlines or not self._is_dead(deadlines[key])]

    def random_key(self, choose: random.Random) -> bytes | None:
        """A live key, each about equally likely; None when there is none. Raises Due (reads only)."""
        used = [values for values in self.values if values]
        if not used:
            return None
        fullest = max(map(len, used))
        for _ in range(100):
            values = choose.choice(used)
            # Accepting a slot in proportion to its size makes the keys equally likely, not the slots.
            place = choose.randrange(fullest)
            if place < len(values):
                key = next(islice(values, place, None))
                if self.find(key) is not None:
                    return key
        return next(self.keys(), None)


class Keyspace:
    """All databases, the state's time, and what is left to chance."""

    __slots__ = (
        "_chance",
        "_chance_of",
        "_databases",
        "_reader_chance",
        "changes",
        "entry",
        "expired",
        "imager",
        "listener",
        "messenger",
        "now_ms",
        "on_users",
        "replacing",
        "scripted",
        "scripts",
        "stamp_ms",
        "swept_out",
        "thresholds",
        "users",
        "watcher",
        "writing",
    )

    def __init__(self) -> None:
        self.stamp_ms = 0
        self.now_ms = 0
        self.entry = 0
        """The index of the entry that is applied, or was last."""
        self._chance = random.Random(0)
        self._chance_of = 0
        """The entry that `_chance` was made for."""
        self._reader_chance = random.Random()
        self.scripted = False
        """Whether a script runs as a write: what it reads must be the same on every replica."""
        self.changes = 0
        """What commands have done to keys since this process started (a statistic, not state)."""
        self.expired = 0
        """Keys freed by `purge` since this process started (a statistic, not state)."""
        self.swept_out: list[list[Any]] = []
        """What cleared databases held, by slots: memory still to be freed, no state."""
        self._databases: list[Database | None] = [None] * DATABASES
        self.scripts: dict[bytes, bytes] = {}
        """SHA1 in hexadecimal -> a script's text, for EVALSHA, in the order they came."""
        self.thresholds = DEFAULT
        self.users: dict[bytes, User] = {}
        """Those that have been made or changed; the default user is there from the first."""
        self.writing = False
        """Whether an entry is being applied: a structure that is found now may be changed."""
        self.imager: Callable[[dict[bytes, Value]], None] | None = None
        """Given a slot's values before they change, deadlines included (see the head of this file)."""
        self.listener: Callable[[Database, bytes, bytes], None] | None = None
        """Given (database, event, key) after a change."""
        self.messenger: Callable[[list[tuple[bool, bytes, bytes]]], None] | None = None
        """Given (whether to a shard channel, channel, message): what a script publishes, on every replica."""
        self.watcher: Callable[[int, list[bytes]], None] | None = None
        """Given (number of a database, command): what a script calls, while somebody looks on (MONITOR)."""
        self.on_users: Callable[[], None] | None = None
        """Called when users are others than before."""
        self.replacing: Callable[[Database, Database | None], None] | None = None
        """Given a database before it loses all that it holds, and the one whose contents it is to get:
        FLUSHDB, FLUSHALL and SWAPDB change many keys and tell of none."""

    @property
    def chance(self) -> random.Random:
        """What writes decide by when they choose at random: made for each entry from its index, so that
        all replicas choose alike. Not for reads, which one replica answers and others never see."""
        if self._chance_of != self.entry:
            self._chance_of = self.entry
            self._chance = random.Random(self.entry)
        return self._chance

    @property
    def choice(self) -> random.Random:
        """What reads decide by: what one node answers a client need not be what another would have, except
        to a script."""
        return self.chance if self.scripted else self._reader_chance

    def database(self, index: int) -> Database:
        """Database `index` (0 to 15), made when first used."""
        database = self._databases[index]
        if database is None:
            database = self._databases[index] = Database(self, index)
        return database

    def used(self) -> list[Database]:
        """The databases that exist so far, by number."""
        return [database for database in self._databases if database is not None]

    def swap(self, one: int, other: int) -> None:
        """Let two databases exchange all that they hold.

        The objects keep their numbers: whoever has one in hand, as the machine has within an entry,
        goes on with what is now under that number.
        """
        first, second = self.database(one), self.database(other)
        if self.replacing is not None:
            self.replacing(first, second)
            self.replacing(second, first)
        for database in (first, second):
            database.mark_all()
        first.changed = bytearray(map(or_, first.changed, second.changed))
        second.changed = first.changed[:]
        first.values, second.values = second.values, first.values
        first.quiet, second.quiet = second.quiet, first.quiet
        first.deadlines, second.deadlines = second.deadlines, first.deadlines
        first.calendar, second.calendar = second.calendar, first.calendar

    def mark_images(self) -> list[tuple[Database, bytearray]]:
        """Each database and, by slot, whether it has changed since the last call. From now on `imager` hears
        of the next change."""
        found = [(database, database.changed) for database in self.used()]
        for database, _ in found:
            database.changed = bytearray(SLOTS)
            database.quiet = bytearray(SLOTS)
        return found

    def adopt(self, other: Keyspace) -> None:
        """Become what `other` is, which must not be used any more; the databases stay the same objects."""
        self.stamp_ms = self.now_ms = other.stamp_ms
        self.entry = other.entry
        self.scripts = other.scripts
        self.thresholds = other.thresholds
        self.users = other.users
        self.tell_users()
        for index in range(DATABASES):
            if self._databases[index] is None and other._databases[index] is None:
                continue
            mine, its = self.database(index), other.database(index)
            if len(mine) > SWEEP_WORTH:
                self.swept_out += mine.values, mine.deadlines
            mine.values, mine.deadlines, mine.calendar = its.values, its.deadlines, its.calendar
            mine.changed, mine.quiet = its.changed, its.quiet

    def tell_users(self) -> None:
        """Users have changed."""
        if self.on_users is not None:
            self.on_users()

    def clear(self) -> None:
        """Remove every key of every database."""
        for database in self.used():
            database.clear()

    def advance(self, stamp_ms: int) -> None:
        """Move the state's time to an entry's stamp. It never goes back."""
        if stamp_ms > self.stamp_ms:
            self.stamp_ms = stamp_ms
        self.now_ms = self.stamp_ms

    def purge(self, most: int) -> None:
        """Free up to `most` dead keys, database by database; and some of what was cleared."""
        self.sweep(SWEEP_SLOTS)
        for database in self.used():
            most -= database.purge(most)
            if most <= 0:
                return

    def sweep(self, slots: int) -> bool:
        """Free the memory of up to `slots` slots of cleared databases; whether there is more.

        To free a million keys takes a quarter of a second: too long for one turn of a loop.
        """
        if self.swept_out:
            oldest = self.swept_out[0]
            del oldest[-slots:]
            if not oldest:
                del self.swept_out[0]
        return bool(self.swept_out)

    def due_from_ms(self) -> int | None:
        """From which stamp on a purge frees something, so that a tick is worth logging; None for never."""
        stamps = [stamp for db in self.used() if (stamp := db.calendar.due_from_ms()) is not None]
        return min(stamps, default=None)

"""Images of slots: what a snapshot holds of the state, and what a lagging follower is sent.

A slot's image is one part or more, each a msgpack array of at most about `PART_BYTES`:

    [0, [key, …], [value, …], [place, deadline_ms, …]]   whole keys; `place` counts into the keys
    [1, key, type, encoding, deadline_ms | nil]          a value too large for that begins …
    [2, bytes | [item, …]]                               … and these are its pieces

    value = bytes (a string) | [type, encoding, [item, …]]         the items: `Structure.pieces`

An image is canonical: replicas that hold the same slot make the same bytes. Keys stand in the slot's own
order, which is state (K4); no time and no chance goes in. What the state holds beside the slots (`extras`)
has an image of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b, sha1
from typing import Any, Final

import msgpack

from ironkv.errors import Fault
from ironkv.keyspace.hashes import Hash
from ironkv.keyspace.keyspace import Database, Keyspace
from ironkv.keyspace.lists import List
from ironkv.keyspace.sets import Set
from ironkv.keyspace.slots import SLOTS
from ironkv.keyspace.streams import Stream
from ironkv.keyspace.thresholds import Thresholds
from ironkv.keyspace.users import User
from ironkv.keyspace.values import Structure, Value
from ironkv.keyspace.zsets import SortedSet

PART_BYTES: Final = 256 << 10
PIECE_ITEMS: Final = 4_096
"""Elements of a structure in one piece; one with fewer is a whole value."""
PART_KEYS: Final = 1_024
ITEM_BYTES: Final = 24
"""What an element or a key is taken to cost beside the bytes that are counted."""
DIGEST_SIZE: Final = 16
GROUP_SLOTS: Final = 8
"""Slots stored together: few enough that a change writes little, many enough to fill a disk's pages."""
GROUPS: Final = SLOTS // GROUP_SLOTS

_WHOLE, _BEGIN, _PIECE = range(3)
_STRUCTURES: Final[dict[bytes, type[Structure]]] = {
    kind.type_name: kind for kind in (Hash, List, Set, SortedSet, Stream)
}
_LONGEST: Final = 2**32 - 1

Values = dict[bytes, Value]
Deadlines = dict[bytes, int] | None


def _plain(value: Structure) -> tuple[bytes, bytes, list[Any]]:
    return value.type_name, value.encoding(), [item for piece in value.pieces(PIECE_ITEMS) for item in piece]


_pack = msgpack.Packer(default=_plain, autoreset=True).pack


# -- making


def parts(values: Values, deadlines: Deadlines) -> Iterator[bytes]:
    """A slot's image. The slot must not change until the last part is taken; an empty slot has no parts."""
    if not values:
        return
    if len(values) <= PART_KEYS and set(map(type, values.values())) == {bytes}:
        held = list(values.values())
        if sum(map(len, held)) + sum(map(len, values)) <= PART_BYTES:
            yield _pack((_WHOLE, list(values), held, _placed(list(values), deadlines)))
            return
    yield from _long_image(values, deadlines or {})


def _placed(keys: list[bytes], deadlines: Deadlines) -> list[int]:
    if not deadlines:
        return []
    return [
        number for place, key in enumerate(keys) if key in deadlines for number in (place, deadlines[key])
    ]


def _long_image(values: Values, deadlines: dict[bytes, int]) -> Iterator[bytes]:
    keys: list[bytes] = []
    size = 0
    for key, value in values.items():
        weight = _weight(value)
        if keys and (weight is None or size + weight > PART_BYTES):
            yield _pack((_WHOLE, keys, [values[each] for each in keys], _placed(keys, deadlines)))
            keys, size = [], 0
        if weight is None:
            yield from _in_pieces(key, value, deadlines.get(key))
        else:
            keys.append(key)
            size += len(key) + weight
    if keys:
        yield _pack((_WHOLE, keys, [values[each] for each in keys], _placed(keys, deadlines)))


def _weight(value: Value) -> int | None:
    """About how many bytes it takes; None when that is too much for one part."""
    if type(value) is bytes:
        return len(value) + ITEM_BYTES if len(value) <= PART_BYTES else None
    if len(value) > PIECE_ITEMS:
        return None
    weight = 0
    for piece in value.pieces(PIECE_ITEMS):
        weight += ITEM_BYTES * len(piece) + sum(len(item) for item in piece if type(item) is bytes)
    return weight if weight <= PART_BYTES else None


def _in_pieces(key: bytes, value: Value, deadline_ms: int | None) -> Iterator[bytes]:
    if type(value) is bytes:
        yield _pack((_BEGIN, key, b"string", b"", deadline_ms))
        for at in range(0, len(value), PART_BYTES):
            yield _pack((_PIECE, value[at : at + PART_BYTES]))
        return
    yield _pack((_BEGIN, key, value.type_name, value.encoding(), deadline_ms))
    for piece in value.pieces(PIECE_ITEMS):
        yield from _split(piece)


def _split(piece: list[Any]) -> Iterator[bytes]:
    """A piece of long elements is several parts."""
    low, size = 0, 0
    for at, item in enumerate(piece):
        size += ITEM_BYTES + (len(item) if type(item) is bytes else 0)
        if size > PART_BYTES:
            yield _pack((_PIECE, piece[low : at + 1]))
            low, size = at + 1, 0
    if low < len(piece):
        yield _pack((_PIECE, piece[low:]))


# -- reading


def load(database: Database, slot: int, image: Iterable[bytes]) -> None:
    """Fill an empty slot. Raises Fault on parts that are no image."""
    unfinished: _Unfinished | None = None
    try:
        for part in image:
            kind, *rest = _unpack(part)
            if kind == _PIECE and unfinished is not None:
                unfinished.add(*rest)
                continue
            if unfinished is not None:
                unfinished.restore(database)
                unfinished = None
            if kind == _WHOLE:
                _load_whole(database, slot, *rest)
            elif kind == _BEGIN:
                unfinished = _Unfinished(*rest)
            else:
                raise Fault(f"an image of slot {slot} has a part of unknown kind {kind!r}")
        if unfinished is not None:
            unfinished.restore(database)
    except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
        raise Fault(f"an image of slot {slot} cannot be read: {error!r}") from error


def _unpack(part: bytes) -> Any:
    return msgpack.unpackb(part, max_bin_len=_LONGEST, max_array_len=_LONGEST, max_map_len=0, max_ext_len=0)


def _load_whole(
    database: Database, slot: int, keys: list[bytes], values: list[Any], placed: list[int]
) -> None:
    if list in set(map(type, values)):
        values = [_rebuilt(*value) if type(value) is list else value for value in values]
    database.values[slot].update(zip(keys, values, strict=True))
    if placed:
        for place, deadline_ms in zip(placed[::2], placed[1::2], strict=True):
            database.restore(keys[place], values[place], deadline_ms)


def _rebuilt(kind: bytes, encoding: bytes, items: list[Any]) -> Structure:
    return _STRUCTURES[kind].from_pieces(encoding, items)


class _Unfinished:
    """A large value that is being put together."""

    def __init__(self, key: bytes, kind: bytes, encoding: bytes, deadline_ms: int | None) -> None:
        self._key, self._kind, self._encoding, self._deadline_ms = key, kind, encoding, deadline_ms
        self._pieces: list[Any] = []

    def add(self, piece: Any) -> None:
        if self._kind == b"string":
            self._pieces.append(piece)
        else:
            self._pieces += piece

    def restore(self, database: Database) -> None:
        string = self._kind == b"string"
        value = b"".join(self._pieces) if string else _rebuilt(self._kind, self._encoding, self._pieces)
        database.restore(self._key, value, self._deadline_ms)


# -- beside the slots


def extras(keyspace: Keyspace) -> bytes:
    """What the state holds beside the slots: a msgpack map. Scripts are in the order in which they came;
    thresholds are there if some are not the usual ones, users (by name) if there are any but the default
    user, or that one was changed."""
    found: dict[bytes, Any] = {b"scripts": list(keyspace.scripts.values())}
    if chosen := keyspace.thresholds.chosen():
        found[b"thresholds"] = {name.encode(): value for name, value in chosen.items()}
    if users := keyspace.users:
        found[b"users"] = [users[name].plain() for name in sorted(users)]
    image: bytes = _pack(found)
    return image


def load_extras(keyspace: Keyspace, image: bytes) -> None:
    """The reverse of `extras`. Raises Fault."""
    try:
        found = _unpack_map(image)
        keyspace.scripts = {sha1(body).hexdigest().encode(): body for body in found[b"scripts"]}
        chosen = {name.decode(): value for name, value in found.get(b"thresholds", {}).items()}
        keyspace.thresholds = Thresholds(**chosen)
        users = map(User.from_plain, found.get(b"users", []))
        keyspace.users = {user.name: user for user in users}
    except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
        raise Fault(f"the image of what stands beside the slots cannot be read: {error!r}") from error


def _unpack_map(image: bytes) -> dict[bytes, Any]:
    found = msgpack.unpackb(image, max_bin_len=_LONGEST, max_array_len=_LONGEST, max_ext_len=0)
    if type(found) is not dict:
        raise TypeError("no map")
    return found


def reread(keyspace: Keyspace) -> Keyspace:
    """What images of all that `keyspace` holds give."""
    new = Keyspace()
    new.stamp_ms, new.entry = keyspace.stamp_ms, keyspace.entry
    load_extras(new, extras(keyspace))
    for database in keyspace.used():
        copy = new.database(database.index)
        copy.changed = database.changed
        for slot, values in enumerate(database.values):
            if values:
                load(copy, slot, parts(values, database.deadlines[slot]))
    return new


# -- groups of slots: what is stored, sent and compared as one


def group_parts(database: Database, group: int) -> Iterator[tuple[int, bytes]]:
    """(slot, part) of every part of the group's slots, in order, taken at one go."""
    for slot in slots_of(group):
        for part in parts(database.values[slot], database.deadlines[slot]):
            yield slot, part


def slots_of(group: int) -> range:
    """The slots of a group."""
    return range(group * GROUP_SLOTS, (group + 1) * GROUP_SLOTS)


class GroupDigest:
    """Names what a group holds, whatever chunks it was cut into; empty while it holds nothing."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash: Any = None

    def add(self, content: Sequence[Any]) -> None:
        """slot, part, slot, part … in order, in one call: hashing gives the interpreter away each time."""
        if content:
            if self._hash is None:
                self._hash = blake2b(digest_size=DIGEST_SIZE)
            pairs = zip(content[::2], content[1::2], strict=True)
            self._hash.update(b"".join([b"%d/%d/%b" % (slot, len(part), part) for slot, part in pairs]))

    def value(self) -> bytes:
        """16 bytes, or none for a group that holds nothing."""
        digest: bytes = b"" if self._hash is None else self._hash.digest()
        return digest


def digest_of_state(groups: Mapping[tuple[int, int], bytes], beside: bytes, stamp_ms: int) -> bytes:
    """Names a whole state: digests by (database, group), the image of the extras, and the state's time."""
    total = blake2b(b"%d" % stamp_ms, digest_size=DIGEST_SIZE)
    for database, group in sorted(groups):
        total.update(b"%d/%d" % (database, group) + groups[database, group])
    total.update(beside)
    return total.digest()


def digest_of_keyspace(keyspace: Keyspace) -> bytes:
    """The digest of all that `keyspace` holds, taken at one go: half a second for a million keys.

    Replicas that have applied the same entries have the same, and so has one restored from a snapshot.
    """
    groups: dict[tuple[int, int], bytes] = {}
    for database in keyspace.used():
        for group in range(GROUPS):
            digest = GroupDigest()
            for pair in group_parts(database, group):
                digest.add(pair)
            if value := digest.value():
                groups[database.index, group] = value
    return digest_of_state(groups, extras(keyspace), keyspace.stamp_ms)

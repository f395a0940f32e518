"""Streams: blocks of entries as listpacks, counters, groups with what is pending, consumers.

A listpack begins with a master entry: number of entries, number of deleted ones, number of fields, these
fields' names, 0. An entry is

    flags  id minus the key (two numbers)  [number of fields, field, value … or the values]  elements so far

The flag 1 marks a deleted entry, 2 one whose fields are the master entry's. A block's key is the id that it
was opened with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ironkv.keyspace.stream_blocks import HALF_MOST, Block, Entries, Id, id_of, signed
from ironkv.keyspace.stream_groups import Group, Held
from ironkv.keyspace.streams import Stream
from ironkv.keyspace.values import is_int64
from ironkv.rdb import listpack
from ironkv.rdb.basics import INT64, length, string
from ironkv.rdb.corrupt import Corrupt
from ironkv.rdb.source import Source

PLAIN: Final = 15
WITH_COUNTERS: Final = 19
"""With first id, highest deleted id, number of entries ever added; of a group, how many it has read."""
WITH_ACTIVE: Final = 21
"""Besides, of a consumer, when he last got entries."""
KINDS: Final = (PLAIN, WITH_COUNTERS, WITH_ACTIVE)

_DELETED, _SAME_FIELDS = 1, 2


# -- writing


def write(stream: Stream, kind: int) -> bytes:
    """The stream without the number of its type, which is `kind`: one of the last two."""
    blocks = [block for block in stream.entries.blocks if block.packed]
    parts = [length(len(blocks))]
    for block in blocks:
        parts += string(block.key.to_bytes(16, "big")), string(_listpack_of(block))
    first = stream.entries.first() if stream.entries else 0
    parts += length(len(stream)), _id(stream.last_id), _id(first), _id(stream.max_deleted)
    parts += length(stream.added), length(len(stream.groups))
    for name, group in stream.groups_in_order():
        parts += string(name), *_group(group, kind)
    return b"".join(parts)


def _id(id_: Id) -> bytes:
    return length(id_ >> 64) + length(id_ & HALF_MOST)


def _listpack_of(block: Block) -> bytes:
    """Without the entries that were deleted: nothing is known of them any more."""
    number, element = listpack.number, listpack.element
    key_ms, key_sequence = block.key >> 64, block.key & HALF_MOST
    parts = [number(len(block)), number(0), number(len(block.fields)), *map(element, block.fields), number(0)]
    for place in range(len(block)):
        id_, words = block.entry(place)
        fields = words[::2]
        distance = number(signed((id_ >> 64) - key_ms)), number(signed((id_ & HALF_MOST) - key_sequence))
        if fields == block.fields:
            parts += number(_SAME_FIELDS), *distance, *map(element, words[1::2]), number(3 + len(fields))
        else:
            count = number(len(fields))
            parts += number(0), *distance, count, *map(element, words), number(4 + len(words))
    return listpack.framed(parts)


def _group(group: Group, kind: int) -> Iterator[bytes]:
    yield _id(group.last_id)
    yield length(group.entries_read & HALF_MOST)
    yield length(len(group.pending))
    for id_, _, delivered_ms, deliveries in group.all_held():
        yield id_.to_bytes(16, "big") + INT64.pack(delivered_ms) + length(deliveries & HALF_MOST)
    yield length(len(group.consumers))
    for consumer in group.in_order():
        yield string(consumer.name) + INT64.pack(consumer.seen_ms)
        if kind == WITH_ACTIVE:
            yield INT64.pack(consumer.active_ms)
        yield length(len(consumer.ids))
        yield from (id_.to_bytes(16, "big") for id_ in consumer.ids)


# -- reading


def read(source: Source, kind: int) -> Stream:
    """The stream whose type is `kind`. Raises Corrupt."""
    stream = Stream()
    stream.entries = Entries.of_blocks(_blocks(source))
    if source.length() != len(stream.entries):
        raise Corrupt("a stream with another number of entries than it says")
    stream.last_id = _read_id(source)
    stream.added = len(stream.entries)
    if kind != PLAIN:
        _read_id(source)  # the first id: the blocks tell
        stream.max_deleted = _read_id(source)
        stream.added = source.length()
    if stream.entries.last() > stream.last_id:
        raise Corrupt("a stream with an entry behind its last id")
    for _ in range(source.length()):
        name, group = source.string(), Group(_read_id(source), 0)
        group.entries_read = stream.count_up_to(group.last_id) if kind == PLAIN else signed(source.length())
        if name in stream.groups:
            raise Corrupt("a group of a stream twice")
        stream.groups[name] = group
        _read_group(source, kind, group)
    return stream


def _read_id(source: Source) -> Id:
    ms = source.length()
    return id_of(ms, source.length())


def _blocks(source: Source) -> list[Block]:
    blocks: list[Block] = []
    top = -1
    for _ in range(source.length()):
        key = source.string()
        if len(key) != 16:
            raise Corrupt("the key of a block of a stream is no id")
        block = _read_block(int.from_bytes(key, "big"), source.string())
        if block.key <= top:
            raise Corrupt("blocks of a stream out of order")
        top = block.top
        if block.packed or not blocks:
            blocks.append(block)
    return blocks


def _read_block(key: Id, blob: bytes) -> Block:
    items = iter(listpack.read(blob))
    try:
        count, deleted = _number(items), _number(items)
        block = Block(key, _words(items, _number(items)))
        if _number(items) != 0:
            raise Corrupt("the master entry of a stream's block has another end")
        for _ in range(count + deleted):
            deleted -= _read_entry(items, block)
    except StopIteration:
        raise Corrupt("a block of a stream is cut off") from None
    if deleted or next(items, None) is not None:
        raise Corrupt("a block of a stream with another number of entries than it says")
    block.size = len(blob)
    return block


def _read_entry(items: Iterator[bytes], block: Block) -> bool:
    """Add the next entry to the block; whether it is a deleted one."""
    flags = _number(items)
    ms, sequence = _number(items), _number(items)
    id_ = id_of(ms + (block.key >> 64) & HALF_MOST, sequence + (block.key & HALF_MOST) & HALF_MOST)
    if flags & _SAME_FIELDS:
        values = _words(items, len(block.fields))
        words = [word for pair in zip(block.fields, values, strict=True) for word in pair]
        elements = 3 + len(values)
    else:
        words = _words(items, 2 * _number(items))
        elements = 4 + len(words)
    if _number(items) != elements:
        raise Corrupt("an entry of a stream with another number of elements than it says")
    if id_ < block.key or (id_ <= block.top and block.taken):
        raise Corrupt("entries of a stream out of order")
    block.add(id_, words)
    if flags & _DELETED:
        block.drop(len(block) - 1, len(block))
    return bool(flags & _DELETED)


def _number(items: Iterator[bytes]) -> int:
    item = next(items)
    if not is_int64(item):
        raise Corrupt(f"{item[:40]!r} should be a number, in a block of a stream")
    return int(item)


def _words(items: Iterator[bytes], count: int) -> list[bytes]:
    if count < 0:
        raise Corrupt("a negative number of fields, in a block of a stream")
    return [next(items) for _ in range(count)]


def _read_group(source: Source, kind: int, group: Group) -> None:
    pending: dict[Id, tuple[int, int]] = {}
    count = source.length()
    for _ in range(count):
        id_ = int.from_bytes(source.take(16), "big")
        pending[id_] = source.milliseconds(), signed(source.length())
    if len(pending) != count:
        raise Corrupt("an id twice among those that are pending")
    held: list[Held] = []
    for _ in range(source.length()):
        name, seen_ms = source.string(), source.milliseconds()
        if name in group.consumers:
            raise Corrupt("a consumer of a group twice")
        consumer = group.add_consumer(name, seen_ms)
        consumer.active_ms = source.milliseconds() if kind == WITH_ACTIVE else seen_ms
        for _ in range(source.length()):
            id_ = int.from_bytes(source.take(16), "big")
            if id_ not in pending:
                raise Corrupt("an id that is pending for a consumer only, or for two")
            held.append((id_, name, *pending.pop(id_)))
    if pending:
        raise Corrupt("an id that is pending for no consumer")
    group.hold_all(sorted(held))

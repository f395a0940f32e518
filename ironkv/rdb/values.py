"""Values of every type, as RDB has them: a number for the type, then the value.

A type may have several numbers, of which the later ones came with later versions of Redis. What is read is
held as Redis 7.2 would hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isnan
from typing import Final, NoReturn, TypeVar

from ironkv.keyspace import thresholds
from ironkv.keyspace.hashes import Hash
from ironkv.keyspace.lists import LISTPACK_FRAME, List, entry_size
from ironkv.keyspace.sets import HASHTABLE, INTSET, LISTPACK, Set
from ironkv.keyspace.streams import Stream
from ironkv.keyspace.values import Value
from ironkv.keyspace.zsets import Scored, SortedSet
from ironkv.rdb import intset, listpack, streams, ziplist
from ironkv.rdb.basics import DOUBLE, length, string
from ironkv.rdb.corrupt import Corrupt
from ironkv.rdb.source import Source

VERSION: Final = 10
"""What is written unless 11 is asked for: Redis 7.0 and later ones can read it."""
VERSION_MOST: Final = 11
"""What can be read: up to Redis 7.2."""

STRING, LIST, SET, ZSET, HASH, ZSET_2, MODULE_1, MODULE_2 = range(8)
HASH_ZIPMAP, LIST_ZIPLIST, SET_INTSET, ZSET_ZIPLIST, HASH_ZIPLIST, LIST_QUICKLIST = range(9, 15)
HASH_LISTPACK, ZSET_LISTPACK, LIST_QUICKLIST_2 = range(16, 19)
SET_LISTPACK: Final = 20

Some = TypeVar("Some", bytes, list[bytes])

_PLAIN, _PACKED = 1, 2
"""Nodes of a quicklist: one large element, or a listpack."""

_MODULE_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
NODE_BYTES: Final = 8192
"""Of a list, as it is written."""
_WHOLE_MOST: Final = float(2**62)
"""Scores up to this that are whole numbers stand as integers in a listpack."""


# -- writing


def encode(value: Value, version: int = VERSION) -> bytes:
    """The type's number and the value, in types that the version (10 or 11) has."""
    if type(value) is bytes:
        return b"\0" + string(value)
    return _ENCODERS[type(value)](value, version)


def _typed(kind: int, *parts: bytes) -> bytes:
    return b"".join((bytes((kind,)), *parts))


def _encode_list(value: List, version: int) -> bytes:
    """A listpack in one node, else in nodes of up to 8 KB, as Redis cuts a list that grows at its tail."""
    if value.encoding() == b"listpack":
        nodes = [_packed_node([listpack.element(item) for item in value])]
    else:
        nodes = list(_nodes(value))
    return _typed(LIST_QUICKLIST_2, length(len(nodes)), *nodes)


def _nodes(items: Iterable[bytes]) -> Iterator[bytes]:
    elements: list[bytes] = []
    size = LISTPACK_FRAME
    for item in items:
        element = listpack.element(item)
        is_large = len(item) > NODE_BYTES
        if elements and (is_large or size + len(element) > NODE_BYTES):
            yield _packed_node(elements)
            elements, size = [], LISTPACK_FRAME
        if is_large:
            yield length(_PLAIN) + string(item)
        else:
            elements.append(element)
            size += len(element)
    if elements:
        yield _packed_node(elements)


def _packed_node(elements: list[bytes]) -> bytes:
    return length(_PACKED) + string(listpack.framed(elements))


def _encode_set(value: Set, version: int) -> bytes:
    encoding = value.encoding()
    if encoding == INTSET:
        return _typed(SET_INTSET, string(intset.write(value)))
    if encoding == LISTPACK and version >= VERSION_MOST:
        return _typed(SET_LISTPACK, string(listpack.write(value)))
    return _typed(SET, length(len(value)), *map(string, value))


def _encode_hash(value: Hash, version: int) -> bytes:
    words = [word for pair in value.pairs().items() for word in pair]
    if value.encoding() == b"listpack":
        return _typed(HASH_LISTPACK, string(listpack.write(words)))
    return _typed(HASH, length(len(value)), *map(string, words))


def _encode_zset(value: SortedSet, version: int) -> bytes:
    if value.encoding() == b"listpack":
        elements = [
            part
            for member, score in value.scored(0, len(value))
            for part in (listpack.element(member), _score_element(score))
        ]
        return _typed(ZSET_LISTPACK, string(listpack.framed(elements)))
    pairs = (string(member) + DOUBLE.pack(score) for member, score in value.by_place())
    return _typed(ZSET_2, length(len(value)), *pairs)


def _score_element(score: float) -> bytes:
    if -_WHOLE_MOST < score < _WHOLE_MOST and score.is_integer():
        return listpack.number(int(score))
    return listpack.element(repr(score).encode())


def _encode_stream(value: Stream, version: int) -> bytes:
    kind = streams.WITH_ACTIVE if version >= VERSION_MOST else streams.WITH_COUNTERS
    return _typed(kind, streams.write(value, kind))


_ENCODERS: Final[dict[type, Callable[..., bytes]]] = {
    List: _encode_list,
    Set: _encode_set,
    Hash: _encode_hash,
    SortedSet: _encode_zset,
    Stream: _encode_stream,
}


# -- reading


def decode(kind: int, source: Source) -> Value:
    """The value whose type has the number `kind`. Raises Corrupt."""
    decoder = DECODERS.get(kind)
    if decoder is None:
        raise Corrupt(f"{kind} is no type of a value that Redis had up to 7.2")
    return decoder(source)


def _list_of(source: Source) -> List:
    return _list([source.string() for _ in range(source.count())])


def _list_of_ziplist(source: Source) -> List:
    return _list(_some(ziplist.read(source.string())))


def _list(items: Sequence[bytes], nodes: int = 1) -> List:
    """A list, from that many nodes of a quicklist."""
    size, count = thresholds.in_force.list_bounds
    is_small = nodes == 1 and len(items) <= count and LISTPACK_FRAME + sum(map(entry_size, items)) <= size
    return List.rebuilt(b"listpack" if is_small else b"quicklist", items)


def _quicklist(source: Source) -> List:
    items: list[bytes] = []
    nodes = 0
    for _ in range(source.count()):
        node = ziplist.read(_some(source.string()))
        items += node
        nodes += bool(node)
    return _list(_some(items), nodes)


def _quicklist_2(source: Source) -> List:
    items: list[bytes] = []
    nodes = 0
    for _ in range(source.count()):
        container = source.length()
        node = _some(source.string())
        if container == _PLAIN:
            items.append(node)
            nodes += 2  # a plain node is no listpack, not even alone
        elif container == _PACKED:
            elements = listpack.read(node)
            items += elements
            nodes += bool(elements)
        else:
            raise Corrupt(f"{container} is no kind of a node of a list")
    return _list(_some(items), nodes)


def _set_of(source: Source) -> Set:
    count = source.count()
    members = [source.string() for _ in range(count)]
    _all_different(members)
    if count > thresholds.in_force.set_integers:
        return Set.rebuilt(HASHTABLE, members)
    new = Set(INTSET)
    for member in members:
        new.add(member)
    return new


def _set_of_intset(source: Source) -> Set:
    members = intset.read(source.string())
    return Set.rebuilt(INTSET if len(members) <= thresholds.in_force.set_integers else HASHTABLE, members)


def _set_of_listpack(source: Source) -> Set:
    members = _some(listpack.read(source.string()))
    _all_different(members)
    return Set.rebuilt(LISTPACK if len(members) <= thresholds.in_force.set_entries else HASHTABLE, members)


def _hash_of(source: Source) -> Hash:
    words = [source.string() for _ in range(2 * source.count())]
    return _hash(words, max(map(len, words)))


def _hash_of_zipmap(source: Source) -> Hash:
    words = _some(ziplist.read_zipmap(source.string()))
    return _hash(words, max(map(len, words)))


def _hash_of_ziplist(source: Source) -> Hash:
    return _hash(_some(ziplist.read(source.string())))


def _hash_of_listpack(source: Source) -> Hash:
    return _hash(_some(listpack.read(source.string())))


def _hash(words: list[bytes], longest: int = 0) -> Hash:
    """A hash of field, value, field, value …; `longest`: its longest word, where that decides."""
    _in_pairs(words)
    _all_different(words[::2])
    limits = thresholds.in_force
    is_small = len(words) <= 2 * limits.hash_entries and longest <= limits.hash_value
    return Hash.from_pieces(b"listpack" if is_small else b"hashtable", words)


def _zset_of_texts(source: Source) -> SortedSet:
    return _zset([(source.string(), source.double_text()) for _ in range(source.count())])


def _zset_of_doubles(source: Source) -> SortedSet:
    return _zset([(source.string(), source.double()) for _ in range(source.count())])


def _zset(scored: list[Scored]) -> SortedSet:
    _are_scored(scored)
    return SortedSet.of(scored)


def _zset_of_ziplist(source: Source) -> SortedSet:
    return _zset_of_words(ziplist.read(source.string()))


def _zset_of_listpack(source: Source) -> SortedSet:
    return _zset_of_words(listpack.read(source.string()))


def _zset_of_words(words: list[bytes]) -> SortedSet:
    """From member, score, member, score …"""
    _in_pairs(_some(words))
    try:
        scored = [(member, float(score) + 0.0) for member, score in zip(words[::2], words[1::2], strict=True)]
    except ValueError as error:
        raise Corrupt(f"no score: {error}") from None
    _are_scored(scored)
    if len(scored) > thresholds.in_force.zset_entries:
        return SortedSet.rebuilt(b"skiplist", scored)
    return SortedSet.rebuilt(b"listpack", sorted(scored, key=lambda pair: (pair[1], pair[0])))


def _are_scored(scored: list[Scored]) -> None:
    _all_different([member for member, _ in scored])
    if any(isnan(score) for _, score in scored):
        raise Corrupt("a score that is no number")


def _module(source: Source) -> NoReturn:
    raise Corrupt(f"a value of the module {module_name(source.length())} cannot be read")


def module_name(number: int) -> str:
    """The name in a module's number: nine letters of six bits, then ten bits for a version."""
    return "".join(_MODULE_LETTERS[number >> shift & 63] for shift in range(58, 9, -6))


def _streams_of(kind: int) -> Callable[[Source], Stream]:
    return lambda source: streams.read(source, kind)


def _some(items: Some) -> Some:
    """What must not be empty."""
    if not items:
        raise Corrupt("a value without elements")
    return items


def _in_pairs(words: list[bytes]) -> None:
    if len(words) % 2:
        raise Corrupt("words that should be pairs, and are an odd number")


def _all_different(words: list[bytes]) -> None:
    if len(set(words)) != len(words):
        raise Corrupt("the same element twice")


DECODERS: Final[dict[int, Callable[[Source], Value]]] = {
    STRING: Source.string,
    LIST: _list_of,
    SET: _set_of,
    ZSET: _zset_of_texts,
    HASH: _hash_of,
    ZSET_2: _zset_of_doubles,
    MODULE_1: _module,
    MODULE_2: _module,
    HASH_ZIPMAP: _hash_of_zipmap,
    LIST_ZIPLIST: _list_of_ziplist,
    SET_INTSET: _set_of_intset,
    ZSET_ZIPLIST: _zset_of_ziplist,
    HASH_ZIPLIST: _hash_of_ziplist,
    LIST_QUICKLIST: _quicklist,
    HASH_LISTPACK: _hash_of_listpack,
    ZSET_LISTPACK: _zset_of_listpack,
    LIST_QUICKLIST_2: _quicklist_2,
    SET_LISTPACK: _set_of_listpack,
    **{kind: _streams_of(kind) for kind in streams.KINDS},
}

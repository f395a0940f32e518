"""Records of the journal: versioned, checksummed, entries chained to the one before.

    entry  = crc u32 | format u8 | kind u8 | term u64 | data          (little-endian)
    hard   = crc u32 | format u8 | term u64 | commit u64 | flags u8 | voted_for utf-8
    base   = crc u32 | format u8 | index u64 | term u64 | chain u32

An entry's crc covers its own record and index, seeded with the crc of the entry before it: a record
that is flipped, swapped, missing or left over from another log does not verify. LMDB checks nothing.
The base is what is known of the entry before the first one held: its index and term, and its crc.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

from ironkv.errors import Fault
from ironkv.raft.messages import Entry, EntryKind

ENTRY_FORMAT: Final = 1
HARD_FORMAT: Final = 2
"""1 had no flags; it is read as if none were set."""
BASE_FORMAT: Final = 1
Buffer: TypeAlias = bytes | memoryview
_CRC: Final = Struct("<I")
_ENTRY: Final = Struct("<BBQ")
_HARD: Final = Struct("<BQQB")
_HARD_1: Final = Struct("<BQQ")
_BASE: Final = Struct("<BQQI")
_FRESH: Final = 1
_INDEX: Final = Struct(">Q")
_HEAD: Final = _CRC.size + _ENTRY.size


def key_of(index: int) -> bytes:
    """Big-endian, so that LMDB's order is the log's."""
    return _INDEX.pack(index)


def index_of(key: bytes) -> int:
    """The index of an entry's key. Raises Fault."""
    if len(key) != _INDEX.size:
        raise Fault(f"the journal has an entry under {key[:32]!r}, which is no index: it is damaged")
    index: int = _INDEX.unpack(key)[0]
    return index


def encode_entry(entry: Entry, chain: int) -> tuple[bytes, int]:
    """(record, its crc); `chain` is the crc of the entry before, 0 for the first."""
    head = _ENTRY.pack(ENTRY_FORMAT, entry.kind, entry.term)
    crc = crc32(entry.data, crc32(head, crc32(key_of(entry.index), chain)))
    return b"".join((_CRC.pack(crc), head, entry.data)), crc


def decode_entry(index: int, record: bytes) -> Entry:
    """The entry, unverified (see `verify_entry`). Raises Fault on another format or kind."""
    version, kind, term = _ENTRY.unpack_from(record, _CRC.size)
    if version != ENTRY_FORMAT:
        raise Fault(f"journal entry {index} has format {version}, this ironkv reads {ENTRY_FORMAT}")
    try:
        return Entry(index, term, EntryKind(kind), record[_HEAD:])
    except ValueError:
        raise Fault(f"journal entry {index} is of kind {kind}, which this ironkv does not know") from None


def crc_of(record: Buffer) -> int:
    """The crc a record claims. Raises Fault when it is too short to claim any."""
    _whole(record)
    crc: int = _CRC.unpack_from(record)[0]
    return crc


def term_of(record: Buffer) -> int:
    """The term of an entry's record. Raises Fault when it is too short to have one."""
    _whole(record)
    term: int = _ENTRY.unpack_from(record, _CRC.size)[2]
    return term


def _whole(record: Buffer) -> None:
    if len(record) < _HEAD:
        raise Fault("a record of the journal is cut short: it is damaged")


def verify_entry(index: int, record: bytes, chain: int) -> int:
    """The record's crc, when it is right behind `chain`. Raises Fault."""
    if len(record) >= _HEAD:
        crc = crc32(memoryview(record)[_CRC.size :], crc32(key_of(index), chain))
        if crc == crc_of(record):
            return crc
    raise Fault(
        f"journal entry {index} is damaged (checksum). Nothing was changed. While all other nodes are up "
        "and well, and only then, move this node's data directory away and start it empty: it fetches "
        "everything from them (an emptied node has forgotten what it acknowledged and voted)"
    )


class Hard(NamedTuple):
    """What a node has promised (figure 2, persistent state)."""

    term: int = 0
    voted_for: str | None = None
    commit: int = 0
    """A hint: entries up to there are committed."""
    fresh: bool = False
    """The node began with an empty directory and has not caught up yet."""


def encode_hard(hard: Hard) -> bytes:
    flags = _FRESH if hard.fresh else 0
    body = _HARD.pack(HARD_FORMAT, hard.term, hard.commit, flags) + (hard.voted_for or "").encode()
    return _CRC.pack(crc32(body)) + body


def decode_hard(record: bytes) -> Hard:
    """Raises Fault."""
    body = record[_CRC.size :]
    if len(body) < _HARD_1.size or crc32(body) != int.from_bytes(record[: _CRC.size], "little"):
        raise Fault("the journal's record of term and vote is damaged: this node must not vote any more")
    if body[0] == 1:
        _, term, commit = _HARD_1.unpack_from(body)
        return Hard(term, _name(body[_HARD_1.size :]), commit)
    if body[0] != HARD_FORMAT or len(body) < _HARD.size:
        raise Fault(f"the journal has format {body[0]}, this ironkv reads {HARD_FORMAT}")
    _, term, commit, flags = _HARD.unpack_from(body)
    return Hard(term, _name(body[_HARD.size :]), commit, bool(flags & _FRESH))


def _name(data: bytes) -> str | None:
    try:
        return data.decode() or None
    except UnicodeDecodeError:
        raise Fault("the journal's record of term and vote names nobody: this node must not vote") from None


@dataclass(frozen=True, slots=True)
class Base:
    """The entry before the first one held."""

    index: int = 0
    term: int = 0
    chain: int = 0
    """Its crc, with which the next entry's begins."""


def encode_base(base: Base) -> bytes:
    body = _BASE.pack(BASE_FORMAT, base.index, base.term, base.chain)
    return _CRC.pack(crc32(body)) + body


def decode_base(record: bytes) -> Base:
    """Raises Fault."""
    body = record[_CRC.size :]
    if len(body) != _BASE.size or crc32(body) != int.from_bytes(record[: _CRC.size], "little"):
        raise Fault("the journal's record of where it begins is damaged")
    version, *base = _BASE.unpack(body)
    if version != BASE_FORMAT:
        raise Fault(f"the journal begins with format {version}, this ironkv reads {BASE_FORMAT}")
    return Base(*base)

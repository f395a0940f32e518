"""Ids of stream entries as clients write and read them: `1526919030474-55`, `5-*`, `-`, `+`, `(7-3`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ironkv.commands.table import Args
from ironkv.errors import CommandError, WrongType
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.stream_blocks import HALF_MOST, ID_MOST, Entry, Id, id_of
from ironkv.keyspace.stream_groups import Group
from ironkv.keyspace.streams import Stream
from ironkv.resp.replies import Reply

TEXT_MOST: Final = 127

_number = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)\Z").match
_is_plain_negative = re.compile(rb"-[1-9][0-9]*\Z").match
_is_plain = re.compile(rb"[0-9]{1,19}\Z").match


def stream_at(db: Database, key: bytes) -> Stream | None:
    """The live stream at `key`, or None. Raises WrongType, Due."""
    value = db.find(key)
    if value is None or type(value) is Stream:
        return value
    raise WrongType


def group_at(db: Database, key: bytes, name: bytes, where: str = "") -> tuple[Stream, Group]:
    """A stream and one of its groups. Raises CommandError when there is none; `where` ends its text."""
    stream = stream_at(db, key)
    group = None if stream is None else stream.groups.get(name)
    if stream is None or group is None:
        raise CommandError(f"NOGROUP No such key '{shown(key)}' or consumer group '{shown(name)}'{where}")
    return stream, group


def shown(data: bytes) -> str:
    """A name within an error text: C's printf takes what stands before the first NUL."""
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


# -- writing


def id_text(id_: Id) -> bytes:
    return b"%d-%d" % (id_ >> 64, id_ & HALF_MOST)


def entry_reply(entry: Entry) -> Reply:
    """An entry as XRANGE gives it."""
    id_, items = entry
    return [b"%d-%d" % (id_ >> 64, id_ & HALF_MOST), items]


# -- reading


def invalid_id() -> CommandError:
    return CommandError("ERR Invalid stream ID specified as stream command argument")


def _half(text: bytes) -> int:
    """A number of 64 bits (string2ull), which lets pass what strtoull does: blanks, signs, leading zeros."""
    if _is_plain(text):
        return int(text)
    match = _number(text)
    if match is None or (_is_plain_negative(text) and int(text) >= -(2**63)):
        raise invalid_id()
    number = int(match[2])
    if number > HALF_MOST:
        raise invalid_id()
    return -number & HALF_MOST if match[1] == b"-" else number


class IdPattern(NamedTuple):
    """An id as written: `sequence` is None where it says `*`."""

    ms: int
    sequence: int | None


def parse_pattern(text: bytes, missing: int = 0) -> IdPattern:
    """`ms`, `ms-sequence` or `ms-*`; `missing` stands in for a sequence. Raises CommandError."""
    if len(text) > TEXT_MOST:
        raise invalid_id()
    ms, dash, sequence = text.partition(b"\0")[0].partition(b"-")
    if not dash:
        return IdPattern(_half(ms), missing)
    return IdPattern(_half(ms), None if sequence == b"*" else _half(sequence))


def parse_id(text: bytes, missing: int = 0) -> Id:
    """`ms` or `ms-sequence`. Raises CommandError."""
    ms, sequence = parse_pattern(text, missing)
    if sequence is None:
        raise invalid_id()
    return id_of(ms, sequence)


def parse_ids(texts: Args) -> list[Id]:
    """Ids written in full or without a sequence. Raises CommandError."""
    return [parse_id(text) for text in texts]


def parse_end(text: bytes, missing: int = 0) -> Id:
    """The same, or `-` for the lowest and `+` for the highest id. Raises CommandError."""
    if len(text) <= TEXT_MOST and (special := text.partition(b"\0")[0]) in (b"-", b"+"):
        return 0 if special == b"-" else ID_MOST
    return parse_id(text, missing)


def parse_start(text: bytes) -> Id:
    """The first id of a range. Raises CommandError."""
    if len(text) < 2 or text[:1] != b"(":
        return parse_end(text)
    start = parse_id(text[1:]) + 1
    if start > ID_MOST:
        raise CommandError("ERR invalid start ID for the interval")
    return start


def parse_stop(text: bytes) -> Id:
    """The last id of a range. Raises CommandError."""
    if len(text) < 2 or text[:1] != b"(":
        return parse_end(text, HALF_MOST)
    stop = parse_id(text[1:], HALF_MOST) - 1
    if stop < 0:
        raise CommandError("ERR invalid end ID for the interval")
    return stop

"""Streams: adding entries and removing them. Reading is in `stream_reads`, groups are in `stream_groups`."""

from __future__ import annotations

from typing import Final, NamedTuple

from ironkv.commands.arguments import integer
from ironkv.commands.stream_ids import IdPattern, id_text, parse_id, parse_ids, parse_pattern, stream_at
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace import thresholds
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.stream_blocks import HALF_MOST, ID_MOST, Cut, Id, id_of
from ironkv.keyspace.streams import Stream
from ironkv.resp.replies import OK, Reply

ENTRY_MOST: Final = 1 << 30
"""Bytes of an entry's fields and values together (STREAM_LISTPACK_MAX_SIZE)."""

ROUGH_NODES: Final = 100
"""Full nodes that a trim with `~` removes at most, if LIMIT does not say."""
ROUGH_MOST: Final = 1_000_000
ROUGH_UNBOUND: Final = 10_000
"""Entries it removes where a node has no bound."""

INCOMPATIBLE: Final = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"


# -- arguments of XADD and XTRIM


class Trimming(NamedTuple):
    """The options that XADD and XTRIM share, and where they end."""

    cut: Cut | None
    limit: int | None
    make: bool
    """Not NOMKSTREAM."""
    place: int
    """Of the first argument that is no option."""

    def limited(self) -> Cut | None:
        """What to trim, its limit included. Raises CommandError when the two do not fit."""
        cut, limit = self.cut, self.limit
        if limit and cut is None:
            raise CommandError(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
            )
        if limit is not None and (cut is None or not cut.roughly):
            raise CommandError("ERR syntax error, LIMIT cannot be used without the special ~ option")
        if cut is None or not cut.roughly:
            return cut
        return cut._replace(limit=_rough_limit() if limit is None else limit)


def _rough_limit() -> int:
    return min(ROUGH_NODES * thresholds.in_force.stream_entries, ROUGH_MOST) or ROUGH_UNBOUND


NO_OPTIONS: Final = Trimming(None, None, True, 2)


def _parse_trimming(args: Args, *, adding: bool) -> Trimming:
    cut: Cut | None = None
    limit: int | None = None
    make, place = True, 2
    while place < len(args):
        word, more = args[place].upper(), place + 1 < len(args)
        if word in (b"MAXLEN", b"MINID") and more:
            if cut is not None:
                raise CommandError(INCOMPATIBLE)
            cut, place = _parse_cut(args, place)
        elif word == b"LIMIT" and more:
            limit = integer(args[place + 1])
            if limit < 0:
                raise CommandError("ERR The LIMIT argument must be >= 0.")
            place += 2
        elif adding and word == b"NOMKSTREAM":
            make = False
            place += 1
        elif adding:
            break
        else:
            raise SyntaxFault
    return Trimming(cut, limit, make, place)


def _parse_cut(args: Args, place: int) -> tuple[Cut, int]:
    """MAXLEN | MINID [= | ~] threshold -> what it says, and where it ends"""
    by_length = args[place].upper() == b"MAXLEN"
    has_sign = args[place + 1] in (b"~", b"=") and place + 2 < len(args)
    roughly = has_sign and args[place + 1] == b"~"
    place += 2 if has_sign else 1
    if not by_length:
        return Cut(None, parse_id(args[place]), roughly), place + 1
    most = integer(args[place])
    if most < 0:
        raise CommandError("ERR The MAXLEN argument must be >= 0.")
    return Cut(most, 0, roughly), place + 1


# -- XADD


class Addition(NamedTuple):
    """What XADD was asked to do."""

    cut: Cut | None
    make: bool
    id: IdPattern | None
    """None for `*`."""
    place: int
    """Of the first field."""


def parse_xadd(args: Args) -> Addition:
    """[NOMKSTREAM] [MAXLEN | MINID [= | ~] threshold [LIMIT count]] * | id field value [field value ...]"""
    options = NO_OPTIONS if args[2] == b"*" else _parse_trimming(args, adding=True)
    place, pattern = options.place, None
    if place < len(args) and args[place] != b"*":
        pattern = parse_pattern(args[place])
    cut = options.limited()
    place += 1
    if len(args) - place < 2 or (len(args) - place) % 2:
        raise CommandError("ERR wrong number of arguments for 'xadd' command")
    if pattern == (0, 0):
        raise CommandError("ERR The ID specified in XADD must be greater than 0-0")
    if sum(map(len, args)) > ENTRY_MOST and sum(map(len, args[place:])) > ENTRY_MOST:
        raise CommandError("ERR Elements are too large to be stored")
    return Addition(cut, options.make, pattern, place)


@command(
    "XADD",
    -5,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_xadd,
    group="stream",
    since="5.0.0",
    complexity="O(1) when adding a new entry, O(N) when trimming where N being the number of entries "
    "evicted.",
    summary="Appends a new message to a stream. Creates the key if it doesn't exist.",
)
def xadd(db: Database, args: Args, now_ms: int) -> Reply:
    """XADD key [NOMKSTREAM] [(MAXLEN | MINID) [= | ~] threshold [LIMIT count]] (id | *) field value [field value ...]"""  # noqa: E501
    cut, make, pattern, place = parse_xadd(args)
    key = args[1]
    stream = stream_at(db, key)
    if stream is None:
        if not make:
            return None
        stream = Stream()
        db.set(key, stream)
    id_ = _new_id(stream, pattern, now_ms)
    stream.add(id_, args[place:])
    db.notify(b"xadd", key)
    if cut is not None and stream.trim(cut):
        db.tell(b"xtrim", key)
    return id_text(id_)


def _new_id(stream: Stream, pattern: IdPattern | None, now_ms: int) -> Id:
    """The id of the entry that is to come. Raises CommandError."""
    last = stream.last_id
    if last == ID_MOST:
        raise CommandError("ERR The stream has exhausted the last possible ID, unable to add more items")
    if pattern is None:
        return stream.next_id(now_ms)
    ms, sequence = pattern
    if sequence is None:
        sequence = (last & HALF_MOST) + 1 if ms == last >> 64 else 0
    if sequence > HALF_MOST or (id_ := id_of(ms, sequence)) <= last:
        raise CommandError("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    return id_


# -- removing


@command(
    "XDEL",
    -3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=lambda args: parse_ids(args[2:]),
    group="stream",
    since="5.0.0",
    complexity="O(1) for each single item to delete in the stream, regardless of the stream size.",
    summary="Returns the number of messages after removing them from a stream.",
)
def xdel(db: Database, args: Args, now_ms: int) -> Reply:
    """XDEL key id [id ...]: how many there were."""
    ids = parse_ids(args[2:])
    stream = stream_at(db, args[1])
    removed = 0 if stream is None else sum(map(stream.remove, ids))
    if removed:
        db.notify(b"xdel", args[1])
    return removed


def parse_xtrim(args: Args) -> Cut:
    """MAXLEN | MINID [= | ~] threshold [LIMIT count]"""
    cut = _parse_trimming(args, adding=False).limited()
    if cut is None:
        raise CommandError("ERR syntax error, XTRIM must be called with a trimming strategy")
    return cut


@command(
    "XTRIM",
    -4,
    Route.WRITE,
    "write",
    keys=ONE_KEY,
    check=parse_xtrim,
    group="stream",
    since="5.0.0",
    complexity="O(N), with N being the number of evicted entries. Constant times are very small however, "
    "since entries are organized in macro nodes containing multiple entries that can be released with a "
    "single deallocation.",
    summary="Deletes messages from the beginning of a stream.",
)
def xtrim(db: Database, args: Args, now_ms: int) -> Reply:
    """XTRIM key ((MAXLEN | MINID) [= | ~] threshold [LIMIT count]): how many were removed."""
    cut = parse_xtrim(args)
    stream = stream_at(db, args[1])
    removed = 0 if stream is None else stream.trim(cut)
    if removed:
        db.notify(b"xtrim", args[1])
    return removed


# -- XSETID


class Counters(NamedTuple):
    """What XSETID was asked to set."""

    last_id: Id
    added: int | None
    max_deleted: Id
    """0 to leave it."""


def parse_xsetid(args: Args) -> Counters:
    """last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]"""
    last_id = parse_id(args[2])
    added, max_deleted = None, 0
    words = iter(args[3:])
    for word in words:
        option, text = word.upper(), next(words, None)
        if option == b"ENTRIESADDED" and text is not None:
            added = integer(text)
            if added < 0:
                raise CommandError("ERR entries_added must be positive")
        elif option == b"MAXDELETEDID" and text is not None:
            max_deleted = parse_id(text)
            if last_id < max_deleted:
                raise CommandError(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
                )
        else:
            raise SyntaxFault
    return Counters(last_id, added, max_deleted)


@command(
    "XSETID",
    -3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_xsetid,
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="An internal command for replicating stream values.",
)
def xsetid(db: Database, args: Args, now_ms: int) -> Reply:
    """XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]"""
    last_id, added, max_deleted = parse_xsetid(args)
    stream = stream_at(db, args[1])
    if stream is None:
        raise CommandError("ERR no such key")
    if last_id < stream.max_deleted:
        raise CommandError("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if last_id < stream.entries.last():
        raise CommandError("ERR The ID specified in XSETID is smaller than the target stream top item")
    if added is not None and added < len(stream):
        raise CommandError(
            "ERR The entries_added specified in XSETID is smaller than the target stream length"
        )
    stream.last_id = last_id
    if added is not None:
        stream.added = added
    if max_deleted:
        stream.max_deleted = max_deleted
    db.notify(b"xsetid", args[1])
    return OK

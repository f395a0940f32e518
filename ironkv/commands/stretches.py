"""Calls of one command in a row, on one collection or to set strings: done together, and nobody can tell.

Many clients feed one queue or fill one set, and so do pipelines. What is done together costs one look at the
key and one change of the collection. Replies, state and count of changes are those of one call after the
other; where that takes thought (a list that may have to become a quicklist, an option among the arguments)
the calls are done one by one. How a batch falls into stretches is no part of the semantics: rides stand
between the leader's items and not between a follower's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import ne
from time import perf_counter_ns
from typing import Any, Final, TypeAlias

from ironkv.commands import usage
from ironkv.commands.arguments import real
from ironkv.commands.hashes import find_or_make_hash
from ironkv.commands.lists import list_at, new_list
from ironkv.commands.sets import find_set
from ironkv.commands.strings import set_pairs
from ironkv.commands.table import TABLE, Args
from ironkv.commands.zsets import zset_at
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.sets import Set
from ironkv.keyspace.zsets import SortedSet
from ironkv.resp.replies import OK, Reply

LEAST: Final = 4
"""Calls in a row from which on it pays."""
PAIRS: Final = 0
"""In place of a number of words: keys, each with a value."""
WORDS_MOST: Final = 65
"""Of such a call: one with more to do is worth a time of its own."""

Together: TypeAlias = Callable[[Database, list[Args]], list[Reply]]
"""Does calls on one key; their replies. Raises CommandError before anything has changed, if at all."""


def stretches(items: list[Any]) -> Iterator[tuple[list[Any], Together | None]]:
    """A batch's items in order, with how to do them at once: None, one by one.

    A batch that does not begin with a command known here is not looked through.
    """
    first = items[1] if len(items) > 1 and type(items[0]) is int else items[0] if items else None
    if type(first) is not list or first[0] not in TOGETHER:
        yield items, None
        return
    begin = at = 0
    while at < len(items):
        end = _end(items, at)
        if end - at >= LEAST:
            if begin < at:
                yield items[begin:at], None
            yield items[at:end], TOGETHER[items[at][0]][0]
            begin = end
        at = end
    if begin < at:
        yield items[begin:], None


def _end(items: list[Any], at: int) -> int:
    """Behind the last call from `at` on that is as plain as the first, and of the same command and key."""
    first = items[at]
    if type(first) is not list or first[0] not in TOGETHER:
        return at + 1
    name, size = first[0], TOGETHER[first[0]][1]
    if size == PAIRS:
        return _end_of_pairs(items, at)
    if len(first) != size:
        return at + 1
    key = first[1]
    for end in range(at + 1, len(items)):
        item = items[end]
        if type(item) is not list or len(item) != size or item[1] != key or item[0] != name:
            return end
    return len(items)


def _end_of_pairs(items: list[Any], at: int) -> int:
    """The same for calls with few keys and their values, whatever the keys."""
    name = items[at][0]
    for end in range(at, len(items)):
        item = items[end]
        if type(item) is not list or item[0] != name or len(item) > WORDS_MOST or not len(item) & 1:
            return max(end, at + 1)
    return len(items)


# -- strings


def _set_strings(db: Database, calls: list[Args]) -> list[Reply]:
    began = perf_counter_ns()
    pairs: Args = []
    for args in calls:
        pairs += args[1:]
    set_pairs(db, pairs)
    if usage.ours:  # it is among those that are timed one by one (`server.timesheet`)
        TABLE[b"MSET"].usage.took(perf_counter_ns() - began, len(calls))
    return [OK] * len(calls)


# -- lists


def _push_left(db: Database, calls: list[Args]) -> list[Reply]:
    return _push(db, calls, left=True)


def _push_right(db: Database, calls: list[Args]) -> list[Reply]:
    return _push(db, calls, left=False)


def _push(db: Database, calls: list[Args], *, left: bool) -> list[Reply]:
    key = calls[0][1]
    items = list_at(db, key)
    if items is None:
        items = new_list(db, key)
    db.keyspace.changes += len(calls)
    length = len(items)
    push = items.push_left if left else items.push_right
    words = [args[2] for args in calls]
    if items.is_quicklist:
        push(words)
    else:
        for word in words:
            push((word,))
    return list(range(length + 1, length + len(words) + 1))


def _pop_left(db: Database, calls: list[Args]) -> list[Reply]:
    return _pop(db, calls, left=True)


def _pop_right(db: Database, calls: list[Args]) -> list[Reply]:
    return _pop(db, calls, left=False)


def _pop(db: Database, calls: list[Args], *, left: bool) -> list[Reply]:
    key, wanted = calls[0][1], len(calls)
    items = list_at(db, key)
    if items is None:
        return [None] * wanted
    taken: list[Reply] = [*(items.take_left(wanted) if left else items.take_right(wanted))]
    db.keyspace.changes += len(taken)
    if not len(items):
        db.remove(key)
        taken += [None] * (wanted - len(taken))
    return taken


# -- sets, hashes and sorted sets


def _add_members(db: Database, calls: list[Args]) -> list[Reply]:
    key = calls[0][1]
    members = find_set(db, key)
    if members is None:
        members = Set.expecting(calls[0][2], 1)
        db.set(key, members)
    add = members.add
    added: list[Reply] = [1 if add(args[2]) else 0 for args in calls]
    db.keyspace.changes += added.count(1)
    return added


def _set_fields(db: Database, calls: list[Args]) -> list[Reply]:
    put = find_or_make_hash(db, calls[0][1]).set
    db.keyspace.changes += len(calls)
    return [1 if put(field, value) else 0 for _, _, field, value in calls]


def _score_members(db: Database, calls: list[Args]) -> list[Reply]:
    scores = [real(args[2]) for args in calls]  # an option in this place is no score
    members = zset_at(db, calls[0][1])
    if members is None:
        members = SortedSet()
        db.set(calls[0][1], members)
    before = [members.set(args[3], score) for args, score in zip(calls, scores, strict=True)]
    db.keyspace.changes += sum(map(ne, before, scores))
    return [1 if each is None else 0 for each in before]


TOGETHER: Final[dict[bytes, tuple[Together, int]]] = {
    b"LPUSH": (_push_left, 3),
    b"RPUSH": (_push_right, 3),
    b"LPOP": (_pop_left, 2),
    b"RPOP": (_pop_right, 2),
    b"SADD": (_add_members, 3),
    b"HSET": (_set_fields, 4),
    b"ZADD": (_score_members, 4),
    b"MSET": (_set_strings, PAIRS),
}
"""By name: how calls of so many words are done together."""

"""What the listener is told of changes: the events of a real Redis, and no change without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ironkv import images
from ironkv.commands.table import Route, find
from ironkv.commands.write_handlers import WRITE_HANDLERS  # noqa: F401  (fills the table)
from ironkv.errors import CommandError, ReplyError
from ironkv.keyspace.events import CLASS_OF
from ironkv.keyspace.keyspace import Database
from tests.commands.compare import written_out
from tests.commands.local import Local
from tests.commands.oracle import Listener, Oracle, running_oracle
from tests.commands.strategies import SEQUENCES
from tests.commands.strategies.common import Args

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "300"))

Told = tuple[int, bytes, bytes]
"""(database, event, key)"""

WHOLE = frozenset((b"FLUSHALL", b"FLUSHDB", b"SWAPDB"))
SILENT = frozenset((b"XACK", b"XCLAIM", b"XAUTOCLAIM", b"XREADGROUP"))
"""They change what a group remembers; to Redis the key is not modified by that."""
GROWING = b"BITFIELD"
"""Makes room even for what it then may not write; Redis does not count that as a change either."""
SETTING_BITS = frozenset((b"SETBIT", b"BITFIELD"))
"""Redis 7.0 tells of bits that stay as they were, 7.2 does not."""
CHOOSING = frozenset((b"SPOP",))
"""Redis chooses other members than IronKV does."""


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[Oracle, Listener]]:
    with running_oracle() as oracle:
        oracle.ask([b"CONFIG", b"SET", b"notify-keyspace-events", b"EAn"])
        listener = oracle.listener(b"__keyevent@*")
        yield oracle, listener
        listener.close()


class Recorder(Local):
    """A local keyspace that remembers what its listener was told."""

    def __init__(self, now_ms: int | None = None) -> None:
        super().__init__(now_ms)
        self.told: list[Told] = []
        self.keyspace.listener = self._hear
        self.replaced: set[int] = set()
        self.keyspace.replacing = lambda db, other: self.replaced.add(db.index)

    def _hear(self, db: Database, event: bytes, key: bytes) -> None:
        assert event in CLASS_OF, event
        self.told.append((db.index, event, key))

    def image(self) -> dict[tuple[int, bytes], list[bytes]]:
        """Every key, with the image of what it holds and its deadline."""
        found = {}
        for db in self.keyspace.used():
            for values, deadlines in zip(db.values, db.deadlines, strict=True):
                for key, value in values.items():
                    mortal = {key: deadlines[key]} if deadlines and key in deadlines else None
                    found[db.index, key] = list(images.parts({key: value}, mortal))
        return found


def _meant(told: list[Told]) -> list[Told]:
    """Without what comes when a server likes, and without new consumers: since 7.2 XCLAIM and XAUTOCLAIM make
    one even when there is nothing to claim (7.0 does not; `test_streams` has the events of 7.2)."""
    return [each for each in told if each[1] not in (b"expired", b"xgroup-createconsumer")]


def test_redis_does_tell(listener: tuple[Oracle, Listener]) -> None:
    oracle, events = listener
    oracle.ask([b"SETEX", b"told", b"100", b"v"])
    assert events.heard(oracle)[-2:] == [(0, b"set", b"told"), (0, b"expire", b"told")]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=SEQUENCES)
def test_events_are_as_from_redis(listener: tuple[Oracle, Listener], sequence: list[Args]) -> None:
    oracle, events = listener
    oracle.ask([b"FLUSHALL"])
    oracle.ask([b"SELECT", b"0"])
    events.heard(oracle)
    local = Recorder()
    for place, words in enumerate(sequence):
        args = written_out(words, place)
        local.ask(args)
        oracle.ask(args)
        if args and args[0].upper() in CHOOSING and len(args) > 1:
            for ask in (local.ask, oracle.ask):
                ask([b"DEL", args[1]])
        ours, theirs = _meant(local.told), _meant(events.heard(oracle))
        local.told.clear()
        if args and args[0].upper() in SETTING_BITS and not ours:
            assert [event for _, event, _ in theirs] in ([], [b"setbit"])
            continue
        assert ours == theirs, f"{args}\n  Redis   {theirs}\n  IronKV  {ours}"


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=SEQUENCES)
def test_no_key_changes_unheard(sequence: list[Args]) -> None:
    local = Recorder(now_ms=1_700_000_000_000)
    before = local.image()
    for place, words in enumerate(sequence):
        args = written_out(words, place)
        reply = local.reply(args)
        after = local.image()
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        told = {(index, key) for index, _, key in local.told}
        name = args[0].upper() if args else b""
        if name in WHOLE:
            assert {index for index, _ in changed} <= local.replaced
        elif name == GROWING and not told:
            assert {key for _, key in changed} <= set(args)
        elif name not in SILENT:
            assert changed <= told, args
        assert not local.told or _may_tell(args, reply), args
        local.told.clear()
        before = after


def _may_tell(args: list[bytes], reply: Any) -> bool:
    """Whether anything may have changed: not by a read, nor by a command that failed."""
    try:
        writes = find(args).route is Route.WRITE
    except CommandError:
        return False
    return writes and not isinstance(reply, ReplyError)


MADE = [
    "SET s v", "RPUSH l a b", "HSET h f v", "SADD t a b", "ZADD z 1 a", "XADD x 1-1 f v",
    "PFADD p 1", "GEOADD g 1 1 m",
]  # fmt: skip
IDLE = [
    "SET s v NX", "SET no v XX", "SETNX s v", "MSETNX s v n v", "SETRANGE s 0 ", "DEL no", "UNLINK no",
    "GETDEL no", "GETEX no PERSIST", "GETEX s PERSIST", "EXPIRE no 1", "EXPIRE s 10 XX", "PERSIST s",
    "RENAME s s", "RENAMENX s l", "COPY no s", "COPY s l", "MOVE no 1", "LPUSHX no a", "RPUSHX no a",
    "LPOP no", "LPOP l 0", "LMPOP 1 no LEFT", "LMOVE no l LEFT LEFT", "LINSERT l BEFORE no x",
    "LREM l 0 no", "LTRIM no 0 1", "HSETNX h f v", "HDEL h no", "SADD t a", "SREM t no", "SMOVE t u no",
    "SMOVE t t a", "SPOP no", "SPOP t 0", "SINTERSTORE no no t", "ZADD z 1 a", "ZADD z XX 1 no",
    "ZADD z GT 0 a", "ZINCRBY z 0 a", "ZREM z no", "ZPOPMIN no", "ZPOPMIN z 0", "ZREMRANGEBYRANK z 5 6",
    "ZRANGESTORE no z 5 6", "ZUNIONSTORE no 1 no", "GET s", "HGETALL h", "XADD no NOMKSTREAM * f v",
    "XTRIM x MAXLEN 5", "XDEL x 9-9",
    "SETBIT s 0 0", "BITFIELD s GET u8 0 SET u8 0 118", "BITOP AND no nope", "PFADD p 1", "GEOADD g 1 1 m",
    "GEOADD no XX 1 1 m", "GEOSEARCHSTORE no nope FROMLONLAT 1 1 BYRADIUS 1 m", "GEORADIUS g 1 1 1 m",
    "SORT l ALPHA", "SORT no STORE nope",
]  # fmt: skip


@pytest.mark.parametrize("line", IDLE)
def test_nothing_is_told_of_what_did_not_change(line: str) -> None:
    local = Recorder(now_ms=1_000)
    for made in MADE:
        local.do(made)
    local.told.clear()
    local.reply([word.encode() for word in line.split(" ")])
    assert local.told == []


def test_a_dead_key_has_expired_before_it_is_anything_else() -> None:
    local = Recorder(now_ms=1_000)
    for line in ["SET a v PX 10", "SET b v PX 10", "RPUSH c v", "PEXPIRE c 10"]:
        local.do(line)
    local.told.clear()
    local.now_ms = 1_010
    for line in ["SET a v", "APPEND b v", "DEL c", "RPUSH c v"]:
        local.do(line)
    assert [(event, key) for _, event, key in local.told] == [
        (b"expired", b"a"), (b"new", b"a"), (b"set", b"a"),
        (b"expired", b"b"), (b"new", b"b"), (b"append", b"b"), (b"expired", b"c"), (b"new", b"c"),
        (b"rpush", b"c"),
    ]  # fmt: skip
    assert local.keyspace.expired == 3


def test_a_snapshot_hears_of_plain_set_too() -> None:
    local = Local(now_ms=1_000)
    local.do("SET a 1")
    local.keyspace.mark_images()
    before: list[Any] = []
    local.keyspace.imager = lambda values: before.append(dict(values))
    local.do("SET a 2")
    local.do("SET a 3")
    assert before == [{b"a": b"1"}]
    ((_, changed),) = local.keyspace.mark_images()
    assert sum(changed) == 1

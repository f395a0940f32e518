"""Determinism: three replicas in processes with other hash seeds apply the same random log.

After every entry they must have the same digest and have given the same replies, one of them though it is
begun anew from another's image in the middle. And as long as neither chance nor a leap of time has decided
anything, every reply must be Redis's.

More of it: `IRONKV_EXAMPLES=500 pytest tests/replicas`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha1
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from ironkv import batch
from ironkv.commands import write_handlers  # noqa: F401  (fills the table)
from ironkv.commands.table import Route, find
from ironkv.errors import CommandError
from tests.commands.compare import MEANINGS, agree, written_out
from tests.commands.oracle import Oracle, running_oracle
from tests.commands.strategies import GROUPS, geo, hyperloglog, sorting
from tests.commands.strategies.common import Args, spoiled

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "30"))
SEEDS = ("0", "1", "4711")
LEAP_MS = 3_600_000

SCRIPT = b"""
local replies = {}
for i, packed in ipairs(ARGV) do
  local words = cmsgpack.unpack(packed)
  local reply = redis.pcall(unpack(words))
  if type(reply) == 'table' and reply.err then reply = 'error' end
  if type(reply) == 'table' and reply.ok then reply = 'ok' end
  replies[i] = reply
end
replies[#replies + 1] = math.random(1000000)
replies[#replies + 1] = redis.sha1hex(cmsgpack.pack(replies))
return replies
"""
"""Calls the commands it is given, reads among them: what they answer must be the same everywhere."""

commands = st.one_of([st.one_of(group) for group in GROUPS.values()])
thresholds = st.sampled_from(
    [
        [b"IRONKV", b"THRESHOLDS", b"hash-max-listpack-entries", b"1"],
        [b"IRONKV", b"THRESHOLDS", b"set-max-intset-entries", b"1", b"zset-max-listpack-entries", b"0"],
        [b"IRONKV", b"THRESHOLDS", b"list-max-listpack-size", b"2", b"stream-node-max-entries", b"1"],
    ]
)
DRAWN = b"return(math.random(1000000))"
LINES = [
    b"BLPOP a b 0", b"BRPOP a b 0", b"BLMOVE a b LEFT RIGHT 0", b"BRPOPLPUSH a b 0",
    b"BLMPOP 0 2 a b LEFT COUNT 2", b"BZPOPMIN a b 0", b"BZPOPMAX a b 0", b"BZMPOP 0 2 a b MAX COUNT 2",
    b"SCRIPT LOAD " + DRAWN, b"EVALSHA " + sha1(DRAWN).hexdigest().encode() + b" 0", b"SCRIPT FLUSH",
    b"ACL SETUSER bob on nopass ~a +@all -incr", b"ACL SETUSER bob ~* -spop", b"ACL DELUSER bob",
    b"IRONKV AS bob EVAL return{redis.pcall('spop','a'),redis.pcall('set','b',1)} 0",
]  # fmt: skip
elsewhere = st.one_of(
    *(st.one_of(module.COMMANDS) for module in (geo, hyperloglog, sorting)),
    st.sampled_from([line.split() for line in LINES]),
)
"""What is compared with Redis by tests of its own, or is IronKV's."""
logged = st.one_of(commands, commands, commands, commands, spoiled(commands))
items = st.one_of(
    st.tuples(st.just("one"), logged),
    st.tuples(st.just("one"), logged),
    st.tuples(st.just("one"), logged),
    st.tuples(st.sampled_from(["script", "tight"]), st.lists(commands, min_size=1, max_size=4)),
    st.tuples(st.just("transaction"), st.lists(commands, min_size=1, max_size=4)),
    st.tuples(st.just("elsewhere"), elsewhere),
    st.tuples(st.just("database"), st.integers(0, 2)),
    st.tuples(st.just("thresholds"), thresholds),
)
logs = st.lists(st.tuples(st.lists(items, max_size=8), st.booleans()), min_size=2, max_size=10)
"""Of each entry its items, and whether time leaps before it."""


class Process:
    """A replica's other end."""

    def __init__(self, seed: str) -> None:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.replicas.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,  # else a read waits for more than there is
        )
        self._unpacker = msgpack.Unpacker(self._process.stdout, max_buffer_size=1 << 30)

    def send(self, *message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgpack.packb(message))
        self._process.stdin.flush()

    def receive(self) -> Any:
        return self._unpacker.unpack()

    def ask(self, *message: Any) -> Any:
        self.send(*message)
        return self.receive()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def replicas() -> Iterator[list[Process]]:
    running = [Process(seed) for seed in SEEDS]
    try:
        yield running
    finally:
        for each in running:
            each.close()


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


class Log:
    """What is to be logged, as a leader would: only writes that have passed their check."""

    def __init__(self) -> None:
        self.place = 0
        self.asked: list[list[bytes] | None] = []
        """What to ask Redis for each reply of the entry; None where its answer would be another."""

    def entry(self, drawn: list[Any]) -> list[Any]:
        self.asked = []
        return [item for kind, what in drawn if (item := self._item(kind, what)) is not None]

    def _item(self, kind: str, what: Any) -> Any:
        if kind == "database":
            return what
        if kind == "thresholds":
            self.asked.append(None)
            return what
        if kind == "elsewhere":
            args = self._write(what)
            if args is not None:
                self.asked.append(None)
            return args
        if kind == "one":
            args = self._write(what)
            if args is not None:
                self.asked.append(args if _is_plain(args) else None)
            return args
        if kind in ("script", "tight"):  # a tight one came while memory was full
            packed = [msgpack.packb(self._written_out(words), use_bin_type=False) for words in what]
            self.asked.append(None)
            head = [b"IRONKV", b"TIGHT"] if kind == "tight" else []
            return [*head, b"EVAL", SCRIPT, b"0", *packed]
        writes = [args for words in what if (args := self._write(words)) is not None]
        self.asked.append(None)
        return [b"EXEC", 0, writes]

    def _written_out(self, words: Args) -> list[bytes]:
        self.place += 1
        return written_out(words, self.place)

    def _write(self, words: Args) -> list[bytes] | None:
        args = self._written_out(words)
        try:
            row = find(args)
            if row.route is not Route.WRITE:
                return None
            if row.check is not None:
                row.check(args)
        except CommandError:
            return None
        args[0] = row.wire_name
        return args


def _is_plain(args: list[bytes]) -> bool:
    """Whether Redis answers the same, byte for byte."""
    return args[0].upper() not in MEANINGS


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(drawn=logs)
def test_replicas_are_alike(replicas: list[Process], oracle: Oracle, drawn: list[Any]) -> None:
    for each in replicas:
        assert each.ask("begin") == "begun"
    oracle.ask([b"FLUSHALL"])
    log, ahead_ms, same_as_redis, redis_database = Log(), 0, True, 0
    for number, (entry, leaps) in enumerate(drawn):
        if number == len(drawn) // 2:
            assert replicas[2].ask("load", replicas[0].ask("image")) == "loaded"
        if leaps and number:
            ahead_ms += LEAP_MS
            same_as_redis = False
        program = log.entry(entry)
        note(str(program))
        data = batch.encode(time.time_ns() // 1_000_000 + ahead_ms, program)
        for each in replicas:
            each.send("apply", data)
        answers = [each.receive() for each in replicas]
        assert answers[0][1] == answers[1][1] == answers[2][1], "replies"
        assert answers[0][0] == answers[1][0] == answers[2][0], "states"
        # What chance or time decides is not what Redis decides: from there on its state is another.
        same_as_redis = same_as_redis and None not in log.asked
        if same_as_redis:
            _compare(oracle, program, answers[0][1], redis_database)


def _compare(oracle: Oracle, program: list[Any], replies: list[bytes], database: int) -> None:
    oracle.ask([b"SELECT", b"0"])
    answers = iter(replies)
    for item in program:
        if isinstance(item, int):
            oracle.ask([b"SELECT", b"%d" % item])
            continue
        ours, theirs = next(answers), oracle.ask(item)
        assert agree(item, ours, theirs), f"{item}\n  Redis   {theirs!r}\n  IronKV  {ours!r}"


def test_chance_and_order_without_end(replicas: list[Process]) -> None:
    """What hypothesis is unlikely to build: large sets and hashes, popped, combined and walked by scripts."""
    for each in replicas:
        each.ask("begin")
    names = [b"m%d" % n for n in range(700)]
    script = (
        b"return {redis.call('sscan', 's', 0, 'count', 5), redis.call('hrandfield', 'h', 7),"
        b" redis.call('keys', '*')}"
    )
    for number in range(60):
        low = number * 11 % 600
        program: list[Any] = [
            [b"SADD", b"s", *names[low : low + 90]],
            [b"SPOP", b"s", b"%d" % (number % 50)],
            [b"HSET", b"h", *[word for name in names[low : low + 40] for word in (name, b"v")]],
            [b"HDEL", b"h", *names[low + 5 : low + 15]],
            [b"SUNIONSTORE", b"u", b"s", b"t"],
            [
                b"ZADD",
                b"z",
                *[word for n, name in enumerate(names[low : low + 60]) for word in (b"%d" % (n % 7), name)],
            ],
            [b"ZPOPMIN", b"z", b"3"],
            [b"SETEX", names[number], b"%d" % (number % 3 + 1), b"v"],
            [b"EVAL", script, b"0"],
        ]
        if number == 30:
            assert replicas[2].ask("load", replicas[0].ask("image")) == "loaded"
        data = batch.encode(1_000_000 + 500 * number, program)
        for each in replicas:
            each.send("apply", data)
        first, *others = [each.receive() for each in replicas]
        assert all(other == first for other in others), number

"""What INFO counts as changes: commands that did something to a key, and no others, as in Redis."""

from __future__ import annotations

from tests.commands.local import Local
from tests.commands.oracle import Oracle

LINES = """
SET a 1 | SETNX a 2 | SET a 2 NX | GET a | SETRANGE a 0  | APPEND a x | DEL none | DEL a | SETBIT b 5 0
SETBIT b 5 0 | SETBIT b 5 1 | BITFIELD b GET u8 0 | BITFIELD b SET u1 5 1 | BITFIELD b SET u1 5 0
BITOP NOT c none | BITOP NOT c b | RPUSH l 1 2 3 | LPUSHX none 1 | LPOP none | LREM l 0 9 | LREM l 0 1
LPOP l | LPOP l | RPUSH m 1 2 | LMOVE m n LEFT LEFT | SET e 1 EX 100 | MOVE e 1 | SPOP s 9
SADD s 1 2 | SADD s 1 | SREM s 9 | SREM s 1 | SMOVE s t 9 | SMOVE s t 2 | SINTERSTORE u none1 none2 | SPOP t
ZADD z 1 a | ZADD z 1 a | ZADD z XX 5 b | ZADD z 2 a | ZINCRBY z 1 a | ZREM z none | ZPOPMIN z | ZPOPMIN z
HSET h f 1 | HSETNX h f 2 | HDEL h none | HINCRBY h f 1 | HDEL h f | PFADD p 1 | PFADD p 1
EXPIRE none 10 | EXPIRE b 100 | PERSIST b | PERSIST b | RENAME b d | COPY none x | COPY d e | MSET x 1 y 2
XADD x2 1-1 f v | XDEL x2 9-9 | XDEL x2 1-1 | GETDEL none | GETEX x EX 100 | GETEX x
TOUCH x | FLUSHALL | FLUSHALL
"""


def dirty(oracle: Oracle) -> int:
    text = oracle.ask([b"INFO", b"persistence"])
    return int(text.partition(b"rdb_changes_since_last_save:")[2].partition(b"\r")[0])


def test_what_counts_as_a_change(oracle: Oracle) -> None:
    local = Local()
    oracle.ask([b"FLUSHALL"])
    for line in LINES.replace("\n", "|").split("|"):
        args = line.strip().encode().split(b" ")
        if args == [b""]:
            continue
        before, ours_before = dirty(oracle), local.keyspace.changes
        oracle.ask(args)
        local.ask(list(args))
        changed = dirty(oracle) != before
        times = 0 if not changed else 2 if args[0] == b"MSET" else None if args[0] == b"FLUSHALL" else 1
        assert local.keyspace.changes - ours_before == times or (times is None and changed), line

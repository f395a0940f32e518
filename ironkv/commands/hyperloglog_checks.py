"""PFDEBUG and PFSELFTEST: how a HyperLogLog is held, and whether the counting counts."""

from __future__ import annotations

from typing import Final

from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError
from ironkv.keyspace import hyperloglog, thresholds
from ironkv.keyspace.hyperloglog import HyperLogLog
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import OK, Reply, Status

SECOND: Final = (2, 2, 1)
CHECKED_COUNTS: Final = (1, 10, 100, 1_000, 20_000)
ERROR_MOST: Final = 6 * 1.04 / 128
"""Six standard errors of 16,384 registers (https://redis.io/docs/latest/commands/pfselftest/)."""


@command(
    "PFDEBUG",
    3,
    Route.WRITE,
    "write denyoom admin",
    keys=SECOND,
    group="hyperloglog",
    since="2.8.9",
    complexity="N/A",
    summary="Internal commands for debugging HyperLogLog values.",
)
def pfdebug(db: Database, args: Args, now_ms: int) -> Reply:
    """PFDEBUG subcommand key: GETREG (which makes it dense), DECODE, ENCODING, TODENSE"""
    value = db.string(args[2])
    if value is None:
        raise CommandError("ERR The specified key does not exist")
    if not hyperloglog.is_hyperloglog(value):
        raise CommandError("WRONGTYPE Key is not a valid HyperLogLog string value.")
    sparse = value[4] == hyperloglog.SPARSE
    match args[1].upper():
        case b"GETREG":
            if sparse:
                _make_dense(db, args[2], value)
            return list(hyperloglog.registers(value))
        case b"ENCODING":
            return Status(b"sparse" if sparse else b"dense")
        case b"TODENSE":
            if sparse:
                _make_dense(db, args[2], value)
            return int(sparse)
        case b"DECODE" if sparse:
            return b" ".join(hyperloglog.runs_described(value))
        case b"DECODE":
            raise CommandError("ERR HLL encoding is not sparse")
    name = args[1].decode("utf-8", "surrogateescape")
    raise CommandError(f"ERR Unknown PFDEBUG subcommand '{name}'")


def _make_dense(db: Database, key: bytes, value: bytes) -> None:
    log = HyperLogLog(value, thresholds.in_force.hyperloglog_bytes)
    log.become_dense()
    db.update(key, log.encoded())
    db.notify(b"pfadd", key)


@command(
    "PFSELFTEST",
    1,
    Route.LOCAL,
    "admin",
    group="hyperloglog",
    since="2.8.9",
    complexity="N/A",
    summary="An internal command for testing HyperLogLog values.",
)
def pfselftest(session: object, args: Args) -> Reply:
    """PFSELFTEST: counts what it knows the number of, sparse and dense; takes a quarter of a second."""
    sparse = HyperLogLog(hyperloglog.EMPTY, thresholds.NO_BOUND)
    dense = HyperLogLog(hyperloglog.EMPTY, 0)
    done = 0
    for count in CHECKED_COUNTS:
        for number in range(done, count):
            element = number.to_bytes(8, "little")
            sparse.add(element)
            dense.add(element)
        done = count
        one, other = sparse.encoded(), dense.encoded()
        if hyperloglog.registers(one) != hyperloglog.registers(other):
            raise CommandError(f"TESTFAILED sparse and dense differ after {count} elements")
        estimate = hyperloglog.cardinality(other)
        if abs(estimate - count) > max(1, ERROR_MOST * count):
            raise CommandError(f"TESTFAILED {estimate} counted of {count} elements")
    return OK

"""What a command does to its keys, and where they stand: the key specifications of COMMAND INFO.

Most rows follow from what the table says: a reading command accesses its keys, a writing one changes
them. `USES` and `SPECS` hold the others. https://redis.io/docs/latest/develop/reference/key-specs/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ironkv.commands.table import Args, Command, Route


class KeySpec(NamedTuple):
    """One group of keys: at `first`, `first + step` … up to `last`."""

    uses: str
    """`RO`, `RW`, `OW` (overwritten) or `RM`, then what happens to the value or what is made of it."""
    first: int
    last: int
    """Relative to `first`; negative counts from the end."""
    step: int
    notes: str = ""


USES: Final = {
    "APPEND": "RW insert",
    "DECR": "RW access update",
    "DECRBY": "RW access update",
    "DEL": "RM delete",
    "EXISTS": "RO",
    "GETDEL": "RW access delete",
    "GETEX": "RW access update",
    "GETSET": "RW access update",
    "INCR": "RW access update",
    "INCRBY": "RW access update",
    "INCRBYFLOAT": "RW access update",
    "MOVE": "RW access update",
    "MSET": "OW update",
    "MSETNX": "OW insert",
    "OBJECT|ENCODING": "RO",
    "OBJECT|FREQ": "RO",
    "OBJECT|IDLETIME": "RO",
    "OBJECT|REFCOUNT": "RO",
    "PSETEX": "OW update",
    "SET": "RW access update variable_flags",
    "SETEX": "OW update",
    "SETNX": "OW insert",
    "STRLEN": "RO",
    "TOUCH": "RO",
    "TYPE": "RO",
    "UNLINK": "RM delete",
}
"""Row -> what it does to its keys, where that is not `RO access` of a READ or `RW update` of a WRITE."""

NOTES: Final = {
    "GETEX": "RW and UPDATE because it changes the TTL",
    "SET": "RW and ACCESS due to the optional `GET` argument",
}

SPECS: Final = {
    "COPY": (KeySpec("RO access", 1, 0, 1), KeySpec("OW update", 2, 0, 1)),
    "RENAME": (KeySpec("RW access delete", 1, 0, 1), KeySpec("OW update", 2, 0, 1)),
    "RENAMENX": (KeySpec("RW access delete", 1, 0, 1), KeySpec("OW insert", 2, 0, 1)),
}
"""Row -> its keys, where they are not all treated alike."""


def key_specs(row: Command) -> Sequence[KeySpec]:
    """The keys of a row, group by group."""
    if row.name in SPECS:
        return SPECS[row.name]
    first, last, step = row.keys
    if not first:
        return ()
    uses = USES.get(row.name, "RW update" if row.route is Route.WRITE else "RO access")
    return (KeySpec(uses, first, last - first if last > 0 else last, step, NOTES.get(row.name, "")),)


def keys_and_uses(row: Command, args: Args) -> Iterator[tuple[bytes, str]]:
    """Each key of a request, and what the request does to it."""
    specs = key_specs(row)
    if row.find_keys is not None or not specs:
        uses = USES.get(row.name, "RW update" if row.route is Route.WRITE else "RO access")
        yield from ((key, uses) for key in row.key_args(args))
    for spec in specs if row.find_keys is None else ():
        uses = _set_uses(args) if row.name == "SET" else spec.uses
        last = spec.first + spec.last if spec.last >= 0 else len(args) + spec.last
        yield from ((args[place], uses) for place in range(spec.first, last + 1, spec.step))


def _set_uses(args: Args) -> str:
    """SET returns the old value when it is asked to, and otherwise only overwrites it."""
    return "RW access update" if any(arg.upper() == b"GET" for arg in args[3:]) else "OW update"

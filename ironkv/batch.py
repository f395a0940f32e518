"""A batch of commands: what one Raft entry carries.

    msgpack([1, stamp_ms, [item, …]])      item = [name, arg, …]   a write, its name in upper case
                                                  | int            the database for what follows
                                                  | ["EXEC", doom_ms, [item, …]]   a transaction

Of a transaction all is done or, when the stamp is at or after `doom_ms` (0: never), nothing. It begins with
the database that it stands behind; a database that is chosen in it is chosen for it alone.

The first items use database 0. A batch without items is a tick: it only moves the state's time.
The leading number is the format's version.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgpack

from ironkv.errors import Fault

VERSION: Final = 1
Item: TypeAlias = list[Any] | int

_pack = msgpack.Packer(autoreset=True).pack
_SIZE_MAX: Final = 2**31 - 1


def encode(stamp_ms: int, items: list[Item]) -> bytes:
    """The entry's data."""
    data: bytes = _pack((VERSION, stamp_ms, items))
    return data


def decode(data: bytes) -> tuple[int, list[Item]]:
    """(stamp_ms, items). Raises Fault on another version, or on what is no batch: applying it by guess could
    split the state."""
    try:
        version, stamp_ms, items = msgpack.unpackb(
            data, max_bin_len=_SIZE_MAX, max_array_len=_SIZE_MAX, max_str_len=0, max_map_len=0, max_ext_len=0
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise Fault(f"an entry cannot be read as a batch of commands: {error}") from error
    if version != VERSION:
        raise Fault(f"an entry has batch format {version}, this ironkv reads {VERSION}: upgrade this node")
    return stamp_ms, items

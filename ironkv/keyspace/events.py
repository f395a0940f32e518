"""What can happen to a key, and the class that notify-keyspace-events knows it by.
https://redis.io/docs/latest/develop/use/keyspace-notifications/"""

from __future__ import annotations

from typing import Final

_CLASSES: Final = {
    "g": "del rename_from rename_to copy_to move_from move_to expire persist restore",
    "$": "set setrange incrby incrbyfloat append setbit pfadd",
    "l": "lpush rpush lpop rpop lset linsert lrem ltrim sortstore",
    "s": "sadd srem spop sinterstore sunionstore sdiffstore",
    "h": "hset hdel hincrby hincrbyfloat",
    "z": "zadd zincr zrem zpopmin zpopmax zremrangebyrank zremrangebyscore zremrangebylex zrangestore "
    "zunionstore zinterstore zdiffstore georadiusstore geosearchstore",
    "t": "xadd xdel xtrim xsetid xgroup-create xgroup-createconsumer xgroup-delconsumer xgroup-destroy "
    "xgroup-setid",
    "x": "expired",
    "n": "new",
}

CLASS_OF: Final[dict[bytes, str]] = {
    event.encode(): letter for letter, events in _CLASSES.items() for event in events.split()
}
"""Event -> class. What is told of a key is one of these."""

UNTOUCHED: Final = frozenset((b"xgroup-createconsumer", b"xgroup-delconsumer"))
"""Events of which WATCH knows nothing: Redis tells of them, but does not count the key as modified."""

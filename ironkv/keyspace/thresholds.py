"""From which size on a value is held in another way: Redis's `hash-max-listpack-entries` and the like.

How a value is held shows in more than OBJECT ENCODING (in the order of HGETALL, in what SPOP takes), so
replicas must agree: the thresholds are part of the state. They are the keyspace's, changed by an item of the
log and kept in snapshots. Whoever applies an entry puts those of its keyspace `in_force`; values look there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

NO_BOUND: Final = 1 << 62
LIST_NODE_BYTES: Final = (4096, 8192, 16_384, 32_768, 65_536)
"""What list-max-listpack-size says with -1 to -5."""
SAFE_NODE_BYTES: Final = 8192
"""The bytes of a list's node where the number of elements is bounded (SIZE_SAFETY_LIMIT)."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Sizes up to which a value is held in the small way; the defaults are those of Redis 7.2."""

    hash_entries: int = 512
    hash_value: int = 64
    """Bytes of a field or value."""
    set_integers: int = 512
    set_entries: int = 128
    set_value: int = 64
    zset_entries: int = 128
    zset_value: int = 64
    list_size: int = -2
    """Elements; or, negative, a place in LIST_NODE_BYTES."""
    list_depth: int = 0
    """Nodes at both ends that Redis does not compress. Nothing is compressed here."""
    hyperloglog_bytes: int = 3000
    stream_bytes: int = 4096
    """Of a node; 0 for no bound."""
    stream_entries: int = 100
    """Likewise; deleted ones count."""

    list_bounds: tuple[int, int] = field(init=False, compare=False)
    """(bytes, elements) of a listpack (quicklistNodeLimit)."""
    list_bounds_again: tuple[int, int] = field(init=False, compare=False)
    """What a quicklist must come down to, to be a listpack again."""

    def __post_init__(self) -> None:
        if self.list_size >= 0:
            count = max(self.list_size, 1)
            bounds, again = (SAFE_NODE_BYTES, count), (NO_BOUND, count // 2)
        else:
            size = LIST_NODE_BYTES[min(-self.list_size, len(LIST_NODE_BYTES)) - 1]
            bounds, again = (size, NO_BOUND), (size // 2, NO_BOUND)
        object.__setattr__(self, "list_bounds", bounds)
        object.__setattr__(self, "list_bounds_again", again)

    def chosen(self) -> dict[str, int]:
        """Those that are not as Redis has them, by name."""
        return {
            each.name: value
            for each in fields(self)
            if each.init and (value := getattr(self, each.name)) != each.default
        }


DEFAULT: Final = Thresholds()

in_force = DEFAULT
"""Those of the keyspace whose entry is being applied."""

"""What COMMAND INFO and DOCS say of a command beyond its row: tips for clients, what is deprecated.

https://redis.io/docs/latest/develop/reference/command-tips/
"""

from __future__ import annotations

from typing import Final

_RANDOM: Final = "nondeterministic_output"
_UNORDERED: Final = "nondeterministic_output_order"
_EVERY_NODE: Final = "request_policy:all_nodes response_policy:all_succeeded"
_EVERY_SHARD: Final = "request_policy:all_shards response_policy:all_succeeded"
_SUM_OF_KEYS: Final = "request_policy:multi_shard response_policy:agg_sum"

TIPS: Final = {
    "CLIENT|INFO": _RANDOM,
    "CLIENT|LIST": _RANDOM,
    "CLIENT|SETINFO": _EVERY_NODE,
    "CLIENT|SETNAME": _EVERY_NODE,
    "COMMAND": _UNORDERED,
    "COMMAND|DOCS": _UNORDERED,
    "COMMAND|INFO": _UNORDERED,
    "COMMAND|LIST": _UNORDERED,
    "CONFIG|RESETSTAT": _EVERY_NODE,
    "CONFIG|REWRITE": _EVERY_NODE,
    "CONFIG|SET": _EVERY_NODE,
    "DBSIZE": "request_policy:all_shards response_policy:agg_sum",
    "DEL": _SUM_OF_KEYS,
    "EXISTS": _SUM_OF_KEYS,
    "FLUSHALL": _EVERY_SHARD,
    "FLUSHDB": _EVERY_SHARD,
    "INFO": f"{_RANDOM} request_policy:all_shards response_policy:special",
    "KEYS": f"request_policy:all_shards {_UNORDERED}",
    "MGET": "request_policy:multi_shard",
    "MSET": "request_policy:multi_shard response_policy:all_succeeded",
    "OBJECT|ENCODING": _RANDOM,
    "OBJECT|FREQ": _RANDOM,
    "OBJECT|IDLETIME": _RANDOM,
    "OBJECT|REFCOUNT": _RANDOM,
    "PING": _EVERY_SHARD,
    "PTTL": _RANDOM,
    "RANDOMKEY": f"request_policy:all_shards response_policy:special {_RANDOM}",
    "SCAN": f"{_RANDOM} request_policy:special response_policy:special",
    "TIME": _RANDOM,
    "TOUCH": _SUM_OF_KEYS,
    "TTL": _RANDOM,
    "UNLINK": _SUM_OF_KEYS,
    "WAIT": "request_policy:all_shards response_policy:agg_min",
}
"""Row -> tips."""

DEPRECATED: Final = {
    "GETSET": ("6.2.0", "`SET` with the `!GET` argument"),
    "PSETEX": ("2.6.12", "`SET` with the `PX` argument"),
    "QUIT": ("7.2.0", "just closing the connection"),
    "SETEX": ("2.6.12", "`SET` with the `EX` argument"),
    "SETNX": ("2.6.12", "`SET` with the `NX` argument"),
    "SUBSTR": ("2.0.0", "`GETRANGE`"),
}
"""Row -> since which Redis it is deprecated, and what to use instead."""

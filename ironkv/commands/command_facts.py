"""What Redis 7.2 says of commands beyond a row's own fields: for COMMAND INFO, DOCS and GETKEYSANDFLAGS.

Key specifications: https://redis.io/docs/latest/develop/reference/key-specs/
Tips: https://redis.io/docs/latest/develop/reference/command-tips/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _listed(groups: Mapping[str, str]) -> dict[str, str]:
    """Groups of names turned round: name -> what the group says."""
    return {name: text for text, names in groups.items() for name in names.split()}


KEY_FLAGS: Final = _listed(
    {
        "RW insert": """
            APPEND HSETNX LINSERT LPUSH LPUSHX PFADD RPUSH RPUSHX SADD XGROUP|CREATE
            XGROUP|CREATECONSUMER
        """,
        "RO access": """
            BITCOUNT BITFIELD_RO BITPOS DUMP EXPIRETIME GEODIST GEOHASH GEOPOS GEORADIUSBYMEMBER_RO
            GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HGET HGETALL HKEYS HMGET HRANDFIELD HSCAN HVALS
            LCS LINDEX LPOS LRANGE MGET PEXPIRETIME PTTL SDIFF SINTER SMEMBERS SMISMEMBER SRANDMEMBER
            SSCAN SUBSTR SUNION TTL XINFO|CONSUMERS XINFO|GROUPS XINFO|STREAM XPENDING XRANGE XREVRANGE
            ZCOUNT ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE
            ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
        """,
        "RW access delete": "BLPOP BRPOP BZPOPMAX BZPOPMIN GETDEL LPOP RPOP SPOP ZPOPMAX ZPOPMIN",
        "RW access update": """
            DECR DECRBY GETEX GETSET HINCRBY HINCRBYFLOAT INCR INCRBY INCRBYFLOAT MOVE SETBIT ZINCRBY
        """,
        "RM delete": "DEL UNLINK",
        "RO": """
            EXISTS HEXISTS HLEN HSTRLEN LLEN MEMORY|USAGE OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME
            OBJECT|REFCOUNT SCARD SISMEMBER STRLEN TOUCH TYPE WATCH XLEN ZCARD
        """,
        "RW update": """
            EXPIRE EXPIREAT GEOADD HMSET HSET LSET PERSIST PEXPIRE PEXPIREAT SETRANGE XACK XADD XCLAIM
            XGROUP|SETID XSETID ZADD
        """,
        "RW delete": """
            HDEL LREM LTRIM SREM XAUTOCLAIM XDEL XGROUP|DELCONSUMER XGROUP|DESTROY XTRIM ZREM
            ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE
        """,
        "OW update": "MSET PSETEX RESTORE RESTORE-ASKING SETEX",
        "OW insert": "MSETNX SETNX",
        "RW access": "PFCOUNT PFDEBUG",
        "not_key": "SPUBLISH SSUBSCRIBE SUNSUBSCRIBE",
        "RW access update variable_flags": "BITFIELD SET",
    }
)
"""How a command uses the keys that its row's (first, last, step) names."""

IRREGULAR: Final = _listed(
    {
        "2 range 0 1 0: OW update; 3 range -1 1 0: RO access": "BITOP",
        "1 range 0 1 0: RW access delete; 2 range 0 1 0: RW insert": """
            BLMOVE BRPOPLPUSH LMOVE RPOPLPUSH SMOVE
        """,
        "2 keynum 0 1 1: RW access delete": "BLMPOP BZMPOP",
        "1 range 0 1 0: RO access; 2 range 0 1 0: OW update": "COPY",
        "2 keynum 0 1 1: RW access update": "EVAL EVALSHA FCALL",
        "2 keynum 0 1 1: RO access": "EVALSHA_RO EVAL_RO FCALL_RO",
        "1 range 0 1 0: RO access; STORE@6 range 0 1 0: OW update; STOREDIST@6 range 0 1 0: OW update": """
            GEORADIUS
        """,
        "1 range 0 1 0: RO access; STORE@5 range 0 1 0: OW update; STOREDIST@5 range 0 1 0: OW update": """
            GEORADIUSBYMEMBER
        """,
        "1 range 0 1 0: OW update; 2 range 0 1 0: RO access": "GEOSEARCHSTORE ZRANGESTORE",
        "1 keynum 0 1 1: RW access delete": "LMPOP ZMPOP",
        "3 range 0 1 0: RW access delete; KEYS@-2 range -1 1 0: RW access delete incomplete": """
            MIGRATE
        """,
        "1 range 0 1 0: RW access insert; 2 range -1 1 0: RO access": "PFMERGE",
        "1 range 0 1 0: RW access delete; 2 range 0 1 0: OW update": "RENAME",
        "1 range 0 1 0: RW access delete; 2 range 0 1 0: OW insert": "RENAMENX",
        "1 range 0 1 0: OW update; 2 range -1 1 0: RO access": "SDIFFSTORE SUNIONSTORE",
        "1 keynum 0 1 1: RO access": "SINTERCARD ZDIFF ZINTER ZINTERCARD ZUNION",
        "1 range 0 1 0: RW update; 2 range -1 1 0: RO access": "SINTERSTORE",
        "1 range 0 1 0: RO access; ? ?: RO access; ? ?: OW update": "SORT",
        "1 range 0 1 0: RO access; ? ?: RO access": "SORT_RO",
        "STREAMS@1 range -1 1 2: RO access": "XREAD",
        "STREAMS@4 range -1 1 2: RO access": "XREADGROUP",
        "1 range 0 1 0: OW update; 2 keynum 0 1 1: RO access": "ZDIFFSTORE ZINTERSTORE ZUNIONSTORE",
    }
)
"""Keys that stand elsewhere, sets of keys divided by `;`. Of each: where it begins (a position; `WORD@n`:
behind the first WORD from position n on; `?`), how it goes on (`range last step limit`, relative to the
begin; `keynum place first step`: as many as the number there says; `?`), and how the keys are used."""

TIPS: Final = _listed(
    {
        "request_policy:all_nodes response_policy:all_succeeded": """
            ACL|DELUSER ACL|SAVE ACL|SETUSER CLIENT|SETINFO CLIENT|SETNAME CONFIG|RESETSTAT
            CONFIG|REWRITE CONFIG|SET SCRIPT|FLUSH SCRIPT|LOAD SLOWLOG|RESET
        """,
        "nondeterministic_output": """
            CLIENT|INFO CLIENT|LIST CLUSTER|BUMPEPOCH CLUSTER|COUNT-FAILURE-REPORTS
            CLUSTER|GETKEYSINSLOT CLUSTER|INFO CLUSTER|LINKS CLUSTER|MYSHARDID CLUSTER|NODES
            CLUSTER|REPLICAS CLUSTER|SHARDS CLUSTER|SLAVES CLUSTER|SLOTS DUMP HRANDFIELD HSCAN LASTSAVE
            MIGRATE OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT PTTL SPOP SRANDMEMBER
            SSCAN TIME TTL XADD XAUTOCLAIM XCLAIM XINFO|CONSUMERS XPENDING XTRIM ZRANDMEMBER ZSCAN
        """,
        "nondeterministic_output_order": """
            COMMAND COMMAND|DOCS COMMAND|INFO COMMAND|LIST FUNCTION|LIST HGETALL HKEYS HVALS MODULE|LIST
            SDIFF SINTER SMEMBERS SUNION
        """,
        "request_policy:all_shards response_policy:agg_sum": "DBSIZE",
        "request_policy:multi_shard response_policy:agg_sum": "DEL EXISTS TOUCH UNLINK",
        "request_policy:all_shards response_policy:all_succeeded": """
            FLUSHALL FLUSHDB FUNCTION|DELETE FUNCTION|FLUSH FUNCTION|LOAD FUNCTION|RESTORE MEMORY|PURGE
            PING
        """,
        "request_policy:all_shards response_policy:one_succeeded": "FUNCTION|KILL SCRIPT|KILL",
        "nondeterministic_output request_policy:all_shards response_policy:special": """
            FUNCTION|STATS INFO MEMORY|DOCTOR MEMORY|MALLOC-STATS MEMORY|STATS
        """,
        "request_policy:all_shards nondeterministic_output_order": "KEYS",
        "nondeterministic_output request_policy:all_nodes response_policy:special": """
            LATENCY|DOCTOR LATENCY|GRAPH LATENCY|HISTOGRAM LATENCY|HISTORY LATENCY|LATEST
        """,
        "request_policy:all_nodes response_policy:agg_sum": "LATENCY|RESET",
        "request_policy:multi_shard": "MGET",
        "request_policy:multi_shard response_policy:all_succeeded": "MSET",
        "request_policy:all_shards response_policy:special nondeterministic_output": "RANDOMKEY",
        "nondeterministic_output request_policy:special response_policy:special": "SCAN",
        "request_policy:all_shards response_policy:agg_logical_and": "SCRIPT|EXISTS",
        "request_policy:all_nodes nondeterministic_output": "SLOWLOG|GET",
        "request_policy:all_nodes response_policy:agg_sum nondeterministic_output": "SLOWLOG|LEN",
        "request_policy:all_shards response_policy:agg_min": "WAIT WAITAOF",
    }
)
"""What a client that knows the cluster's shards should do with a command, and with its replies."""

INTERNAL: Final = frozenset({"DEBUG", "PFDEBUG", "PFSELFTEST"})
"""For the server's own tests."""

DEPRECATED: Final = {
    "BRPOPLPUSH": ("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"),
    "CLUSTER|SLAVES": ("5.0.0", "`CLUSTER REPLICAS`"),
    "CLUSTER|SLOTS": ("7.0.0", "`CLUSTER SHARDS`"),
    "GEORADIUS": ("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"),
    "GEORADIUSBYMEMBER": (
        "6.2.0",
        "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
    ),
    "GEORADIUSBYMEMBER_RO": ("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"),
    "GEORADIUS_RO": ("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument"),
    "GETSET": ("6.2.0", "`SET` with the `!GET` argument"),
    "HMSET": ("4.0.0", "`HSET` with multiple field-value pairs"),
    "PSETEX": ("2.6.12", "`SET` with the `PX` argument"),
    "QUIT": ("7.2.0", "just closing the connection"),
    "RPOPLPUSH": ("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"),
    "SETEX": ("2.6.12", "`SET` with the `EX` argument"),
    "SETNX": ("2.6.12", "`SET` with the `NX` argument"),
    "SLAVEOF": ("5.0.0", "`REPLICAOF`"),
    "SUBSTR": ("2.0.0", "`GETRANGE`"),
    "ZRANGEBYLEX": ("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    "ZRANGEBYSCORE": ("6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
    "ZREVRANGE": ("6.2.0", "`ZRANGE` with the `REV` argument"),
    "ZREVRANGEBYLEX": ("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
    "ZREVRANGEBYSCORE": ("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
}
"""Since when, and what to use instead."""

_BY_GET: Final = (
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content "
    "of the key we sort"
)
_STORE: Final = (
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the "
    "argument array"
)
NOTES: Final[dict[str, tuple[str, ...]]] = {
    "BITFIELD": ("This command allows both access and modification of the key",),
    "EVAL": ("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",),
    "EVAL_RO": ("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",),
    "FCALL": ("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",),
    "FCALL_RO": ("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",),
    "GETEX": ("RW and UPDATE because it changes the TTL",),
    "PFCOUNT": (
        "RW because it may change the internal representation of the key, and propagate to replicas",
    ),
    "SET": ("RW and ACCESS due to the optional `GET` argument",),
    "SORT": (
        "",
        _BY_GET,
        _STORE,
    ),
    "SORT_RO": (
        "",
        _BY_GET,
    ),
    "XADD": ("UPDATE instead of INSERT because of the optional trimming feature",),
}
"""Remarks on a command's key specifications, one by one."""

"""Keys of every type and encoding: commands that make them, and what a client then sees of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.commands.wire import meaning

Ask = Callable[[list[bytes]], bytes]
Command = list[bytes]

SIZES = (1, 3, 20, 127, 130, 600)


def _word(chance: Random, longest: int = 300) -> bytes:
    kind = chance.randrange(7)
    if kind < 3:
        bits = (8, 32, 64)[kind]
        return b"%d" % chance.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))
    if kind == 3:
        return b"%d" % chance.randrange(-5000, 5000)
    if kind == 4:
        return chance.randbytes(chance.randrange(12))
    if kind == 5:
        return b"abc" * chance.randrange(30)  # such as Redis compresses
    return chance.randbytes(5) * chance.randrange(longest // 5)


def _score(chance: Random) -> bytes:
    whole = b"%d" % chance.randrange(-(2 ** chance.randrange(2, 62)), 1000)
    return chance.choice(
        [whole, repr(chance.random() * 1e6).encode(), b"inf", b"-inf", b"1e300", b"-0", b"0.1"]
    )


def _string(key: bytes, chance: Random, size: int) -> list[Command]:
    return [[b"SET", key, _word(chance, 50 * size)]]


def _list(key: bytes, chance: Random, size: int) -> list[Command]:
    longest = chance.choice([20, 300, 20_000])
    return [[b"RPUSH", key, *(_word(chance, longest) for _ in range(size))]]


def _integers(key: bytes, chance: Random, size: int) -> list[Command]:
    bits = chance.choice([10, 20, 60])
    return [[b"SADD", key, *(b"%d" % chance.randrange(-(2**bits), 2**bits) for _ in range(size))]]


def _set(key: bytes, chance: Random, size: int) -> list[Command]:
    return [[b"SADD", key, *(_word(chance, chance.choice([20, 300])) for _ in range(size))]]


def _hash(key: bytes, chance: Random, size: int) -> list[Command]:
    longest = chance.choice([20, 300])
    return [[b"HSET", key, *(_word(chance, longest) for _ in range(2 * size))]]


def _zset(key: bytes, chance: Random, size: int) -> list[Command]:
    longest = chance.choice([20, 300])
    words = [word for _ in range(size) for word in (_score(chance), _word(chance, longest))]
    return [[b"ZADD", key, *words]]


def _stream(key: bytes, chance: Random, size: int) -> list[Command]:
    made: list[Command] = []
    for number in range(size):
        words = chance.choice(
            [[b"f", b"g"], [b"f", b"g"], [_word(chance) for _ in range(chance.randrange(1, 4))]]
        )
        pairs = [word for field in words for word in (field, _word(chance))]
        made.append([b"XADD", key, b"%d-%d" % (10 + number // 3, 1 + number % 3), *pairs])
    ids = [each[2] for each in made]
    made += [[b"XDEL", key, id_] for id_ in chance.sample(ids, size // 4)]
    if chance.random() < 0.3:
        made.append([b"XTRIM", key, b"MAXLEN", b"%d" % (size // 2)])
    made += [[b"XGROUP", b"CREATE", key, b"g1", b"0"], [b"XGROUP", b"CREATE", key, b"g2", b"$"]]
    made.append([b"XGROUP", b"CREATE", key, b"g3", chance.choice(ids), b"ENTRIESREAD", b"2"])
    for group, consumer in ((b"g1", b"alice"), (b"g1", b"bob"), (b"g3", b"1")):
        made.append([b"XGROUP", b"CREATECONSUMER", key, group, consumer])
        reading = [b"XREADGROUP", b"GROUP", group, consumer, b"COUNT", b"%d" % chance.randrange(1, 9)]
        made.append([*reading, b"STREAMS", key, b">"])
    return [*made, [b"XACK", key, b"g1", *chance.sample(ids, min(3, size))]]


MAKERS = (_string, _list, _integers, _set, _hash, _zset, _stream)


def making(key: bytes, chance: Random) -> list[Command]:
    """Commands that make a key of a random type and size."""
    return chance.choice(MAKERS)(key, chance, chance.choice(SIZES))


def seen(ask: Ask, key: bytes) -> list[Any]:
    """Type, encoding, deadline and contents."""

    def asked(*words: bytes) -> Any:
        return meaning(ask(list(words)))

    kind, encoding = asked(b"TYPE", key), asked(b"OBJECT", b"ENCODING", key)
    found: list[Any] = [kind, encoding, asked(b"PEXPIRETIME", key)]
    if kind == b"string":
        found.append(asked(b"GET", key))
    elif kind == b"list":
        found.append(asked(b"LRANGE", key, b"0", b"-1"))
        found[1] = b"listpack or quicklist"  # 7.0 has the latter only
    elif kind == b"hash":
        words = asked(b"HGETALL", key)
        found.append(dict(zip(words[::2], words[1::2], strict=True)))
    elif kind == b"set":
        found.append(set(asked(b"SMEMBERS", key)))
        if encoding != b"intset":  # 7.2 has listpacks where 7.0 has hash tables
            found[1] = b"not an intset"
    elif kind == b"zset":
        words = asked(b"ZRANGE", key, b"0", b"-1", b"WITHSCORES")
        # 7.0 begins with a listpack where 7.2 does not, and these have no -0.
        scores = [float(score) + 0.0 for score in words[1::2]]
        found.append(list(zip(words[::2], scores, strict=True)))
    elif kind == b"stream":
        found += asked(b"XRANGE", key, b"-", b"+"), _numbers(asked(b"XINFO", b"STREAM", key))
        for group in asked(b"XINFO", b"GROUPS", key):
            pending = asked(b"XPENDING", key, group[1], b"-", b"+", b"1000")
            found += group, [(id_, name, times) for id_, name, _, times in pending]
            found.append([each[:4] for each in asked(b"XINFO", b"CONSUMERS", key, group[1])])
    return found


def _numbers(info: list[Any]) -> list[Any]:
    """XINFO STREAM without how its tree is built: Redis keeps what was deleted of a node."""
    return [pair for pair in zip(info[::2], info[1::2], strict=True) if not pair[0].startswith(b"radix-tree")]

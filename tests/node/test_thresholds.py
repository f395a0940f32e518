"""The sizes from which on values are held otherwise: settable, and alike on every replica."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import product

import pytest

from ironkv import images
from ironkv.commands.encodings import SIZES
from ironkv.keyspace import thresholds
from ironkv.keyspace.keyspace import Keyspace
from ironkv.keyspace.thresholds import DEFAULT, Thresholds
from tests.commands.local import Local
from tests.commands.oracle import Oracle, running_oracle
from tests.node.virtual import Cluster, Maker, VirtualNode

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "25"))


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    yield
    thresholds.in_force = DEFAULT


# -- what they do, beside Redis

CHOICES: dict[str, tuple[int, ...]] = {
    "hash-max-listpack-entries": (0, 2),
    "hash-max-listpack-value": (0, 3),
    "set-max-intset-entries": (1, 3),
    "zset-max-listpack-entries": (0, 2),
    "zset-max-listpack-value": (0, 3),
    "hll-sparse-max-bytes": (0, 20, 60),
    "stream-node-max-entries": (0, 1, 3),
    "stream-node-max-bytes": (0, 40),
}
"""Not those of lists and of small sets, which Redis 7.0 holds otherwise."""


def commands(chance: random.Random) -> Iterator[bytes]:
    words = [b"%d" % n for n in range(6)]
    long = [b"abcd", b"x" * 900, b"y" * 2000]
    for _ in range(25):
        one, two = chance.choice(words + long), chance.choice(words + long)
        yield from chance.choice(
            [
                [b"HSET h %b %b" % (one, two), b"HSETNX h %b 1" % one, b"HINCRBY h n 1"],
                [b"SADD i %b" % chance.choice(words)],
                [b"ZADD z %b %b" % (chance.choice(words), two), b"ZINCRBY z 1 %b" % one],
                [b"ZUNIONSTORE u 2 z v", b"ZADD v 1 %b" % two, b"ZRANGESTORE w z 0 -1"],
                [b"PFADD p %b %b" % (one, two), b"GET p", b"PFMERGE q p", b"GET q"],
                [b"XADD s * f %b" % one, b"XADD s * g %b" % two, b"XTRIM s MAXLEN ~ 3", b"XLEN s"],
                [b"DEL h", b"DEL i z"],
                [b"RENAME h h2", b"SMOVE i i2 1"],
            ]
        )


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_values_are_held_as_redis_holds_them(oracle: Oracle, seed: int) -> None:
    chance = random.Random(seed)
    local = Local()
    oracle.ask([b"FLUSHALL"])
    chosen = {name: chance.choice(choices) for name, choices in CHOICES.items() if chance.random() < 0.6}
    try:
        for name, value in chosen.items():
            assert oracle.ask([b"CONFIG", b"SET", name.encode(), b"%d" % value]) == b"+OK\r\n"
            assert local.do(f"IRONKV THRESHOLDS {name} {value}") is not None
        for line in commands(chance):
            args = line.split(b" ")
            ours, theirs = local.ask(list(args)), oracle.ask(args)
            assert ours == theirs or args[0] == b"XADD", (chosen, line)
            for key in (b"h", b"i", b"z", b"u", b"w", b"h2", b"i2"):
                how = [b"OBJECT", b"ENCODING", key]
                assert local.ask(how) == oracle.ask(how), (chosen, line, key)
    finally:
        for name in CHOICES:
            usual = getattr(DEFAULT, SIZES[name].field)
            oracle.ask([b"CONFIG", b"SET", name.encode(), b"%d" % usual])


@pytest.mark.parametrize(
    ("size", "items", "grown", "left"),
    [
        (-1, b"x" * 1000, 5, 2), (-2, b"x" * 1000, 9, 4), (-5, b"x" * 10_000, 7, 3),
        (-99, b"x" * 10_000, 7, 3),
        (3, b"a", 4, 1), (4, b"a", 5, 2), (0, b"a", 2, 0), (100, b"x" * 1000, 9, 50),
    ],
)  # fmt: skip
def test_lists(size: int, items: bytes, grown: int, left: int) -> None:
    """As t_list.c of 7.2 has it. With `grown` elements it is no listpack any more, with `left` again."""
    local = Local()
    local.do(f"IRONKV THRESHOLDS list-max-listpack-size {size}")
    for count in range(1, grown + 2):
        local.reply([b"RPUSH", b"l", items])
        assert local.do("OBJECT ENCODING l") == (b"quicklist" if count >= grown else b"listpack"), count
    for count in range(grown, 0, -1):
        local.do("LPOP l")
        assert local.do("OBJECT ENCODING l") == (b"quicklist" if count > left else b"listpack"), count


def test_small_sets() -> None:
    """As t_set.c of Redis 7.2 has it."""
    for entries, longest in product((0, 2, 9), (0, 1, 3)):
        local = Local()
        local.do(f"IRONKV THRESHOLDS set-max-listpack-entries {entries} set-max-listpack-value {longest}")
        local.do("SADD s 1 22")
        assert local.do("OBJECT ENCODING s") == b"intset"
        local.do("SADD s x")
        small = entries >= 3 and longest >= 2
        assert local.do("OBJECT ENCODING s") == (b"listpack" if small else b"hashtable")


# -- who has them


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    return make_cluster().boot()


def test_all_nodes_hold_values_alike(cluster: Cluster) -> None:
    leader = cluster.elect()
    client = leader.client()
    assert client.ask("HSET h f 1 g 2", "CONFIG SET hash-max-listpack-entries 1 timeout 9") == [2, b"OK"]
    assert client.ask("HSET i f 1 g 2") == [2]
    assert client.ask("OBJECT ENCODING h", "OBJECT ENCODING i") == [b"listpack", b"hashtable"]
    assert client.ask("CONFIG GET hash-max-ziplist-entries") == [[b"hash-max-ziplist-entries", b"1"]]
    cluster.advance(100)
    cluster.settle()
    digests = {images.digest_of_keyspace(node.keyspace) for node in cluster.nodes.values()}
    assert len(digests) == 1
    assert {node.keyspace.thresholds for node in cluster.nodes.values()} == {Thresholds(hash_entries=1)}
    follower = next(node for node in cluster.nodes.values() if node is not leader)
    (refusal,) = follower.client().ask("CONFIG SET hash-max-listpack-entries 7")
    assert refusal.startswith("-NOTLEADER")
    assert follower.client().ask("CONFIG SET timeout 8", "CONFIG GET hash-max-listpack-entries") == [
        b"OK", [b"hash-max-listpack-entries", b"1"],
    ]  # fmt: skip


def test_in_the_order_of_its_connection(cluster: Cluster) -> None:
    client = cluster.elect().client()
    lines = [
        "SADD a 1",
        "CONFIG SET set-max-intset-entries 0",
        "SADD b 1",
        "OBJECT ENCODING a",
        "OBJECT ENCODING b",
    ]
    assert client.ask(*lines) == [1, b"OK", 1, b"intset", b"listpack"]
    replies = client.ask("MULTI", "CONFIG SET set-max-intset-entries 5", "SET x 1", "EXEC")
    assert "in a transaction" in str(replies[-1][0])
    assert client.ask("CONFIG GET set-max-intset-entries") == [[b"set-max-intset-entries", b"0"]]


def test_an_image_keeps_them() -> None:
    one, other = Keyspace(), Keyspace()
    usual = images.extras(one)
    one.thresholds = Thresholds(list_size=7, stream_bytes=0)
    assert images.extras(one) != usual
    images.load_extras(other, images.extras(one))
    assert other.thresholds == one.thresholds
    images.load_extras(other, usual)
    assert other.thresholds == DEFAULT


def test_one_keyspace_does_not_have_anothers(leader_pair: tuple[VirtualNode, VirtualNode]) -> None:
    """Several in a process, as here: each entry is applied with those of its own."""
    one, other = leader_pair
    assert one.client().ask("CONFIG SET zset-max-listpack-entries 0", "ZADD z 1 a") == [b"OK", 1]
    assert other.client().ask("ZADD z 1 a", "OBJECT ENCODING z") == [1, b"listpack"]
    assert one.client().ask("OBJECT ENCODING z") == [b"skiplist"]


@pytest.fixture
def leader_pair(make_cluster: Maker) -> tuple[VirtualNode, VirtualNode]:
    return make_cluster().boot().elect(), make_cluster().boot().elect()

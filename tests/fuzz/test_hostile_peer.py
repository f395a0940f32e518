"""A peer that said hello and then sends nonsense about snapshots, with right checksums: the node goes on.

(What a peer says in Raft's own messages is believed: Raft does not bear liars, and the cluster's secret keeps
them out.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.node import transfer
from ironkv.storage.snapshots import Manifest
from tests.fuzz.damage import damaged
from tests.node.virtual import Cluster, clusters

KEY = bytes(15)
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.binary(max_size=40),
    st.lists(st.integers(0, 9), max_size=3),
)  # fmt: skip
"""What msgpack can carry."""


def sealed(key: bytes, flags: int, body: bytes) -> bytes:
    head = bytes((1, flags))
    return crc32(body, crc32(head, crc32(key))).to_bytes(4, "little") + head + body


def offer(fields: dict[str, Any]) -> bytes:
    """A manifest of these fields, as whole as can be."""
    index = fields.get("index")
    right = type(index) is int and 0 <= index < 2**64
    return sealed(index.to_bytes(8, "big") if right else bytes(8), 0, msgpack.packb(fields))


GOOD: dict[str, Any] = {
    "index": 500, "term": 1, "base": 0, "stamp_ms": 5, "digest": b"d" * 16, "members": ["node1", "node2"],
    "taken_ms": 0, "took_ms": 0, "keys": 1, "bytes_written": 1,
}  # fmt: skip

manifests = st.builds(
    lambda name, junk, more: offer({**GOOD, name: junk, **more}),
    st.sampled_from(sorted(GOOD)),
    JUNK,
    st.sampled_from([{}, {}, {"later": 1}]),
)
parts = damaged([msgpack.packb((0, [b"k"], [b"v"], [])), msgpack.packb((1, b"k", b"hash", b"listpack", 9))])
bodies = st.builds(lambda slot, part: msgpack.packb([slot, part]), JUNK, st.one_of(parts, JUNK))
pairs = st.builds(
    lambda flags, body: [KEY, sealed(KEY, flags, body)], st.integers(0, 7), st.one_of(bodies, parts)
)
parcels = st.one_of(
    st.builds(lambda packed: [transfer.OFFER, 500, packed], st.one_of(manifests, st.binary(max_size=60))),
    st.builds(lambda after: [transfer.FETCH, 500, after], st.binary(max_size=20)),
    st.builds(
        lambda found, more: [transfer.RECORDS, 500, b"", found, more],
        st.lists(st.one_of(pairs, JUNK), max_size=3),
        st.integers(-1, 3),
    ),
    st.lists(JUNK, max_size=6),
)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = clusters(tmp_path, monkeypatch)
    cluster = next(made)().boot()
    cluster.elect("node1")
    yield cluster
    next(made, None)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sent=st.lists(parcels, max_size=4))
def test_a_leader_that_sends_nonsense(cluster: Cluster, sent: list[list[Any]]) -> None:
    node = cluster.nodes["node2"]
    for parcel in ([transfer.OFFER, 500, offer(GOOD)], *sent):
        node._on_parcel("node1", msgpack.unpackb(msgpack.packb(parcel)))
        cluster.turn()
    assert not node.faults, "the node stopped itself"
    node.storage._receiving.abandon()


def test_a_snapshot_of_a_later_version_is_refused(cluster: Cluster) -> None:
    """T31: an upgrade is under way, and what the leader offers cannot be read here."""
    node = cluster.nodes["node2"]
    node._on_parcel("node1", [transfer.OFFER, 500, offer({**GOOD, "later": 1})])
    assert not node.faults
    assert not node.storage._receiving.active
    assert Manifest.unpacked(offer(GOOD)).index == 500

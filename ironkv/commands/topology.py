"""The nodes as clients of Redis Cluster and Sentinel want to see them: one leader, all others its replicas.

While no leader is known the last one stands for it, as with Redis until a failover has ended: clients that
find no owner of the slots give up, those that find one out of reach ask again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ironkv.commands.connection import leads
from ironkv.commands.session import NodeView
from ironkv.commands.table import Args, Command
from ironkv.errors import CommandError
from ironkv.keyspace.slots import slot_of

if TYPE_CHECKING:
    from ironkv.config import Settings


class Peer(NamedTuple):
    """A node of the cluster, as this one sees it."""

    name: str
    id: bytes
    """40 hex digits, the same on every node and for ever."""
    host: str
    port: int
    cluster_port: int
    is_me: bool
    is_master: bool
    votes: bool
    online: bool
    offset: int
    """Index of the newest entry it is known to have; 0 if this node does not know."""
    lag_ms: int


def id_of(settings: Settings, name: str) -> bytes:
    """A node's id in Redis's form."""
    return hashlib.sha1(f"{settings.cluster.name}/{name}".encode()).hexdigest().encode()


def shard_id(settings: Settings) -> bytes:
    return hashlib.sha1(settings.cluster.name.encode()).hexdigest().encode()


def peers(node: NodeView) -> list[Peer]:
    """All nodes, the master first if there ever was one."""
    settings, raft = node.settings, node.raft_view()
    me = settings.node.id
    master = me if leads(node) else raft["leader"] or raft["last_leader"]
    found = [
        Peer(
            member["id"],
            id_of(settings, member["id"]),
            member["host"],
            member["port"],
            member["cluster_port"],
            member["id"] == me,
            member["id"] == master,
            member["vote"] == "voter",
            member["online"],
            raft["applied"] if member["id"] == me else member["match"] or 0,
            member["lag_ms"] or 0,
        )
        for member in raft["nodes"]
    ]
    return sorted(found, key=lambda peer: not peer.is_master)


def has_leader(node: NodeView) -> bool:
    """Whether a leader is known at this moment."""
    raft: Mapping[str, Any] = node.raft_view()
    return leads(node) or raft["leader"] is not None


def slot_of_request(row: Command, args: Args) -> int:
    """The slot of its first key; 0 for a request without any."""
    try:
        keys = row.key_args(args)
    except CommandError:  # wherever it goes, it is told what is wrong with it
        return 0
    return slot_of(keys[0]) if keys else 0

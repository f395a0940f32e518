"""CLUSTER and ASKING: the cluster in Redis Cluster's terms, for clients that know these.

The leader owns all 16,384 slots and the followers are its replicas; slots never move but with the leadership.
Only with on_follower_write = "redirect" does a node say that it is a Redis Cluster.
"""

from __future__ import annotations

import ipaddress
from itertools import islice
from typing import Final

from ironkv.commands.arguments import integer
from ironkv.commands.help_texts import help_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.commands.topology import Peer, has_leader, id_of, peers, shard_id
from ironkv.errors import CommandError
from ironkv.keyspace.slots import SLOTS, slot_of
from ironkv.resp.replies import OK, Reply

LAST: Final = SLOTS - 1
HELP: Final = help_of(
    "CLUSTER",
    """
COUNT-FAILURE-REPORTS <node-id>
    Return number of failure reports for <node-id>.
COUNTKEYSINSLOT <slot>
    Return the number of keys in <slot>.
GETKEYSINSLOT <slot> <count>
    Return key names stored by current node in a slot.
INFO
    Return information about the cluster.
KEYSLOT <key>
    Return the hash slot for <key>.
MYID
    Return the node id.
MYSHARDID
    Return the node's shard id.
NODES
    Return cluster configuration seen by node. Output format:
    <id> <ip:port@bus-port[,hostname]> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...
REPLICAS <node-id>
    Return <node-id> replicas.
SHARDS
    Return information about slot range mappings and the nodes associated with them.
SLOTS
    Return information about slots range mappings. Each range is made of:
    start, end, master and replicas IP addresses, ports and ids
""",
)


def check_enabled(session: Session) -> None:
    """Raises CommandError on a node that does not present itself as one of Redis Cluster."""
    if not session.node.settings.redirects:
        raise CommandError("ERR This instance has cluster support disabled")


def _slot(text: bytes, complaint: str) -> int:
    slot = integer(text)
    if not 0 <= slot < SLOTS:
        raise CommandError(complaint)
    return slot


def is_address(host: str) -> bool:
    """Whether it is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _line(session: Session, peer: Peer, master: Peer | None) -> bytes:
    """A node's line of CLUSTER NODES.
    https://redis.io/docs/latest/commands/cluster-nodes/#serialization-format"""
    flags = ["myself"] if peer.is_me else []
    flags.append("master" if peer.is_master else "slave")
    if not (peer.online or peer.is_me):
        flags.append("fail?")
    name = "" if is_address(peer.host) else f",{peer.host}"
    words = [
        peer.id.decode(),
        f"{peer.host}:{peer.port}@{peer.cluster_port}{name}",
        ",".join(flags),
        "-" if peer.is_master or master is None else master.id.decode(),
        "0",
        "0",
        str(session.node.raft_view()["term"]),
        "connected" if peer.online or peer.is_me else "disconnected",
        *([f"0-{LAST}"] if peer.is_master else []),
    ]
    return " ".join(words).encode()


def _known(session: Session) -> tuple[Peer | None, list[Peer]]:
    """The master, and all nodes."""
    check_enabled(session)
    found = peers(session.node)
    return (found[0] if found and found[0].is_master else None), found


def _named(session: Session, node_id: bytes) -> tuple[Peer, list[Peer]]:
    """The node with this id, and all nodes. Raises CommandError."""
    found = _known(session)[1]
    for peer in found:
        if peer.id == node_id:
            return peer, found
    raise CommandError(f"ERR Unknown node {node_id.decode('utf-8', 'surrogateescape')}")


@command(
    "CLUSTER",
    -2,
    Route.LOCAL,
    "",
    group="cluster",
    since="3.0.0",
    complexity="Depends on subcommand.",
    summary="A container for Redis Cluster commands.",
)
def cluster(session: Session, args: Args) -> Reply:
    """CLUSTER"""
    raise AssertionError("a subcommand answers")


@command(
    "CLUSTER|SLOTS",
    2,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="3.0.0",
    complexity="O(N) where N is the total number of Cluster nodes",
    summary="Returns the mapping of cluster slots to nodes.",
)
def slots(session: Session, args: Args) -> Reply:
    """CLUSTER SLOTS: one range, its owner and the replicas in reach; nothing before the first leader."""
    master, found = _known(session)
    if master is None:
        return []
    shown: list[Reply] = [0, LAST]
    for peer in found:
        if peer.is_master or peer.is_me or peer.online:
            shown.append([peer.host.encode(), peer.port, peer.id, []])
    return [shown]


@command(
    "CLUSTER|SHARDS",
    2,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="7.0.0",
    complexity="O(N) where N is the total number of cluster nodes",
    summary="Returns the mapping of cluster slots to shards.",
)
def shards(session: Session, args: Args) -> Reply:
    """CLUSTER SHARDS: one shard; offsets are indices of log entries."""
    master, found = _known(session)
    nodes: list[Reply] = []
    for peer in found:
        loading = peer.is_me and session.node.loading
        shown: dict[Reply, Reply] = {
            b"id": peer.id,
            b"port": peer.port,
            b"ip": peer.host.encode(),
            b"endpoint": peer.host.encode(),
        }
        if not is_address(peer.host):
            shown[b"hostname"] = peer.host.encode()
        shown |= {
            b"role": b"master" if peer.is_master else b"replica",
            b"replication-offset": peer.offset,
            b"health": b"loading" if loading else b"online" if peer.online or peer.is_me else b"failed",
        }
        nodes.append(shown)
    shard: dict[Reply, Reply] = {b"slots": [0, LAST] if master is not None else [], b"nodes": nodes}
    return [shard]


@command(
    "CLUSTER|NODES",
    2,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="3.0.0",
    complexity="O(N) where N is the total number of Cluster nodes",
    summary="Returns the cluster configuration for a node.",
)
def nodes(session: Session, args: Args) -> Reply:
    """CLUSTER NODES: a line each; times of pings are not kept, the epoch is the term."""
    master, found = _known(session)
    return b"".join(_line(session, peer, master) + b"\n" for peer in found)


@command(
    "CLUSTER|INFO",
    2,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="3.0.0",
    complexity="O(1)",
    summary="Returns information about the state of a node.",
)
def info(session: Session, args: Args) -> Reply:
    """CLUSTER INFO: `cluster_state` is fail while no leader is known."""
    master, found = _known(session)
    up = has_leader(session.node)
    assigned = SLOTS if master is not None else 0
    term = session.node.raft_view()["term"]
    fields = {
        "cluster_state": "ok" if up else "fail",
        "cluster_slots_assigned": assigned,
        "cluster_slots_ok": assigned if up else 0,
        "cluster_slots_pfail": 0 if up else assigned,
        "cluster_slots_fail": 0,
        "cluster_known_nodes": len(found),
        "cluster_size": int(master is not None),
        "cluster_current_epoch": term,
        "cluster_my_epoch": term,
    }
    return "".join(f"{name}:{value}\r\n" for name, value in fields.items()).encode()


@command(
    "CLUSTER|MYID",
    2,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="3.0.0",
    complexity="O(1)",
    summary="Returns the ID of a node.",
)
def my_id(session: Session, args: Args) -> Reply:
    """CLUSTER MYID"""
    check_enabled(session)
    return id_of(session.node.settings, session.node.settings.node.id)


@command(
    "CLUSTER|MYSHARDID",
    2,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="7.2.0",
    complexity="O(1)",
    summary="Returns the shard ID of a node.",
)
def my_shard_id(session: Session, args: Args) -> Reply:
    """CLUSTER MYSHARDID"""
    check_enabled(session)
    return shard_id(session.node.settings)


@command(
    "CLUSTER|KEYSLOT",
    3,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="3.0.0",
    complexity="O(N) where N is the number of bytes in the key",
    summary="Returns the hash slot for a key.",
)
def key_slot(session: Session, args: Args) -> Reply:
    """CLUSTER KEYSLOT key"""
    check_enabled(session)
    return slot_of(args[2])


@command(
    "CLUSTER|COUNTKEYSINSLOT",
    3,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="3.0.0",
    complexity="O(1)",
    summary="Returns the number of keys in a hash slot.",
)
def count_keys(session: Session, args: Args) -> Reply:
    """CLUSTER COUNTKEYSINSLOT slot: as this node has it, dead keys that are not purged yet included."""
    check_enabled(session)
    return len(session.node.keyspace.database(0).values[_slot(args[2], "ERR Invalid slot")])


@command(
    "CLUSTER|GETKEYSINSLOT",
    4,
    Route.LOCAL,
    "stale",
    group="cluster",
    since="3.0.0",
    complexity="O(N) where N is the number of requested keys",
    summary="Returns the key names in a hash slot.",
)
def keys_in_slot(session: Session, args: Args) -> Reply:
    """CLUSTER GETKEYSINSLOT slot count: as COUNTKEYSINSLOT."""
    check_enabled(session)
    complaint = "ERR Invalid slot or number of keys"
    slot, most = _slot(args[2], complaint), integer(args[3])
    if most < 0:
        raise CommandError(complaint)
    return [*islice(session.node.keyspace.database(0).values[slot], most)]


def _replicas(session: Session, args: Args) -> Reply:
    peer, found = _named(session, args[2])
    if not peer.is_master:
        raise CommandError("ERR The specified node is not a master")
    return [_line(session, each, peer) for each in found if not each.is_master]


@command(
    "CLUSTER|REPLICAS",
    3,
    Route.LOCAL,
    "admin stale",
    group="cluster",
    since="5.0.0",
    complexity="O(N) where N is the number of replicas.",
    summary="Lists the replica nodes of a master node.",
)
def replicas(session: Session, args: Args) -> Reply:
    """CLUSTER REPLICAS node-id: lines of CLUSTER NODES."""
    return _replicas(session, args)


@command(
    "CLUSTER|SLAVES",
    3,
    Route.LOCAL,
    "admin stale",
    group="cluster",
    since="3.0.0",
    complexity="O(N) where N is the number of replicas.",
    summary="Lists the replica nodes of a master node.",
)
def slaves(session: Session, args: Args) -> Reply:
    """CLUSTER SLAVES node-id: the same under its old name."""
    return _replicas(session, args)


@command(
    "CLUSTER|COUNT-FAILURE-REPORTS",
    3,
    Route.LOCAL,
    "admin stale",
    group="cluster",
    since="3.0.0",
    complexity="O(1)",
    summary="Returns the number of active failure reports active for a node.",
)
def count_failure_reports(session: Session, args: Args) -> Reply:
    """CLUSTER COUNT-FAILURE-REPORTS node-id: 1 if this node does not reach it; others do not report."""
    peer = _named(session, args[2])[0]
    return int(not (peer.online or peer.is_me))


@command(
    "CLUSTER|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="cluster",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def cluster_help(session: Session, args: Args) -> Reply:
    """CLUSTER HELP"""
    check_enabled(session)
    return HELP


@command(
    "ASKING",
    1,
    Route.LOCAL,
    "fast",
    group="cluster",
    since="3.0.0",
    complexity="O(1)",
    summary="Signals that a cluster client is following an -ASK redirect.",
    categories="connection",
)
def asking(session: Session, args: Args) -> Reply:
    """ASKING: nobody is ever asked to ask, for no slot is ever under way between nodes."""
    check_enabled(session)
    return OK

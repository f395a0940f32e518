"""SENTINEL: every node answers on its client port as a Sentinel would that watches this cluster.

The master goes by the cluster's name, and by `mymaster`. When another node leads, each node publishes
`+switch-master` to its own subscribers. https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ironkv.commands.help_texts import help_of
from ironkv.commands.session import NodeView, Session
from ironkv.commands.table import Args, Route, command
from ironkv.commands.topology import Peer, has_leader, id_of, peers
from ironkv.errors import CommandError
from ironkv.resp.replies import NULL_ARRAY, Reply, Status

if TYPE_CHECKING:
    from ironkv.config import Settings

USUAL_NAME: Final = b"mymaster"
HELP: Final = help_of(
    "SENTINEL",
    """
CKQUORUM <master-name>
    Check if the current Sentinel configuration is able to reach the quorum
    needed to failover a master and the majority needed to authorize the
    failover.
GET-MASTER-ADDR-BY-NAME <master-name>
    Return the ip and port number of the master with that name.
MASTER <master-name>
    Show the state and info of the specified master.
MASTERS
    Show a list of monitored masters and their state.
MYID
    Return the ID of the Sentinel instance.
REPLICAS <master-name>
    Show a list of replicas for this master and their state.
SENTINELS <master-name>
    Show a list of Sentinel instances for this master and their state.
""",
)


def master_names(settings: Settings) -> list[bytes]:
    """What clients may call the master."""
    return [*dict.fromkeys((settings.cluster.name.encode(), USUAL_NAME))]


def _check_name(session: Session, name: bytes) -> None:
    if name not in master_names(session.node.settings):
        raise CommandError("ERR No such master with that name")


def _quorum(found: list[Peer]) -> int:
    return sum(peer.votes for peer in found) // 2 + 1


def _described(node: NodeView, name: bytes, peer: Peer, role: str, flags: list[str]) -> dict[Reply, Reply]:
    """The fields that every kind of instance has."""
    online = peer.online or peer.is_me
    if not online:
        flags = [*flags, "s_down", "disconnected"]
    return {
        b"name": name,
        b"ip": peer.host.encode(),
        b"port": b"%d" % peer.port,
        b"runid": peer.id,
        b"flags": ",".join([role, *flags]).encode(),
        b"last-ok-ping-reply": b"%d" % peer.lag_ms,
        b"down-after-milliseconds": b"%d" % node.settings.raft.election_timeout_ms,
    }


def _master(node: NodeView, name: bytes) -> dict[Reply, Reply] | None:
    """The master under this name; None before there ever was one."""
    found = peers(node)
    if not found or not found[0].is_master:
        return None
    flags = [] if has_leader(node) else ["s_down", "o_down"]
    return {
        **_described(node, name, found[0], "master", flags),
        b"role-reported": b"master",
        b"config-epoch": b"%d" % node.raft_view()["term"],
        b"num-slaves": b"%d" % (len(found) - 1),
        b"num-other-sentinels": b"%d" % (len(found) - 1),
        b"quorum": b"%d" % _quorum(found),
    }


@command(
    "SENTINEL",
    -2,
    Route.LOCAL,
    "",
    group="sentinel",
    since="2.8.4",
    complexity="Depends on subcommand.",
    summary="A container for Redis Sentinel commands.",
)
def sentinel(session: Session, args: Args) -> Reply:
    """SENTINEL"""
    raise AssertionError("a subcommand answers")


@command(
    "SENTINEL|GET-MASTER-ADDR-BY-NAME",
    3,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="2.8.4",
    complexity="O(1)",
    summary="Returns the port and address of a master Redis instance.",
)
def get_master(session: Session, args: Args) -> Reply:
    """SENTINEL GET-MASTER-ADDR-BY-NAME master-name: null while no leader is known, so that clients ask on."""
    node = session.node
    if args[2] not in master_names(node.settings) or not has_leader(node):
        return NULL_ARRAY
    master = peers(node)[0]
    if not master.is_master:  # it leads until its own removal is committed
        return NULL_ARRAY
    return [master.host.encode(), b"%d" % master.port]


@command(
    "SENTINEL|MASTERS",
    2,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="2.8.4",
    complexity="O(N) where N is the number of masters",
    summary="Returns a list of monitored Redis masters.",
)
def masters(session: Session, args: Args) -> Reply:
    """SENTINEL MASTERS: the one, under each of its names."""
    shown = [_master(session.node, name) for name in master_names(session.node.settings)]
    return [each for each in shown if each is not None]


@command(
    "SENTINEL|MASTER",
    3,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="2.8.4",
    complexity="O(1)",
    summary="Returns the state of a master Redis instance.",
)
def master(session: Session, args: Args) -> Reply:
    """SENTINEL MASTER master-name"""
    _check_name(session, args[2])
    shown = _master(session.node, args[2])
    if shown is None:
        raise CommandError("ERR No such master with that name")
    return shown


def _replicas(session: Session, args: Args) -> Reply:
    _check_name(session, args[2])
    node = session.node
    found = peers(node)
    host, port = (found[0].host, found[0].port) if found and found[0].is_master else ("?", 0)
    shown: list[Reply] = []
    for peer in found:
        if not peer.is_master:
            link_up = has_leader(node) and (peer.online or peer.is_me)
            described = _described(node, f"{peer.host}:{peer.port}".encode(), peer, "slave", [])
            described |= {
                b"role-reported": b"slave",
                b"master-link-status": b"ok" if link_up else b"err",
                b"master-host": host.encode(),
                b"master-port": b"%d" % port,
                b"slave-repl-offset": b"%d" % peer.offset,
            }
            shown.append(described)
    return shown


@command(
    "SENTINEL|REPLICAS",
    3,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="5.0.0",
    complexity="O(N) where N is the number of replicas",
    summary="Returns a list of the monitored Redis replicas.",
)
def replicas(session: Session, args: Args) -> Reply:
    """SENTINEL REPLICAS master-name"""
    return _replicas(session, args)


@command(
    "SENTINEL|SLAVES",
    3,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="2.8.0",
    complexity="O(N) where N is the number of replicas",
    summary="Returns a list of the monitored replicas.",
)
def slaves(session: Session, args: Args) -> Reply:
    """SENTINEL SLAVES master-name: the same under its old name."""
    return _replicas(session, args)


@command(
    "SENTINEL|SENTINELS",
    3,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="2.8.4",
    complexity="O(N) where N is the number of Sentinels",
    summary="Returns a list of Sentinel instances.",
)
def sentinels(session: Session, args: Args) -> Reply:
    """SENTINEL SENTINELS master-name: all nodes but this one."""
    _check_name(session, args[2])
    node = session.node
    others = [peer for peer in peers(node) if not peer.is_me]
    return [_described(node, peer.id, peer, "sentinel", []) for peer in others]


@command(
    "SENTINEL|CKQUORUM",
    3,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="2.8.4",
    complexity="O(N) where N is the number of nodes",
    summary="Checks for a Redis Sentinel quorum.",
)
def check_quorum(session: Session, args: Args) -> Reply:
    """SENTINEL CKQUORUM master-name: whether this node reaches a majority, itself included."""
    _check_name(session, args[2])
    found = peers(session.node)
    usable = sum(peer.votes and (peer.online or peer.is_me) for peer in found)
    if usable < _quorum(found):
        raise CommandError(
            f"NOQUORUM {usable} usable Sentinels. Not enough available Sentinels to reach the majority and "
            "authorize a failover"
        )
    return Status(b"OK %d usable Sentinels. Quorum and failover authorization can be reached" % usable)


@command(
    "SENTINEL|MYID",
    2,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns the Redis Sentinel instance ID.",
)
def my_id(session: Session, args: Args) -> Reply:
    """SENTINEL MYID"""
    return id_of(session.node.settings, session.node.settings.node.id)


@command(
    "SENTINEL|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="sentinel",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def sentinel_help(session: Session, args: Args) -> Reply:
    """SENTINEL HELP"""
    return HELP

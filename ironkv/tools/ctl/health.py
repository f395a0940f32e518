"""The cluster as a whole: who is there, who leads, who reaches whom, versions, clocks, who may come in."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from ironkv.tools.ctl.findings import Finding, fine, trouble, warning
from ironkv.tools.ctl.seen import Seen, leader_of
from ironkv.tools.ctl.status import remark

PARAMETERS: Final = (
    "bind", "requirepass", "protected-mode", "cluster.enabled", "cluster.secret", "cluster.secret_file",
    "tls-cluster", "maxclients",
)  # fmt: skip
CLOCKS_S: Final = 1.0
"""Clocks that are kept at all are within milliseconds of each other."""
NEAR: Final = 0.9


def judge(nodes: Sequence[Seen]) -> Iterator[Finding]:
    there = [node for node in nodes if not node.why]
    yield from _reach(nodes)
    yield from _leader(there)
    yield from _links(there)
    yield from _state(there)
    yield from _versions(there)
    yield from _clocks(there)
    yield from _clients(there)
    yield from _doors(there)


def _reach(nodes: Sequence[Seen]) -> Iterator[Finding]:
    away = [node for node in nodes if node.why]
    for node in away:
        yield trouble("reach", f"{node.id} does not answer ({node.why})")
    spare = (len(nodes) - 1) // 2 - len(away)
    if len(nodes) == 1:
        yield warning(
            "reach", "this node stands alone: when it is down nothing is served, and its disk is all there is"
        )
    elif spare < 0:
        yield trouble(
            "reach", f"{len(away)} of {len(nodes)} are away: there is no majority, nothing can be written"
        )
    elif away and spare == 0:
        yield trouble("reach", "one more node lost and nothing can be written")
    elif len(nodes) % 2 == 0:
        yield warning(
            "reach",
            f"{len(nodes)} nodes bear the loss of no more than {len(nodes) - 1} would: use an odd number",
        )
    elif not away:
        yield fine("reach", f"all {len(nodes)} nodes answer")


def _leader(there: Sequence[Seen]) -> Iterator[Finding]:
    leader = leader_of(there)
    others = {node.info.get("raft_leader") for node in there} - {leader.id if leader else None}
    if leader is None:
        yield trouble(
            "leader",
            "there is none: nothing can be written. Are enough nodes up, and do they reach each other?",
        )
    elif others:
        yield warning(
            "leader", f"{leader.id} leads, and not all nodes say so; if that stays, see who reaches whom"
        )
    else:
        yield fine("leader", f"{leader.id}, in term {leader.number('raft_term')}")


def _links(there: Sequence[Seen]) -> Iterator[Finding]:
    """The nodes tell whether their cluster ports reach each other: from here they may well be walled off."""
    here = {node.id for node in there}
    cut = [(node.id, str(each["id"])) for node in there for each in node.members if not each["online"]]
    among = [(one, other) for one, other in cut if other in here]
    for one, other in among:
        yield trouble(
            "links", f"{one} has no connection with {other}, though both run: is {other}'s cluster port open for "
            "it, are cluster.name, the secret and the certificates the same?",
        )  # fmt: skip
    if len(there) > 1 and not among:
        yield fine("links", "the nodes reach each other")


def _state(there: Sequence[Seen]) -> Iterator[Finding]:
    for node in there:
        if (what := remark(node)) and not what.startswith("does not reach"):
            yield trouble("state", f"{node.id}: {what}")


def _versions(there: Sequence[Seen]) -> Iterator[Finding]:
    versions: dict[str, list[str]] = {}
    for node in there:
        versions.setdefault(node.info.get("ironkv_version", "unknown"), []).append(node.id)
    if len(versions) > 1:
        shown = "; ".join(f"{version} on {', '.join(ids)}" for version, ids in sorted(versions.items()))
        yield warning("versions", f"they differ: {shown}. That is for the time of an upgrade: finish it")
    elif there:
        yield fine("versions", f"{next(iter(versions))} on all of them")


def _clocks(there: Sequence[Seen]) -> Iterator[Finding]:
    """Each compared with the median; what the way to a node and back took is taken off."""
    offsets = {
        node.id: node.number("host_clock_usec") - node.asked_us
        for node in there
        if "host_clock_usec" in node.info
    }
    if len(offsets) < 2:
        return
    middle = statistics.median_low(offsets.values())
    doubt = {node.id: node.uncertain_us for node in there}
    off = {
        name: (offset - middle) / 1e6
        for name, offset in offsets.items()
        if abs(offset - middle) > doubt[name]
    }
    bad = {name: seconds for name, seconds in off.items() if abs(seconds) > CLOCKS_S}
    for name, seconds in bad.items():
        yield warning(
            "clocks", f"{name}'s is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} the others': is its time "
            "service (chrony, systemd-timesyncd) running? Keys live by the cluster's own time, a median of all clocks, so "
            "one that is wrong does no harm; two that are would. Logs and EXPIREAT of clients go by the wrong time",
        )  # fmt: skip
    if not bad:
        worst = max((abs(seconds) for seconds in off.values()), default=0.0)
        yield fine("clocks", f"within {max(1000 * worst, 1):.0f} ms of each other")


def _clients(there: Sequence[Seen]) -> Iterator[Finding]:
    for node in there:
        now, most = node.number("connected_clients"), node.number("maxclients")
        if most > 0 and now > NEAR * most:
            yield warning(
                "clients",
                f"{node.id} has {now:,} of {most:,}: soon others are refused. A pool that leaks, or too small a maxclients?",
            )


def _doors(there: Sequence[Seen]) -> Iterator[Finding]:
    """Who may come in from other machines."""
    exposed = [node for node in there if node.config and not _loopback(node.config.get("bind", ""))]
    for node in exposed:
        given = node.config
        if not given.get("requirepass"):
            if given.get("protected-mode") == "no":
                yield trouble(
                    "doors", f"{node.id} serves whoever reaches it: no password, and protected-mode is off"
                )
            else:
                yield warning(
                    "doors",
                    f"{node.id} has no password: clients of other machines are refused (protected-mode)",
                )
        secret = (
            given.get("cluster.secret")
            or given.get("cluster.secret_file")
            or given.get("tls-cluster") == "yes"
        )
        if given.get("cluster.enabled") == "yes" and not secret:
            yield warning(
                "doors",
                f"{node.id}: whoever reaches its cluster port can be a node: set cluster.secret_file or tls.cluster",
            )


def _loopback(bind: str) -> bool:
    try:
        return ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"

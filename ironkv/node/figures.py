"""All that a node tells of itself at a moment, as plain data: what /status, /metrics and the console show.

Taken on the node's loop, so it costs what it copies: well under a millisecond.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ironkv.commands.info_sections import memory
from ironkv.commands.table import every
from ironkv.config import http_port_of

if TYPE_CHECKING:
    from ironkv.node.node import Node


def figures(node: Node) -> dict[str, Any]:
    """Seconds and bytes, unless the name says otherwise."""
    view = node.view
    commands_s, in_s, out_s = view.rates()
    return {
        "id": node.settings.node.id,
        "version": view.version,
        "run_id": view.run_id,
        "pid": os.getpid(),
        "time": time.time(),
        "uptime": view.monotonic() - view.started,
        "cluster": node.settings.cluster.name if node.settings.cluster.enabled else None,
        "loading": node.loading,
        "recovered": view.recovered,
        "recovery_seconds": view.recovery_s,
        "stopping": node.stopping,
        "raft": _raft(node),
        "nodes": _nodes(node),
        "clients": _clients(node),
        "limited": _limited(node),
        "relayed": relayed(node),
        "commands": {"processed": view.commands_processed, "per_second": commands_s},
        "calls": _calls(),
        "errors": dict(view.errors),
        "network": {
            "in": view.bytes_in, "out": view.bytes_out, "in_per_second": in_s, "out_per_second": out_s
        },
        "memory": _memory(node),
        "keys": [
            {"db": database.index, "keys": len(database), "expires": database.deadline_count()}
            for database in node.keyspace.used()
        ],
        "expired": node.keyspace.expired,
        "journal": dict(view.journal_view()),
        "snapshot": dict(view.snapshot_view()),
        "histograms": _histograms(node),
    }  # fmt: skip


def _raft(node: Node) -> dict[str, Any]:
    meter = node.meter
    seen = {
        name: value
        for name, value in node.view.raft_view().items()
        if name not in ("nodes", "leader_address")
    }
    return {
        **seen,
        "durable": node.durable_index() if not node.loading else seen["last_index"],
        "elections": meter.elections,
        "elections_won": meter.elections_won,
        "leader_changes": meter.leader_changes,
        "proposals": meter.proposals,
        "proposals_refused": meter.proposals_refused,
        "in_flight_bytes": node.proposals.bytes,
        "lease": not node.loading and node.is_current(),
    }


def _nodes(node: Node) -> list[dict[str, Any]]:
    """The members, the lag of each as the leader knows it: entries it has not on disk yet."""
    raft = node.view.raft_view()
    if node.loading:
        return []
    ports = {member.id: member.http_port for member in node.settings.cluster.nodes}
    ports[node.settings.node.id] = node.settings.http.port
    return [
        {
            **member,
            "http_port": ports.get(member["id"]) or http_port_of(member["port"]),
            "lag": None if member["match"] is None else raft["last_index"] - member["match"],
        }
        for member in raft["nodes"]
    ]


def _calls() -> dict[str, dict[str, Any]]:
    """By command: what became of its calls, and how many took up to so many microseconds."""
    return {
        row.lower_name: {
            "calls": row.usage.count,
            "seconds": row.usage.ns / 1e9,
            "rejected": row.usage.rejected,
            "failed": row.usage.failed,
            "buckets": list(row.usage.doublings()),
        }
        for row in every()
        if row.usage.counts or row.usage.rejected or row.usage.failed
    }


def _clients(node: Node) -> dict[str, int]:
    view, sessions = node.view, node.dispatch.connections.values()
    return {
        "connected": len(sessions),
        "most": node.settings.limits.maxclients,
        "blocked": sum(each.blocked for each in sessions),
        "subscribed": sum(each.subscriptions is not None for each in sessions),
        "received": view.connections_received,
        "rejected": view.connections_rejected,
    }


def _limited(node: Node) -> dict[str, Any]:
    """What rate limits there are (0: none), what they have refused, of how many they know."""
    rates = node.dispatch.rates
    return {
        "rates": rates.rates._asdict(),
        "commands": dict(rates.limited),
        "bytes": rates.limited_bytes,
        "known": rates.known,
    }


def relayed(node: Node) -> dict[str, int]:
    """What this node's clients have the leader do, and the clients that others have here."""
    forwarding, here = node.dispatch.forwarding, len(node.dispatch.relayed)
    if forwarding is None:
        return {"sessions": 0, "waiting": 0, "requests": 0, "unknown": 0, "sessions_here": here}
    return {
        "sessions": len(forwarding),
        "waiting": forwarding.waiting,
        "requests": forwarding.requests,
        "unknown": forwarding.unknown,
        "sessions_here": here,
    }


def _memory(node: Node) -> dict[str, Any]:
    seen = dict(memory(node.view))
    return {"resident": seen["used_memory_rss"], "peak": seen["used_memory_peak"]}


def _histograms(node: Node) -> dict[str, dict[str, Any]]:
    meter = node.meter
    return {
        name: {"sum": histogram.total, "buckets": list(histogram.doublings())}
        for name, histogram in (
            ("commit_us", meter.commits),
            ("apply_us", meter.applies),
            ("journal_us", node.storage.writer.took),
            ("loop_late_us", meter.late),
            ("batch_commands", meter.batches),
        )
    }

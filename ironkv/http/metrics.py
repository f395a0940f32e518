"""Figures as Prometheus reads them. Nothing is counted here: the node counts, and is asked when scraped.

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

Figures = Mapping[str, Any]

ROLES: Final = ("follower", "candidate", "leader")
DOUBLINGS: Final = range(1, 27)
"""Buckets of the histograms: 2ⁿ - 1 microseconds, from 1 µs to 67 s; or commands."""
COUNT_DOUBLINGS: Final = range(1, 14)


class Collected(Collector):
    """One node's figures of a moment."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for part in (_node, _raft, _commands, _clients, _keyspace, _journal, _snapshots, _times):
            yield from part(self._figures)


def render(figures: Figures, accept: str = "") -> tuple[bytes, str]:
    """The page and its content type: OpenMetrics for who accepts it, else Prometheus's text."""
    registry = CollectorRegistry()
    registry.register(Collected(figures))
    registry.register(ProcessCollector(registry=None))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ironkv_{name}", what, value=float(value))


def _count(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"ironkv_{name}", what, value=float(value))


def _labelled(family: type[Metric], name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    metric: Any = family(f"ironkv_{name}", what, labels=[label])  # type: ignore[call-arg]
    for key, value in values.items():
        metric.add_metric([key], float(value))
    return metric  # type: ignore[no-any-return]


def _histogram(
    name: str, what: str, figures: Mapping[str, Any], unit: float = 1e6, doublings: range = DOUBLINGS
) -> Metric:
    """`unit`: so many of the figure's units are one of the metric's."""
    metric = HistogramMetricFamily(f"ironkv_{name}", what)
    metric.add_metric([], _buckets(figures["buckets"], unit, doublings), figures["sum"] / unit)
    return metric


def _buckets(seen: Sequence[Sequence[int]], unit: float, doublings: range) -> list[tuple[str, float]]:
    """Cumulative counts at fixed bounds: Prometheus compares each bound with its own past."""
    buckets, at, so_far = [], 0, 0
    for doubling in doublings:
        most = (1 << doubling) - 1
        while at < len(seen) and seen[at][0] <= most:
            so_far = seen[at][1]
            at += 1
        buckets.append((str(most / unit), float(so_far)))
    buckets.append(("+Inf", float(seen[-1][1] if seen else 0)))
    return buckets


def _node(figures: Figures) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "ironkv_info", "Which node this is; always 1.", labels=["id", "version", "cluster"]
    )
    info.add_metric([figures["id"], figures["version"], figures["cluster"] or ""], 1)
    yield info
    yield _gauge("uptime_seconds", "Time since the node started.", figures["uptime"])
    yield _gauge("loading", "1 while the state is recovered from disk.", figures["loading"])
    yield _gauge(
        "recovery_seconds", "What recovering the state took at the start.", figures["recovery_seconds"]
    )
    memory = figures["memory"]
    yield _gauge("memory_resident_bytes", "Memory of the process.", memory["resident"])
    yield _gauge("memory_peak_bytes", "The most memory the process has had.", memory["peak"])


def _raft(figures: Figures) -> Iterator[Metric]:
    raft = figures["raft"]
    roles = {role: role == raft["role"] for role in ROLES}
    yield _labelled(GaugeMetricFamily, "raft_role", "1 for the role this node has.", "role", roles)
    yield _gauge("raft_term", "The current term.", raft["term"])
    yield _gauge("raft_has_leader", "1 if a leader is known.", bool(raft["leader"]))
    yield _gauge("raft_lease", "1 if reads are served from memory without asking anybody.", raft["lease"])
    yield _gauge("raft_fresh", "1 while a new or lost disk has not caught up.", raft["fresh"])
    yield _gauge("raft_last_index", "The newest entry of the log.", raft["last_index"])
    yield _gauge("raft_durable_index", "The newest entry that is on this disk.", raft["durable"])
    yield _gauge("raft_commit_index", "The newest entry known to be committed.", raft["commit"])
    yield _gauge("raft_applied_index", "The newest entry that is applied.", raft["applied"])
    yield _count("raft_elections_total", "Elections this node has called.", raft["elections"])
    yield _count("raft_elections_won_total", "Elections this node has won.", raft["elections_won"])
    yield _count("raft_leader_changes_total", "How often another leader was seen.", raft["leader_changes"])
    yield _count("raft_proposals_total", "Batches of writes that became entries.", raft["proposals"])
    yield _count(
        "raft_proposals_refused_total", "Batches of writes that were not done.", raft["proposals_refused"]
    )
    yield _gauge("raft_proposals_bytes", "Bytes of writes gathered or in flight.", raft["in_flight_bytes"])
    others = [each for each in figures["nodes"] if each["id"] != figures["id"]]
    online = {each["id"]: each["online"] for each in others}
    yield _labelled(
        GaugeMetricFamily, "peer_online", "1 if this node is connected with the other.", "peer", online
    )
    lag = {each["id"]: each["lag"] for each in others if each["lag"] is not None}
    yield _labelled(
        GaugeMetricFamily,
        "follower_lag_entries",
        "Entries a follower has not on disk (leader only).",
        "peer",
        lag,
    )
    silent = {each["id"]: each["lag_ms"] / 1000 for each in others if each["lag_ms"] is not None}
    yield _labelled(
        GaugeMetricFamily,
        "follower_silent_seconds",
        "Since a follower was heard of (leader only).",
        "peer",
        silent,
    )


def _commands(figures: Figures) -> Iterator[Metric]:
    yield _count(
        "commands_processed_total", "Commands received from clients.", figures["commands"]["processed"]
    )
    yield from _by_command(figures["calls"])
    yield _labelled(
        CounterMetricFamily,
        "error_replies_total",
        "Error replies, by their first word.",
        "code",
        figures["errors"],
    )
    network = figures["network"]
    yield _count("network_received_bytes_total", "Bytes of requests.", network["in"])
    yield _count("network_sent_bytes_total", "Bytes of replies.", network["out"])


def _by_command(calls: Figures) -> Iterator[Metric]:
    outcomes = CounterMetricFamily(
        "ironkv_commands_total",
        "Calls by command: done; done and answered with an error; refused before.",
        labels=["command", "outcome"],
    )
    seconds = HistogramMetricFamily(
        "ironkv_command_seconds", "Time spent on a call, waiting excluded.", labels=["command"]
    )
    for name, each in calls.items():
        outcomes.add_metric([name, "ok"], max(each["calls"] - each["failed"], 0))
        outcomes.add_metric([name, "failed"], each["failed"])
        outcomes.add_metric([name, "rejected"], each["rejected"])
        seconds.add_metric([name], _buckets(each["buckets"], 1e6, DOUBLINGS), each["seconds"])
    yield outcomes
    yield seconds


def _clients(figures: Figures) -> Iterator[Metric]:
    clients = figures["clients"]
    yield _gauge("clients_connected", "Clients connected now.", clients["connected"])
    yield _gauge("clients_limit", "maxclients.", clients["most"])
    yield _gauge("clients_blocked", "Clients that wait for a key, or in a pause.", clients["blocked"])
    yield _gauge("clients_subscribed", "Clients that are subscribed to something.", clients["subscribed"])
    yield _count("connections_received_total", "Connections accepted.", clients["received"])
    yield _count("connections_rejected_total", "Connections refused for maxclients.", clients["rejected"])
    yield from _limits(figures["limited"])
    yield from _relayed(figures["relayed"])


def _limits(limited: Figures) -> Iterator[Metric]:
    refused = "Requests refused by a rate limit, of an address or of a user."
    yield _labelled(CounterMetricFamily, "limited_total", refused, "by", limited["commands"])
    yield _count("limited_bytes_total", "Bytes of these requests.", limited["bytes"])
    yield _gauge("rate_limit_known", "Addresses and users that account is kept of.", limited["known"])
    allowed = GaugeMetricFamily(
        "ironkv_rate_limit", "What is allowed a second; 0: no bound.", labels=["by", "unit"]
    )
    for by in ("address", "user"):
        for unit in ("commands", "bytes"):
            allowed.add_metric([by, unit], limited["rates"][f"{by}_{unit}"])
    yield allowed


def _relayed(relayed: Figures) -> Iterator[Metric]:
    yield _gauge("relay_sessions", "Clients that the leader has a session for.", relayed["sessions"])
    yield _gauge("relay_sessions_served", "Sessions for clients of other nodes.", relayed["sessions_here"])
    yield _gauge("relay_clients_waiting", "Clients whose requests wait for a leader.", relayed["waiting"])
    yield _count("relay_requests_total", "Requests sent to a leader for clients here.", relayed["requests"])
    yield _count("relay_unknown_total", "Of these, writes whose outcome is unknown.", relayed["unknown"])


def _keyspace(figures: Figures) -> Iterator[Metric]:
    by_db = {str(each["db"]): each for each in figures["keys"]}
    keys = {db: each["keys"] for db, each in by_db.items()}
    expires = {db: each["expires"] for db, each in by_db.items()}
    yield _labelled(GaugeMetricFamily, "keys", "Keys.", "db", keys)
    yield _labelled(GaugeMetricFamily, "keys_expiring", "Keys that have a deadline.", "db", expires)
    yield _count("expired_keys_total", "Keys whose deadline has come.", figures["expired"])


def _journal(figures: Figures) -> Iterator[Metric]:
    journal, snapshot = figures["journal"], figures["snapshot"]
    yield _gauge("journal_bytes", "What the journal takes on disk.", journal["bytes_used"])
    yield _gauge("journal_free_bytes", "Of this, what can be used again.", journal["bytes_free"])
    yield _gauge("journal_limit_bytes", "The most it may take (journal.map_size).", journal["bytes_mapped"])
    yield _gauge("journal_first_index", "The oldest entry that is kept.", journal["first_index"])
    yield _gauge("journal_waits", "1 while a write waits for room on the disk.", snapshot["journal_waits"])
    yield _gauge("writes_refused", "1 while commands that add data are refused.", bool(snapshot["lacking"]))


def _snapshots(figures: Figures) -> Iterator[Metric]:
    snapshot = figures["snapshot"]
    yield _gauge("snapshot_index", "The entry the newest snapshot ends with.", snapshot["index"])
    yield _gauge("snapshot_bytes", "What snapshots take on disk.", snapshot["bytes_used"])
    yield _gauge("snapshot_in_progress", "1 while one is taken.", snapshot["in_progress"])
    yield _gauge("snapshot_failed", "1 if the last one failed.", bool(snapshot["error"]))
    yield _gauge("snapshot_last_seconds", "How long the last one took.", snapshot["last_took_ms"] / 1000)
    yield _gauge("snapshot_last_written_bytes", "What the last one wrote.", snapshot["last_bytes_written"])
    yield _gauge(
        "snapshot_timestamp_seconds", "When the last one was taken (Unix time).", snapshot["saved_s"]
    )
    yield _gauge("snapshot_changes_since", "Changes of keys since.", snapshot["changes_since"])


def _times(figures: Figures) -> Iterator[Metric]:
    seen = figures["histograms"]
    yield _histogram("commit_seconds", "From a batch's proposal to its commit (leader).", seen["commit_us"])
    yield _histogram("apply_seconds", "Applying a turn's committed entries.", seen["apply_us"])
    yield _histogram("journal_write_seconds", "A write of the journal, fsync included.", seen["journal_us"])
    yield _histogram("loop_late_seconds", "How late the loop came to its timer.", seen["loop_late_us"])
    yield _histogram("batch_commands", "Commands in a batch.", seen["batch_commands"], 1, COUNT_DOUBLINGS)

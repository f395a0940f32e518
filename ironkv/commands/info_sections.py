"""The sections of INFO: Redis's field names, each with what is true of this node or left out."""

from __future__ import annotations

import os
import platform
import resource
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from ironkv.commands.connection import REDIS_VERSION, leads
from ironkv.commands.permissions import Reason
from ironkv.commands.session import NodeView
from ironkv.commands.subscriptions import Kind
from ironkv.commands.table import every

Fields: TypeAlias = Iterator[tuple[str, object]]
Section: TypeAlias = Callable[[NodeView], Fields]

DAY_S: Final = 86_400
_UNITS: Final = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


def human(size: int) -> str:
    """Bytes as Redis abbreviates them (bytesToHuman): `1.20M`."""
    for unit, letter in _UNITS:
        if size >= unit:
            return f"{size / unit:.2f}{letter}"
    return f"{size}B"


def _sized(name: str, size: int) -> Fields:
    yield name, size
    yield f"{name}_human", human(size)


def server(node: NodeView) -> Fields:
    uptime_s, system = node.uptime_s(), platform.uname()
    yield "redis_version", REDIS_VERSION
    yield "ironkv_version", node.version
    yield "ironkv_node_id", node.settings.node.id
    yield "redis_mode", "cluster" if node.settings.redirects else "standalone"
    yield "os", f"{system.system} {system.release} {system.machine}"
    yield "arch_bits", 8 * struct.calcsize("P")
    yield "monotonic_clock", "POSIX clock_gettime"
    yield "process_id", os.getpid()
    yield "run_id", node.run_id
    yield "tcp_port", node.settings.server.port
    yield "server_time_usec", node.clock_us()
    yield "uptime_in_seconds", uptime_s
    yield "uptime_in_days", uptime_s // DAY_S
    yield "config_file", node.config_file


def clients(node: NodeView) -> Fields:
    yield "connected_clients", len(node.sessions)
    yield "maxclients", node.settings.limits.maxclients
    yield "blocked_clients", sum(session.blocked for session in node.sessions.values())
    yield "tracking_clients", 0
    yield "pubsub_clients", sum(session.subscriptions is not None for session in node.sessions.values())
    keys, keys_until_gone = node.blocking_keys()
    yield "total_blocking_keys", keys
    yield "total_blocking_keys_on_nokey", keys_until_gone


def memory(node: NodeView) -> Fields:
    """Python does not say what of a process's memory is in use, so `used_memory` is all it holds."""
    resident, peak = resident_bytes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = max(peak, resident)
    yield from _sized("used_memory", resident)
    yield from _sized("used_memory_rss", resident)
    yield from _sized("used_memory_peak", peak)
    yield "used_memory_peak_perc", f"{100 * resident / peak:.2f}%"
    yield from _sized("total_system_memory", _pages("SC_PHYS_PAGES"))
    yield from _sized("maxmemory", node.settings.limits.maxmemory)
    yield "maxmemory_policy", "noeviction"
    yield "number_of_cached_scripts", len(node.keyspace.scripts)


def _pages(name: str) -> int:
    return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """What this process holds in memory."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux: the peak is the best that can be known
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def persistence(node: NodeView) -> Fields:
    """The journal is to this node what the append-only file is to Redis."""
    journal, snapshot = node.journal_view(), node.snapshot_view()
    yield "loading", int(node.loading)
    yield "async_loading", 0
    if node.loading:
        yield from _progress(node)
    yield "rdb_changes_since_last_save", snapshot["changes_since"]
    yield "rdb_bgsave_in_progress", int(snapshot["in_progress"])
    yield "rdb_last_save_time", snapshot["saved_s"]
    yield "rdb_last_bgsave_status", "err" if snapshot["error"] else "ok"
    yield "rdb_last_bgsave_time_sec", snapshot["last_took_ms"] // 1000 if snapshot["index"] else -1
    yield "rdb_current_bgsave_time_sec", -1
    yield "aof_enabled", 1
    yield "aof_rewrite_in_progress", 0
    yield "aof_rewrite_scheduled", 0
    yield "aof_last_write_status", "err" if snapshot["journal_waits"] else "ok"
    yield "ironkv_writes_refused", snapshot["lacking"] or "no"
    yield "aof_current_size", journal["bytes_used"]
    yield "ironkv_journal_first_index", journal["first_index"]
    yield "ironkv_journal_last_index", journal["last_index"]
    yield "ironkv_journal_bytes_mapped", journal["bytes_mapped"]
    yield "ironkv_journal_writes", journal["writes"]
    yield "ironkv_journal_last_write_ms", journal["last_write_ms"]
    yield "ironkv_snapshot_index", snapshot["index"]
    yield "ironkv_snapshot_bytes", snapshot["bytes_used"]
    yield "ironkv_snapshot_bytes_free", snapshot["bytes_free"]
    yield "ironkv_snapshot_last_took_ms", snapshot["last_took_ms"]
    yield "ironkv_snapshot_last_bytes_written", snapshot["last_bytes_written"]
    yield "ironkv_snapshot_longest_slice_ms", snapshot["longest_slice_ms"]


def _progress(node: NodeView) -> Fields:
    elapsed_s, done = node.uptime_s(), node.recovered
    yield "loading_loaded_perc", f"{100 * done:.2f}"
    yield "loading_eta_seconds", max(1, round(elapsed_s * (1 - done) / done)) if done else 1


def stats(node: NodeView) -> Fields:
    per_second, bytes_in, bytes_out = node.rates()
    yield "total_connections_received", node.connections_received
    yield "total_commands_processed", node.commands_processed
    yield "instantaneous_ops_per_sec", round(per_second)
    yield "total_net_input_bytes", node.bytes_in
    yield "total_net_output_bytes", node.bytes_out
    yield "instantaneous_input_kbps", f"{bytes_in / 1024:.2f}"
    yield "instantaneous_output_kbps", f"{bytes_out / 1024:.2f}"
    yield "rejected_connections", node.connections_rejected
    yield "ironkv_limited_commands", node.limited_commands
    denied = node.accounts.log.denied
    yield "acl_access_denied_auth", denied[Reason.AUTH]
    yield "acl_access_denied_cmd", denied[Reason.COMMAND]
    yield "acl_access_denied_key", denied[Reason.KEY]
    yield "acl_access_denied_channel", denied[Reason.CHANNEL]
    yield "expired_keys", node.keyspace.expired
    yield "evicted_keys", 0
    yield "evicted_clients", 0
    audience = node.pubsub.audience
    yield "pubsub_channels", len(audience(Kind.CHANNEL))
    yield "pubsub_patterns", len(audience(Kind.PATTERN))
    yield "pubsubshard_channels", len(audience(Kind.SHARD))
    yield "total_error_replies", sum(node.errors.values())


# -- replication, as Redis tells it and as it is


def replicas(node: NodeView) -> list[dict[str, Any]]:
    """The other nodes, as the leader knows them."""
    me = node.settings.node.id
    return [member for member in node.raft_view()["nodes"] if member["id"] != me]


def master_link(node: NodeView) -> tuple[str, int, bool]:
    """Host and port of the leader that this follower knows (or nothing and 0), whether it is in reach."""
    raft = node.raft_view()
    host, port = raft["leader_address"] or ("", 0)
    return host, port, any(member["id"] == raft["leader"] and member["online"] for member in raft["nodes"])


def replication(node: NodeView) -> Fields:
    """Offsets are indices of log entries."""
    raft = node.raft_view()
    if leads(node):
        yield "role", "master"
        online = [member for member in replicas(node) if member["online"]]
        yield "connected_slaves", len(online)
        for place, member in enumerate(online):
            yield f"slave{place}", _slave(member)
    else:
        yield from _as_follower(node, raft)
    yield "master_failover_state", "failover-in-progress" if node.transferring else "no-failover"
    yield "master_repl_offset", raft["last_index"]


def _slave(member: dict[str, Any]) -> str:
    lag_s = int((member["lag_ms"] or 0) / 1000)
    return f"ip={member['host']},port={member['port']},state=online,offset={member['match'] or 0},lag={lag_s}"


def _as_follower(node: NodeView, raft: Any) -> Fields:
    host, port, up = master_link(node)
    yield "role", "slave"
    yield "master_host", host
    yield "master_port", port
    yield "master_link_status", "up" if up else "down"
    yield "master_sync_in_progress", 0
    yield "slave_read_repl_offset", raft["last_index"]
    yield "slave_repl_offset", raft["applied"]
    yield "slave_read_only", 1
    yield "connected_slaves", 0


def cpu(node: NodeView) -> Fields:
    whole, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield "used_cpu_sys", f"{whole.ru_stime:.6f}"
    yield "used_cpu_user", f"{whole.ru_utime:.6f}"
    yield "used_cpu_sys_children", f"{children.ru_stime:.6f}"
    yield "used_cpu_user_children", f"{children.ru_utime:.6f}"


def modules(node: NodeView) -> Fields:
    yield from ()


def commandstats(node: NodeView) -> Fields:
    """Times leave out waiting, for the log as for the disk."""
    for row in every():
        usage = row.usage
        calls = usage.count
        if calls or usage.rejected or usage.failed:
            us = usage.ns // 1000
            yield (
                f"cmdstat_{row.lower_name}",
                f"calls={calls},usec={us},usec_per_call={usage.ns / 1000 / max(calls, 1):.2f},"
                f"rejected_calls={usage.rejected},failed_calls={usage.failed}",
            )


def latencystats(node: NodeView) -> Fields:
    """To within a quarter."""
    for row in every():
        if row.usage.counts:
            shown = ",".join(f"p{percent}={row.usage.percentile(percent):.3f}" for percent in (50, 99, 99.9))
            yield f"latency_percentiles_usec_{row.lower_name}", shown


def errorstats(node: NodeView) -> Fields:
    for code, count in sorted(node.errors.items()):
        yield f"errorstat_{code}", f"count={count}"


def cluster(node: NodeView) -> Fields:
    yield "cluster_enabled", int(node.settings.redirects)


def raft(node: NodeView) -> Fields:
    view = node.raft_view()
    yield "raft_role", view["role"]
    yield "raft_term", view["term"]
    yield "raft_fresh", int(view["fresh"])
    yield "raft_leader", view["leader"] or ""
    yield "raft_commit_index", view["commit"]
    yield "raft_applied_index", view["applied"]
    yield "raft_last_index", view["last_index"]
    yield "raft_nodes", len(view["nodes"])
    for place, member in enumerate(view["nodes"]):
        yield f"raft_node{place}", _member(member)


def _member(member: dict[str, Any]) -> str:
    known = {
        "id": member["id"],
        "host": member["host"],
        "port": member["port"],
        "role": member["role"],
        "state": "online" if member["online"] else "offline",
        "match": member["match"],
        "lag_ms": member["lag_ms"],
    }
    return ",".join(f"{name}={value}" for name, value in known.items() if value is not None)


def host(node: NodeView) -> Fields:
    """What the machine gives this process; for `ironkv-ctl doctor`."""
    for name, value in node.host_view().items():
        yield f"host_{name}", value


def keyspace(node: NodeView) -> Fields:
    for database in node.keyspace.used():
        count = len(database)
        if count:
            yield f"db{database.index}", f"keys={count},expires={database.deadline_count()},avg_ttl=0"


SECTIONS: Final[dict[str, tuple[str, Section]]] = {
    "server": ("Server", server),
    "clients": ("Clients", clients),
    "memory": ("Memory", memory),
    "persistence": ("Persistence", persistence),
    "stats": ("Stats", stats),
    "replication": ("Replication", replication),
    "cpu": ("CPU", cpu),
    "modules": ("Modules", modules),
    "commandstats": ("Commandstats", commandstats),
    "errorstats": ("Errorstats", errorstats),
    "latencystats": ("Latencystats", latencystats),
    "cluster": ("Cluster", cluster),
    "raft": ("Raft", raft),
    "host": ("Host", host),
    "keyspace": ("Keyspace", keyspace),
}
"""In the order in which INFO gives them, whatever the order they were asked for."""
LONG: Final = frozenset({"commandstats", "latencystats", "host"})
"""Not given by default."""


def written(names: set[str], node: NodeView) -> bytes:
    """The text of these sections."""
    sections = [_written(*SECTIONS[name], node) for name in SECTIONS if name in names]
    return "\r\n".join(sections).encode("utf-8", "surrogateescape")


def _written(title: str, section: Section, node: NodeView) -> str:
    return f"# {title}\r\n" + "".join(f"{name}:{value}\r\n" for name, value in section(node))

"""`ironkv-ctl status`: the nodes in a table, once or as they change."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ironkv.offline import console
from ironkv.tools.access import Access, Unreachable, access
from ironkv.tools.ctl.seen import LEADER, Seen, fields, leader_of, look

COLUMNS: Final = (
    "node", "address", "role", ">term", ">applied", ">lag", ">ops/s", ">clients", ">keys", ">memory",
    ">journal", ">up",
)  # fmt: skip
DISPENSABLE: Final = frozenset({">term", ">clients", ">journal"})
"""Left out where there is no room for all of them."""
WIDE: Final = 110
STYLES: Final = {LEADER: "bold green", "follower": "", "out of reach": "bold red"}


def run(options: argparse.Namespace) -> int:
    """0 when there is a leader and every node is well, else 1."""
    way = access(options)
    if options.watch is not None:
        return _watch(way, max(options.watch, 0.1))
    nodes = look(way)
    if options.json:
        console.as_json(document(nodes))
    else:
        console.tell(_shown(nodes))
    return 0 if not wrong(nodes) else 1


def _watch(way: Access, every_s: float) -> int:
    """Until Ctrl-C; 0 if all was well then. Should the asked node go, another is asked."""
    known, status = [way], 1
    live = Live(console=console.out, auto_refresh=False) if console.out.is_terminal else None
    try:
        with live or contextlib.nullcontext():
            while True:
                nodes, known, why = _look_again(known)
                status = 1 if not nodes or wrong(nodes) else 0
                shown = _shown(nodes) if nodes else Text(why, "bold red")
                if live is not None:
                    live.update(shown, refresh=True)
                else:
                    console.tell(shown)
                time.sleep(every_s)
    except KeyboardInterrupt:
        return status


def _look_again(known: list[Access]) -> tuple[list[Seen], list[Access], str]:
    """The nodes, whom to ask next time, and if nobody answers why."""
    why = ""
    for way in known:
        try:
            nodes = look(way)
        except Unreachable as error:
            why = why or str(error)
            continue
        others = [_towards(way, node) for node in nodes if (node.host, node.port) != (way.host, way.port)]
        return nodes, [way, *others], ""
    return [], known, why


def _towards(way: Access, node: Seen) -> Access:
    return Access(node.host, node.port, way.user, way.password, way.context, way.sni)


# -- what is told


def wrong(nodes: Sequence[Seen]) -> list[str]:
    """What is wrong with the cluster as a whole, and then with nodes."""
    found = [] if leader_of(nodes) else ["there is no leader: nothing can be written"]
    return found + [f"{node.id}: {what}" for node in nodes if (what := remark(node))]


def remark(node: Seen) -> str:
    """What is wrong with a node; empty if nothing is."""
    told = node.info
    if node.why:
        return node.why
    if told.get("loading") == "1":
        return f"loading its state: {told.get('loading_loaded_perc', '?')} %"
    if told.get("raft_fresh") == "1":
        return "its disk is new or was lost: it has not caught up"
    if told.get("ironkv_writes_refused", "no") != "no":
        return told["ironkv_writes_refused"]
    if told.get("aof_last_write_status") == "err":
        return "a write waits for room on its disk"
    if told.get("rdb_last_bgsave_status") == "err":
        return "its last snapshot failed"
    away = [each["id"] for each in node.members if not each["online"]]
    return f"does not reach {', '.join(away)}" if away else ""


def document(nodes: Sequence[Seen]) -> dict[str, Any]:
    """For programs."""
    leader = leader_of(nodes)
    return {
        "leader": leader.id if leader else None,
        "term": leader.number("raft_term") if leader else None,
        "wrong": wrong(nodes),
        "nodes": [
            {
                "id": node.id, "host": node.host, "port": node.port, "role": node.role,
                "term": node.number("raft_term"), "commit": node.number("raft_commit_index"),
                "applied": node.number("raft_applied_index"), "lag": lag(node, leader),
                "ops_per_second": node.number("instantaneous_ops_per_sec"),
                "clients": node.number("connected_clients"), "keys": keys(node),
                "memory": node.number("used_memory"), "journal": node.number("aof_current_size"),
                "uptime": node.number("uptime_in_seconds"), "version": node.info.get("ironkv_version"),
                "remark": remark(node),
            }
            for node in nodes
        ],
    }  # fmt: skip


def lag(node: Seen, leader: Seen | None) -> int | None:
    """Entries that a follower has not on disk, as the leader knows it."""
    if leader is None or node is leader:
        return None
    match = next((each["match"] for each in leader.members if each["id"] == node.id), None)
    return None if match is None else max(leader.number("raft_last_index") - int(match), 0)


def keys(node: Seen) -> int:
    """In all databases."""
    return sum(int(fields(text)["keys"]) for name, text in node.info.items() if _is_database(name))


def _is_database(name: str) -> bool:
    return name.startswith("db") and name[2:].isdigit()


# -- for people


def _shown(nodes: Sequence[Seen]) -> Group:
    leader, found = leader_of(nodes), wrong(nodes)
    if leader and not found:
        others = f", all {len(nodes)} nodes are well" if len(nodes) > 1 else " and is well"
        well = f"✓ {leader.id} leads in term {leader.number('raft_term')}{others}"
        verdict = Text(well, "green")
    else:
        verdict = Text("\n".join(f"! {each}" for each in found), "yellow" if leader else "bold red")
    return Group(_table(nodes, leader), verdict)


def _table(nodes: Sequence[Seen], leader: Seen | None) -> Table:
    narrow = console.out.is_terminal and console.out.width < WIDE
    columns = [column for column in COLUMNS if not (narrow and column in DISPENSABLE)]
    table = console.table(time.strftime("%H:%M:%S"), *columns)
    for column in table.columns:
        column.no_wrap = True
    for node in nodes:
        cells = _cells(node, leader)
        table.add_row(*(cells.get(column.lstrip(">"), "") for column in columns))
    return table


def _cells(node: Seen, leader: Seen | None) -> dict[str, str | Text]:
    cells: dict[str, str | Text] = {
        "node": escape(node.id),
        "address": escape(f"{node.host}:{node.port}"),
        "role": Text(node.role, STYLES.get(node.role, "yellow")),
    }
    if node.why:
        return cells
    behind = lag(node, leader)
    return {
        **cells,
        "term": _count(node.number("raft_term")),
        "applied": _count(node.number("raft_applied_index")),
        "lag": "" if behind is None else f"{behind:,}",
        "ops/s": _count(node.number("instantaneous_ops_per_sec")),
        "clients": _count(node.number("connected_clients")),
        "keys": f"{keys(node):,}",
        "memory": console.size(max(node.number("used_memory"), 0)),
        "journal": console.size(max(node.number("aof_current_size"), 0)),
        "up": age(node.number("uptime_in_seconds")),
    }


def _count(number: int) -> str:
    return f"{number:,}" if number >= 0 else ""


def age(seconds: int) -> str:
    """For people: the two largest units at most."""
    for unit, name, smaller, its_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= unit:
            return f"{seconds // unit}{name} {seconds % unit // smaller}{its_name}"
    return f"{max(seconds, 0)}s"

"""`ironkv-ctl members`: who belongs to the cluster, and changing that."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from ironkv.offline import console
from ironkv.tools.access import Access, Unreachable, access
from ironkv.tools.client import ErrorReply, maps
from ironkv.tools.cluster import NeverHappened, wait_for
from ironkv.tools.ctl.seen import call_leader

PATIENCE_S = 30.0


def show(options: argparse.Namespace) -> int:
    way = access(options)
    try:
        members = _members(way.to_leader() or way)  # it alone knows how far the others are
    except Unreachable:
        members = _members(way)
    if options.json:
        console.as_json(members)
    else:
        console.tell(_table(members))
    return 0


def _members(way: Access) -> list[dict[str, Any]]:
    with way.connect() as client:
        return maps(client.call("RAFT", "MEMBERS"))


def _table(members: Sequence[Mapping[str, Any]]) -> Any:
    table = console.table(
        "", "node", "address", ">cluster port", "vote", "role", "state", ">on its disk", ">heard"
    )
    table.title = None
    for each in members:
        heard = "" if each["lag_ms"] is None else f"{int(each['lag_ms']):,} ms ago"
        table.add_row(
            escape(str(each["id"])), escape(f"{each['host']}:{each['port']}"),
            str(each["cluster_port"]), str(each["vote"]), str(each["role"]),
            "online" if each["online"] else "[red]offline[/red]",
            "" if each["match"] is None else f"{int(each['match']):,}", heard,
        )  # fmt: skip
    return table


def add(options: argparse.Namespace) -> int:
    """A learner: it is sent everything, and has no vote."""
    call_leader(
        access(options), "RAFT", "ADD", options.id, options.node_host, options.node_port, options.cluster_port
    )
    name = escape(options.id)
    console.out.print(
        f"{name} is a member now. A new one has no vote until it has everything", soft_wrap=True
    )
    return 0


def promote(options: argparse.Namespace) -> int:
    call_leader(access(options), "RAFT", "PROMOTE", options.id)
    console.out.print(f"{escape(options.id)} has a vote")
    return 0


def remove(options: argparse.Namespace) -> int:
    if not options.yes and not _sure(
        f"Remove {options.id} from the cluster? It has no say any more, at once."
    ):
        return 1
    call_leader(access(options), "RAFT", "REMOVE", options.id)
    console.out.print(
        f"{escape(options.id)} is no member any more; stop it, and keep its data until you are sure"
    )
    return 0


def _sure(question: str) -> bool:
    if not sys.stdin.isatty():
        raise OSError("nobody is here to be asked: say --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def transfer(options: argparse.Namespace) -> int:
    """Hand leadership over and wait until another leads."""
    way = access(options)
    before = _leader(way)
    if before is not None and before == options.id:
        console.out.print(f"{escape(before)} leads already")
        return 0
    call_leader(way, "RAFT", "TRANSFER", *([options.id] if options.id else []))

    def led() -> str | None:
        leader = _leader(way)
        return leader if leader is not None and leader != before else None

    try:
        now = wait_for(led, "another leader", PATIENCE_S, 0.05)
    except NeverHappened:
        console.out.print(f"[red]{escape(str(before))} leads still: it could not hand over[/red]")
        return 1
    console.out.print(f"{escape(now)} leads")
    return 0 if options.id in (None, now) else 1


def _leader(way: Access) -> str | None:
    """As the asked node knows it; None while it knows of none, or does not answer."""
    try:
        leader = way.to_leader()
    except (Unreachable, ErrorReply):
        return None
    return None if leader is None else leader.name

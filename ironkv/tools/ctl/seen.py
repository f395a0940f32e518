"""What every node of a cluster says of itself, asked at the same time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from ironkv.tools.access import Access, Unreachable
from ironkv.tools.client import Argument, Client, ErrorReply, ProtocolFault, mapped, maps

ANSWER_S: Final = 3.0
LEADER: Final = "leader"
Told = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """A node: its fields of INFO, its members as it sees them; or why it says nothing."""

    id: str
    host: str
    port: int
    info: Mapping[str, str] = field(default_factory=dict)
    members: Sequence[Told] = ()
    why: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    """Parameters that were asked for, as far as this user may see them."""
    asked_us: int = 0
    """When it answered, by this machine's clock, and how far off that may be."""
    uncertain_us: int = 0

    @property
    def role(self) -> str:
        if self.why:
            return "out of reach"
        return "loading" if self.info.get("loading") == "1" else self.info.get("raft_role", "unknown")

    def number(self, name: str) -> int:
        """A field that is a whole number; -1 where there is none."""
        text = self.info.get(name, "")
        return int(text) if text.isdigit() else -1


def look(access: Access, *sections: str, parameters: Sequence[str] = ()) -> list[Seen]:
    """All nodes that the asked one names, by id; `sections` of INFO, or the default ones, and parameters of
    CONFIG GET. Raises Unreachable when the asked one does not answer."""
    first = _ask(access, "", access.host, access.port, sections, parameters)
    if first.why:
        raise Unreachable(first.why)
    others = [member for member in first.members if member["id"] != first.id]
    with ThreadPoolExecutor(max(len(others), 1)) as pool:
        told = pool.map(lambda o: _ask(access, o["id"], o["host"], o["port"], sections, parameters), others)
        return sorted([first, *told], key=lambda each: each.id)


def _ask(
    access: Access, node_id: str, host: str, port: int, sections: Sequence[str], parameters: Sequence[str]
) -> Seen:
    try:
        with access.connect(host, port, node_id, ANSWER_S) as client:
            client.call("PING")
            sent_us = _now_us()
            info = parsed(client.call("INFO", *sections))
            back_us = _now_us()
            members = maps(client.call("RAFT", "MEMBERS"))
            config = _config(client, parameters)
    except Unreachable as error:
        return Seen(node_id, host, port, why=str(error))
    except (OSError, ErrorReply, ProtocolFault) as error:
        return Seen(node_id, host, port, why=f"{host}:{port}: {getattr(error, 'strerror', None) or error}")
    middle, half = (sent_us + back_us) // 2, (back_us - sent_us) // 2
    return Seen(info.get("ironkv_node_id", node_id), host, port, info, members, "", config, middle, half)


def _config(client: Client, parameters: Sequence[str]) -> dict[str, str]:
    try:
        return mapped(client.call("CONFIG", "GET", *parameters)) if parameters else {}
    except ErrorReply:  # NOPERM: what could be seen is judged
        return {}


def _now_us() -> int:
    return time.time_ns() // 1000


def leader_of(nodes: Sequence[Seen]) -> Seen | None:
    """Of two that claim it, the older does not know yet."""
    claims = [node for node in nodes if node.role == LEADER]
    return max(claims, key=lambda node: node.number("raft_term"), default=None)


def call_leader(access: Access, *command: Argument, timeout: float = 60.0) -> Any:
    """Have the leader carry out a command, whichever node was asked. Raises ErrorReply, Unreachable."""
    try:
        with access.connect(timeout=timeout) as client:
            return client.call(*command)
    except ErrorReply as error:
        if error.code != "NOTLEADER":
            raise
        leader = access.to_leader()
        if leader is None:
            raise
    with leader.connect(timeout=timeout) as client:
        return client.call(*command)


def parsed(text: object) -> dict[str, str]:
    """The fields of INFO."""
    lines = text.decode("utf-8", "replace").splitlines() if isinstance(text, bytes) else []
    return dict(line.split(":", 1) for line in lines if ":" in line)


def fields(text: str) -> dict[str, str]:
    """`a=1,b=2`, as INFO has it within a field."""
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)

"""Joining a cluster that runs: a node with an empty directory asks one of its nodes to be taken in.

It speaks to that node as any client does. What it is told of the members is what its directory begins with;
the log, once it comes, knows better.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ironkv.errors import Fault
from ironkv.raft.configuration import Address, Configuration
from ironkv.tools.client import Client, ErrorReply, ProtocolFault

if TYPE_CHECKING:
    from ironkv.config import Settings

log = logging.getLogger(__name__)

ANSWER_S: Final = 40.0
"""Longer than an order of membership may take."""


def first_configuration(settings: Settings) -> Configuration:
    """Who belongs to the cluster as far as a new directory of this node can know. Raises Fault."""
    cluster = settings.cluster
    if not cluster.enabled:
        return Configuration()
    if cluster.join and not (Path(settings.node.data_dir) / "identity").exists():
        return join(settings)
    return Configuration(frozenset(node.id for node in cluster.nodes))


def join(settings: Settings) -> Configuration:
    """Have this node added as a learner. Raises Fault."""
    host, _, port = settings.cluster.join.rpartition(":")
    me = next(node for node in settings.cluster.nodes if node.id == settings.node.id)
    try:
        with Client(host, int(port), ANSWER_S) as client:
            password = settings.server.requirepass
            if password:
                client.call("AUTH", password)
            name = _facts(client.call("RAFT", "STATUS")).get(b"cluster")
            if name != settings.cluster.name.encode():
                raise Fault(
                    f"--join {settings.cluster.join}: that node is of cluster {_shown(name)!r}, this is "
                    f"{settings.cluster.name!r}"
                )
            client.call("RAFT", "ADD", me.id, me.host, me.port, me.cluster_port)
            members = client.call("RAFT", "MEMBERS")
    except (OSError, ErrorReply, ProtocolFault) as error:
        raise Fault(f"--join {settings.cluster.join}: {error}") from error
    found = [_facts(member) for member in members] if isinstance(members, list) else []
    log.info("%s was taken in by %s", me.id, settings.cluster.join)
    return Configuration(
        frozenset(_shown(each[b"id"]) for each in found if each[b"vote"] != b"learner"),
        addresses=tuple(
            sorted(
                (
                    _shown(each[b"id"]),
                    Address(_shown(each[b"host"]), int(each[b"port"]), int(each[b"cluster_port"])),
                )
                for each in found
            )
        ),
    )


def _facts(reply: Any) -> dict[bytes, Any]:
    """A map, as RESP2 writes it."""
    if isinstance(reply, list):
        return dict(zip(reply[::2], reply[1::2], strict=False))
    raise Fault(f"a node answered {reply!r}")


def _shown(text: Any) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)

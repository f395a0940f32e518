"""Joining a cluster that runs: a node with an empty directory asks one of its nodes to be taken in.

It speaks to that node as any client does. What it is told of the members is what its directory begins with;
the log, once it comes, knows better.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ironkv import tls
from ironkv.errors import Fault
from ironkv.node.security import files
from ironkv.raft.configuration import Address, Configuration
from ironkv.tools.access import Access
from ironkv.tools.client import ErrorReply, ProtocolFault, mapped, maps

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
    me = next(node for node in settings.cluster.nodes if node.id == settings.node.id)
    try:
        with _access(settings).connect(timeout=ANSWER_S) as client:
            name = mapped(client.call("RAFT", "STATUS"))["cluster"]
            if name != settings.cluster.name:
                raise Fault(f"that node is of cluster {name!r}, this is {settings.cluster.name!r}")
            client.call("RAFT", "ADD", me.id, me.host, me.port, me.cluster_port)
            members = maps(client.call("RAFT", "MEMBERS"))
    except (OSError, ErrorReply, ProtocolFault, tls.TlsError, KeyError, Fault) as error:
        raise Fault(f"--join {settings.cluster.join}: {error}") from error
    log.info("%s was taken in by %s", me.id, settings.cluster.join)
    return told(members)


def told(members: list[dict[str, Any]]) -> Configuration:
    """Who belongs to the cluster, as RAFT MEMBERS says."""
    addresses = {each["id"]: Address(each["host"], each["port"], each["cluster_port"]) for each in members}
    voters = frozenset(each["id"] for each in members if each["vote"] != "learner")
    return Configuration(voters).located(addresses)


def _access(settings: Settings) -> Access:
    """As a client of that node, which is taken to speak TLS if this one does on its own port."""
    host, _, port = settings.cluster.join.rpartition(":")
    encrypted = settings.tls.port == settings.server.port
    context = tls.client_context(files(settings.tls)) if encrypted else None
    password = settings.server.requirepass or None
    return Access(host.strip("[]"), int(port), password=password, context=context)

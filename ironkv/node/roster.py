"""Who belongs to the cluster, and where each of them is found.

The log says who, and where those are found that joined while the cluster ran, or whose address was changed
then; the settings say where the others are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ironkv.raft.configuration import Address, Configuration

if TYPE_CHECKING:
    from ironkv.config import Settings


class Roster:
    """`clients` and `peers` are changed in place: whoever holds them sees who belongs now."""

    def __init__(self, settings: Settings) -> None:
        self._me = settings.node.id
        nodes = settings.cluster.nodes if settings.cluster.enabled else []
        self._given = {node.id: Address(node.host, node.port, node.cluster_port) for node in nodes}
        self._given.setdefault(
            self._me, Address(settings.server.bind, settings.server.port, settings.cluster.port)
        )
        self._announced = {
            node.id: (node.announce_host or node.host, node.announce_port or node.port)
            for node in nodes
            if node.announce_host or node.announce_port
        }
        self.clients: dict[str, tuple[str, int]] = {}
        """Where clients find each member: as it announces itself, if these settings tell."""
        self.peers: dict[str, tuple[str, int]] = {}
        """Where this node finds each of the others."""
        self.rules = self.applied = Configuration(frozenset(self._given))
        self.follow(self.rules, self.applied)

    def learn(self, first: Configuration) -> None:
        """Where the members were found when this node joined them."""
        self._given = {**dict(first.addresses), **self._given}

    def follow(self, rules: Configuration, applied: Configuration) -> None:
        """`rules`: the newest of the log. Who was a member as of the applied entries is spoken
        to still: until it has been told that it is one no longer."""
        self.rules, self.applied = rules, applied
        spoken_to = self._found(rules.everybody | applied.everybody)
        self.clients.clear()
        members = self._found(rules.everybody) or {self._me: self._given[self._me]}
        self.clients.update(
            {
                node: self._announced.get(node, (where.host, where.port))
                for node, where in sorted(members.items())
            }
        )
        self.peers.clear()
        self.peers.update(
            {node: (where.host, where.cluster_port) for node, where in spoken_to.items() if node != self._me}
        )

    def _found(self, members: frozenset[str]) -> dict[str, Address]:
        known = {**self._given, **dict(self.applied.addresses), **dict(self.rules.addresses)}
        return {node: known[node] for node in members if node in known}

    def cluster_port(self, node: str) -> int:
        return self._found(frozenset({node}))[node].cluster_port

    @property
    def addresses(self) -> dict[str, Address]:
        """Of all members, for the log."""
        return self._found(self.rules.everybody)

    @property
    def outside(self) -> bool:
        """Whether this node is no member: it was removed, or is still to be told that it was taken in."""
        return self._me not in self.rules.everybody | self.applied.everybody

"""Where clients find the nodes and the leader, and what a node that does not lead tells them.

Redis Cluster's clients learn of a new leader by `-MOVED`, Sentinel's by `+switch-master` and by `-READONLY`,
people by `-NOTLEADER`. Whichever it is, nothing was done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ironkv.commands.sentinel import master_names
from ironkv.errors import NotAvailable

if TYPE_CHECKING:
    from ironkv.config import Settings
    from ironkv.node.roster import Roster


class Whereabouts:
    """The addresses that clients are told, and the refusals that name them."""

    def __init__(
        self,
        settings: Settings,
        roster: Roster,
        leader: Callable[[], str | None],
        publish: Callable[[bytes, bytes], object],
    ) -> None:
        """`leader`: who leads, as far as is known; `publish`: to the subscribers of this node alone."""
        self._settings = settings
        self._roster = roster
        self._leader = leader
        self._publish = publish
        self._me = settings.node.id
        self.last_leader: str | None = None
        """The newest that was ever known: clients are better sent there than nowhere."""
        self._master_at: tuple[str, int] | None = None

    def changed(self) -> None:
        """Perhaps another node leads: whoever listens hears of that, as from a Sentinel."""
        leader = self._leader()
        if leader is None or leader not in self._roster.clients:
            return
        self.last_leader = leader
        before, self._master_at = self._master_at, self._roster.clients[leader]
        if before is None or before == self._master_at:
            return
        old, new = (b"%b %d" % (host.encode(), port) for host, port in (before, self._master_at))
        for name in master_names(self._settings):
            self._publish(b"+switch-master", b"%b %b %b" % (name, old, new))

    def not_leader(self, slot: int = 0) -> NotAvailable:
        """What a request for this slot is told that only the leader can serve."""
        leader = self._leader()
        # One that is not among the members leads until its own removal is committed.
        if leader is None or leader == self._me or leader not in self._roster.clients:
            return self.no_quorum()
        host, port = self._roster.clients[leader]
        if self._settings.redirects:
            return NotAvailable(f"MOVED {slot} {host}:{port}")
        if self._settings.server.on_follower_write == "readonly":
            return NotAvailable("READONLY You can't write against a read only replica.")
        return NotAvailable(f"NOTLEADER not leader: the leader is {leader} at {host}:{port}")

    def not_done(self) -> NotAvailable:
        """What a write is told that was taken and certainly did not happen. Clients of Redis Cluster that are
        told of a slot remember it; of several writes at once nobody knows the slot here."""
        if self._settings.redirects:
            return NotAvailable("TRYAGAIN the leadership moved before this was done")
        return self.not_leader()

    def no_quorum(self) -> NotAvailable:
        if self._roster.outside:
            return NotAvailable("CLUSTERDOWN this node is no member of the cluster")
        return NotAvailable(
            "CLUSTERDOWN no leader is known: an election is under way or too few nodes are up"
        )

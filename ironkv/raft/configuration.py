"""Who belongs to the cluster: one value that says it, and the values a node's log went through.

A change of voters goes through a joint configuration (§6): while it rules, elections and commits need a
majority of the old voters and one of the new. Each configuration is an entry of the log, rules from the
moment it is appended, committed or not, and is undone when the log is cut.

The bug of single-server changes (two leaders that each begin a change from an entry that is not committed)
cannot happen: a change begins only when an entry of the leader's own term is committed, and with it whatever
configuration came before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from ironkv.errors import Fault, NotAvailable
from ironkv.raft.membership import Voters
from ironkv.raft.messages import Entry, EntryKind


class ChangeRefused(NotAvailable):
    """A change of membership that cannot begin; nothing was done."""

    def __init__(self, why: str) -> None:
        super().__init__(f"ERR membership cannot be changed: {why}")


class ChangeLater(ChangeRefused):
    """It cannot begin yet."""


class Address(NamedTuple):
    """Where clients and where the other nodes find a member."""

    host: str
    port: int
    cluster_port: int


@dataclass(frozen=True, slots=True)
class Configuration:
    """`outgoing` is empty unless the configuration is joint; then those are the voters to be left behind."""

    voters: frozenset[str] = frozenset()
    outgoing: frozenset[str] = frozenset()
    learners: frozenset[str] = frozenset()
    addresses: tuple[tuple[str, Address], ...] = ()
    """Sorted by id; a member without one is found by other means."""

    @property
    def joint(self) -> bool:
        return bool(self.outgoing)

    @property
    def electors(self) -> frozenset[str]:
        return self.voters | self.outgoing

    @property
    def everybody(self) -> frozenset[str]:
        return self.voters | self.outgoing | self.learners

    # -- what is wanted next: each raises ChangeRefused

    def with_learner(self, node: str, address: Address | None = None) -> Configuration:
        if node in self.everybody:
            raise ChangeRefused(f"{node} is a member already")
        wanted = replace(self, learners=self.learners | {node})
        return wanted if address is None else wanted.located({node: address})

    def located(self, addresses: Mapping[str, Address]) -> Configuration:
        """With these addresses in place of what is known of them."""
        merged = {**dict(self.addresses), **addresses}
        return replace(self, addresses=tuple(sorted(merged.items())))

    def promoted(self, node: str) -> Configuration:
        if node not in self.learners:
            raise ChangeRefused(f"{node} is no learner")
        return replace(self, voters=self.voters | {node}, learners=self.learners - {node})

    def without(self, node: str) -> Configuration:
        if node not in self.everybody:
            raise ChangeRefused(f"{node} is no member")
        if self.voters == {node}:
            raise ChangeRefused(f"{node} is the last voter")
        return replace(self, voters=self.voters - {node}, learners=self.learners - {node})

    # -- the way there (§6)

    def towards(self, wanted: Configuration) -> Configuration:
        """The configuration to append for `wanted`: joint, if other nodes are to vote."""
        if wanted.voters == self.voters:
            return wanted.settled()
        return replace(wanted, outgoing=self.voters)

    def settled(self) -> Configuration:
        """Without the voters left behind, and what was kept for them."""
        kept = self.voters | self.learners
        addresses = tuple((node, where) for node, where in self.addresses if node in kept)
        return replace(self, outgoing=frozenset(), addresses=addresses)

    # -- in an entry

    def encode(self) -> bytes:
        """As an entry's data: JSON, the same bytes for the same configuration."""
        shape = {
            "voters": sorted(self.voters),
            "outgoing": sorted(self.outgoing),
            "learners": sorted(self.learners),
            "addresses": {node: list(where) for node, where in self.addresses},
        }
        return json.dumps(shape, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Configuration:
        """Raises Fault when `data` is no configuration."""
        try:
            shape = json.loads(data)
            found = cls(
                frozenset(map(str, shape["voters"])),
                frozenset(map(str, shape["outgoing"])),
                frozenset(map(str, shape["learners"])),
                addresses_of(shape["addresses"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Fault(f"an entry that should name the members of the cluster does not: {error}") from None
        if not found.voters:
            raise Fault("an entry names a cluster without voters")
        return found


ALONE: Final = Configuration()
"""What rules a node that never was in a cluster."""


def addresses_of(shape: Any) -> tuple[tuple[str, Address], ...]:
    """{node: [host, port, cluster port]} as `Configuration` keeps it. Raises Fault."""
    try:
        return tuple(
            sorted(
                (str(node), Address(str(host), int(port), int(cluster_port)))
                for node, (host, port, cluster_port) in shape.items()
            )
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise Fault(f"addresses of members make no sense: {error}") from None


class Members:
    """The configurations of one log: the newest that is committed, and those behind it."""

    __slots__ = ("_history", "_me", "voters")

    def __init__(self, me: str, history: Sequence[tuple[int, Configuration]]) -> None:
        """`history`: (index of its entry, configuration), the oldest first; index 0 is before the log."""
        self._me = me
        self._history = list(history)
        self._refresh()

    def _refresh(self) -> None:
        self.voters = Voters(self.current.voters, self._me, self.current.outgoing)

    @property
    def current(self) -> Configuration:
        """The one that rules."""
        return self._history[-1][1]

    @property
    def index(self) -> int:
        """Where the one that rules stands in the log."""
        return self._history[-1][0]

    def may_stand(self, commit: int) -> bool:
        """Whether this node may be needed as leader: as a voter, or to commit that it is one no longer."""
        if self._me in self.current.electors:
            return True
        return any(
            self._me in configuration.electors
            for (_, configuration), (index, _) in zip(self._history, self._history[1:], strict=False)
            if index > commit
        )

    def appended(self, entries: Iterable[Entry]) -> bool:
        """Take over what new entries of the log say. Whether they said anything."""
        found = [
            (entry.index, Configuration.decode(entry.data))
            for entry in entries
            if entry.kind is EntryKind.CONFIG
        ]
        if found:
            self._history += found
            self._refresh()
        return bool(found)

    def cut(self, first: int) -> None:
        """The entries from `first` on are gone; what ruled before them rules again."""
        if self.index >= first:
            while len(self._history) > 1 and self.index >= first:
                self._history.pop()
            self._refresh()

    def committed(self, index: int) -> None:
        """Nothing up to `index` will be cut."""
        while len(self._history) > 1 and self._history[1][0] <= index:
            del self._history[0]

    def installed(self, index: int, configuration: Configuration | None, *, replaced: bool) -> None:
        """The log goes on behind a snapshot at `index`. None: the snapshot does not say who belonged."""
        if configuration is None:
            self.committed(index)
            configuration = self._history[0][1]
        behind = [] if replaced else [each for each in self._history if each[0] > index]
        self._history = [(index, configuration), *behind]
        self._refresh()

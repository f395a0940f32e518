"""What must hold at every moment.

The checks look at what leaves a node and at what is on its disk, never at what the core thinks of
itself, so that a core that is wrong about itself is found out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import Append, AppendReply, Entry, Message, Vote, VoteReply
from ironkv.raft.quorum import majority

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.node import Node


class Violation(AssertionError):
    """Something that was promised did not hold."""


def must(holds: bool, why: str) -> None:
    if not holds:
        raise Violation(why)


class Snapshot(NamedTuple):
    """The state when entry `index` of `term` was the last applied: a checksum over all up to there."""

    index: int
    term: int
    state: int
    members: Configuration
    """No voters: a joiner that has not been told yet."""


class Checks:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.history: list[Entry] = []
        """The committed log, as first handed out by anybody."""
        self.states: dict[int, Snapshot] = {}
        """The state at each index, as first seen."""
        self.leaders: dict[int, tuple[str, int]] = {}
        self.changes: set[Configuration] = set()
        self.votes: dict[tuple[str, int], str] = {}
        """Who has whose vote; those of fresh nodes are only theirs as long as their disk lives."""
        self.seen = 0
        """The newest index that an acknowledged write or a finished read has shown to a client."""

    # -- messages: each promise must be true the moment it leaves -----------------------------------

    def leaving(self, node: Node, message: Message) -> None:
        disk = node.disk
        match message:
            case VoteReply(granted=True):
                self._vote(node, message.term, message.to)
                must(message.fresh or not disk.hard.fresh, f"{node.name} forgets that it is fresh")
            case Vote():
                self._vote(node, message.term, node.name)
            case AppendReply():
                if message.match is not None:
                    must(message.fresh or not disk.hard.fresh, f"{node.name} forgets that it is fresh")
                    must(disk.hard.term >= message.term, f"{node.name} acks in a term it has not on disk")
                    must(
                        disk.last_index >= message.match,
                        f"{node.name} acks {message.match} before it is durable",
                    )
            case Append():
                last = message.prev_index + len(message.entries)
                must(last <= node.core_now.last_index, f"{node.name} sends entries it does not have")

    def _vote(self, node: Node, term: int, candidate: str) -> None:
        hard = node.disk.hard
        must(
            (hard.term, hard.voted_for) == (term, candidate),
            f"{node.name} votes in {term} before it is durable",
        )
        voter = f"{node.name} of birth {node.birth}" if hard.fresh else node.name
        first = self.votes.setdefault((voter, term), candidate)
        must(first == candidate, f"{node.name} votes for {first} and {candidate} in term {term}")

    # -- leaders --------------------------------------------------------------------------------------

    def elected(self, node: Node) -> None:
        term = node.core_now.term
        who = (node.name, node.life)
        must(
            self.leaders.setdefault(term, who) == who,
            f"two leaders in term {term}: {self.leaders[term]}, {who}",
        )
        # Leader completeness (§5.4.3).
        for entry in self.history[-50:]:
            must(
                node.holds(entry),
                f"{node.name} leads term {term} without committed {entry.index}.{entry.term}",
            )
        for other in self.cluster.nodes.values():
            if other is not node and other.core is not None and other.core.lease_holds(other.clock()):
                must(other.core.term > term, f"{node.name} is elected while the lease of {other.name} holds")

    # -- the committed log ------------------------------------------------------------------------------

    def applied(self, node: Node, entry: Entry) -> None:
        must(entry.index == node.applied + 1, f"{node.name} is given {entry.index} after {node.applied}")
        if entry.index <= len(self.history):
            must(self.history[entry.index - 1] == entry, f"{node.name} applies another entry {entry.index}")
            return
        self.history.append(entry)
        holders = {name for name, each in self.cluster.nodes.items() if self._has_held(each, entry)}
        must(
            any(self._majority(holders, each) for each in self._configurations()),
            f"{entry.index}.{entry.term} is committed on the disks of {sorted(holders)}",
        )

    def _configurations(self) -> Iterator[Configuration]:
        """Those that may rule somewhere: the leader's, when it committed, is among them."""
        for node in self.cluster.nodes.values():
            yield node.now.members
            yield from (each for _, each in node.disk.members((node.snapshot.index, node.snapshot.members)))
            if node.core is not None:
                yield node.core.configuration

    @staticmethod
    def _majority(holders: set[str], members: Configuration) -> bool:
        sets = [each for each in (members.voters, members.outgoing) if each]
        return bool(sets) and all(len(each & holders) >= majority(len(each)) for each in sets)

    @staticmethod
    def _has_held(node: Node, entry: Entry) -> bool:
        """Whether it is on the node's disk, or was on one that it lost and has not made up for."""
        lost = node.lost if node.disk.hard.fresh else ()
        return any(disk.holds(entry) for disk in (node.disk, *lost))

    def stands(self, state: Snapshot) -> None:
        """Whether applied or installed: the same index is the same state."""
        known = self.states.setdefault(state.index, state)
        must(known[:3] == state[:3], f"another state at {state.index}")
        if not known.members.voters:
            self.states[state.index] = state
        elif state.members.voters:
            must(known.members == state.members, f"another cluster at {state.index}")

    def logs_match(self) -> None:
        """If two logs hold an entry of the same index and term, they agree up to there (§5.3)."""
        disks = [node.disk for node in self.cluster.nodes.values()]
        for a, one in enumerate(disks):
            for other in disks[a + 1 :]:
                base = max(one.base_index, other.base_index)
                first, second = one.log[base - one.base_index :], other.log[base - other.base_index :]
                common = min(len(first), len(second))
                while common and first[common - 1].term != second[common - 1].term:
                    common -= 1
                must(
                    first[:common] == second[:common],
                    "two logs agree on an entry, but not on those before it",
                )

    def changed(self, members: Configuration) -> None:
        """A committed change."""
        self.changes.add(members)

    # -- clients ------------------------------------------------------------------------------------------

    def acknowledged(self, entry: Entry) -> None:
        self.seen = max(self.seen, entry.index)

    def overwritten(self, entry: Entry) -> None:
        must(self.history[entry.index - 1] != entry, "a write reported as not done was done")

    def answered(self, node: Node, floor: int, index: int) -> None:
        """A read that was asked when clients had seen `floor` has looked at the state as of `index`."""
        must(index >= floor, f"{node.name} serves a stale read: at {index}, but {floor} had been seen")
        self.seen = max(self.seen, index)

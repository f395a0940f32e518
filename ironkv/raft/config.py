"""What a core is told once, at start, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass

from ironkv.errors import NotAvailable

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """Times in milliseconds, sizes in bytes."""

    node_id: str
    voters: frozenset[str]
    """Who founds the cluster. What the log or a snapshot says of its members beats this."""
    heartbeat_ms: float = 50
    election_timeout_ms: float = 300
    """The shortest silence that ends a leader's rule; the longest is twice that. All nodes must agree on it:
    a lease is a fraction of the *leader's* timeout, and rests on the *followers'* (reads.py)."""
    lease_reads: bool = True
    """False: every read is confirmed by a round of its own."""
    window_messages: int = 64
    window_bytes: int = 8 * MIB
    """Most that may be under way to one follower, unanswered."""
    append_bytes: int = 1 * MIB
    """Most entries in one Append; a single entry may be larger."""
    apply_bytes: int = 4 * MIB
    """Most committed entries handed out in one Ready."""
    tail_bytes: int = 16 * MIB
    """Committed entries kept in memory for followers that lag a little."""
    uncommitted_bytes: int = 64 * MIB
    """Beyond this much uncommitted, a leader refuses proposals."""
    promote_learners: bool = True
    """A leader gives a learner its vote as soon as it has caught up."""


@dataclass(frozen=True, slots=True)
class HardState:
    """As found in the journal. A node that never ran has HardState(), and fresh=True unless it is alone."""

    term: int = 0
    voted_for: str | None = None
    commit: int = 0
    fresh: bool = False
    """The node began with an empty directory, and has not caught up since. For all it knows it was a member
    before, and has forgotten what it voted and acknowledged (membership.py)."""


class NotLeader(NotAvailable):
    """Only the leader takes writes. `leader` is who that is, as far as this node knows."""

    def __init__(self, leader: str | None) -> None:
        super().__init__("NOTLEADER this node is not the leader")
        self.leader = leader


class Transferring(NotAvailable):
    """The leader is about to hand over, and an entry now would only delay that."""

    def __init__(self) -> None:
        super().__init__("CLUSTERDOWN leadership is being handed over, try again")


class Overloaded(NotAvailable):
    """Too much waits for its majority already."""

    def __init__(self) -> None:
        super().__init__("TRYAGAIN too many writes are waiting to be replicated")


class NoSuccessor(NotAvailable):
    """A transfer was asked for, but not to anybody who could take over."""

    def __init__(self, why: str) -> None:
        super().__init__(f"ERR leadership cannot be handed over: {why}")

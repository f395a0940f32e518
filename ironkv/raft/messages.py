"""What Raft nodes say to each other, and what the core says to its driver.

Plain frozen values: comparing two is comparing what they say. Field names are the Raft paper's
(figure 2), in Python spelling. `sender` and `to` are node ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias


class EntryKind(IntEnum):
    """What an entry's `data` means to the state machine."""

    NOOP = 0
    """A new leader's first entry: commits what came before it (§5.4.2). Carries no data."""
    BATCH = 1
    """A batch of commands; the core never looks inside."""
    CONFIG = 2
    """Who belongs to the cluster from this entry on (configuration.py)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One slot of the replicated log. `index` counts from 1."""

    index: int
    term: int
    kind: EntryKind
    data: bytes


@dataclass(frozen=True, slots=True)
class PreVote:
    """Would you vote for me in `term`? Asked without raising anybody's term (thesis §9.6)."""

    sender: str
    to: str
    term: int
    last_index: int
    last_term: int


@dataclass(frozen=True, slots=True)
class PreVoteReply:
    """`term` is the asked term when granted, else the answerer's own. `fresh` as in VoteReply."""

    sender: str
    to: str
    term: int
    granted: bool
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Vote:
    """RequestVote (§5.2). `transfer`: the leader itself asked for this election, leases do not bind.

    `round` repeats `TimeoutNow.round`, so that a voter can tell a transfer under way from one that
    was given up: a promise made to a later round than that stands.
    """

    sender: str
    to: str
    term: int
    last_index: int
    last_term: int
    transfer: bool
    round: int = 0


@dataclass(frozen=True, slots=True)
class VoteReply:
    """Leaves only once the vote is durable. `fresh`: the voter may have forgotten others (membership.py)."""

    sender: str
    to: str
    term: int
    granted: bool
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """AppendEntries (§5.3); without entries it is a heartbeat.

    `round` numbers the leader's broadcasts within its term: the answer echoes the newest one seen,
    which confirms leadership as of the moment that round was *sent* (leases, ReadIndex, CheckQuorum).

    `welcome` is for a fresh follower: once it has everything up to `commit` on disk, it is fresh no longer.
    """

    sender: str
    to: str
    term: int
    prev_index: int
    prev_term: int
    commit: int
    round: int
    entries: tuple[Entry, ...]
    welcome: bool = False


@dataclass(frozen=True, slots=True)
class AppendReply:
    """Success: everything up to `match` agrees with the leader's log and is durable here.

    Rejected (`match` is None): `hint_index`/`hint_term` name the last entry that may agree, so the
    leader skips a whole conflicting term at once (§5.3, end).

    `fresh`: the sender's directory is new, and it may have forgotten promises.
    """

    sender: str
    to: str
    term: int
    round: int
    match: int | None
    hint_index: int = 0
    hint_term: int = 0
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """Leadership transfer (thesis §3.10): start an election at once.

    `round`: the leader holds no lease that rests on this round or an earlier one, and never will.
    """

    sender: str
    to: str
    term: int
    round: int = 0


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """A follower asks at which index its read would be linearizable (thesis §6.4)."""

    sender: str
    to: str
    term: int
    read_id: int


@dataclass(frozen=True, slots=True)
class ReadIndexReply:
    """`index` is None when the node asked is no leader, or cannot confirm that it is."""

    sender: str
    to: str
    term: int
    read_id: int
    index: int | None


Message: TypeAlias = (
    PreVote | PreVoteReply | Vote | VoteReply | Append | AppendReply | TimeoutNow | ReadIndex | ReadIndexReply
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Names one write: what is durable once the journal reports it.

    `serial` tells two writes apart that end at the same index: the report of a write that a
    conflicting append has since replaced must not be mistaken for the newer one (ABA).
    """

    serial: int
    term: int
    last_index: int


@dataclass(frozen=True, slots=True)
class Persist:
    """One journal transaction: hard state and entries together, one fsync.

    `entries` replace whatever the journal holds from `entries[0].index` on. `commit` is a hint
    only: how far replay may go at restart before anybody else has been heard.

    `reset`, when given, comes first: forget every entry; the log goes on behind a snapshot, whose last
    entry had this (index, term). `entries`, if any, begin right behind it.
    """

    mark: Mark
    term: int
    voted_for: str | None
    commit: int
    entries: tuple[Entry, ...]
    fresh: bool = False
    """Durable together with term and vote; see `HardState.fresh`."""
    reset: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ReadGrant:
    """The read `read_id` may run once `index` is applied; `index` None: it cannot be granted."""

    read_id: int
    index: int | None


@dataclass(frozen=True, slots=True)
class Ready:
    """What the core asks of the world after a turn.

    Promises (votes, acks) are not listed apart: the core itself keeps them back until `persisted`
    reports the write they rest on, so every message here may leave at once.
    """

    messages: tuple[Message, ...]
    persist: Persist | None
    """Never given while another one is under way: one journal write in flight at a time."""
    committed: tuple[Entry, ...]
    """In order, without gaps, each handed out exactly once."""
    reads: tuple[ReadGrant, ...]


class Role(IntEnum):
    """FOLLOWER also covers a node that is asking for pre-votes: it has not raised its term."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2

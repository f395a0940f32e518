"""Messages and entries as a line in a trace."""

from __future__ import annotations

from collections.abc import Sequence

from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    Message,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    TimeoutNow,
    Vote,
    VoteReply,
)


def entry(value: Entry) -> str:
    """`5.2` is index 5 of term 2; a batch shows its data."""
    name = f"{value.index}.{value.term}"
    if value.kind is EntryKind.NOOP:
        return name
    if value.kind is EntryKind.CONFIG:
        return f"{name}={members(Configuration.decode(value.data))}"
    shown = value.data[:16].decode("ascii", "replace")
    return f"{name}={''.join(letter if letter.isprintable() else '·' for letter in shown)}"


def members(value: Configuration) -> str:
    """`{n1 n2}`; learners behind a plus; in a joint configuration, whom it comes from behind an arrow."""
    learners = "".join(f" +{node}" for node in sorted(value.learners))
    outgoing = f" ← {' '.join(sorted(value.outgoing))}" if value.joint else ""
    return f"{{{' '.join(sorted(value.voters))}{learners}{outgoing}}}"


def entries(values: Sequence[Entry]) -> str:
    shown = [entry(value) for value in values]
    if len(shown) > 6:
        shown[3:-2] = ["…"]
    return f"[{' '.join(shown)}]"


def message(value: Message) -> str:
    """What is said, without who says it to whom."""
    match value:
        case Append() if not value.entries:
            prev = f"{value.prev_index}.{value.prev_term}"
            welcome = " welcome" if value.welcome else ""
            says = f"Heartbeat round={value.round} prev={prev} commit={value.commit}{welcome}"
        case Append():
            says = (
                f"Append prev={value.prev_index}.{value.prev_term} commit={value.commit} "
                f"{entries(value.entries)}{' welcome' if value.welcome else ''}"
            )
        case AppendReply(match=None):
            says = f"Reject round={value.round} hint={value.hint_index}.{value.hint_term}"
        case AppendReply():
            says = f"Ack round={value.round} match={value.match}"
        case PreVote():
            says = f"PreVote? last={value.last_index}.{value.last_term}"
        case Vote():
            says = f"Vote? last={value.last_index}.{value.last_term}{' transfer' if value.transfer else ''}"
        case PreVoteReply():
            says = f"PreVote {'yes' if value.granted else 'no'}"
        case VoteReply():
            says = f"Vote {'yes' if value.granted else 'no'}"
        case TimeoutNow():
            says = "TimeoutNow"
        case ReadIndex():
            says = "ReadIndex?"
        case ReadIndexReply():
            says = f"ReadIndex {'no' if value.index is None else value.index}"
    fresh = isinstance(value, (AppendReply, PreVoteReply, VoteReply)) and value.fresh
    return f"{says} term={value.term}{' fresh' if fresh else ''}"

"""What a node knows only while it leads: followers, rounds, waiting reads, a transfer under way.

A `Leadership` is made when a term is won and thrown away when it ends, so nothing of an old rule can
leak into the next. It writes into the log and the outbox of the core it belongs to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from ironkv.raft.config import NoSuccessor, Overloaded, RaftConfig, Transferring
from ironkv.raft.configuration import ChangeLater, ChangeRefused, Configuration, Members
from ironkv.raft.log import Log, size, size_of
from ironkv.raft.messages import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    Message,
    ReadGrant,
    ReadIndexReply,
    TimeoutNow,
)
from ironkv.raft.progress import Flow, Progress
from ironkv.raft.reads import LEASE_FRACTION, ReadQueue, Rounds, WaitingRead

TRANSFER_ROUNDS: Final = 1 << 20
"""How many round numbers a transfer sets aside: more than can be sent before it is given up."""


@dataclass(slots=True)
class Transfer:
    target: str
    deadline: float
    horizon: int
    """No round sent while the transfer is under way is numbered above this."""
    asked: bool = False


class Leadership:
    def __init__(
        self,
        config: RaftConfig,
        term: int,
        members: Members,
        log: Log,
        outbox: list[Message],
        grants: list[ReadGrant],
        now: float,
    ) -> None:
        self._config = config
        self._me = config.node_id
        self.term = term
        self._members = members
        self._log = log
        self._outbox = outbox
        self._grants = grants
        self.followers: dict[str, Progress] = {}
        self._meet(now)
        self._changing = members.index > log.commit or members.current.joint
        """The configuration that rules is not committed yet, or joint."""
        self.unseated = False
        """It is committed that we are no voter: somebody else is to lead."""
        self.rounds = Rounds()
        self._reads = ReadQueue()
        self.transfer: Transfer | None = None
        self._uncommitted: deque[tuple[int, int]] = deque()
        self._uncommitted_bytes = 0
        self._heartbeat_at = now
        self._notice_at = inf
        self.first_of_term = log.last_index + 1
        self._begin_round(now)
        # Entries of earlier terms are committed by one of ours on top of them (§5.4.2): not by waiting
        # for a client to come along.
        self._add(EntryKind.NOOP, b"")

    # -- writes -------------------------------------------------------------------------------

    def propose(self, data: bytes) -> Entry:
        if self.transfer is not None:
            raise Transferring
        if self._uncommitted and self._uncommitted_bytes + len(data) > self._config.uncommitted_bytes:
            raise Overloaded
        return self._add(EntryKind.BATCH, data)

    def _add(self, kind: EntryKind, data: bytes) -> Entry:
        entry = Entry(self._log.last_index + 1, self.term, kind, data)
        self._log.append((entry,))
        self._uncommitted.append((entry.index, size(entry)))
        self._uncommitted_bytes += size(entry)
        return entry

    def advance_commit(self, now: float) -> None:
        """Commit what a majority has on disk; our own disk is one voice among the others."""
        followers = self.followers
        index = self._members.voters.agreed(
            self._log.durable, lambda peer: followers[peer].match if self.counts(peer) else 0
        )
        # Only entries of our own term are counted; those before them follow (§5.4.2, figure 8).
        if index <= self._log.commit or index < self.first_of_term:
            return
        self._log.commit = index
        while self._uncommitted and self._uncommitted[0][0] <= index:
            self._uncommitted_bytes -= self._uncommitted.popleft()[1]
        if self._notice_at == inf:
            self._notice_at = now + self._config.heartbeat_ms / 10
        self._serve_reads()
        if self._changing and self._members.index <= index:
            self._go_on_changing(now)

    # -- members (§6) -------------------------------------------------------------------------

    def change(self, wanted: Configuration, now: float) -> None:
        """Begin a change of membership; one at a time, and not before an entry of this term is committed."""
        if self.transfer is not None:
            raise Transferring
        if self._changing:
            raise ChangeLater("another change is under way")
        if not self.settled:
            raise ChangeLater("this leader has committed nothing yet, try again")
        for node in sorted(wanted.voters - self._members.current.voters):
            if not self._in_sync(node, now):
                raise ChangeRefused(
                    f"{node} is not in sync with the leader: it can be promoted once it has caught up"
                )
        self._configure(self._members.current.towards(wanted), now)

    def _in_sync(self, learner: str, now: float) -> bool:
        """Whether it may get a vote: one that is not there, or lacks much, would only raise what a majority
        takes. As etcd has it: nine tenths of the log."""
        progress = self.followers[learner]
        if progress.lost or progress.fresh_since or now - progress.heard > self._config.election_timeout_ms:
            return False
        return progress.next >= self._log.first_index and 10 * progress.match >= 9 * self._log.commit

    def _configure(self, configuration: Configuration, now: float) -> None:
        self._members.appended((self._add(EntryKind.CONFIG, configuration.encode()),))
        self._changing = True
        self._meet(now)
        self._begin_round(now)

    def _meet(self, now: float) -> None:
        """Who has joined is a follower at once; who is to leave, until that is committed."""
        for peer in sorted(self._members.current.everybody - {self._me} - self.followers.keys()):
            self.followers[peer] = Progress(self._log.last_index + 1, now)

    def _go_on_changing(self, now: float) -> None:
        """The configuration is committed: part from who is no member, and leave it if it is joint."""
        current = self._members.current
        for peer in sorted(self.followers.keys() - current.everybody):
            self._send(peer, self.followers[peer], ())  # it shall know that it may stop
            if self.transfer is not None and self.transfer.target == peer:
                self.abort_transfer(now)
            del self.followers[peer]
        self._changing = current.joint
        if current.joint:
            if not self._ends_with_who_forgot(current.voters):
                self._configure(current.settled(), now)
        elif self._me not in current.voters:
            self.unseated = True

    def _ends_with_who_forgot(self, voters: frozenset[str]) -> bool:
        """Whether another node would decide alone that may have forgotten promises (membership.py)."""
        return len(voters) == 1 and any(
            each.fresh_since for name, each in self.followers.items() if name in voters
        )

    def abdicate(self, now: float) -> None:
        """The last words of a leader that is no member: what is committed, and who may stand at once."""
        for peer, progress in self.followers.items():
            self._send(peer, progress, ())
        successor = self.best_successor(now)
        if successor is not None:
            horizon = self.rounds.number + TRANSFER_ROUNDS
            self._outbox.append(TimeoutNow(self._me, successor, self.term, horizon))

    def _consider_promotion(self, peer: str, progress: Progress, now: float) -> None:
        """A learner has caught up when what is new since it last had all takes it less than an election
        timeout (thesis §4.2.1)."""
        current = self._members.current
        if peer not in current.learners or progress.fresh_since or not self._config.promote_learners:
            return
        if self._changing or self.transfer is not None or not self.settled or progress.match < progress.goal:
            return
        quick = progress.goal and now - progress.goal_set <= self._config.election_timeout_ms
        if quick and self._in_sync(peer, now):
            self.change(current.promoted(peer), now)
        progress.goal, progress.goal_set = self._log.last_index, now

    # -- what followers say -------------------------------------------------------------------

    def on_reply(self, reply: AppendReply, now: float) -> None:
        progress = self.followers.get(reply.sender)
        if progress is None:
            return
        progress.heard = now
        if progress.lost:
            self.peer_back(reply.sender, now)
        found_fresh = reply.fresh and not progress.fresh_since
        if found_fresh:
            progress.reborn()
            progress.fresh_since = self.rounds.number + 1
        elif progress.fresh_since and not reply.fresh:
            progress.fresh_since = 0
            if self._changing and self._members.index <= self._log.commit:
                self._go_on_changing(now)  # that had waited for it
        if progress.round < reply.round <= self.rounds.number:
            progress.round = reply.round
            self._confirm_round()
            if any(each.fresh_since for each in self.followers.values()):
                self.advance_commit(now)  # a fresh one's acks may count from now on
        if reply.match is None:
            progress.rejected(self._log.last_with_term_up_to(reply.hint_term, reply.hint_index))
        elif reply.match <= self._log.last_index and progress.accepted(reply.match):
            self.advance_commit(now)
        if found_fresh:
            self._begin_round(now)  # for its answers to count soon (membership.py)
        self._consider_promotion(reply.sender, progress, now)

    def counts(self, peer: str) -> bool:
        """Whether what a follower acknowledges and confirms may count (membership.py)."""
        since = self.followers[peer].fresh_since
        if not since:
            return True
        voters = self._members.voters
        if voters.ids == {peer}:
            return False
        return all(self.followers[name].round >= since for name in voters.others if name != peer)

    def _may_welcome(self, peer: str) -> bool:
        """Whether a fresh follower may be told that it has caught up. A learner has no promises to keep: what
        an earlier life of it promised as a voter ended when its removal was committed (membership.py)."""
        return peer in self._members.current.learners or self.counts(peer)

    def stranded(self) -> tuple[str, ...]:
        """The connected followers that need entries from before the log."""
        first = self._log.first_index
        return tuple(peer for peer, each in self.followers.items() if each.next < first and not each.lost)

    def lowest_match(self) -> int:
        """What followers that are connected, and not stranded, have of the log, at least."""
        first = self._log.first_index
        return min(
            (each.match for each in self.followers.values() if not each.lost and each.next >= first),
            default=self._log.commit,
        )

    def peer_reborn(self, peer: str, now: float) -> None:
        self.followers[peer].reborn()
        if self.transfer is not None and self.transfer.target == peer:
            self.abort_transfer(now)

    def peer_lost(self, peer: str, now: float) -> None:
        progress = self.followers[peer]
        progress.lost = True
        progress.probe(progress.next)
        if self.transfer is not None and self.transfer.target == peer:
            self.abort_transfer(now)

    def peer_back(self, peer: str, now: float) -> None:
        progress = self.followers[peer]
        progress.lost = False
        progress.heard = now
        progress.probe(progress.next)
        progress.question = True

    # -- rounds, leases, reads ----------------------------------------------------------------

    def _begin_round(self, now: float) -> None:
        number = self.rounds.begin(now)
        self._reads.start(number)
        self._heartbeat_at = now + self._config.heartbeat_ms
        for peer, progress in self.followers.items():
            if progress.flow is Flow.REPLICATE and now - progress.heard >= self._config.election_timeout_ms:
                progress.probe(progress.next)  # whatever was in flight is as good as lost
            self._send(peer, progress, ())
        if self._members.voters.alone:
            self._confirm_round()

    def _confirm_round(self) -> None:
        followers = self.followers
        number = self._members.voters.agreed(
            self.rounds.number, lambda peer: followers[peer].round if self.counts(peer) else 0
        )
        if number > self.rounds.confirmed:
            self.rounds.confirm(number)
            self._serve_reads()

    @property
    def settled(self) -> bool:
        """An entry of our own term is committed: nobody's commit index is newer (thesis §6.4)."""
        return self._log.commit >= self.first_of_term

    def lease_holds(self, now: float) -> bool:
        return now < self.lease_until()

    def lease_until(self) -> float:
        """When the lease runs out if nothing more is heard; -inf while there is none."""
        if not self._config.lease_reads or self.transfer is not None or not self.settled:
            return -inf
        if self._members.voters.alone:
            return inf
        if self.rounds.confirmed <= self.rounds.floor:
            return -inf
        return self.rounds.confirmed_sent + LEASE_FRACTION * self._config.election_timeout_ms

    def read(self, read_id: int, asker: str | None, now: float) -> None:
        read = WaitingRead(read_id, asker, now + self._config.election_timeout_ms)
        if asker is not None and asker not in self.followers:
            self._answer(read, None)  # who was removed serves nothing
        elif self.lease_holds(now):
            self._answer(read, self._log.commit)
        else:
            self._reads.add(read)

    def _serve_reads(self) -> None:
        if self.settled:
            for read in self._reads.confirmed(self.rounds.confirmed):
                self._answer(read, self._log.commit)

    def _answer(self, read: WaitingRead, index: int | None) -> None:
        if read.asker is None:
            self._grants.append(ReadGrant(read.read_id, index))
            return
        progress = self.followers.get(read.asker)
        if index is not None and progress is not None and progress.commit_sent < index:
            self._send(read.asker, progress, ())  # or its read would wait for a heartbeat to bring `commit`
        self._outbox.append(ReadIndexReply(self._me, read.asker, self.term, read.read_id, index))

    def resign(self) -> None:
        """The term is over: nobody waits any longer."""
        for read in self._reads.expired(inf):
            self._answer(read, None)

    # -- handing over (thesis §3.10) ----------------------------------------------------------

    def successor(self, target: str | None, now: float) -> str:
        """Who takes leadership over: `target`, or whoever is best. Raises Transferring, NoSuccessor."""
        if self.transfer is not None:
            raise Transferring
        if target is None:
            target = self.best_successor(now)
        if target is None:
            raise NoSuccessor("no follower is connected")
        if target not in self.followers:
            raise NoSuccessor("no such follower")
        if target not in self._members.current.voters:
            raise NoSuccessor("it has no vote")
        if self.followers[target].lost:
            raise NoSuccessor("it is not connected")
        if self.followers[target].fresh_since:
            raise NoSuccessor("it began with an empty disk and has not caught up")
        return target

    def begin_transfer(self, target: str | None, now: float) -> None:
        target = self.successor(target, now)
        # From here on `lease_holds` says no: the target may be elected while promises to us still run.
        deadline = now + self._config.election_timeout_ms
        self.transfer = Transfer(target, deadline, self.rounds.number + TRANSFER_ROUNDS)

    def best_successor(self, now: float) -> str | None:
        """The follower that has most of the log, among those heard from of late."""
        alive = [
            peer
            for peer, progress in self.followers.items()
            if not (progress.lost or progress.fresh_since)
            and peer in self._members.current.voters
            and now - progress.heard < self._config.election_timeout_ms
        ]
        return max(alive, key=lambda peer: self.followers[peer].match, default=None)

    def abort_transfer(self, now: float) -> None:
        """Rule on. A lease may again be taken, but only from rounds that start now.

        The TimeoutNow may still be under way and may still win its election, past all promises made
        up to the horizon. Not past those made to later rounds: voters compare (core, `_released`).
        """
        if self.transfer is not None:
            self.rounds.give_away(self.transfer.horizon)
            self.transfer = None
            self._begin_round(now)

    def _push_transfer(self) -> None:
        transfer = self.transfer
        if transfer is None or transfer.asked:
            return
        if self.followers[transfer.target].match == self._log.last_index:
            transfer.asked = True
            self._outbox.append(TimeoutNow(self._me, transfer.target, self.term, transfer.horizon))

    # -- time and sending ---------------------------------------------------------------------

    def quorum_lost(self, now: float) -> bool:
        """CheckQuorum (thesis §6.2): a round has been out for an election timeout without its majority.

        Counted from the oldest *unanswered* round: a leader that was stopped for a while starts a new
        round when it wakes, and finds out from the answers instead of stepping down on suspicion.
        """
        return now >= self.rounds.unanswered_since() + self._config.election_timeout_ms

    def tick(self, now: float) -> None:
        for read in self._reads.expired(now):
            self._answer(read, None)
        if self.transfer is not None and now >= self.transfer.deadline:
            self.abort_transfer(now)
        if now >= self._heartbeat_at:
            if self.transfer is not None:
                self.transfer.asked = False  # once more, in case it got lost
            self._begin_round(now)

    def next_wakeup(self) -> float:
        if not self.followers:
            return self._reads.next_deadline()
        return min(
            self._heartbeat_at,
            self._notice_at,
            self._reads.next_deadline(),
            self.rounds.unanswered_since() + self._config.election_timeout_ms,
            inf if self.transfer is None else self.transfer.deadline,
        )

    def flush(self, now: float) -> None:
        """Put into the outbox whatever followers may be sent by now."""
        if self._reads.wants_round():
            self._begin_round(now)
        for peer, progress in self.followers.items():
            if progress.question:
                self._send(peer, progress, ())
            for entries in self._sendable(progress):
                self._send(peer, progress, entries)
        self._push_transfer()
        if self._notice_at < inf:
            self._notice_commit(now)

    def _sendable(self, progress: Progress) -> Iterator[tuple[Entry, ...]]:
        log, messages, size_in_bytes = self._log, self._config.window_messages, self._config.window_bytes
        while progress.next <= log.last_index and progress.window_open(messages, size_in_bytes):
            if not log.knows(progress.next - 1):
                return  # stranded: only a snapshot helps it
            yield tuple(log.slice(progress.next, log.last_index, self._config.append_bytes))

    def _send(self, peer: str, progress: Progress, entries: tuple[Entry, ...]) -> None:
        log = self._log
        # A follower that needs compacted entries is kept loyal with an Append that fits any log.
        prev = progress.next - 1 if log.knows(progress.next - 1) else 0
        prev_term = log.term(prev) if prev else 0
        welcome = progress.fresh_since > 0 and self.settled and self._may_welcome(peer)
        number = self.rounds.number
        self._outbox.append(
            Append(self._me, peer, self.term, prev, prev_term, log.commit, number, entries, welcome)
        )
        progress.commit_sent = log.commit
        progress.question = False
        if entries:
            progress.sent(entries[-1].index, size_of(entries))

    def _notice_commit(self, now: float) -> None:
        """Tell followers of a commit that no entry has carried along: their readers wait for it."""
        commit = self._log.commit
        behind = [peer for peer, progress in self.followers.items() if progress.commit_sent < commit]
        if behind and now < self._notice_at:
            return
        self._notice_at = inf
        for peer in behind:
            if not self.followers[peer].lost:
                self._send(peer, self.followers[peer], ())

"""RaftCore: messages, time and disk reports in; a `Ready` out. It never waits and never looks anywhere.

Here are the rules that hold whatever the role: terms, and who votes for whom. What a leader does is in
leader.py, what a follower does with its leader's log in following.py, how one is elected in ballot.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from random import Random
from typing import Final

from ironkv.errors import Fault
from ironkv.raft.ballot import Ballot
from ironkv.raft.config import HardState, NotLeader, RaftConfig
from ironkv.raft.configuration import Configuration, Members
from ironkv.raft.following import Following
from ironkv.raft.leader import Leadership
from ironkv.raft.log import Log, Stored
from ironkv.raft.loyalty import Loyalty
from ironkv.raft.messages import (
    Append,
    AppendReply,
    Entry,
    Mark,
    Message,
    Persist,
    PreVote,
    PreVoteReply,
    ReadGrant,
    ReadIndex,
    ReadIndexReply,
    Ready,
    Role,
    TimeoutNow,
    Vote,
    VoteReply,
)
from ironkv.raft.progress import Progress
from ironkv.raft.promises import Promises
from ironkv.raft.reads import ForwardedReads

STALL_TIMEOUTS: Final = 2
"""A leader whose journal write takes longer than this many election timeouts hands over."""


class RaftCore:
    def __init__(
        self,
        config: RaftConfig,
        hard: HardState,
        stored: Stored,
        random: Random,
        now: float,
        applied: int = 0,
        members: Sequence[tuple[int, Configuration]] = (),
    ) -> None:
        """`members`: what the snapshot, and the log behind it up to its end, say of who belongs to the
        cluster, each with its index; empty if they say nothing.
        """
        self._config = config
        self._me = config.node_id
        self._timeout = config.election_timeout_ms
        self._members = Members(config.node_id, members or ((0, Configuration(config.voters)),))
        self._random = random
        self._log = Log(stored, hard.commit, applied)
        self._hard = Promises(hard.term, hard.voted_for, hard.fresh)
        self._outbox: list[Message] = []
        self._grants: list[ReadGrant] = []

        self._role = Role.FOLLOWER
        self._leader: str | None = None
        self._lead: Leadership | None = None
        self._deadline = now + self._draw_timeout()
        self._loyalty = Loyalty(self._timeout, hard.term, now)
        self._following = Following(self._me, self._log, self._members, self._hard, self._outbox)
        self._ballot = Ballot(
            self._me, config.heartbeat_ms, self._members, self._log, self._hard, self._outbox
        )
        self._forwarded = ForwardedReads(self._me, self._timeout, self._outbox, self._grants, random)

        self._serial = 0
        self._writing: Mark | None = None
        self._stalled_at = inf

        if self._decides_alone:
            self._stand(now, None)

    # -- for the driver: what may be asked --------------------------------------------------------

    @property
    def role(self) -> Role:
        return self._role

    @property
    def term(self) -> int:
        return self._hard.term

    @property
    def leader(self) -> str | None:
        """Who leads this term, as far as we know."""
        return self._leader

    @property
    def voted_for(self) -> str | None:
        return self._hard.voted_for

    @property
    def fresh(self) -> bool:
        """Whether this node began with an empty directory and has not caught up since (membership.py)."""
        return self._hard.fresh

    @property
    def commit(self) -> int:
        return self._log.commit

    @property
    def last_index(self) -> int:
        return self._log.last_index

    @property
    def durable_index(self) -> int:
        """How far this node's own disk has the log. May lie behind `commit`: others have it then."""
        return self._log.durable

    @property
    def configuration(self) -> Configuration:
        """Who belongs to the cluster, as the log says; perhaps not committed yet."""
        return self._members.current

    @property
    def followers(self) -> dict[str, Progress]:
        """The leader's view of each follower, to look at; empty on anybody else."""
        return self._lead.followers if self._lead is not None else {}

    def stranded(self) -> tuple[str, ...]:
        """The followers that only a snapshot can help, on a leader; until they accept something again."""
        return self._lead.stranded() if self._lead is not None else ()

    def lowest_match(self) -> int:
        """Entries above this one are still to be sent to some follower that is connected, and not stranded:
        compaction that spares them strands only those that are away. On others than the leader: `commit`.
        """
        return self._lead.lowest_match() if self._lead is not None else self._log.commit

    @property
    def transferring_to(self) -> str | None:
        transfer = self._lead.transfer if self._lead is not None else None
        return transfer.target if transfer is not None else None

    def lease_holds(self, now: float) -> bool:
        """Whether a read at `read_index` is linearizable right now, without asking anybody."""
        return self._lead is not None and self._lead.lease_holds(now)

    def lease_until(self) -> float:
        """Until when `lease_holds`, as long as the core is told nothing new; -inf for not at all."""
        return self._lead.lease_until() if self._lead is not None else -inf

    def read_index(self) -> int:
        return self._log.commit

    def next_wakeup(self) -> float:
        """When `tick` has something to do, if nothing else happens before."""
        reads = self._forwarded.next_deadline()
        if self._lead is not None:
            return min(self._lead.next_wakeup(), self._stalled_at, reads)
        return min(self._deadline, self._ballot.ask_at, reads)

    # -- for the driver: what may be done ---------------------------------------------------------

    def propose(self, data: bytes, now: float) -> Entry:
        """Append a batch to the log. The entry's index and term tell later what became of it."""
        if self._lead is None:
            raise NotLeader(self._leader)
        return self._lead.propose(data)

    def read(self, read_id: int, now: float) -> None:
        """Ask for a linearizable read; some later Ready grants it, or says that it cannot be granted."""
        if self._lead is not None:
            self._lead.read(read_id, None, now)
        elif self._leader is None:
            self._grants.append(ReadGrant(read_id, None))
        else:
            self._forwarded.ask(read_id, self._leader, self.term, now)

    def successor(self, target: str | None, now: float) -> str:
        """Who would take leadership over: `target`, or the follower that has most of the log.
        Raises NotLeader, Transferring, NoSuccessor."""
        if self._lead is None:
            raise NotLeader(self._leader)
        return self._lead.successor(target, now)

    def transfer(self, target: str | None, now: float) -> None:
        """Hand leadership to `successor`."""
        if self._lead is None:
            raise NotLeader(self._leader)
        self._lead.begin_transfer(target, now)

    def change(self, wanted: Configuration, now: float) -> None:
        """Begin to make `wanted` what rules. Raises NotLeader, ChangeRefused, Transferring."""
        if self._lead is None:
            raise NotLeader(self._leader)
        self._lead.change(wanted, now)

    def install(self, index: int, term: int, now: float, configuration: Configuration | None = None) -> bool:
        """Go on from the committed state at `index`, whose entry had `term`: that snapshot is on our disk.

        False if the log has come as far by itself: nothing has changed then. Otherwise entries up to `index`
        are not handed out any more, and `Persist.reset` may tell the journal to begin anew.
        """
        if index <= self._log.commit or self._lead is not None:
            return False
        replaced = self._log.install(index, term)
        self._members.installed(index, configuration, replaced=replaced)
        self._following.installed(index, replaced=replaced)
        if replaced and (self._role is Role.CANDIDATE or self._ballot.sounding):
            self._follow(self.term, None, now)  # votes were asked for with the log that is gone
        return True

    def persisted(self, mark: Mark, now: float) -> None:
        """The journal reports that the write named `mark` is on disk."""
        if mark != self._writing:
            return  # not the write under way: it vouches for nothing that is in the log now
        self._writing = None
        self._stalled_at = inf
        self._log.end_write()
        self._hard.end_write()
        self._hard.release(self._outbox)
        if self._lead is not None:
            self._lead.advance_commit(now)
        elif self._role is Role.CANDIDATE and self._hard.durable:
            self._count_vote(self._me, self._hard.fresh, now)

    def pulse(self, sender: str, term: int, now: float) -> None:
        """`sender` says it still leads `term` but is too busy to say more: stay loyal, for a while.

        This only lengthens the promise that leases rest on, so it cannot break one.
        """
        if self._role is Role.FOLLOWER and sender == self._leader and term == self.term:
            self._loyalty.heard = now
            self._deadline = now + self._draw_timeout()
            self._ballot.withdraw()

    def peer_lost(self, peer: str, now: float) -> None:
        """The connection to `peer` broke: a dead process usually shows this way first."""
        if self._lead is not None:
            if peer in self._lead.followers:
                self._lead.peer_lost(peer, now)
        elif peer == self._leader:
            # Not before the promise to this leader has run out: its lease rests on that. The jitter
            # keeps the survivors, who all notice at once, from splitting the vote.
            soonest = self._loyalty.heard + self._timeout * (1 + self._random.uniform(0.01, 0.15))
            self._deadline = min(self._deadline, soonest)
            self._forwarded.fail()

    def peer_reborn(self, peer: str, now: float) -> None:
        """`peer` began anew with an empty disk; none of its older messages will come any more.

        To be told before the first message of its new life: what is meant for the old one must not reach it.
        """
        self._hard.drop(peer)
        self._outbox[:] = [message for message in self._outbox if message.to != peer]
        if self._lead is not None and peer in self._lead.followers:
            self._lead.peer_reborn(peer, now)

    def peer_back(self, peer: str, now: float) -> None:
        """A connection to `peer` stands again."""
        if self._lead is not None and peer in self._lead.followers:
            self._lead.peer_back(peer, now)

    def tick(self, now: float) -> None:
        """Do what has fallen due. Messages that have arrived are to be given to `step` before."""
        self._forwarded.expire(now)
        if self._lead is not None:
            self._tick_leader(self._lead, now)
        elif now >= self._deadline:
            self._campaign(now)
        elif now >= self._ballot.ask_at:
            self._ballot.ask(now)

    def ready(self, now: float) -> Ready | None:
        """What is to be done now. Call again until it gives None: large work is handed out in slices."""
        if self._lead is not None:
            self._lead.flush(now)
            if self._lead.unseated:
                self._lead.abdicate(now)
                self._follow(self.term, None, now)
        elif self._leader is not None:
            self._following.acknowledge(self._leader, self._loyalty.heard_round[1])
        persist = self._begin_write(now) if self._writing is None else None
        committed = self._log.hand_out(self._config.apply_bytes)
        if committed:
            self._members.committed(self._log.commit)
            self._log.trim(self._config.tail_bytes)
        if not (self._outbox or persist or committed or self._grants):
            return None
        ready = Ready(tuple(self._outbox), persist, committed, tuple(self._grants))
        self._outbox.clear()
        self._grants.clear()
        return ready

    # -- the disk ---------------------------------------------------------------------------------

    def _begin_write(self, now: float) -> Persist | None:
        """Everything the journal lacks, in one transaction; what comes meanwhile goes into the next."""
        if self._hard.written and self._log.written == self._log.last_index:
            return None
        reset, entries = self._log.begin_write()
        self._hard.begin_write()
        self._serial += 1
        self._writing = Mark(self._serial, self.term, self._log.last_index)
        self._stalled_at = now + STALL_TIMEOUTS * self._timeout
        hard = self._hard
        return Persist(self._writing, hard.term, hard.voted_for, self._log.commit, entries, hard.fresh, reset)

    # -- messages ---------------------------------------------------------------------------------

    def step(self, message: Message, now: float) -> None:
        """Take a message in. Late, repeated, reordered or strange ones do no harm.

        The sender need not be a member as far as this node's log knows: that may be behind (§6). That it is a
        node of this cluster, connections vouch for.
        """
        if message.to != self._me or message.sender == self._me:
            return
        match message:
            case Append():
                self._on_append(message, now)
            case AppendReply():
                if self._same_term(message.term, now) and self._lead is not None:
                    self._lead.on_reply(message, now)
            case PreVote():
                self._on_pre_vote(message, now)
            case PreVoteReply():
                self._on_pre_vote_reply(message, now)
            case Vote():
                self._on_vote(message, now)
            case VoteReply():
                self._on_vote_reply(message, now)
            case TimeoutNow():
                self._on_timeout_now(message, now)
            case ReadIndex():
                self._on_read_index(message, now)
            case ReadIndexReply():
                self._on_read_index_reply(message, now)

    def _same_term(self, term: int, now: float) -> bool:
        """A higher term makes us follow (§5.1); a lower one is of no interest."""
        if term > self.term:
            self._follow(term, None, now)
        return term == self.term

    def _follow(self, term: int, leader: str | None, now: float) -> None:
        """Become a follower in `term`, of `leader` if that is known."""
        if term > self.term:
            self._hard.set(term, None)
            self._following.begin()
        if self._lead is not None:
            self._lead.resign()
            self._lead = None
            self._deadline = now + self._draw_timeout()
        if leader != self._leader:
            self._forwarded.fail()
        self._role = Role.FOLLOWER
        self._leader = leader
        self._ballot.withdraw()

    # -- following ----------------------------------------------------------------------------------

    def _on_append(self, message: Append, now: float) -> None:
        if message.term < self.term:
            # Not silence: a leader that was cut off and overtaken learns from this that its time is up.
            fresh = self._hard.fresh
            reply = AppendReply(self._me, message.sender, self.term, message.round, None, fresh=fresh)
            self._outbox.append(reply)
            return
        if self._lead is not None and message.term == self.term:
            raise Fault(
                f"two leaders in term {self.term}: {self._me} and {message.sender}; compare their logs"
            )
        if message.term > self.term or self._leader != message.sender or self._role is not Role.FOLLOWER:
            self._follow(message.term, message.sender, now)
        self._ballot.withdraw()
        self._loyalty.hear(message.term, message.round, now)
        self._deadline = now + self._draw_timeout()
        self._following.take(message, self._loyalty.heard_round[1])

    # -- promises -------------------------------------------------------------------------------------

    def _bound(self, now: float) -> bool:
        """Whether we owe loyalty: a lease may rest on our electing nobody, and if we lead it is our own."""
        if self._lead is not None:
            return now < self._lead.rounds.confirmed_sent + self._timeout
        return self._loyalty.binds(now)

    def _released(self, term: int, round_number: int, now: float) -> bool:
        """Whether the leader of `term`, by starting a transfer, has given back the promise we made it.

        It gave back what it was promised up to `round_number`. If it has ruled on since, and we have
        answered a later round, then this transfer is an old story and that promise stands.
        """
        if self._loyalty.is_forgotten(term, now):
            return False
        lead = self._lead
        ruled = self._loyalty.heard_round if lead is None else (self.term, lead.rounds.number)
        return (term, round_number) >= ruled

    # -- elections (§5.2; PreVote: thesis §9.6) ---------------------------------------------------------

    def _draw_timeout(self) -> float:
        return self._timeout * self._random.uniform(1, 2)

    @property
    def _decides_alone(self) -> bool:
        """Nobody need be asked. Who lost its disk may just be on its way through the log (membership.py)."""
        return self._members.voters.alone and not self._hard.fresh

    def _campaign(self, now: float) -> None:
        """Nobody leads, it seems. Ask first whether an election could be won: that raises no terms."""
        self._deadline = now + self._draw_timeout()
        if self._role is Role.CANDIDATE and not self._hard.durable:
            return  # our disk is slower than elections are: one more term would only queue behind this one
        if not self._members.may_stand(self._log.commit):
            self._follow(self.term, None, now)  # not ours to lead
            return
        if self._decides_alone:
            self._stand(now, None)
            return
        self._follow(self.term, None, now)
        self._ballot.sound_out(now)

    def _stand(self, now: float, handed_over: TimeoutNow | None) -> None:
        """Stand in the next term. Votes are asked for, and our own counts, once all this is durable."""
        if self._leader is not None:
            self._forwarded.fail()
        self._hard.set(self.term + 1, self._me)
        self._role = Role.CANDIDATE
        self._leader = None
        self._deadline = now + self._draw_timeout()
        self._following.begin()
        self._ballot.stand(handed_over.round if handed_over is not None else None, now)

    def _on_pre_vote(self, message: PreVote, now: float) -> None:
        granted = (
            message.term > self.term
            and not self._bound(now)
            and self._log.up_to_date(message.last_index, message.last_term)
        )
        if granted and self._ballot.gives_way_to(message):
            self._ballot.withdraw()
        term = message.term if granted else self.term
        self._outbox.append(PreVoteReply(self._me, message.sender, term, granted, self._hard.fresh))

    def _on_pre_vote_reply(self, message: PreVoteReply, now: float) -> None:
        if not message.granted:
            if message.term > self.term:
                self._follow(message.term, None, now)
        elif message.term == self.term + 1 and self._ballot.word(message.sender, message.fresh):
            self._stand(now, None)

    def _on_vote(self, message: Vote, now: float) -> None:
        if message.term >= self.term and self._bound(now):
            released = message.transfer and self._released(message.term - 1, message.round, now)
            if not released:
                return  # and its term is not taken over either: it must not unseat a leader that is well
        if message.term > self.term:
            self._follow(message.term, None, now)
        granted = (
            message.term == self.term
            and self._hard.voted_for in (None, message.sender)
            and self._log.up_to_date(message.last_index, message.last_term)
        )
        if not granted:
            reply = VoteReply(self._me, message.sender, self.term, granted=False, fresh=self._hard.fresh)
            self._outbox.append(reply)
            return
        self._deadline = now + self._draw_timeout()
        self._ballot.withdraw()
        if self._hard.voted_for is None:
            self._hard.set(self.term, message.sender)
        reply = VoteReply(self._me, message.sender, self.term, granted=True, fresh=self._hard.fresh)
        self._hard.give(reply, self._outbox)

    def _on_vote_reply(self, message: VoteReply, now: float) -> None:
        if self._same_term(message.term, now) and message.granted and self._role is Role.CANDIDATE:
            self._count_vote(message.sender, message.fresh, now)

    def _count_vote(self, voter: str, fresh: bool, now: float) -> None:
        if self._ballot.vote(voter, fresh):
            self._lead_now(now)

    def _lead_now(self, now: float) -> None:
        if self._hard.fresh:
            self._hard.settle_in(self._me)  # everybody has voted for us
        self._role = Role.LEADER
        self._leader = self._me
        self._ballot.withdraw()
        self._lead = Leadership(
            self._config, self.term, self._members, self._log, self._outbox, self._grants, now
        )

    def _on_timeout_now(self, message: TimeoutNow, now: float) -> None:
        if not self._same_term(message.term, now) or message.sender != self._leader or self._hard.fresh:
            return
        if not self._members.may_stand(self._log.commit):
            return
        # An order overtaken by later rounds of the same leader is void, like a vote that cites it.
        if not self._bound(now) or self._released(message.term, message.round, now):
            self._stand(now, message)

    # -- leading ------------------------------------------------------------------------------------------

    def _tick_leader(self, lead: Leadership, now: float) -> None:
        if lead.quorum_lost(now):
            self._follow(self.term, None, now)
            return
        lead.tick(now)
        if now >= self._stalled_at:
            self._stalled_at = now + STALL_TIMEOUTS * self._timeout
            successor = lead.best_successor(now)
            if lead.transfer is None and successor is not None:
                # Our disk hangs; heartbeats do not depend on it, so nobody else would ever take over.
                lead.begin_transfer(successor, now)

    # -- reads through the leader (thesis §6.4) --------------------------------------------------------------

    def _on_read_index(self, message: ReadIndex, now: float) -> None:
        if message.term > self.term:
            self._follow(message.term, None, now)
        if self._lead is not None:
            self._lead.read(message.read_id, message.sender, now)
        else:
            self._outbox.append(ReadIndexReply(self._me, message.sender, self.term, message.read_id, None))

    def _on_read_index_reply(self, message: ReadIndexReply, now: float) -> None:
        if message.term > self.term:
            self._follow(message.term, None, now)
        self._forwarded.answered(message.read_id, message.index)

"""A follower and its leader's log (§5.3): what it takes over, and what it says it has.

Always true
    F1  `matched` is how far our log is known to agree with that of this term's leader. Committed entries
        always do (§5.4.3)
    F2  what is acknowledged agrees and is on our disk: nothing that a crash now could take back
"""

from __future__ import annotations

from ironkv.errors import Fault
from ironkv.raft.configuration import Members
from ironkv.raft.log import Log
from ironkv.raft.messages import Append, AppendReply, Message
from ironkv.raft.promises import Promises


class Following:
    __slots__ = ("_ack_owed", "_acked", "_hard", "_log", "_matched", "_me", "_members", "_outbox", "_welcome")

    def __init__(self, me: str, log: Log, members: Members, hard: Promises, outbox: list[Message]) -> None:
        self._me, self._log, self._members, self._hard, self._outbox = me, log, members, hard, outbox
        self._matched = log.commit
        self._acked = 0
        self._ack_owed = False
        self._welcome: int | None = None
        """A fresh node that has everything up to here is so no longer; None until its leader said so."""

    def begin(self) -> None:
        """What we knew of our log's agreement with the leader's ends with its term."""
        self._matched = self._log.commit
        self._acked = 0
        self._ack_owed = False
        self._welcome = None

    def installed(self, index: int, *, replaced: bool) -> None:
        """The committed state at `index` is ours; `replaced`: with it another log begins."""
        self._matched = index if replaced else max(self._matched, index)

    def take(self, message: Append, round_number: int) -> None:
        """Entries of this term's leader, or its heartbeat. Raises Fault if they contradict what is committed.

        `round_number`: the newest of its rounds that was heard.
        """
        prev, log = message.prev_index, self._log
        last = prev + len(message.entries)
        if message.entries and (message.entries[0].index != prev + 1 or message.entries[-1].index != last):
            return
        if not log.matches(prev, message.prev_term) and not prev < log.first_index - 1:
            self._reject(message, round_number)
            return
        new = log.merge(message.entries)
        if new:
            self._members.cut(new)
            self._members.appended(message.entries[new - prev - 1 :])
        self._matched = max(self._matched, last)
        # Never beyond what is known to match: the rest of our log may yet be replaced (§5.3).
        log.commit = max(log.commit, min(message.commit, self._matched))
        if message.welcome and self._hard.fresh and self._welcome is None:
            self._welcome = message.commit  # the first will do: it need not run after a leader under load
        # A heartbeat is answered at once, saying what is durable so far; entries once they are.
        if not message.entries or last <= log.durable:
            self._ack_owed = True

    def _reject(self, message: Append, round_number: int) -> None:
        """Name the last entry that may agree, so that a whole term is skipped at once (§5.3, end)."""
        if message.prev_index <= self._log.commit:
            raise Fault(
                f"{message.sender} leads with another entry {message.prev_index} than was committed here"
            )
        log, hard = self._log, self._hard
        hint = max(log.last_with_term_up_to(message.prev_term, message.prev_index), log.first_index - 1)
        reply = AppendReply(
            self._me, message.sender, hard.term, round_number, None, hint, log.term(hint), hard.fresh
        )
        hard.give(reply, self._outbox)

    def acknowledge(self, leader: str, round_number: int) -> None:
        """Say how far we agree and have it on disk (F2), if that is news to the leader or it asked."""
        hard = self._hard
        if not hard.durable:
            return
        match = min(self._matched, self._log.durable)
        if self._welcome is not None and match >= self._welcome:
            # Whatever we ever helped to commit is here again, and whomever we might have voted for in a
            # later term has been heard in this one (membership.py).
            self._welcome = None
            hard.settle_in(leader)
            self._ack_owed = True
            return
        if self._ack_owed or match > self._acked:
            self._ack_owed = False
            self._acked = match
            reply = AppendReply(self._me, leader, hard.term, round_number, match, fresh=hard.fresh)
            self._outbox.append(reply)

"""Who votes, and what counts of a voter that may have forgotten promises.

Everything else asks this class, and never counts nodes by itself. In a joint configuration (§6,
configuration.py) there are two sets of voters, and whatever needs a majority needs one of each.

A node is *fresh* while it began with an empty directory and has not caught up since. Perhaps it never
ran; perhaps it lost its disk, and with it votes it gave and entries it acknowledged. Two rules keep it
from taking either back. They hold as long as nobody else loses a disk before it has caught up.

Elections   are won by a majority (of each set) of nodes that are not fresh, or by every single voter.
    Say X lost its disk. A majority without X meets every majority with it in somebody else, who
    remembers: so the winner's log has all that was committed, and no term has two winners. Where
    everybody votes, those who remember do, too: an entry that X acknowledged is on one more disk at
    least, whose node votes for no log without it (§5.4.1); and whoever X may have voted for in a later
    term is in that term, and does not vote in this one.
    Where X is the only voter that the candidate's log knows of, nobody else would remember: X may have
    decided alone, also to share its vote with others again. Then no vote of an X that is fresh elects
    anybody: neither a node that was removed and does not know whether that came to pass, nor X itself on
    its way through the log.
    So a new cluster, in which all are fresh, elects its first leader once all of it is there. One that
    was interrupted on the way from all fresh to none goes on as soon as all of it is there again.

Answers     of a fresh follower count, for commits as for rounds, once every other voter has answered
    the same leader in a round that began after the follower was found to be fresh (leader.py).
    The danger is a vote that X gave in a later term and forgot: entries that X acknowledges now, and
    reads it confirms, belong to a leader who has been replaced. But then the candidate it voted for was
    in that later term before X began anew. Any other voter may have been it, and all of them have since
    answered in this one. X itself may have been it, but only with the vote of one of them. If there is
    none (X is the only voter, its leader has removed itself), X's answers do not count. So that this never
    holds up a removal, the last step to an only voter is not taken while that is fresh.

Such a follower has caught up when it holds, on disk, all that its leader knew as committed, after the
leader committed an entry of its own term: that is everything X ever helped to commit. It then counts
as having voted in this term, and is fresh no longer. A leader forgets what an older life of a follower
has acknowledged (`Progress.reborn`), and nothing of that life may reach it later (`peers.links`).

Learners    need not wait for every voter's answer. Say X was a voter once, lost its disk, was removed and is
    a learner now. Its removal J is committed: by a majority of the voters of then, and whatever X had
    acknowledged is below J in their logs. A candidate that X voted for, in whatever term, either has J, and
    then X is no voter of its; or it lacks J, and a majority of the old voters has somebody in it who has J
    and is not X (X counted for J only by the rule above) and refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ironkv.raft.quorum import majority, majority_index


class Voters:
    """The members whose majority elects, commits and confirms."""

    __slots__ = ("_me", "_sets", "alone", "ids", "others")

    def __init__(self, ids: frozenset[str], me: str, outgoing: frozenset[str] = frozenset()) -> None:
        """`me` need not be among them: learners, and a leader that is removing itself, are not."""
        self.ids = ids | outgoing
        # Sorted: the order of messages must not depend on how strings hash.
        self.others: tuple[str, ...] = tuple(sorted(self.ids - {me}))
        self.alone = self.ids == {me}
        self._me = me
        self._sets = [tuple(sorted(each)) for each in (ids, outgoing) if each]

    def won(self, granted: Mapping[str, bool]) -> bool:
        """Whether the votes of these, each with whether it is fresh, elect us, who are among them."""
        if not self._sets:
            return False
        if len(self.ids) > 1 and self.ids <= granted.keys():
            return True
        if granted.get(self._me, True):
            return False
        return all(
            sum(not granted.get(voter, True) for voter in each) >= majority(len(each)) for each in self._sets
        )

    def agreed(self, mine: int, theirs: Callable[[str], int]) -> int:
        """The highest number a majority has reached, given mine and one for each of the others."""
        me = self._me
        return min(
            (majority_index([mine if each == me else theirs(each) for each in one]) for one in self._sets),
            default=0,
        )

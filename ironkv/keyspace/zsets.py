"""Sorted sets: members with scores, ordered by score and, where scores are equal, by their bytes.

Three things are kept: the place of each member in a list of names (see `indexed`), the score at each
place, and the order, in blocks of a few hundred members with their scores beside them. So scores, random
members and scans are O(1), everything about ranks and ranges O(log n).

Always true between two commands
    Z1  the blocks hold exactly the names, each with its score, in order
    Z2  no block is empty or has more than 2 * BLOCK members; `_tops` holds the last (score, member) of each
    Z3  `_positions` is None or agrees with the sizes of the blocks
    Z4  no score is NaN
The order of the names is part of the state (N2), and so is whether the set is a `listpack` or a
`skiplist`: with a member too many or too long (`thresholds`) it becomes the latter for ever.
"""

from __future__ import annotations

import random
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, ClassVar, Final, NamedTuple, Self

from ironkv.keyspace import thresholds
from ironkv.keyspace.indexed import any_place, distinct_places, index, take_out, walk
from ironkv.keyspace.positions import Positions

BLOCK: Final = 512

Scored = tuple[bytes, float]
"""A member and its score."""

_score_of: Callable[[tuple[float, bytes]], float] = itemgetter(0)
_member_of: Callable[[tuple[float, bytes]], bytes] = itemgetter(1)


class LexBound(NamedTuple):
    """An end of a range of members: `[member`, `(member`, `-` or `+`."""

    member: bytes = b""
    exclusive: bool = False
    infinite: int = 0
    """-1: before every member; 1: behind every member."""

    def is_below(self, member: bytes) -> bool:
        """As the lower end: whether the member is in."""
        if self.infinite:
            return self.infinite < 0
        return member > self.member or (member == self.member and not self.exclusive)

    def is_above(self, member: bytes) -> bool:
        """As the upper end: whether the member is in."""
        if self.infinite:
            return self.infinite > 0
        return member < self.member or (member == self.member and not self.exclusive)


class SortedSet:
    """Never empty while it is in a database (K3). Ranges are from `start` to before `stop`, by rank."""

    __slots__ = (
        "_block_scores",
        "_blocks",
        "_is_skiplist",
        "_names",
        "_places",
        "_positions",
        "_scores",
        "_tops",
    )

    type_name: ClassVar[bytes] = b"zset"

    def __init__(self) -> None:
        self._is_skiplist = False
        self._names: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self._scores = array("d")
        self._blocks: list[list[bytes]] = []
        self._block_scores: list[array[float]] = []
        self._tops: list[tuple[float, bytes]] = []
        self._positions: Positions | None = None

    @classmethod
    def rebuilt(cls, encoding: bytes, scored: Iterable[Scored]) -> Self:
        """The sorted set that has this encoding and these members, their names in this order."""
        new = cls()
        new._is_skiplist = encoding == b"skiplist"
        pairs = list(scored)
        new._names = [member for member, _ in pairs]
        new._places = index(new._names)
        new._scores = array("d", [score for _, score in pairs])
        order = sorted((score, member) for member, score in pairs)
        for at in range(0, len(order), BLOCK):
            part = order[at : at + BLOCK]
            new._blocks.append([member for _, member in part])
            new._block_scores.append(array("d", [score for score, _ in part]))
            new._tops.append(part[-1])
        return new

    @classmethod
    def of(cls, scored: Iterable[Scored]) -> Self:
        """A new sorted set of members that are all different."""
        pairs = list(scored)
        limits = thresholds.in_force
        if len(pairs) > limits.zset_entries or any(len(member) > limits.zset_value for member, _ in pairs):
            return cls.rebuilt(b"skiplist", pairs)
        return cls.rebuilt(b"listpack", [(member, score + 0.0) for member, score in pairs])

    def encoding(self) -> bytes:
        return b"skiplist" if self._is_skiplist else b"listpack"

    def copy(self) -> Self:
        new = type(self)()
        new._is_skiplist = self._is_skiplist
        new._names, new._places = self._names[:], self._places.copy()
        new._scores, new._tops = self._scores[:], self._tops[:]
        new._blocks = [block[:] for block in self._blocks]
        new._block_scores = [scores[:] for scores in self._block_scores]
        return new

    def pieces(self, most: int) -> Iterator[list[Any]]:
        """member, score, member, score … in the order of the names."""
        for at in range(0, len(self._names), most):
            piece: list[Any] = [None] * (2 * len(part := self._names[at : at + most]))
            piece[::2], piece[1::2] = part, self._scores[at : at + most]
            yield piece

    @classmethod
    def from_pieces(cls, encoding: bytes, items: list[Any]) -> Self:
        return cls.rebuilt(encoding, zip(items[::2], items[1::2], strict=True))

    # -- looking

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, member: bytes) -> bool:
        return member in self._places

    def by_place(self) -> Iterator[Scored]:
        """All members in the order of the names."""
        return zip(self._names, self._scores, strict=True)

    def score(self, member: bytes) -> float | None:
        """The member's score; None if it is not there."""
        place = self._places.get(member)
        return None if place is None else self._scores[place]

    def rank(self, member: bytes) -> int | None:
        """How many members come before this one; None if it is not there."""
        place = self._places.get(member)
        if place is None:
            return None
        score = self._scores[place]
        block = bisect_left(self._tops, (score, member))
        return self._before(block) + self._place_in(block, score, member)

    def members(self, start: int, stop: int) -> list[bytes]:
        """The members of a range."""
        found: list[bytes] = []
        for block, first, end in self._parts(start, stop):
            found += self._blocks[block][first:end]
        return found

    def scored(self, start: int, stop: int) -> list[Scored]:
        """The members of a range with their scores."""
        found: list[Scored] = []
        for block, first, end in self._parts(start, stop):
            found += zip(
                self._blocks[block][first:end], self._block_scores[block][first:end].tolist(), strict=True
            )
        return found

    def scan(self, cursor: int, most: int) -> tuple[int, list[Scored]]:
        """The next members and the cursor that goes on from there; of a small set all at once, in order."""
        if not self._is_skiplist:
            return 0, self.scored(0, len(self))
        places = walk(len(self._names), cursor, most)
        return places.start, [(self._names[place], self._scores[place]) for place in reversed(places)]

    def random_members(self, count: int, chance: random.Random) -> Iterator[Scored]:
        """`count` members, each about equally likely, whatever came before it."""
        size = len(self._names)
        places = (any_place(size, chance) for _ in range(count))
        return ((self._names[place], self._scores[place]) for place in places)

    def distinct_members(self, count: int, chance: random.Random) -> Iterable[Scored]:
        """`count` different members at random, or all there are, in order."""
        if count >= len(self._names):
            return self.scored(0, len(self))
        places = distinct_places(len(self._names), count, chance)
        return ((self._names[place], self._scores[place]) for place in places)

    # -- ranks at which ranges begin and end

    def below_score(self, score: float) -> int:
        """How many members have a lower score."""
        block = bisect_left(self._tops, score, key=_score_of)
        if block == len(self._tops):
            return len(self)
        return self._before(block) + bisect_left(self._block_scores[block], score)

    def up_to_score(self, score: float) -> int:
        """How many members have this score or a lower one."""
        block = bisect_right(self._tops, score, key=_score_of)
        if block == len(self._tops):
            return len(self)
        return self._before(block) + bisect_right(self._block_scores[block], score)

    def lex_range(self, lower: LexBound, upper: LexBound, *, backwards: bool = False) -> tuple[int, int]:
        """The range of the members between two ends, given that all scores are the same.

        Where they are not, what Redis finds in a skiplist depends on chance. In a listpack it looks at one
        member after the other, from the end where it begins: then so do we.
        """
        if not self._is_skiplist:
            return self._lex_range_by_looking(lower, upper, backwards)
        start = self._lex_rank(lower, behind_equal=lower.exclusive)
        stop = self._lex_rank(upper, behind_equal=not upper.exclusive)
        return start, max(start, stop)

    def _lex_rank(self, bound: LexBound, *, behind_equal: bool) -> int:
        if bound.infinite:
            return len(self) if bound.infinite > 0 else 0
        bisect = bisect_right if behind_equal else bisect_left
        block = bisect(self._tops, bound.member, key=_member_of)
        if block == len(self._tops):
            return len(self)
        return self._before(block) + bisect(self._blocks[block], bound.member)

    def _lex_range_by_looking(self, lower: LexBound, upper: LexBound, backwards: bool) -> tuple[int, int]:
        members = self.members(0, len(self))
        if not (members and lower.is_below(members[-1]) and upper.is_above(members[0])):
            return 0, 0
        if backwards:
            stop = len(members)
            while stop and not upper.is_above(members[stop - 1]):
                stop -= 1
            start = stop
            while start and lower.is_below(members[start - 1]):
                start -= 1
            return start, stop
        start = 0
        while start < len(members) and not lower.is_below(members[start]):
            start += 1
        stop = start
        while stop < len(members) and upper.is_above(members[stop]):
            stop += 1
        return start, stop

    # -- changing

    def set(self, member: bytes, score: float) -> float | None:
        """Give the member this score; the score it had, None if it is new."""
        place = self._places.get(member)
        if place is None:
            limits = thresholds.in_force
            if len(self._names) >= limits.zset_entries or len(member) > limits.zset_value:
                self._is_skiplist = True
            score = self._kept(score)
            self._places[member] = len(self._names)
            self._names.append(member)
            self._scores.append(score)
            self._link(score, member)
            return None
        old = self._scores[place]
        if old != score:
            score = self._kept(score)
            self._unlink(old, member)
            self._scores[place] = score
            self._link(score, member)
        return old

    def expect(self, count: int) -> None:
        """Decide before the first of many members is added how they are held: as Redis 7.2 does."""
        if count > thresholds.in_force.zset_entries:
            self._is_skiplist = True

    def _kept(self, score: float) -> float:
        """A score as it is held: a listpack has integers for whole numbers, and they have no -0."""
        return score if self._is_skiplist else score + 0.0

    def remove(self, member: bytes) -> bool:
        """Whether the member was there."""
        place = self._places.get(member)
        if place is None:
            return False
        self._unlink(self._scores[place], member)
        self._forget(member)
        return True

    def take(self, start: int, stop: int) -> list[Scored]:
        """Remove a range; its members and their scores."""
        taken = self.scored(start, stop)
        if len(taken) == len(self._names):  # nothing to be put in order
            self._names, self._places, self._scores = [], {}, array("d")
            self._blocks, self._block_scores, self._tops, self._positions = [], [], [], None
            return taken
        for block, first, end in reversed(list(self._parts(start, stop))):
            del self._blocks[block][first:end], self._block_scores[block][first:end]
            self._has_lost(block, end - first)
        for member, _ in taken:
            self._forget(member)
        return taken

    def _forget(self, member: bytes) -> None:
        """Let the names and scores by place know that the member is gone."""
        place = take_out(self._names, self._places, member)
        last = self._scores.pop()
        if place is not None and place < len(self._scores):
            self._scores[place] = last

    # -- the blocks

    def _before(self, block: int) -> int:
        """How many members stand before a block."""
        if block == 0:
            return 0
        if self._positions is None:
            self._positions = Positions(map(len, self._blocks))
        return self._positions.before(block)

    def _place_in(self, block: int, score: float, member: bytes) -> int:
        """Where in a block the member is, or belongs."""
        scores = self._block_scores[block]
        low = bisect_left(scores, score)
        if low + 1 >= len(scores) or scores[low + 1] != score:  # at most one other has this score
            other = low < len(scores) and scores[low] == score
            return low + 1 if other and self._blocks[block][low] < member else low
        return bisect_left(self._blocks[block], member, low, bisect_right(scores, score, low))

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """A range as (block, first, end) of each block that has a part of it."""
        if start >= stop:
            return
        block, first = self._locate(start)
        left = stop - start
        while left:
            end = min(first + left, len(self._blocks[block]))
            yield block, first, end
            left -= end - first
            block, first = block + 1, 0

    def _locate(self, rank: int) -> tuple[int, int]:
        blocks = self._blocks
        if rank < len(blocks[0]):
            return 0, rank
        from_end = len(self._names) - rank
        if from_end <= len(blocks[-1]):
            return len(blocks) - 1, len(blocks[-1]) - from_end
        if self._positions is None:
            self._positions = Positions(map(len, blocks))
        return self._positions.find(rank)

    def _link(self, score: float, member: bytes) -> None:
        tops = self._tops
        block = bisect_left(tops, (score, member))
        if block < len(tops):
            place = self._place_in(block, score, member)
            self._blocks[block].insert(place, member)
            self._block_scores[block].insert(place, score)
        elif tops:
            block -= 1
            self._blocks[block].append(member)
            self._block_scores[block].append(score)
            tops[block] = (score, member)
        else:
            self._blocks.append([member])
            self._block_scores.append(array("d", (score,)))
            tops.append((score, member))
            self._positions = None
            return
        if self._positions is not None:
            self._positions.add(block, 1)
        if len(self._blocks[block]) > 2 * BLOCK:
            self._split(block)

    def _split(self, block: int) -> None:
        members, scores = self._blocks[block], self._block_scores[block]
        self._blocks.insert(block + 1, members[BLOCK:])
        self._block_scores.insert(block + 1, scores[BLOCK:])
        del members[BLOCK:], scores[BLOCK:]
        self._tops.insert(block, (scores[-1], members[-1]))
        self._positions = None

    def _unlink(self, score: float, member: bytes) -> None:
        block = bisect_left(self._tops, (score, member))
        members, scores = self._blocks[block], self._block_scores[block]
        place = self._place_in(block, score, member)
        del members[place], scores[place]
        if place < len(members) and len(members) >= BLOCK // 4:
            if self._positions is not None:
                self._positions.add(block, -1)
        else:
            self._has_lost(block, 1)

    def _has_lost(self, block: int, count: int) -> None:
        """Put in order what is around a block that has lost members."""
        members, scores = self._blocks[block], self._block_scores[block]
        if not members:
            del self._blocks[block], self._block_scores[block], self._tops[block]
            self._positions = None
            return
        self._tops[block] = (scores[-1], members[-1])
        if self._positions is not None:
            self._positions.add(block, -count)
        if len(members) < BLOCK // 4 and block + 1 < len(self._blocks):
            following = self._blocks[block + 1]
            if len(members) + len(following) <= BLOCK:
                members += following
                scores += self._block_scores[block + 1]
                del self._blocks[block + 1], self._block_scores[block + 1], self._tops[block]
                self._positions = None

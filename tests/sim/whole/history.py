"""What clients asked and were told, and whether one copy of the data could have told them (linearizability).

Each key is judged by itself: histories are linearizable when those of all keys are (Herlihy & Wing 1990,
theorem 1). The search is that of Wing & Gong in the form of Lowe, "Testing for linearizability" (2017): walk
through the moments at which operations began and ended, and keep every way in which those that are open may
have taken effect by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from tests.sim.checks import must

UNKNOWN: Final = object()
"""The reply that never came: it may have happened at any time since, or never."""
WRONG: Final = object()
MOST_WAYS: Final = 20_000
"""Beyond this a key is not judged, and counted as such."""


@dataclass(eq=False)
class Op:
    """One operation on one key. Times are true ones."""

    kind: str
    key: bytes
    value: bytes
    began: float
    ended: float = inf
    reply: Any = UNKNOWN
    number: int = 0
    late_ms: float = 0.0
    """How much longer a key may be seen where this was asked: see UNTICKED_MS."""

    def __str__(self) -> str:
        reply = "?" if self.reply is UNKNOWN else repr(self.reply)
        return f"{self.began:9.2f} … {self.ended:9.2f}  {self.kind} {self.key!r} {self.value!r} → {reply}"


class History:
    def __init__(self) -> None:
        self._ops: dict[bytes, list[Op]] = {}
        self.early_by = 0.0
        """By how much (ms) a key may expire too early, as the clocks are; inf: by any time."""
        self.late_by = 0.0
        """By how much it may live on, where there is a leader. Without one it lives until there is one."""
        self.led_since = inf
        """Since when there has been a leader all the time."""
        self.judged = self.undecided = 0

    def keys(self) -> list[bytes]:
        return list(self._ops)

    def began(self, op: Op) -> Op:
        ops = self._ops.setdefault(op.key, [])
        op.number = len(ops)
        ops.append(op)
        return op

    def did_not_happen(self, op: Op) -> None:
        """Its reply says so."""
        self._ops[op.key].remove(op)

    def open_of(self, key: bytes) -> int:
        """How many operations on it will never be answered."""
        return sum(1 for op in self._ops.get(key, ()) if op.reply is UNKNOWN)

    def size_of(self, key: bytes) -> int:
        return len(self._ops.get(key, ()))

    def __len__(self) -> int:
        return sum(map(len, self._ops.values()))

    def check(self) -> None:
        for key, ops in self._ops.items():
            verdict = self._explained(ops)
            self.judged += 1
            if verdict is None:
                self.undecided += 1
            shown = "\n".join(map(str, sorted(ops, key=lambda op: op.began)))
            must(verdict is not False, f"no single copy could have answered so for {key!r}:\n{shown}")

    def _explained(self, ops: list[Op]) -> bool | None:
        moments: list[tuple[float, int, Op]] = [(op.began, 0, op) for op in ops]
        moments += [(op.ended, 1, op) for op in ops if op.ended < inf]
        moments.sort(key=lambda moment: moment[:2])
        # A way: which of the open operations have taken effect, and the state that made.
        ways: set[tuple[frozenset[Op], Any]] = {(frozenset(), None)}
        pending: set[Op] = set()
        for _, ends, op in moments:
            if not ends:
                pending.add(op)
                continue
            ways = self._with(op, ways, pending)
            if len(ways) > MOST_WAYS:
                return None
            if not ways:
                return False
            pending.discard(op)
            ways = {(done - {op}, state) for done, state in ways}
        return True

    def _with(
        self, op: Op, ways: set[tuple[frozenset[Op], Any]], pending: set[Op]
    ) -> set[tuple[frozenset[Op], Any]]:
        """All ways in which `op`, which ends now, has taken effect, perhaps behind others that are open."""
        found = {way for way in ways if op in way[0]}
        todo = [way for way in ways if op not in way[0]]
        seen = set(todo)
        while todo and len(seen) <= MOST_WAYS:
            done, state = todo.pop()
            for each in pending - done:
                for after in self._steps(state, each, op.ended):
                    way = (done | {each}, after)
                    if each is op:
                        found.add(way)
                    elif way not in seen:
                        seen.add(way)
                        todo.append(way)
        return found if len(seen) <= MOST_WAYS else found | seen

    # -- the types: the states that may follow on `op`, none when its reply does not fit

    def _steps(self, state: Any, op: Op, now: float) -> Iterable[Any]:
        if op.kind == "take" and op.reply is UNKNOWN:
            return [state - {member} or None for member in state or ()] or [state]
        after = self._step(state, op, now)
        return () if after is WRONG else (after,)

    def _step(self, state: Any, op: Op, now: float) -> Any:
        reply = op.reply
        match op.kind:
            case "set":
                return op.value
            case "get" | "setnx" | "getset" | "getdel":
                return self._old_value(state, op)
            case "append":
                after = (state or b"") + op.value
                return after if reply is UNKNOWN or reply == len(after) else WRONG
            case "append and get":
                after = (state or b"") + op.value
                return after if reply is UNKNOWN or reply == [len(after), after] else WRONG
            case "del":
                return None if reply is UNKNOWN or reply == int(state is not None) else WRONG
            case "incr":
                number = int(state or 0) + 1
                return b"%d" % number if reply is UNKNOWN or reply == number else WRONG
            case "push":
                pushed = (*(state or ()), op.value)
                return pushed if reply is UNKNOWN or reply == len(pushed) else WRONG
            case "pop":
                first = state[0] if state else None
                return (
                    (state[1:] or None)
                    if state and reply in (UNKNOWN, first)
                    else (None if not state and reply in (UNKNOWN, None) else WRONG)
                )
            case "add":
                added = (state or frozenset()) | {op.value}
                return added if reply in (UNKNOWN, 1) else WRONG
            case "take":
                if not state or reply not in state:
                    return WRONG if state or reply is not None else None
                return state - {reply} or None
            case "members":
                return state if reply is UNKNOWN or frozenset(reply) == (state or frozenset()) else WRONG
            case "list":
                return state if reply is UNKNOWN or reply == list(state or ()) else WRONG
            case "lock" | "holder":
                return self._lock(state, op, now)
        raise AssertionError(op.kind)

    @staticmethod
    def _old_value(state: Any, op: Op) -> Any:
        reply = op.reply
        if op.kind == "setnx":
            if reply is UNKNOWN:
                return state if state is not None else op.value
            return WRONG if (reply == b"OK") is not (state is None) else state or op.value
        if reply is not UNKNOWN and reply != state:
            return WRONG
        return {"get": state, "getset": op.value, "getdel": None}[op.kind]

    def _lock(self, state: Any, op: Op, now: float) -> Any:
        """(value, deadline at the earliest and at the latest): gone somewhere in between, for good."""
        reply = op.reply
        taken = (op.value, op.began + LOCK_MS - self.early_by, now + LOCK_MS + self.late_by)
        may_be_gone = state is None or now >= state[1]
        must_be_gone = state is None or op.began > max(state[2], self.led_since + self.late_by) + op.late_ms
        if op.kind == "lock":
            if reply is UNKNOWN:
                return taken if may_be_gone else state
            if reply == b"OK":
                return taken if may_be_gone else WRONG
            return WRONG if must_be_gone else state
        if reply is UNKNOWN:
            return state
        if reply is None:
            return None if may_be_gone else WRONG
        return WRONG if must_be_gone or reply != state[0] else state


UNTICKED_MS: Final = 1200.0
"""For how long a follower may show a key whose deadline has come, if nothing is written and nobody asks the
leader for it: until the leader logs a tick, when the 1,024 ms have passed in which the deadline lies."""
LOCK_MS: Final = 400
"""For how long the locks that clients take are theirs."""

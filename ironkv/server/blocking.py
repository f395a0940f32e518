"""Clients that wait for something to pop or to read: BLPOP and its kin, XREAD and XREADGROUP with BLOCK.

Only the leader has any. A command that may wait is logged as what it does where it must not wait; a client
to whom that gave nothing stands in a queue for each of his keys, in the order of the log. From there his
command is tried again, as a further item of the log and only while he is there:

    at once      when a command that fills one of his keys is gathered: directly behind it in the same batch,
                 so that nobody comes between
    afterwards   when the listener has told of one of his keys in any other way

A client has one attempt under way at most, so he can be given one element only. XREAD is no write: it is a
ride, or is answered from the state once that has what it waits for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ironkv.commands.blocking import narrowed, wait_ms, wants_alike
from ironkv.commands.later import Later
from ironkv.commands.stream_reads import ReadRequest, new_entries, parse_read
from ironkv.commands.table import TABLE, Args, Command, Route, find
from ironkv.commands.zsets import ADD_OPTIONS
from ironkv.errors import CommandError, NotAvailable, ReplyError, WrongType
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.slots import slot_of
from ironkv.keyspace.streams import Stream
from ironkv.resp.replies import NULL_ARRAY, Reply
from ironkv.server.rides import Ride

if TYPE_CHECKING:
    from ironkv.node.proposals import Batch
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch

STEPPED_DOWN: Final = (
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)
FILLS: Final[dict[bytes, int]] = {
    b"LPUSH": 1, b"RPUSH": 1, b"LMOVE": 2, b"RPOPLPUSH": 2, b"BLMOVE": 2, b"BRPOPLPUSH": 2, b"ZADD": 1,
    b"ZINCRBY": 1, b"ZUNIONSTORE": 1, b"ZINTERSTORE": 1, b"ZDIFFSTORE": 1, b"ZRANGESTORE": 1, b"GEOADD": 1,
    b"XADD": 1, b"RENAME": 2, b"RENAMENX": 2, b"COPY": 2, b"RESTORE": 1,
}  # fmt: skip
"""Command -> which argument is the key that it fills."""
ATTEMPTS_MOST: Final = 1_000
"""Waiting clients tried for one key at a time."""
KIND: Final = {"list": b"list", "sorted-set": b"zset", "stream": b"stream"}
"""Group of a command -> type of the value it waits for."""

Key = tuple[int, bytes]


class Waiter:
    """One client's blocked command. Implements `server.rides.Owner`."""

    def __init__(self, blocking: Blocking, connection: Connection, row: Command, args: Args) -> None:
        self._blocking = blocking
        self.connection = connection
        self.row = row
        self.args = args
        self.database = connection.db_index
        self.keys: list[bytes] = list(row.key_args(args))
        """For which it waits: not those that it would fill."""
        if row.name in FILLS_ONWARD:
            del self.keys[1:]
        self.later = Later(lambda: blocking.leave(self))
        self.later.interrupt = self.interrupt
        self.later.waits = False
        self.batch: Batch | None = None
        self.pending = 0
        """1 while an attempt is under way."""
        self.item: Args = []
        """The attempt under way, as it is gathered."""
        self.queued = False
        self.overdue: Reply | None = None
        """What to say when the attempt under way gives nothing: time is up, or CLIENT UNBLOCK has said so."""
        self.until_ms: float | None = None
        """Steady time at which to give up."""
        self.timer: Any = None
        self.reading: tuple[ReadRequest, list[int]] | None = None
        """XREAD: what, and behind which ids."""

    def settle(self, replies: list[Reply]) -> None:
        self.pending -= len(replies)
        if not self.later.done:
            self.connection.batch = self.batch  # WAIT asks for the entry
            self._blocking.tried(self, replies[0])

    def wants_as(self, other: Waiter) -> bool:
        """Whether it makes no difference to a key which of the two is served."""
        return wants_alike(self.row, self.args, other.row, other.args)

    def interrupt(self, reply: Reply) -> None:
        """End the waiting, if nothing has come by then."""
        if self.pending:
            self.overdue = reply
        else:
            self._blocking.resolve(self, reply)


class _Reading:
    """XREAD once more, at a place in a batch: what `Ride` takes for a row."""

    lower_name = "xread"
    route = Route.READ
    usage = TABLE[b"XREAD"].usage

    @staticmethod
    def handler(db: Database, waiter: Waiter, now_ms: int) -> Reply:
        assert waiter.reading is not None
        return new_entries(db, *waiter.reading)

    timed = handler


_READING: Final[Any] = _Reading()


class Blocking:
    """All who wait, by key."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self.queues: dict[Key, dict[Waiter, None]] = {}
        """Nobody waits for a key that is not here."""
        self.ready: dict[Key, None] = {}
        """Keys with somebody waiting to which something was done, in that order."""

    # -- beginning to wait

    def begin(self, connection: Connection, row: Command, args: Args) -> bool:
        """Try a command that may wait; False if it does not want to."""
        most_ms = wait_ms(row, args)
        if most_ms is None:
            return False
        self._stand_still(Waiter(self, connection, row, args), most_ms, try_it=True)
        return True

    def begin_reading(
        self, connection: Connection, row: Command, args: Args, reading: tuple[ReadRequest, list[int]]
    ) -> None:
        """Wait for entries of streams: there are none now."""
        waiter = Waiter(self, connection, row, args)
        waiter.reading = reading
        self._stand_still(waiter, reading[0].block_ms or 0, try_it=False)

    def _stand_still(self, waiter: Waiter, most_ms: int, *, try_it: bool) -> None:
        if most_ms:
            waiter.until_ms = self._dispatch.server.steady_ms() + most_ms
        self._dispatch.stalls.for_later(waiter.connection, waiter.later)
        if try_it:
            self._attempt(waiter, waiter.keys)
        else:
            self._enqueue(waiter)

    def _attempt(self, waiter: Waiter, keys: list[bytes]) -> None:
        """Log the command once more, for keys that may have something."""
        if waiter.reading is not None:
            waiter.later.idle = False
            self._dispatch.proposals.ride_behind_all(Ride(waiter, _READING, waiter, waiter.database))
            return
        item = narrowed(waiter.row, waiter.args, keys) if keys != waiter.keys else list(waiter.args)
        dispatch = self._dispatch
        if not dispatch.proposals.waiting:
            dispatch.server.wake()
        waiter.later.idle = False
        waiter.item = item
        dispatch.proposals.write(waiter, [item], waiter.database)

    # -- what came of it

    def tried(self, waiter: Waiter, reply: Reply) -> None:
        """An attempt is settled."""
        nothing = reply is None or reply is NULL_ARRAY
        if isinstance(reply, NotAvailable) and waiter.queued:
            reply = CommandError(STEPPED_DOWN)  # it certainly was not done
        elif isinstance(reply, WrongType) and waiter.queued and waiter.row.group != "stream":
            nothing = not self._has_source(waiter)
        elif isinstance(reply, WrongType) and waiter.reading is not None:
            nothing = True  # unlike a group's reader, who is told
        if not nothing and (first := self._overtaken(waiter, reply)) is not None:
            first.connection.batch = waiter.batch
            self.resolve(first, reply)
            nothing = True
        if not nothing:
            self.resolve(waiter, reply)
        elif waiter.overdue is not None:
            self.resolve(waiter, waiter.overdue)
        elif waiter.connection.ending:
            waiter.connection.kill()
        elif not self._dispatch.server.leading:
            self.resolve(waiter, CommandError(STEPPED_DOWN))
        else:
            self._enqueue(waiter)
            for key in waiter.keys:
                self.ready[waiter.database, key] = None  # it may have come meanwhile

    def _overtaken(self, waiter: Waiter, reply: Reply) -> Waiter | None:
        """Who came first and wants just what `waiter` was given: he was tried behind a command that might
        have filled the key, but did not."""
        if waiter.row.group == "stream" or isinstance(reply, ReplyError):
            return None
        moves = waiter.row.name in FILLS_ONWARD
        key = waiter.keys[0] if moves or type(reply) is not list else reply[0]
        for other in self.queues.get((waiter.database, key), ()):
            if other is waiter:
                return None
            if not other.pending and waiter.wants_as(other):
                return other
        return None

    def _has_source(self, waiter: Waiter) -> bool:
        """Whether there was something to move, so that it is the destination that has another type."""
        moves = waiter.row.name in ("BLMOVE", "BRPOPLPUSH")
        return moves and self._available(waiter, waiter.keys[0]) > 0

    def resolve(self, waiter: Waiter, reply: Reply) -> None:
        self.leave(waiter)
        waiter.later.resolve(reply)

    def _denied(self, waiter: Waiter) -> bool:
        """Whether its user has lost the right to it while it waited; it is told so then."""
        refusal = self._dispatch.guarding.refusal_on_waking(waiter.connection, waiter.row, waiter.args)
        if refusal is not None:
            self.resolve(waiter, refusal)
        return refusal is not None

    # -- queues

    def _enqueue(self, waiter: Waiter) -> None:
        waiter.later.idle = True
        if waiter.queued:
            return
        waiter.queued = waiter.later.waits = True
        for key in waiter.keys:
            self.queues.setdefault((waiter.database, key), {})[waiter] = None
        self._dispatch.listeners.add(self.heard)
        if waiter.until_ms is not None:
            delay_ms = max(0.0, waiter.until_ms - self._dispatch.server.steady_ms())
            waiter.timer = self._dispatch.server.call_later(delay_ms / 1000, lambda: self._time_is_up(waiter))

    def _time_is_up(self, waiter: Waiter) -> None:
        if not waiter.later.done:
            waiter.interrupt(NULL_ARRAY)

    def leave(self, waiter: Waiter) -> None:
        """Forget a client that waits no more. What is gathered for him and not on its way is withdrawn."""
        if waiter.timer is not None:
            waiter.timer.cancel()
            waiter.timer = None
        if waiter.pending:
            self._dispatch.proposals.withdraw(waiter, waiter.item)
        if not waiter.queued:
            return
        waiter.queued = False
        for key in waiter.keys:
            place = waiter.database, key
            queue = self.queues.get(place)
            if queue is not None and waiter in queue:
                del queue[waiter]
                if not queue:
                    del self.queues[place]
        if not self.queues:
            self._dispatch.listeners.remove(self.heard)
            self.ready.clear()

    def give_up(self) -> None:
        """This node does not lead any more. Attempts under way are settled by the log."""
        waiters = {waiter: None for queue in self.queues.values() for waiter in queue}
        for waiter in waiters:
            waiter.interrupt(CommandError(STEPPED_DOWN))

    def keys(self) -> tuple[int, int]:
        """How many somebody waits for; how many of these a group's reader, who is told when it is gone."""
        of_groups = sum(
            any(waiter.row.name == "XREADGROUP" for waiter in queue) for queue in self.queues.values()
        )
        return len(self.queues), of_groups

    # -- serving

    def heard(self, database: Database, event: bytes, key: bytes) -> None:
        """Something was done to a key."""
        place = database.index, key
        if place in self.queues:
            self.ready[place] = None

    def replacing(self, database: Database, other: Database | None) -> None:
        """All of a database is about to change (`Keyspace.replacing`)."""
        self.ready.update({place: None for place in self.queues if place[0] == database.index})

    def serve(self) -> None:
        """Look at all keys to which something was done."""
        ready, self.ready = self.ready, {}
        if not self._dispatch.server.leading:
            return
        for index, key in ready:
            left = None
            for waiter in list(self.queues.get((index, key), ()))[:ATTEMPTS_MOST]:
                if waiter.pending:
                    continue
                available = self._available(waiter, key)
                if waiter.reading is not None:
                    self._read(waiter)
                elif waiter.row.group == "stream":
                    if self._has_news(waiter, key) and not self._denied(waiter):
                        self._attempt(waiter, waiter.keys)
                elif available:
                    left = available if left is None else left
                    if left > 0 and not self._denied(waiter):
                        left -= 1
                        self._attempt(waiter, [key])

    def _available(self, waiter: Waiter, key: bytes) -> int:
        """How many elements of the right type are there."""
        database = self._dispatch.node.keyspace.database(waiter.database)
        value = database.values[slot_of(key)].get(key)
        if value is None or type(value) is bytes or value.type_name != KIND[waiter.row.group]:
            return 0
        return len(value)

    def _has_news(self, waiter: Waiter, key: bytes) -> bool:
        """Whether there is something for a group, or the group is gone, which its readers are told."""
        stream = self._dispatch.node.keyspace.database(waiter.database).values[slot_of(key)].get(key)
        if type(stream) is not Stream:
            return True
        group = stream.groups.get(parse_read(waiter.args).group or b"")
        return group is None or stream.entries.last() > group.last_id

    def _read(self, waiter: Waiter) -> None:
        assert waiter.reading is not None
        keyspace = self._dispatch.node.keyspace
        keyspace.now_ms = keyspace.stamp_ms  # as of what is applied: nothing can be due
        try:
            found = new_entries(keyspace.database(waiter.database), *waiter.reading)
        except WrongType:
            return
        if found is not None and not self._denied(waiter):
            self.resolve(waiter, found)

    def follow(self, commands: Iterable[Any], index: int) -> None:
        """Commands were gathered: behind them, try for those who wait for the keys that they fill."""
        filled: dict[Key, int] = {}
        _note_filled(commands, index, filled)
        pending = deque((place, most) for place, most in filled.items() if place in self.queues)
        while pending:
            (place, most) = pending.popleft()
            queue = list(self.queues.get(place, ()))[:ATTEMPTS_MOST]
            tried = next((waiter for waiter in queue if waiter.pending), None)
            for waiter in queue:
                if most <= 0:
                    break
                if waiter.pending or self._denied(waiter):
                    continue
                if tried is not None and not waiter.wants_as(tried):
                    break  # if the other was tried in vain this is his: `serve` will see
                if waiter.row.group != "stream":
                    most -= 1
                wanted = [key for base, key in filled if base == waiter.database and key in waiter.keys]
                if place[1] not in wanted:
                    wanted.append(place[1])
                self._attempt(waiter, wanted if waiter.row.group != "stream" else waiter.keys)
                if waiter.row.name in FILLS_ONWARD:
                    onward = waiter.database, waiter.args[2]
                    if onward in self.queues:
                        pending.append((onward, 1))


FILLS_ONWARD: Final = frozenset(("BLMOVE", "BRPOPLPUSH"))


def _elements(args: Args) -> int:
    """How many elements it brings for sure, if it brings any: who is tried in vain may be overtaken."""
    match args[0]:
        case b"LPUSH" | b"RPUSH":
            return len(args) - 2
        case b"ZADD":
            place = 2
            while args[place].upper() in ADD_OPTIONS:
                place += 1
            return len(set(args[place + 1 :: 2]))
    return 1


def _note_filled(commands: Iterable[Any], index: int, filled: dict[Key, int]) -> None:
    """Which keys may be filled, in that order, and with how many elements at most, as far as that shows."""
    for args in commands:
        if type(args) is int:
            index = args
        elif type(args) is list and args[0] == b"EXEC":
            _note_filled(args[2], index, filled)
        elif type(args) is list and (place := FILLS.get(args[0])) is not None:
            key = index, args[place]
            filled[key] = filled.get(key, 0) + _elements(args)
        elif type(args) is list and (row := find(args)).group == "scripting" and row.route is Route.WRITE:
            for name in row.key_args(args):
                filled[index, name] = filled.get((index, name), 0) + 1

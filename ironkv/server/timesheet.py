"""Whose time it was: what the commands of this node's clients took, each chunk and each batch as a whole.

Small commands are not measured one by one: a chunk's time, or a batch's, belongs to them in equal parts.
Those that have more to do the more they are given (their complexity says so) are, and their time is taken off
the others'. What a follower applies for others' clients is not counted.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from ironkv.commands import usage as usages
from ironkv.commands.latency import Latencies
from ironkv.commands.slowlog import SlowLog
from ironkv.commands.table import TABLE, Args, Command, Handler, Route, every, find
from ironkv.commands.usage import Usage
from ironkv.errors import CommandError, ReplyError
from ironkv.resp.parser import Request
from ironkv.resp.replies import Reply

if TYPE_CHECKING:
    from ironkv.node.proposals import Batch
    from ironkv.server.connection import Connection

FIRST: Final = itemgetter(0)
EXEC: Final = b"EXEC"
_light = re.compile(r"O\(1\)|O\(log\(N\)\)", re.ASCII).fullmatch


def is_heavy(row: Command) -> bool:
    """Whether it may have much to do."""
    return row.route is not Route.LOCAL and not _light(row.complexity.partition(" ")[0].rstrip(",;."))


class Timesheet:
    """Fills the `usage` of the table's rows, the slow log and the latencies."""

    def __init__(self) -> None:
        self.slow_log = SlowLog()
        self.latencies = Latencies()
        self.look_ns = 0
        """From which time on a command is looked at."""
        self._light: dict[bytes, Usage] = {}
        """Of commands that a chunk's time is divided among, by upper-case and by lower-case name."""
        self._timed_ns = 0
        """What heavy commands took of the present chunk or batch."""
        self._slow: list[tuple[Command, Args, int]] = []
        """Heavy ones of the present chunk or batch that took long: whose they are shows at its end."""

    def watch(self, slower_than_us: int, most: int, latency_ms: int) -> None:
        """What is slow from now on (settings `slowlog` and `latency`)."""
        self.slow_log.bound(slower_than_us, most)
        self.latencies.least_ms = latency_ms
        self.look_ns = min(self.slow_log.least_ns, latency_ms * 1_000_000 or self.slow_log.least_ns)

    def time_heavy(self) -> dict[bytes, Handler]:
        """Have heavy commands timed one by one; the handlers of writes, for the machine."""
        rows = every()
        for row in rows:
            if is_heavy(row):
                row.timed = self._timed(row)
        for name, row in TABLE.items():
            if row.timed is row.handler and row.route is not Route.WRITE and not row.subcommands:
                self._light[name] = row.usage
        return {
            row.wire_name: row.timed
            for row in rows
            if row.route is Route.WRITE and "|" not in row.name and not row.subcommands
        }

    def _timed(self, row: Command) -> Handler:
        handler, usage = row.handler, row.usage

        @functools.wraps(handler)
        def timed(subject: Any, args: Args, *rest: Any) -> Reply:
            if not usages.ours:
                return handler(subject, args, *rest)
            began = perf_counter_ns()
            try:
                return handler(subject, args, *rest)
            finally:
                ns = perf_counter_ns() - began
                self._timed_ns += ns
                usage.took(ns)
                if ns >= self.look_ns:
                    self._slow.append((row, args, ns))

        return timed

    # -- chunks

    def chunk(self, client: Connection, requests: list[Request], ns: int, alike: Command | None) -> None:
        """These requests of a client took `ns`; writes among them have only been gathered. `alike`: they are
        all calls of this one."""
        calls = len(requests)
        if self._timed_ns:
            ns, self._timed_ns = max(ns - self._timed_ns, 0), 0
        if calls > 1:
            ns //= calls
        if alike is not None:
            if alike.route is not Route.WRITE:
                alike.usage.took(ns * calls, calls)
        elif calls == 1:
            usage = self._light.get(requests[0][0])
            if usage is not None:
                usage.took(ns)
            else:
                self._charge_others(requests[0][0], requests, ns)
        elif calls:
            self._charge_mixed(requests, ns)
        if self._slow or ns >= self.look_ns:
            self._look(client, requests, ns)

    def _charge_mixed(self, requests: list[Request], share: int) -> None:
        for name, count in Counter(map(FIRST, requests)).items():
            usage = self._light.get(name)
            if usage is not None:
                usage.took(share * count, count)
            else:
                self._charge_others(name, requests, share)

    def _charge_others(self, name: bytes, requests: list[Request], share: int) -> None:
        """Subcommands, and names in other spellings."""
        row = TABLE.get(name) or TABLE.get(name.upper())
        if row is None or row.route is Route.WRITE or row.timed is not row.handler:
            return
        for args in requests:
            if args[0] == name:
                with contextlib.suppress(CommandError):
                    find(args).usage.took(share)

    def _look(self, client: Connection, requests: list[Request], share: int) -> None:
        """Some commands of a chunk took long."""
        slow, self._slow = self._slow, []
        for row, args, ns in slow:
            self._note(row, args, ns, client)
        if share >= self.look_ns:
            for args in requests:
                with contextlib.suppress(CommandError):
                    row = find(args)
                    if row.route is not Route.WRITE and row.timed is row.handler:
                        self._note(row, args, share, client)

    def _note(self, row: Command, args: Args, ns: int, client: Connection | None) -> None:
        now_s = time.time()
        if ns >= self.slow_log.least_ns and "skip_slowlog" not in row.flags:
            address, name = (client.address, client.name) if client is not None else ("", b"")
            self.slow_log.note(args, ns, now_s, address, name)
        self.latencies.note("fast-command" if "fast" in row.flags else "command", ns / 1e6, now_s)

    # -- batches

    def batch(self, batch: Batch, ns: int, failed: bool) -> None:
        """A batch of this node's clients was applied in `ns`. `failed`: not all of it was done."""
        assert batch.replies is not None
        if self._timed_ns:
            ns, self._timed_ns = max(ns - self._timed_ns, 0), 0
        calls = len(batch.replies) - batch.rides
        if batch.name is None:  # many commands, or none
            calls, ns = self._charge_batch(batch, ns)
        elif calls:
            row = TABLE[batch.name]
            ns //= calls
            if row.timed is row.handler:
                row.usage.took(ns * calls, calls)
        if self._slow or (calls and ns >= self.look_ns):
            self._look_at_batch(batch, ns)
        if failed:
            _count_failures(batch)

    def _charge_batch(self, batch: Batch, ns: int) -> tuple[int, int]:
        """How many calls it held, and how long each of them took."""
        names = [args[0] for args, _ in _commands(batch)]
        share = ns // max(len(names), 1)
        for name, count in Counter(names).items():
            row = TABLE.get(name)
            if row is not None and row.timed is row.handler and not row.subcommands:
                row.usage.took(share * count, count)
        return len(names), share

    def _look_at_batch(self, batch: Batch, share: int) -> None:
        """Some commands of a batch took long."""
        slow, self._slow = self._slow, []
        if share >= self.look_ns:
            rows = ((TABLE.get(args[0]), args) for args, _ in _commands(batch))
            slow += [(row, args, share) for row, args in rows if row is not None and row.timed is row.handler]
        whose = {id(args): owner for args, owner in _commands(batch)}
        for row, args, ns in slow:
            self._note(row, args, ns, whose.get(id(args)))


def _commands(batch: Batch) -> Iterator[tuple[Args, Any]]:
    """The commands of a batch, those of its transactions included, each with its client."""
    items = (item for item in batch.program if type(item) is not int)
    for owner, count in zip(batch.owners, batch.counts, strict=True):
        for item in islice(items, count):
            if type(item) is list:
                yield item, owner
                if item[0] == EXEC:
                    yield from ((each, owner) for each in item[2] if type(each) is list)


def _count_failures(batch: Batch) -> None:
    assert batch.replies is not None
    items = [item for item in batch.program if type(item) is not int]
    for item, reply in zip(items, batch.replies, strict=True):
        if isinstance(reply, ReplyError) and type(item) is list:
            row = TABLE.get(item[0])
            if row is not None and not row.subcommands:
                row.usage.failed += 1

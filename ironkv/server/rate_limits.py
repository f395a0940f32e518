"""Rate limits: how many commands and bytes a second a client address, and a user, may send.

A token bucket each for commands and bytes: it fills at the rate, up to `burst` seconds' worth, and a chunk
of requests takes from it as a whole. What finds it empty is answered with -LIMITED in its turn, and not
carried out.
While a bucket is more than half full its connections are advanced a small share of it, from which the next
chunks are let through: they cost next to nothing then.
Off by default; then dispatch asks nothing.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, NamedTuple

from ironkv.commands.table import Refused
from ironkv.errors import CommandError

if TYPE_CHECKING:
    from ironkv.resp.parser import Request
    from ironkv.server.connection import Connection

ADVANCE: Final = 12
"""What is advanced is a bucket's whole content, shifted right by so many bits: nothing of a small one."""
UNBOUNDED: Final = 1 << 60
KNOWN_MOST: Final = 10_000
"""Buckets kept; those that are full again are forgotten first, then the oldest."""


class Rates(NamedTuple):
    """What is allowed; 0: no bound."""

    address_commands: int = 0
    """A second, for all connections of an address together."""
    address_bytes: int = 0
    user_commands: int = 0
    user_bytes: int = 0
    burst_s: int = 1
    """How many seconds' worth may come at once."""

    @property
    def any(self) -> bool:
        return any(self[:4])


class _Bucket:
    """What is left of a rate."""

    __slots__ = ("at_s", "bytes", "commands")

    def __init__(self, commands: float, size: float, at_s: float) -> None:
        self.commands, self.bytes, self.at_s = commands, size, at_s


class RateLimits:
    """The buckets of all addresses and users of this node."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.limited = {"address": 0, "user": 0}
        """Commands refused so far, by whose limit it was."""
        self.limited_bytes = 0
        self._buckets: dict[Hashable, _Bucket] = {}

    @property
    def limited_commands(self) -> int:
        return sum(self.limited.values())

    @property
    def known(self) -> int:
        """How many addresses and users are kept account of."""
        return len(self._buckets)

    def choose(self, rates: Rates) -> None:
        """New rates; buckets begin full again."""
        self.rates = rates
        self._buckets.clear()

    def admit(self, connection: Connection, requests: list[Request], size: int) -> list[Request]:
        """The requests, as many as are within the limits; in place of the others their refusal."""
        if len(requests) <= connection.advanced_commands and size <= connection.advanced_bytes:
            connection.advanced_commands -= len(requests)
            connection.advanced_bytes -= size
            return requests
        rates, now_s = self.rates, time.monotonic()
        address = connection.address.rpartition(":")[0]
        wanted = len(requests)
        within = allowed = self._take(
            ("address", address), rates.address_commands, rates.address_bytes, wanted, size, now_s
        )
        if allowed:
            user = ("user", connection.user)
            allowed = self._take(user, rates.user_commands, rates.user_bytes, allowed, size, now_s)
        if allowed == wanted:
            self._advance(connection, ("address", address), ("user", connection.user))
            return requests
        refused = wanted - allowed
        self.limited["address"] += wanted - within
        self.limited["user"] += within - allowed
        self.limited_bytes += size * refused // len(requests)
        error = CommandError("LIMITED too many requests from this client or user, try again later")
        return requests[:allowed] + [Refused.because(error) for _ in range(refused)]

    def _advance(self, connection: Connection, address: Hashable, user: Hashable) -> None:
        """Let the next chunks through without asking, if there is plenty."""
        rates = self.rates
        limits = (
            (self._buckets.get(address), rates.address_commands, rates.address_bytes),
            (self._buckets.get(user), rates.user_commands, rates.user_bytes),
        )
        commands = size = UNBOUNDED
        for bucket, most_commands, most_bytes in limits:
            if bucket is not None and most_commands:
                bucket.commands += connection.advanced_commands  # what is left of the last advance
                whole = most_commands * rates.burst_s
                commands = min(commands, whole >> ADVANCE if bucket.commands > whole / 2 else 0)
            if bucket is not None and most_bytes:
                bucket.bytes += connection.advanced_bytes
                whole = most_bytes * rates.burst_s
                size = min(size, whole >> ADVANCE if bucket.bytes > whole / 2 else 0)
        if not commands or not size:
            commands = size = 0
        for bucket, most_commands, most_bytes in limits:
            if bucket is not None:
                bucket.commands -= commands if most_commands else 0
                bucket.bytes -= size if most_bytes else 0
        connection.advanced_commands, connection.advanced_bytes = commands, size

    def _take(self, who: Hashable, commands: int, size: int, count: int, taken: int, now_s: float) -> int:
        """Take a chunk out of a bucket; how many of its commands there was room for."""
        if not commands and not size:
            return count
        burst = self.rates.burst_s
        bucket = self._buckets.get(who)
        if bucket is None:
            if len(self._buckets) >= KNOWN_MOST:
                self._forget(now_s)
            bucket = self._buckets[who] = _Bucket(commands * burst, size * burst, now_s)
        passed, bucket.at_s = max(0.0, now_s - bucket.at_s), now_s
        bucket.commands = min(commands * burst, bucket.commands + commands * passed)
        bucket.bytes = min(size * burst, bucket.bytes + size * passed)
        allowed = min(count, int(bucket.commands)) if commands else count
        if size and bucket.bytes <= 0:
            allowed = 0
        bucket.commands -= allowed
        if allowed:  # a request larger than the burst goes through once, and is paid for afterwards
            bucket.bytes -= taken
        return allowed

    def _forget(self, now_s: float) -> None:
        """Make room: who sent nothing for as long as a bucket takes to fill, or else the oldest half."""
        idle = [who for who, bucket in self._buckets.items() if now_s - bucket.at_s > self.rates.burst_s]
        for who in idle or [*self._buckets][: KNOWN_MOST // 2]:
            del self._buckets[who]

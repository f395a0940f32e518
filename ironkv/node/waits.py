"""WAIT: who waits until enough followers hold an entry durably."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ironkv.commands.later import Later
from ironkv.errors import CommandError

if TYPE_CHECKING:
    from ironkv.node.driver import Driver


class Wait(NamedTuple):
    """Resolved with how many followers hold `entry`, once that is `replicas`."""

    entry: int
    replicas: int
    later: Later


class ReplicaWaits:
    """The clients of this node that wait (https://redis.io/docs/latest/commands/wait/)."""

    def __init__(self) -> None:
        self._waits: list[Wait] = []

    def begin(
        self,
        driver: Driver,
        index: int,
        replicas: int,
        timeout_ms: int,
        call_later: Callable[[float, Callable[[], None]], Any],
    ) -> int | Later:
        """How many followers hold entry `index` durably, once that is `replicas` or time is up (0: never)."""

        def holding() -> int:
            return _holding(driver, index)

        if (count := holding()) >= replicas:
            return count
        later = Later(on_cancel=self._drop)
        later.interrupt = lambda reply: later.resolve(reply if isinstance(reply, CommandError) else holding())
        self._waits.append(Wait(index, replicas, later))
        if timeout_ms:
            call_later(timeout_ms / 1000, lambda: later.resolve(holding()))
        return later

    def check(self, driver: Driver) -> None:
        """Followers hold more now, or another leads."""
        if not self._waits:
            return
        for wait in self._waits:
            count = _holding(driver, wait.entry)
            if count >= wait.replicas or not driver.leading:
                wait.later.resolve(count)
        self._drop()

    def _drop(self) -> None:
        self._waits = [wait for wait in self._waits if not wait.later.done]


def _holding(driver: Driver, index: int) -> int:
    return sum(follower.match >= index for follower in driver.core.followers.values())

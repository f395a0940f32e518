"""WAIT: who waits until enough followers hold an entry durably."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ironkv.commands.later import Later
from ironkv.errors import CommandError
from ironkv.resp.replies import Reply

if TYPE_CHECKING:
    from ironkv.node.driver import Driver


class Wait(NamedTuple):
    """Resolved with how far entry `entry` has come, once that is far enough."""

    entry: int
    local: int
    """1: this node itself must have it on disk."""
    replicas: int
    """How many followers must have it on disk."""
    aof: bool
    """It is WAITAOF, which is told of both."""
    later: Later

    def holding(self, driver: Driver) -> tuple[int, int]:
        """(1 if this node has it on disk, how many followers do)"""
        followers = sum(follower.match >= self.entry for follower in driver.core.followers.values())
        return int(driver.core.durable_index >= self.entry), followers

    def is_over(self, driver: Driver) -> bool:
        local, replicas = self.holding(driver)
        return local >= self.local and replicas >= self.replicas

    def reply(self, driver: Driver) -> Reply:
        local, replicas = self.holding(driver)
        return [local, replicas] if self.aof else replicas


class ReplicaWaits:
    """The clients of this node that wait (https://redis.io/docs/latest/commands/wait/)."""

    def __init__(self) -> None:
        self._waits: list[Wait] = []

    def begin(
        self,
        driver: Driver,
        wait: Wait,
        timeout_ms: int,
        call_later: Callable[[float, Callable[[], None]], Any],
    ) -> Reply | Later:
        """How far the entry has come, once that is far enough or time is up (0: never)."""
        if wait.is_over(driver):
            return wait.reply(driver)
        later = wait.later
        later.interrupt = lambda reply: later.resolve(
            reply if isinstance(reply, CommandError) else wait.reply(driver)
        )
        self._waits.append(wait)
        if timeout_ms:
            call_later(timeout_ms / 1000, lambda: later.resolve(wait.reply(driver)))
        return later

    def check(self, driver: Driver) -> None:
        """Followers or this node hold more now, or another leads."""
        if not self._waits:
            return
        for wait in self._waits:
            if wait.is_over(driver) or not driver.leading:
                wait.later.resolve(wait.reply(driver))
        self.drop()

    def drop(self) -> None:
        """Forget who waits no more."""
        self._waits = [wait for wait in self._waits if not wait.later.done]

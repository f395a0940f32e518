"""Changes of who belongs to the cluster, as operators ask for them: on any node, one after the other.

A node that does not lead passes the order on to the leader, over the connection they have anyhow; one hop at
most. An order is done when the node that leads has applied the configuration it asked for, and nothing is
left of the one before (`raft.configuration`). If the connection breaks before the leader has answered, the
node that passed the order on looks for itself, once it knows that its state is current: what it had applied
before may be older than the order.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ironkv.commands.later import Later
from ironkv.errors import CommandError, NotAvailable, OutcomeUnknown
from ironkv.peers import wire
from ironkv.raft.config import Transferring
from ironkv.raft.configuration import Address, ChangeLater, Configuration
from ironkv.resp.replies import OK, Reply

if TYPE_CHECKING:
    from ironkv.node.driver import Driver

log = logging.getLogger(__name__)

PATIENCE_MS: Final = 30_000.0
"""How long an order may take: a new voter has to catch up before it is one."""
LOOKING_MS: Final = 5_000.0
"""How long is looked for what became of an order whose answer was lost: until there is another leader."""
UNKNOWN: Final = "UNKNOWN the change has begun, and whether it will come to be is not known; see RAFT MEMBERS"
Wanted = Callable[[Configuration], Configuration]


class World(Protocol):
    """What it needs from outside."""

    def steady_ms(self) -> float: ...

    def member_addresses(self) -> Mapping[str, Address]:
        """Of all members, as far as they are known."""

    def wake(self) -> None:
        """Have replies sent soon."""

    def tell(self, peer: str, frame: bytes) -> bool:
        """Send a frame to a node; False if it cannot be reached."""

    def not_leader(self) -> NotAvailable: ...


@dataclass(slots=True)
class _Wish:
    """What somebody waits for: a change that this node makes, or one that the leader was asked to make."""

    arguments: list[bytes]
    settle: Callable[[str], None]
    """Called once, with an error or with ""."""
    deadline: float
    begun: bool = False
    asked: str = ""
    """The leader it was passed on to; nobody any more once the connection with it broke."""
    look: _Look | None = None


@dataclass(slots=True)
class _Look:
    """Waits to look at a current state, as a client that reads (`node.reads.Reader`)."""

    seen: bool | None = None
    """Whether the state is current: None while that is not known."""

    def backlog_size(self) -> int:
        return 0

    def may_read(self, requests: int) -> None:
        self.seen = True

    def may_not_read(self, requests: int) -> None:
        self.seen = False


class Membership:
    def __init__(self, world: World, driver: Driver) -> None:
        self._world = world
        self._driver = driver
        self._wishes: list[_Wish] = []
        self._passed_on: dict[int, _Wish] = {}
        # Drawn anew at each start: the answer to an order of an earlier life must not fit one of this life.
        self._number = random.SystemRandom().getrandbits(62)

    def order(self, arguments: list[bytes]) -> Reply | Later:
        """ADD id host port cluster_port, PROMOTE id, REMOVE id, TRANSFER [id]: OK once it is done."""
        later = Later()
        at_once: list[Reply] = []

        def settle(error: str) -> None:
            reply = _error(error) if error else OK
            at_once.append(reply)
            later.resolve(reply)
            self._world.wake()

        if self._driver.leading:
            self._wish(arguments, settle)
        else:
            self._pass_on(arguments, settle)
        return at_once[0] if at_once else later

    # -- from and to other nodes

    def _pass_on(self, arguments: list[bytes], settle: Callable[[str], None]) -> None:
        leader = self._driver.core.leader
        self._number += 1
        if leader is None or not self._world.tell(leader, wire.order(self._number, arguments)):
            settle(str(self._world.not_leader()))
            return
        # Its own patience ends before ours, so that it is the one to say what became of it.
        deadline = self._world.steady_ms() + 1.2 * PATIENCE_MS
        self._passed_on[self._number] = _Wish(arguments, settle, deadline, asked=leader)

    def ordered(self, peer: str, order: wire.Order) -> None:
        """Another node passes an order on."""

        def settle(error: str) -> None:
            self._world.tell(peer, wire.answer(order.number, error))

        if self._driver.leading:
            self._wish(order.arguments, settle)
        else:
            settle(str(self._world.not_leader()))

    def answered(self, peer: str, answer: wire.Answer) -> None:
        wish = self._passed_on.get(answer.number)
        if wish is not None and wish.asked == peer:
            del self._passed_on[answer.number]
            wish.settle(answer.error)

    def lost(self, peer: str) -> None:
        """The connection with a node broke; that with a leader that removes itself does as soon as it has."""
        for wish in self._passed_on.values():
            if wish.asked == peer:
                wish.asked = ""
                wish.deadline = min(wish.deadline, self._world.steady_ms() + LOOKING_MS)

    # -- on the leader

    def _wish(self, arguments: list[bytes], settle: Callable[[str], None]) -> None:
        if arguments[0] == b"TRANSFER":
            self._transfer(arguments, settle)
            return
        self._wishes.append(_Wish(arguments, settle, self._world.steady_ms() + PATIENCE_MS))
        self.look()

    def _transfer(self, arguments: list[bytes], settle: Callable[[str], None]) -> None:
        try:
            self._driver.transfer(arguments[1].decode() if len(arguments) > 1 else None)
        except (NotAvailable, UnicodeDecodeError) as error:
            settle(str(error))
        else:
            settle("")

    def look(self) -> None:
        """Go on with the oldest order if it can go on. Called often, and when the members have changed."""
        now = self._world.steady_ms()
        for number, wish in list(self._passed_on.items()):
            found = not wish.asked and self._found(wish)
            if found or now > wish.deadline:
                del self._passed_on[number]
                wish.settle("" if found else UNKNOWN)
        while self._wishes and self._over(self._wishes[0], now):
            self._wishes.pop(0)

    def _found(self, wish: _Wish) -> bool:
        """Whether it has come to be, as far as a state shows that is current."""
        look, current = wish.look, False
        if look is not None:
            if look.seen is None:
                return False
            current = look.seen
        if current and self._is_done(wish):
            return True
        wish.look = _Look()
        self._driver.reads.wait(wish.look)
        return False

    def _over(self, wish: _Wish, now: float) -> bool:
        """Begin it, or see whether it is done."""
        sought = wish.begun or wish.arguments[0] != b"REMOVE"  # who is no member cannot be removed
        if sought and self._is_done(wish):
            wish.settle("")
        elif now > wish.deadline:
            wish.settle(UNKNOWN if wish.begun else "ERR nothing was changed: another change takes long")
        elif not self._driver.leading:
            # What has begun may come to be under the next leader, or not.
            wish.settle(UNKNOWN if wish.begun else str(self._world.not_leader()))
        elif wish.begun:
            return False
        else:
            return not self._begun(wish)
        return True

    def _is_done(self, wish: _Wish) -> bool:
        if wish.arguments[0] == b"TRANSFER":
            return False
        _, done = _meaning(wish.arguments, self._world.member_addresses())
        applied, rules = self._driver.machine.membership[1], self._driver.core.configuration
        return done(applied) and not applied.joint and rules == applied

    def _begun(self, wish: _Wish) -> bool:
        """Whether to wait on."""
        wanted, _ = _meaning(wish.arguments, self._world.member_addresses())
        wish.begun = True  # what follows may come back here
        try:
            self._driver.change(wanted)
        except (ChangeLater, Transferring):
            wish.begun = False
        except NotAvailable as error:
            wish.settle(str(error))
            return False
        else:
            log.info("membership: %s", b" ".join(wish.arguments).decode("utf-8", "replace"))
        return True


def _meaning(
    arguments: list[bytes], addresses: Mapping[str, Address]
) -> tuple[Wanted, Callable[[Configuration], bool]]:
    """What an order makes of a configuration, and how to see that it is done."""
    what, node = arguments[0], arguments[1].decode("utf-8", "replace")
    if what == b"PROMOTE":
        return (
            lambda now: now.located(addresses).promoted(node),
            lambda applied: node in applied.voters,
        )
    if what == b"REMOVE":
        return (
            lambda now: now.located(addresses).without(node),
            lambda applied: bool(applied.voters) and node not in applied.everybody,
        )
    host, port, cluster_port = arguments[2:5]
    where = Address(host.decode("utf-8", "replace"), int(port), int(cluster_port))

    def add(now: Configuration) -> Configuration:
        known = now.located(addresses)
        return known.located({node: where}) if node in now.everybody else known.with_learner(node, where)

    def added(applied: Configuration) -> bool:
        return node in applied.everybody and {**addresses, **dict(applied.addresses)}.get(node) == where

    return add, added


def _error(text: str) -> Reply:
    return OutcomeUnknown(text) if text == UNKNOWN else CommandError(text)

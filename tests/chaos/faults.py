"""What happens to the hosts: one kind of trouble at a time, or two, drawn from a seed."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final

from ironkv.tools.client import ErrorReply, ProtocolFault
from ironkv.tools.cluster import wait_for
from tests.chaos.hosts import FIRST, TIMEOUT_MS, Host, Hosts

Undo = Callable[[], None]
LEASE_S: Final = TIMEOUT_MS / 1000


def nothing() -> None:
    pass


class Faults:
    def __init__(self, hosts: Hosts, seed: int, say: Callable[[str], None]) -> None:
        self._hosts = hosts
        self._chance = Random(seed)
        self._say = say
        self.counts: Counter[str] = Counter()
        self.leader_kills: list[float] = []
        """When (s, steady) a leader was killed while all else was well."""
        self._kinds: list[Callable[[], Undo]] = [
            self.kill_leader, self.kill_leader, self.kill_follower, self.kill_all, self.stop_process,
            self.slow_disk, self.failing_disk, self.clock_jumps, self.cut_off, self.one_way, self.bridge,
            self.halves, self.transfer, self.grow, self.shrink,
        ]  # fmt: skip

    def run(self, until: float) -> None:
        """Trouble and peace in turn, until then (s, steady)."""
        chance = self._chance
        while time.monotonic() < until:
            undos = [self._begin() for _ in range(chance.choice((1, 1, 1, 2)))]
            time.sleep(chance.uniform(0.2, 2.5))
            for undo in undos:
                undo()
            for host in self._hosts.members:  # a failed disk, or a lost quarrel with it, ends a node
                host.ensure_up()
            time.sleep(chance.choice((0.1, 0.5, 2.0)))

    def _begin(self) -> Undo:
        kind = self._possible(self._chance.choice(self._kinds))
        try:
            undo = kind()
        except (OSError, ErrorReply, ProtocolFault) as error:
            self._say(f"{kind.__name__}: {error}")
            return nothing
        self.counts[kind.__name__.replace("_", " ")] += 1
        return undo

    def _possible(self, kind: Callable[[], Undo]) -> Callable[[], Undo]:
        """It, or what can be done instead."""
        if kind == self.shrink and len(self._hosts.members) <= FIRST:
            kind = self.grow
        if kind == self.grow and not self._hosts.spare:
            kind = self.transfer
        return kind

    def _any(self) -> Host:
        return self._chance.choice(self._hosts.members)

    def _leader_or_any(self) -> Host:
        leader = self._hosts.leader() if self._chance.random() < 0.6 else None
        return leader or self._any()

    # -- processes

    def kill_leader(self) -> Undo:
        leader = self._hosts.leader()
        if leader is None:
            return self.kill_follower()
        calm = all(host.is_up() for host in self._hosts.members)
        self._say(f"kill -9 {leader.id}, which leads")
        if calm:
            self.leader_kills.append(time.monotonic())
        leader.kill()
        return leader.ensure_up

    def kill_follower(self) -> Undo:
        host = self._any()
        self._say(f"kill -9 {host.id}")
        host.kill()
        return host.ensure_up

    def kill_all(self) -> Undo:
        self._say("kill -9 of all")
        members = self._hosts.members
        self._hosts.kill_all(members)

        def start() -> None:
            for host in members:
                host.ensure_up()

        return start

    def stop_process(self) -> Undo:
        """Past the lease, as a rule; it wakes up believing that it leads."""
        host = self._leader_or_any()
        self._say(f"SIGSTOP {host.id}")
        host.pause()
        time.sleep(self._chance.uniform(0.5, 4) * LEASE_S)
        return host.resume

    # -- disks and clocks

    def slow_disk(self) -> Undo:
        host, sync_ms = self._leader_or_any(), self._chance.choice((5, 50, 400, 1500))
        self._say(f"{host.id}: a sync takes {sync_ms} ms more")
        host.set_weather(sync_ms=sync_ms)
        return host.set_weather

    def failing_disk(self) -> Undo:
        host = self._leader_or_any()
        self._say(f"{host.id}: syncs fail")
        host.set_weather(sync_fails=True)

        def mended() -> None:
            host.set_weather()
            host.kill()  # after a failed sync nobody knows what is on the disk: it may have stopped itself
            host.ensure_up()

        return mended

    def clock_jumps(self) -> Undo:
        host, clock_ms = self._leader_or_any(), self._chance.choice((-3_600_000, -2_000, 500, 60_000, 10**9))
        self._say(f"{host.id}: its clock jumps by {clock_ms / 1000:+g} s")
        host.set_weather(clock_ms=clock_ms)
        return host.set_weather

    # -- the network

    def _cut(self, *pairs: tuple[Host, Host], both: bool = True) -> Undo:
        for one, other in pairs:
            self._hosts.network.cut(one.number, other.number)
            if both:
                self._hosts.network.cut(other.number, one.number)
        return self._hosts.network.heal

    def cut_off(self) -> Undo:
        """One from all others; clients reach it still."""
        host = self._leader_or_any()
        self._say(f"{host.id} is cut off")
        return self._cut(*((host, other) for other in self._hosts.members if other is not host))

    def one_way(self) -> Undo:
        """One hears the others and is not heard, or the reverse."""
        host, deaf = self._leader_or_any(), self._chance.random() < 0.5
        self._say(f"{host.id} {'hears nobody' if deaf else 'is heard by nobody'}")
        others = [other for other in self._hosts.members if other is not host]
        return self._cut(*(((other, host) if deaf else (host, other)) for other in others), both=False)

    def bridge(self) -> Undo:
        """Two do not reach each other, the rest reach both."""
        one, other = self._chance.sample(self._hosts.members, 2)
        self._say(f"{one.id} and {other.id} do not reach each other")
        return self._cut((one, other))

    def halves(self) -> Undo:
        members = self._chance.sample(self._hosts.members, len(self._hosts.members))
        some, rest = members[: len(members) // 2], members[len(members) // 2 :]
        self._say(f"{', '.join(host.id for host in some)} | {', '.join(host.id for host in rest)}")
        return self._cut(*((one, other) for one in some for other in rest))

    # -- members

    def transfer(self) -> Undo:
        host = self._any()
        self._say("leadership is handed over")
        host.raft("TRANSFER", timeout=5.0)
        return nothing

    def grow(self) -> Undo:
        """A host joins, with nothing on its disk."""
        hosts = self._hosts
        number = self._chance.choice(hosts.spare)
        newcomer = Host(number, hosts.network, hosts.directory, hosts.guide)
        newcomer.wipe()
        self._say(f"{newcomer.id} joins")
        hosts.spare.remove(number)
        hosts.all = [*(host for host in hosts.all if host.number != number), newcomer]
        newcomer.ensure_up()
        return newcomer.ensure_up

    def shrink(self) -> Undo:
        """A host leaves, dead or alive, perhaps the leader; its disk is wiped once it is out."""
        hosts = self._hosts
        leaves = self._leader_or_any()
        others = [host for host in hosts.members if host is not leaves]
        self._say(f"{leaves.id} is to be removed")
        if self._chance.random() < 0.5:
            leaves.kill()

        def removed() -> bool:
            for host in others:
                host.ensure_up()
            with contextlib.suppress(OSError, ErrorReply, ProtocolFault):
                return self._chance.choice(others).raft("REMOVE", leaves.id) == "OK"
            with contextlib.suppress(OSError, ErrorReply, ProtocolFault):
                leader = hosts.leader()
                return leader is not None and gone_from(leader, leaves.id)
            return False

        wait_for(removed, f"{leaves.id} is removed", 90.0, 0.2)
        leaves.kill()
        leaves.wipe()
        hosts.spare.append(leaves.number)
        return nothing


def gone_from(leader: Host, name: str) -> bool:
    """Whether it is certain that a node is no member. What a leader goes by may not be committed yet, and be
    taken back: but with a write that came later it is. Raises OSError, ErrorReply, ProtocolFault."""
    with leader.connect(2.0) as client:
        members = client.call("RAFT", "MEMBERS")
        assert isinstance(members, list)
        if name.encode() in [each[each.index(b"id") + 1] for each in members]:
            return False
        return client.call("SET", "a member is gone", name) == "OK"

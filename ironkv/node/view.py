"""What commands may know of the node, and do to it: a view over its parts."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ironkv import __version__, clock, images
from ironkv.commands.accounts import Accounts
from ironkv.commands.later import Later
from ironkv.commands.table import every
from ironkv.errors import CommandError
from ironkv.node.files import allow_clients
from ironkv.node.rewriting import rewrite
from ironkv.node.surroundings import surroundings
from ironkv.node.upkeep import Rates, Totals
from ironkv.node.waits import Wait
from ironkv.resp.replies import Reply

if TYPE_CHECKING:
    from ironkv.commands.latency import Latencies
    from ironkv.commands.session import Session
    from ironkv.commands.slowlog import SlowLog
    from ironkv.node.node import Node
    from ironkv.server.connection import Connection
    from ironkv.server.pubsub import PubSub


class View:
    """Implements `commands.session.NodeView`; its counters are counted by the server."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.settings = node.settings
        self.keyspace = node.keyspace
        self.accounts = Accounts(self.keyspace, lambda: self.settings.server.requirepass)
        self.config_file = node.settings.config_file
        self.version = __version__
        self.run_id = secrets.token_hex(20)
        self.commands_processed = self.connections_received = self.connections_rejected = 0
        self.bytes_in = self.bytes_out = 0
        self.recovered = 0.0
        self.recovery_s = 0.0
        self.now_s = self.started = time.monotonic()
        """As of the last tick."""
        self._rates = Rates()
        self._set: set[str] = set()
        """Settings that CONFIG SET has set, for CONFIG REWRITE."""
        self._on_setting: dict[str, list[Callable[[], None]]] = {}

    @property
    def loading(self) -> bool:
        return self._node.loading

    @property
    def limited_commands(self) -> int:
        return self._node.dispatch.rates.limited_commands

    @property
    def sessions(self) -> Mapping[int, Connection]:
        return self._node.dispatch.connections

    @property
    def pubsub(self) -> PubSub:
        return self._node.dispatch.pubsub

    @property
    def errors(self) -> Mapping[str, int]:
        return self._node.dispatch.errors

    @property
    def slow_log(self) -> SlowLog:
        return self._node.dispatch.timesheet.slow_log

    @property
    def latencies(self) -> Latencies:
        return self._node.dispatch.timesheet.latencies

    def monitor(self, session: Session) -> None:
        dispatch = self._node.dispatch
        dispatch.monitor(dispatch.connections[session.id])

    def monotonic(self) -> float:
        return time.monotonic()

    def clock_us(self) -> int:
        node = self._node
        if node.leading:
            return max(node.time.now_us(clock.boot_ms()), self.keyspace.stamp_ms * 1000)
        return time.time_ns() // 1000

    def uptime_s(self) -> int:
        return int(time.monotonic() - self.started)

    # -- statistics

    def sample(self) -> None:
        """Note the counters, about once a second."""
        self._node.meter.sample(time.time(), self.commands_processed)
        self._rates.sample(Totals(self.now_s, self.commands_processed, self.bytes_in, self.bytes_out))

    def rates(self) -> tuple[float, float, float]:
        return self._rates.per_second()

    def reset_statistics(self) -> None:
        self.commands_processed = self.connections_received = self.connections_rejected = 0
        self.bytes_in = self.bytes_out = self.keyspace.expired = 0
        self._node.dispatch.errors.clear()
        self._node.meter.reset()
        for row in every():
            row.usage.clear()
        self._rates.forget()

    # -- settings

    def change_settings(self, changes: Mapping[str, object]) -> None:
        wanted = changes.get("limits.maxclients", 0)
        if isinstance(wanted, int) and (allowed := allow_clients(wanted)) < wanted:
            raise CommandError(
                "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is "
                f"not able to handle the specified number of clients, try with {allowed}"
            )
        before = {name: self.settings.value(name) for name in changes}
        self.settings.change(changes)
        try:
            self._apply(changes)
        except CommandError:
            self.settings.change(before)
            self._apply(before)
            raise
        self._set.update(changes)

    def rewrite_settings(self) -> None:
        rewrite(self.config_file, {name: self.settings.value(name) for name in sorted(self._set)})

    def _apply(self, changes: Iterable[str]) -> None:
        for apply in dict.fromkeys(apply for name in changes for apply in self._on_setting.get(name, ())):
            apply()

    def on_setting(self, name: str, apply: Callable[[], None]) -> None:
        self._on_setting.setdefault(name, []).append(apply)

    # -- the parts

    def pause_clients(self, timeout_ms: int, *, writes_only: bool) -> None:
        self._node.dispatch.pausing.begin(timeout_ms, writes_only=writes_only)

    def blocking_keys(self) -> tuple[int, int]:
        return self._node.dispatch.blocking.keys()

    def wait_replicas(self, index: int, replicas: int, timeout_ms: int) -> Reply | Later:
        return self._wait(index, 0, replicas, timeout_ms, aof=False)

    def wait_durable(self, index: int, local: int, replicas: int, timeout_ms: int) -> Reply | Later:
        return self._wait(index, local, replicas, timeout_ms, aof=True)

    def _wait(self, index: int, local: int, replicas: int, timeout_ms: int, *, aof: bool) -> Reply | Later:
        node = self._node
        if not node.leading:
            raise node.not_leader()
        wait = Wait(index, local, replicas, aof, Later(on_cancel=node.waits.drop))
        return node.waits.begin(node.driver, wait, timeout_ms, node.call_later)

    @property
    def transferring(self) -> bool:
        return not self.loading and self._node.driver.transferring

    def transfer(self, member: str | None) -> None:
        self._node.driver.transfer(member)

    def order_members(self, arguments: list[bytes]) -> Reply | Later:
        if self.loading:
            raise self._node.no_quorum()
        return self._node.membership.order(arguments)

    def stop(self) -> None:
        self._node.stop()

    def expire_actively(self, wanted: bool) -> None:
        self._node.driver.expires_actively = wanted

    def digest(self) -> bytes:
        return images.digest_of_keyspace(self.keyspace)

    def reload(self) -> None:
        self._node.storage.reload()

    def raft_view(self) -> Mapping[str, Any]:
        node = self._node
        applied, addresses = node.machine.applied, node.addresses
        if self.loading:
            journal = node.journal
            return {
                "role": "follower", "fresh": False, "term": journal.term_now, "leader": None,
                "leader_address": None, "last_leader": None, "commit": journal.commit, "applied": applied,
                "last_index": journal.last_index, "nodes": [], "member": True,
            }  # fmt: skip
        core = node.driver.core
        return {
            "role": core.role.name.lower(),
            "fresh": core.fresh,
            "term": core.term,
            "leader": core.leader,
            "leader_address": addresses.get(core.leader) if core.leader else None,
            "last_leader": node.whereabouts.last_leader,
            "commit": core.commit,
            "applied": applied,
            "last_index": core.last_index,
            "nodes": [self._member(name) for name in addresses],
            "member": not node.roster.outside,
        }

    def _member(self, name: str) -> Mapping[str, Any]:
        """A member of the cluster as this node knows it; `match` only on the leader."""
        node = self._node
        core = node.driver.core
        me = name == self.settings.node.id
        follower = core.followers.get(name)
        host, port = node.addresses[name]
        rules = core.configuration
        return {
            "id": name,
            "host": host,
            "port": port,
            "cluster_port": node.roster.cluster_port(name),
            "vote": "learner" if name in rules.learners else "voter" if name in rules.voters else "leaving",
            "role": core.role.name.lower() if me else "leader" if name == core.leader else "follower",
            "match": core.last_index if me else follower.match if follower else None,
            "lag_ms": int(clock.boot_ms() - follower.heard) if follower else None,
            "online": me or node.links.online(name),
        }

    def journal_view(self) -> Mapping[str, Any]:
        return {**self._node.journal.view(), "loading": self.loading}

    def snapshot_view(self) -> Mapping[str, Any]:
        return self._node.storage.view()

    def host_view(self) -> Mapping[str, object]:
        return surroundings(self._node)

    def save(self) -> Later:
        return self._node.storage.save()

    def backup(self) -> Later:
        return self._node.storage.backup()

    def backup_records(self, index: int, after: bytes) -> Later:
        return self._node.storage.backup_records(index, after)

    def save_again(self) -> None:
        self._node.storage.save_again()

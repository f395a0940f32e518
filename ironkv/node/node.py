"""A node: builds each part, starts them, stops them in reverse. Everything that waits is here.

Start: lock the directory, open the client port (answers LOADING), replay the journal, then meet the
peers. A node replays before it takes part, so whatever it says about its state is true.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ironkv import __version__, clock
from ironkv.clock import ClusterClock
from ironkv.commands.later import Later
from ironkv.errors import CommandError, Fault, NotAvailable
from ironkv.keyspace.keyspace import Keyspace
from ironkv.machine import Machine
from ironkv.node.driver import Driver
from ironkv.node.files import allow_clients
from ironkv.node.proposals import Proposals
from ironkv.node.reads import ReadGate
from ironkv.node.storage import Storage
from ironkv.node.upkeep import Rates, Totals, close_idle, close_lagging, close_slow
from ironkv.peers import wire
from ironkv.peers.links import Links
from ironkv.peers.pulse import Pulse
from ironkv.raft.config import HardState, NoSuccessor, RaftConfig
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Message, Persist, Role
from ironkv.server.connection import Connection
from ironkv.server.dispatch import Dispatch
from ironkv.server.listener import Listener
from ironkv.server.output_limit import OutputLimit
from ironkv.server.pubsub import Message as Published
from ironkv.server.pubsub import PubSub
from ironkv.storage.snapshots import Damaged, Manifest

if TYPE_CHECKING:
    from ironkv.config import Settings

log = logging.getLogger(__name__)

RECOVERY_SLICE_S: Final = 0.01
UNKNOWN_AFTER_TIMEOUTS: Final = 4
"""A write whose fate is open after a change of leader is reported unknown after this many election
timeouts: by then the next leader has usually committed or replaced it."""
DRAIN_S: Final = 2.0
LATE_S: Final = 0.02
PULSE_LIMIT_S: Final = 5.0
"""How long a busy loop is spoken for; longer, and the node is to be replaced as leader."""
APPLY_BYTES: Final = 512 << 10
FRAME_MAX: Final = (1 << 30) + (64 << 20)
"""The largest message between nodes: the longest request any of them may allow, and what goes around it."""
UPKEEP_EVERY_S: Final = 1.0
STORAGE_EVERY_S: Final = 0.2


class Node:
    """One server process. Implements `NodeView`, `server.dispatch.Server` and `node.driver.World`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.config_file = settings.config_file
        self.version = __version__
        self.run_id = secrets.token_hex(20)
        self.commands_processed = self.connections_received = self.connections_rejected = 0
        self.bytes_in = self.bytes_out = 0
        self.leading = False
        self.no_room: NotAvailable | None = None
        self.loading = True
        self.recovered = 0.0
        self.replayed = 1 << 63
        self._started = self.now_s = self._timer_at_s = time.monotonic()
        self._reading = settings.raft.reads
        self._stopping = asyncio.Event()
        self._worked = asyncio.Event()
        self._woken = self._over = False
        self._on_setting: dict[str, list[Callable[[], None]]] = {}
        self._waits: list[tuple[int, int, Later]] = []
        self._rates = Rates()
        self._upkeep_at_s = self._storage_at_s = 0.0
        self._build()
        self._follow_settings()

    # -- building

    def _build(self) -> None:
        settings = self.settings
        me = settings.node.id
        nodes = settings.cluster.nodes if settings.cluster.enabled else []
        self._addresses = {node.id: (node.host, node.port) for node in nodes}
        self._addresses.setdefault(me, (settings.server.bind, settings.server.port))
        self.machine = Machine()
        self.keyspace = self.machine.keyspace
        self._storage = Storage(settings, self.machine, self)
        self._journal = self._storage.journal
        self._clock = ClusterClock(clock.boot_ms(), clock.wall_ms())
        self._reads = ReadGate()
        self._proposals = Proposals(
            self.machine, lambda ride, applied: self._dispatch.answer_ride(ride, applied)
        )
        limits = settings.limits
        self._dispatch = Dispatch(
            self,
            self,
            self._proposals,
            self._reads,
            bulk_max=limits.proto_max_bulk_len,
            request_max=limits.client_query_buffer_limit,
            clients_max=limits.maxclients,
            proposals_max=limits.max_proposal_bytes,
            keepalive_s=settings.server.tcp_keepalive,
        )
        self._listener = Listener(self._dispatch)
        self._links = Links(
            settings.cluster.name,
            me,
            {node.id: (node.host, node.cluster_port) for node in nodes if node.id != me},
            FRAME_MAX,
            on_mail=self._on_mail,
            on_up=lambda peer: self._on_peer(peer, True),
            on_down=lambda peer: self._on_peer(peer, False),
            on_pulse=self._on_pulse,
            on_parcel=self._on_parcel,
            on_published=lambda messages: self._dispatch.pubsub.arrived(messages),
            on_reborn=self._on_reborn,
            birth=self._storage.directory.birth,
        )
        self._pulse = Pulse(
            self._links.hello,
            self._links.peers,
            self._watch,
            after_s=2 * settings.raft.heartbeat_ms / 1000,
            limit_s=PULSE_LIMIT_S,
        )

    def _follow_settings(self) -> None:
        """What changes at once when a setting does; the others are looked up when they are needed."""
        for name in ("maxclients", "proto_max_bulk_len", "client_query_buffer_limit", "max_proposal_bytes"):
            self.on_setting(f"limits.{name}", self._set_limits)
        self.on_setting("server.tcp_keepalive", self._set_limits)
        self.on_setting("log.level", self._set_log_level)
        for name in ("pubsub_output_hard", "pubsub_output_soft", "pubsub_output_soft_s"):
            self.on_setting(f"limits.{name}", self._set_output_limit)
        self.on_setting("server.notify_keyspace_events", self._set_notifications)
        self._set_output_limit()
        self._set_notifications()

    def _set_limits(self) -> None:
        limits = self.settings.limits
        self._dispatch.set_limits(
            bulk_max=limits.proto_max_bulk_len,
            request_max=limits.client_query_buffer_limit,
            clients_max=limits.maxclients,
            proposals_max=limits.max_proposal_bytes,
            keepalive_s=self.settings.server.tcp_keepalive,
        )

    def _set_output_limit(self) -> None:
        limits = self.settings.limits
        self._dispatch.output_limit = OutputLimit(
            limits.pubsub_output_hard, limits.pubsub_output_soft, limits.pubsub_output_soft_s
        )

    def _set_notifications(self) -> None:
        self._dispatch.notifications.choose(self.settings.server.notify_keyspace_events)

    def _set_log_level(self) -> None:
        logging.getLogger().setLevel(self.settings.log.level.upper())

    def _build_driver(self) -> None:
        """The core starts from the recovered state."""
        settings, journal = self.settings, self._journal
        core = RaftCore(
            RaftConfig(
                settings.node.id,
                frozenset(self._addresses),
                heartbeat_ms=settings.raft.heartbeat_ms,
                election_timeout_ms=settings.raft.election_timeout_ms,
                lease_reads=settings.raft.reads != "quorum",
                uncommitted_bytes=4 * settings.limits.max_proposal_bytes,
                apply_bytes=APPLY_BYTES,
            ),
            HardState(journal.term_now, journal.voted_for, journal.commit, self._storage.fresh),
            journal,
            random.Random(),
            clock.boot_ms(),
            self.machine.applied,
        )
        self._driver = Driver(
            self,
            core,
            self.machine,
            self._proposals,
            self._reads,
            self._clock,
            self.not_leader,
            UNKNOWN_AFTER_TIMEOUTS * settings.raft.election_timeout_ms,
            journal.term(self.machine.applied),
        )

    # -- running

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises Fault, OSError (a port cannot be had)."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopping.set)
        try:
            await self._start()
            await self._stopping.wait()
            await self._hand_over()
        finally:
            await self._stop()

    async def _start(self) -> None:
        server, cluster = self.settings.server, self.settings.cluster
        if cluster.enabled:
            await self._links.listen(server.bind, cluster.port)
        await self._listener.open(server.bind, server.port)
        log.info("%s listens on %s:%d, recovering its state", self.settings.node.id, server.bind, server.port)
        await self._recover()
        self._build_driver()
        self._timer()
        if cluster.enabled:
            self._links.dial()
            self._pulse.start()
        else:  # its own majority: no client need see it without a leader
            await self._until(lambda: self._driver.readable_until > 0)
        self.loading = False
        log.info("%s is ready", self.settings.node.id)

    async def _recover(self) -> None:
        """Load the state from disk, in slices, so that the port answers meanwhile."""
        started = said = time.monotonic()
        pause_at = started + RECOVERY_SLICE_S
        for doing, done in self._storage.recover():
            self.recovered = done
            if time.monotonic() > pause_at:
                await asyncio.sleep(0)
                now = time.monotonic()
                pause_at = now + RECOVERY_SLICE_S
                if now - said > 2:
                    said = now
                    log.info("%s: %d %%", doing, 100 * done)
                if self._stopping.is_set():
                    return
        self.recovered = 1.0
        self.replayed = self._journal.last_index
        log.info("recovered entry %d in %.2f s", self.machine.applied, time.monotonic() - started)

    async def _hand_over(self) -> None:
        """Leave well: no new clients, leadership to another, replies for what is in flight."""
        self._listener.stop_accepting()
        log.info("%s stops", self.settings.node.id)
        if self._driver.core.role is Role.LEADER:
            try:
                self._driver.transfer()
            except NoSuccessor as error:
                log.info("%s", error)
            else:
                await self._until(lambda: not self._driver.leading)
        await self._until(lambda: self._proposals.idle)

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Wait, but not for ever, until work that is under way leads there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not reached():
                    self._worked.clear()
                    await self._worked.wait()

    async def _stop(self) -> None:
        self._listener.stop_accepting()
        self._listener.close_clients()
        await self._links.close()
        self._pulse.stop()
        await asyncio.sleep(0)
        self._over = True  # a timer that is still due must not meet a closed journal
        self._storage.note_commit()
        self._storage.close()

    def _fail(self, fault: Fault) -> None:
        """Stop at once: this node's word cannot be trusted any more."""
        log.critical("%s", fault)
        # No promise, no reply and no heartbeat may leave after this, so nothing is wound down.
        logging.shutdown()
        os._exit(70)

    # -- events

    def _guarded(self, work: Callable[[], None]) -> None:
        if self._over:
            return
        try:
            work()
        except Fault as fault:
            self._fail(fault)
        except Exception as error:
            log.exception("the driver failed")
            self._fail(Fault(f"an internal error left this node's state in doubt: {error!r}"))

    def _on_mail(self, peer: str, mail: wire.Mail) -> None:
        if self.loading:
            return
        now = clock.boot_ms()
        self._clock.heard(peer, mail.wall_ms, now)
        if mail.cluster_ms:
            self._clock.heard_leader(mail.cluster_ms, now)
        self._guarded(lambda: self._driver.received(mail.messages))
        if self._waits:
            self._check_waits()

    def _on_pulse(self, peer: str, term: int) -> None:
        if not self.loading:
            self._driver.pulse(peer, term)

    def _on_parcel(self, peer: str, content: list[Any]) -> None:
        def work() -> None:
            try:
                self._storage.parcel(peer, content)
            except Damaged as damage:
                log.warning("%s sent part of a snapshot that does not verify: %s", peer, damage)

        if not self.loading:
            self._guarded(work)

    def _watch(self) -> tuple[int, float]:
        """For the pulse's thread: which term this node leads, and how long its loop has been silent."""
        return self._driver.core.term if self.leading else 0, time.monotonic() - self.now_s

    def _on_peer(self, peer: str, up: bool) -> None:
        if not self.loading:
            self._guarded(lambda: self._driver.peer(peer, up))

    def _on_reborn(self, peer: str) -> None:
        if not self.loading:
            self._guarded(lambda: self._driver.peer_reborn(peer))

    def _timer(self) -> None:
        """The timer is due; but what has arrived is heard first if this process was held up.

        A loop that comes back late looks at its timers before its sockets. A follower would call an election
        while the leader's heartbeats wait to be read.
        """
        if time.monotonic() - self._timer_at_s > LATE_S:
            # Once round the loop: what is called from a call_soon runs after the sockets were polled.
            self._loop.call_soon(self._loop.call_soon, self._tick)
        else:
            self._tick()

    def _tick(self) -> None:
        wait = 50.0

        def work() -> None:
            nonlocal wait
            wait = self._driver.timer()

        self.now_s = time.monotonic()
        self._guarded(work)
        if self.now_s >= self._storage_at_s:
            self._storage_at_s = self.now_s + STORAGE_EVERY_S
            self._guarded(self._look_after_storage)
        if self.now_s >= self._upkeep_at_s:
            self._upkeep_at_s = self.now_s + UPKEEP_EVERY_S
            self._upkeep()
        self._timer_at_s = time.monotonic() + wait / 1000.0
        self._loop.call_later(wait / 1000.0, self._timer)

    def _look_after_storage(self) -> None:
        self._storage.upkeep(clock.boot_ms())
        self._note_room()

    def _note_room(self) -> None:
        """Refuse what adds data while there is no room, or serve it again."""
        lacking = self._storage.lacking
        if lacking is None:
            self.no_room = None
        elif self.no_room is None:
            refusal = f"MISCONF {lacking}. Commands that add data are refused until there is room"
            self.no_room = NotAvailable(refusal)

    def _upkeep(self) -> None:
        self._rates.sample(Totals(self.now_s, self.commands_processed, self.bytes_in, self.bytes_out))
        timeout_s = self.settings.server.timeout
        if timeout_s:
            close_idle(self._dispatch.connections.values(), self.now_s, timeout_s)
        most = self.settings.limits.client_output_buffer_limit
        if most:
            close_slow(self._dispatch.connections.values(), most)
        if self._dispatch.pubsub.clients:
            close_lagging(self._dispatch.connections.values(), self._dispatch.output_limit, self.now_s)

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._woken = False
        if self.loading:
            self._dispatch.flush()
        else:
            self._guarded(self._driver.turn)

    def spread(self, messages: list[Published]) -> None:
        self._links.publish(messages)

    # -- node.driver.World

    def steady_ms(self) -> float:
        return clock.boot_ms()

    def call_later(self, delay_s: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_s, work)

    def pause_clients(self, timeout_ms: int, *, writes_only: bool) -> None:
        self._dispatch.pausing.begin(timeout_ms, writes_only=writes_only)

    def wall_ms(self) -> float:
        return clock.wall_ms()

    def applied(self, index: int, size: int) -> None:
        self._storage.advanced(index, size)

    def send(self, messages: Iterable[Message], cluster_ms: float) -> None:
        self._links.send(messages, cluster_ms)

    def persist(self, persist: Persist) -> None:
        loop = self._loop

        def done(error: BaseException | None) -> None:
            loop.call_soon_threadsafe(self._persisted, persist, error)

        self._storage.writer.write(persist, done)

    def _persisted(self, persist: Persist, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error if isinstance(error, Fault) else Fault(f"the journal failed: {error!r}"))
        self._storage.persisted()
        self._note_room()
        self._guarded(lambda: self._driver.persisted(persist.mark))

    def role_changed(self) -> None:
        core = self._driver.core
        self.leading = self._driver.leading
        self._dispatch.leads_in(core.term if self.leading else 0)
        if self._waits:
            self._check_waits()
        log.info(
            "term %d: %s%s",
            core.term,
            core.role.name.lower(),
            f" of {core.leader}" if core.leader and core.role is Role.FOLLOWER else "",
        )

    def flush(self) -> None:
        self._dispatch.flush()
        self._worked.set()

    # -- node.storage.Host

    def later(self, ms: float, work: Callable[[], None]) -> None:
        self._loop.call_later(ms / 1000.0, lambda: self._guarded(work))

    def from_thread(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(self._guarded, work)

    def durable_index(self) -> int:
        return self._driver.core.durable_index

    def applied_term(self) -> int:
        return self._driver.applied_term

    def members(self) -> tuple[str, ...]:
        return tuple(self._addresses)

    def stranded(self) -> tuple[str, ...]:
        return self._driver.core.stranded()

    def leader(self) -> str | None:
        return self._driver.core.leader

    def send_parcel(self, peer: str, parcel: list[Any]) -> None:
        self._links.send_parcel(peer, parcel)

    def install(self, manifest: Manifest, keyspace: Keyspace) -> bool:
        def adopt() -> None:
            self.keyspace.adopt(keyspace)
            self.machine.applied = manifest.index

        return self._driver.install(manifest.index, manifest.term, adopt)

    # -- server.dispatch.Server

    def may_read(self, connection: Connection) -> bool:
        now = clock.boot_ms()
        if now < self._driver.readable_until:
            self._set_read_time(now)
            return True
        if connection.readonly or self._reading == "local":
            self.keyspace.now_ms = self.keyspace.stamp_ms
            return True
        return False

    def is_current(self) -> bool:
        now = clock.boot_ms()
        if now >= self._driver.readable_until:
            return False
        self._set_read_time(now)
        return True

    def set_read_time(self) -> None:
        self._set_read_time(clock.boot_ms())

    def _set_read_time(self, now: float) -> None:
        keyspace = self.keyspace
        now_ms = self._clock.now_ms(now)
        keyspace.now_ms = now_ms if now_ms > keyspace.stamp_ms else keyspace.stamp_ms

    def not_leader(self) -> NotAvailable:
        leader = self._driver.core.leader
        if leader is None or leader == self.settings.node.id:
            return self.no_quorum()
        host, port = self._addresses[leader]
        return NotAvailable(f"NOTLEADER not leader: the leader is {leader} at {host}:{port}")

    def no_quorum(self) -> NotAvailable:
        return NotAvailable(
            "CLUSTERDOWN no leader is known: an election is under way or too few nodes are up"
        )

    # -- commands.session.NodeView

    @property
    def sessions(self) -> Mapping[int, Connection]:
        return self._dispatch.connections

    @property
    def pubsub(self) -> PubSub:
        return self._dispatch.pubsub

    @property
    def errors(self) -> Mapping[str, int]:
        return self._dispatch.errors

    def monotonic(self) -> float:
        return time.monotonic()

    def clock_us(self) -> int:
        if self.leading:
            return max(self._clock.now_us(clock.boot_ms()), self.keyspace.stamp_ms * 1000)
        return time.time_ns() // 1000

    def uptime_s(self) -> int:
        return int(time.monotonic() - self._started)

    def rates(self) -> tuple[float, float, float]:
        return self._rates.per_second()

    def reset_statistics(self) -> None:
        self.commands_processed = self.connections_received = self.connections_rejected = 0
        self.bytes_in = self.bytes_out = self.keyspace.expired = 0
        self._dispatch.errors.clear()
        self._rates.forget()

    def change_settings(self, changes: Mapping[str, object]) -> None:
        wanted = changes.get("limits.maxclients", 0)
        if isinstance(wanted, int) and (allowed := allow_clients(wanted)) < wanted:
            raise CommandError(
                "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is "
                f"not able to handle the specified number of clients, try with {allowed}"
            )
        self.settings.change(changes)
        for apply in dict.fromkeys(apply for name in changes for apply in self._on_setting.get(name, ())):
            apply()

    def on_setting(self, name: str, apply: Callable[[], None]) -> None:
        self._on_setting.setdefault(name, []).append(apply)

    def raft_view(self) -> Mapping[str, Any]:
        if self.loading:
            return {
                "role": "follower", "fresh": False, "term": self._journal.term_now,
                "leader": None, "leader_address": None,
                "commit": self._journal.commit, "applied": self.machine.applied,
                "last_index": self._journal.last_index, "nodes": [],
            }  # fmt: skip
        core = self._driver.core
        nodes = [self._node_view(node) for node in self._addresses]
        return {
            "role": core.role.name.lower(),
            "fresh": core.fresh,
            "term": core.term,
            "leader": core.leader,
            "leader_address": self._addresses.get(core.leader) if core.leader else None,
            "commit": core.commit,
            "applied": self.machine.applied,
            "last_index": core.last_index,
            "nodes": nodes,
        }

    def _node_view(self, node: str) -> Mapping[str, Any]:
        """A member of the cluster as this node knows it; `match` only on the leader."""
        core = self._driver.core
        me = node == self.settings.node.id
        follower = core.followers.get(node)
        host, port = self._addresses[node]
        return {
            "id": node,
            "host": host,
            "port": port,
            "role": core.role.name.lower() if me else "leader" if node == core.leader else "follower",
            "match": core.last_index if me else follower.match if follower else None,
            "lag_ms": int(clock.boot_ms() - follower.heard) if follower else None,
            "online": me or self._links.online(node),
        }

    def journal_view(self) -> Mapping[str, Any]:
        return {**self._journal.view(), "loading": self.loading}

    def snapshot_view(self) -> Mapping[str, Any]:
        return self._storage.view()

    def save(self) -> Later:
        return self._storage.save()

    def backup(self) -> Later:
        return self._storage.backup()

    def backup_records(self, index: int, after: bytes) -> Later:
        return self._storage.backup_records(index, after)

    def save_again(self) -> None:
        self._storage.save_again()

    # -- WAIT

    def wait_replicas(self, index: int, replicas: int, timeout_ms: int) -> int | Later:
        """How many followers hold entry `index` durably, once that is `replicas` or time is up."""
        if not self.leading:
            raise self.not_leader()
        count = self._replicas_with(index)
        if count >= replicas:
            return count
        later = Later(on_cancel=self._drop_waits)
        later.interrupt = lambda reply: later.resolve(
            reply if isinstance(reply, CommandError) else self._replicas_with(index)
        )
        self._waits.append((index, replicas, later))
        if timeout_ms:
            self._loop.call_later(timeout_ms / 1000, lambda: later.resolve(self._replicas_with(index)))
        return later

    def _replicas_with(self, index: int) -> int:
        return sum(follower.match >= index for follower in self._driver.core.followers.values())

    def _check_waits(self) -> None:
        for index, replicas, later in self._waits:
            count = self._replicas_with(index)
            if count >= replicas or not self.leading:
                later.resolve(count)
        self._drop_waits()

    def _drop_waits(self) -> None:
        self._waits = [wait for wait in self._waits if not wait[2].done]

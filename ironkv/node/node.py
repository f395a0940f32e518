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
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ironkv import clock
from ironkv.clock import ClusterClock
from ironkv.errors import Fault, NotAvailable
from ironkv.keyspace.keyspace import Keyspace
from ironkv.machine import Machine
from ironkv.node import live_settings
from ironkv.node.driver import Driver
from ironkv.node.http_port import open_http
from ironkv.node.joining import first_configuration
from ironkv.node.membership import Membership
from ironkv.node.proposals import Proposals
from ironkv.node.reads import ReadGate
from ironkv.node.relay import Relay
from ironkv.node.room import Room
from ironkv.node.roster import Roster
from ironkv.node.security import Security, cluster_secret
from ironkv.node.storage import Storage
from ironkv.node.supervision import notify
from ironkv.node.upkeep import close_idle, close_lagging, close_slow
from ironkv.node.view import View
from ironkv.node.waits import ReplicaWaits
from ironkv.node.whereabouts import Whereabouts
from ironkv.peers import wire
from ironkv.peers.links import Links
from ironkv.peers.pulse import Pulse
from ironkv.raft.config import HardState, NoSuccessor, RaftConfig
from ironkv.raft.configuration import Address
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Message, Persist, Role
from ironkv.server.connection import Connection
from ironkv.server.dispatch import Dispatch
from ironkv.server.listener import Listener
from ironkv.server.pubsub import Message as Published
from ironkv.storage.snapshots import Damaged, Manifest

if TYPE_CHECKING:
    from ironkv.config import Settings
    from ironkv.http.server import HttpServer

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
    """One server process: `Server` of dispatch, `World` of the driver and `Host` of the storage."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.leading = False
        self.no_room: NotAvailable | None = None
        self._room = Room(self.settings)
        self.loading = True
        self.replayed = 1 << 63
        self._timer_at_s = time.monotonic()
        self._reading = settings.raft.reads
        self._stopping = asyncio.Event()
        self._worked = asyncio.Event()
        self._woken = self._over = False
        self.waits = ReplicaWaits()
        self._upkeep_at_s = self._storage_at_s = 0.0
        self._build()
        live_settings.follow(self.view, self.dispatch)
        self.view.on_setting("limits.maxmemory", self.look_at_memory)

    # -- building

    def _build(self) -> None:
        settings = self.settings
        me = settings.node.id
        self.roster = Roster(settings)
        self.addresses = self.roster.clients
        self.whereabouts = Whereabouts(settings, self.roster, lambda: self.driver.core.leader, self._announce)
        self.not_leader, self.no_quorum = self.whereabouts.not_leader, self.whereabouts.no_quorum
        self.machine = Machine()
        self.keyspace = self.machine.keyspace
        self.view = View(self)
        self.storage = Storage(settings, self.machine, self, first_configuration(settings))
        self.journal = self.storage.journal
        self.time = ClusterClock(clock.boot_ms(), clock.wall_ms())
        self._reads = ReadGate()
        self.proposals = Proposals(
            self.machine, lambda ride, applied: self.dispatch.riding.answer(ride, applied)
        )
        self.meter = self.proposals.meter
        limits = settings.limits
        self._relay = Relay(self, lambda: self.dispatch)
        self.relay = self._relay.tell
        self.patience_ms = float(UNKNOWN_AFTER_TIMEOUTS * settings.raft.election_timeout_ms)
        self.dispatch = Dispatch(
            self.view,
            self,
            self.proposals,
            self._reads,
            bulk_max=limits.proto_max_bulk_len,
            request_max=limits.client_query_buffer_limit,
            clients_max=limits.maxclients,
            proposals_max=limits.max_proposal_bytes,
            keepalive_s=settings.server.tcp_keepalive,
        )
        self.proposals.timesheet = self.dispatch.timesheet
        self.machine.handlers = self.dispatch.timesheet.time_heavy()
        self._listener = Listener(self.dispatch)
        self._security = Security(self)
        self.links = Links(
            settings.cluster.name,
            me,
            self.roster.peers,
            FRAME_MAX,
            on_mail=self._on_mail,
            on_up=lambda peer: self._on_peer(peer, True),
            on_down=lambda peer: self._on_peer(peer, False),
            on_pulse=self._on_pulse,
            on_parcel=self._on_parcel,
            on_published=lambda messages: self.dispatch.pubsub.arrived(messages),
            on_reborn=self._on_reborn,
            on_order=self._on_order,
            on_answer=self._on_answer,
            on_relayed=self._on_relayed,
            birth=self.storage.directory.birth,
            secret=cluster_secret(settings.cluster),
        )
        self._http: HttpServer | None = None
        self._pulse = Pulse(
            self.links.introduce,
            lambda: self.links.peers,
            self._watch,
            after_s=2 * settings.raft.heartbeat_ms / 1000,
            limit_s=PULSE_LIMIT_S,
        )

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Leave in good order, as on SIGTERM."""
        self._stopping.set()

    def _build_driver(self) -> None:
        """The core starts from the recovered state."""
        settings, journal = self.settings, self.journal
        clustered = settings.cluster.enabled
        self.roster.learn(self.storage.directory.first)
        core = RaftCore(
            RaftConfig(
                settings.node.id,
                frozenset({settings.node.id}),
                heartbeat_ms=settings.raft.heartbeat_ms,
                election_timeout_ms=settings.raft.election_timeout_ms,
                lease_reads=settings.raft.reads != "quorum",
                uncommitted_bytes=4 * settings.limits.max_proposal_bytes,
                apply_bytes=APPLY_BYTES,
            ),
            HardState(journal.term_now, journal.voted_for, journal.commit, self.storage.fresh),
            journal,
            random.Random(),
            clock.boot_ms(),
            self.machine.applied,
            self.storage.members if clustered else (),
        )
        self.driver = Driver(
            self,
            core,
            self.machine,
            self.proposals,
            self._reads,
            self.time,
            self.whereabouts.not_done,
            self.patience_ms,
            journal.term(self.machine.applied),
        )
        self.membership = Membership(self, self.driver)
        if clustered:
            self.members_changed()

    # -- running

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises Fault, OSError (a port cannot be had)."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        try:
            await self._start()
            await self._stopping.wait()
            await self._hand_over()
        finally:
            await self._stop()

    async def _start(self) -> None:
        server, cluster = self.settings.server, self.settings.cluster
        if cluster.enabled:
            await self._security.open_cluster_port(self.links)
        await self._security.open_client_ports(self._listener)
        self._http = self._security.http = open_http(self, self._security.of_http())
        log.info("%s listens on %s:%d, recovering its state", self.settings.node.id, server.bind, server.port)
        notify("STATUS=Recovering its state")
        if not await self._recover():
            return
        self._build_driver()
        self._timer_at_s = time.monotonic()
        self._timer()
        if cluster.enabled:
            self.links.dial()
            self._pulse.start()
        else:  # its own majority: no client need see it without a leader
            await self._until(lambda: self.driver.readable_until > 0)
        self.loading = False
        self.dispatch.guarding.recovered()
        log.info("%s is ready", self.settings.node.id)
        notify("READY=1\nSTATUS=Ready")

    async def _recover(self) -> bool:
        """Load the state from disk, in slices, so that the port answers meanwhile; False when this node is to
        stop before all of it is there."""
        started = said = time.monotonic()
        pause_at = started + RECOVERY_SLICE_S
        for doing, done in self.storage.recover():
            self.view.recovered = done
            if time.monotonic() > pause_at:
                await asyncio.sleep(0)
                now = time.monotonic()
                pause_at = now + RECOVERY_SLICE_S
                if now - said > 2:
                    said = now
                    log.info("%s: %d %%", doing, 100 * done)
                if self.stopping:
                    return False
        self.view.recovered = 1.0
        self.view.recovery_s = time.monotonic() - started
        self.replayed = self.journal.last_index
        log.info("recovered entry %d in %.2f s", self.machine.applied, self.view.recovery_s)
        return True

    async def _hand_over(self) -> None:
        """Leave well: no new clients, leadership to another, replies for what is in flight."""
        self._security.stop_accepting()
        log.info("%s stops", self.settings.node.id)
        notify("STOPPING=1")
        if self.loading:
            return
        self.dispatch.relayed.leave([peer for peer in self.links.peers if self.reaches(peer)])
        await self._until(lambda: self.dispatch.relayed.settled)
        if self.driver.core.role is Role.LEADER:
            try:
                self.driver.transfer()
            except NoSuccessor as error:
                log.info("%s", error)
            else:
                await self._until(lambda: not self.driver.leading)
        # Whose writes were held is told who leads now: without a word he would not know what became of them.
        held, relayed = self.dispatch.pausing, self.dispatch.relayed
        await self._until(lambda: not held.holding and self.proposals.idle and relayed.idle)

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Wait, but not for ever, until work that is under way leads there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not reached():
                    self._worked.clear()
                    await self._worked.wait()

    async def _stop(self) -> None:
        self._security.stop_accepting()
        self._listener.close_clients()
        await self.links.close()
        self._pulse.stop()
        if self._http is not None:
            self._http.stop()
        await asyncio.sleep(0)
        self._over = True  # a timer that is still due must not meet a closed journal
        if not self.loading:
            self.storage.note_commit()
        self.storage.close()

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
        self.time.heard(peer, mail.wall_ms, now)
        if mail.cluster_ms:
            self.time.heard_leader(mail.cluster_ms, now)
        self._guarded(lambda: self.driver.received(mail.messages))
        self.waits.check(self.driver)

    def _on_pulse(self, peer: str, term: int) -> None:
        if not self.loading:
            self.driver.pulse(peer, term)

    def _on_parcel(self, peer: str, content: list[Any]) -> None:
        def work() -> None:
            try:
                self.storage.parcel(peer, content)
            except Damaged as damage:
                log.warning("%s sent part of a snapshot that does not verify: %s", peer, damage)

        if not self.loading:
            self._guarded(work)

    def _watch(self) -> tuple[int, float]:
        """For the pulse's thread: which term this node leads, and how long its loop has been silent."""
        return self.driver.core.term if self.leading else 0, time.monotonic() - self.view.now_s

    def _on_peer(self, peer: str, up: bool) -> None:
        if not self.loading:
            self._guarded(lambda: self.driver.peer(peer, up))
            if not up:
                self.membership.lost(peer)
                self._guarded(lambda: self._relay.lost(peer))

    def _on_order(self, peer: str, order: wire.Order) -> None:
        if not self.loading:
            self._guarded(lambda: self.membership.ordered(peer, order))

    def _on_answer(self, peer: str, answer: wire.Answer) -> None:
        if not self.loading:
            self.membership.answered(peer, answer)

    def _on_relayed(self, peer: str, frame: wire.Relayed | wire.Fragment) -> None:
        if not self.loading:
            self._relay.arrived(peer, frame)

    def _on_reborn(self, peer: str) -> None:
        if not self.loading:
            self._guarded(lambda: self.driver.peer_reborn(peer))

    def _timer(self) -> None:
        """The timer is due; but what has arrived is heard first if this process was held up.

        A loop that comes back late looks at its timers before its sockets. A follower would call an election
        while the leader's heartbeats wait to be read.
        """
        late = time.monotonic() - self._timer_at_s
        self.meter.late.add(max(int(1e6 * late), 0))
        self._note_latency("event-loop", 1000 * late)
        if late > LATE_S:
            # Once round the loop: what is called from a call_soon runs after the sockets were polled.
            self._loop.call_soon(self._loop.call_soon, self._tick)
        else:
            self._tick()

    def _note_latency(self, event: str, ms: float) -> None:
        latencies = self.dispatch.timesheet.latencies
        if latencies.least_ms:
            latencies.note(event, ms, time.time())

    def _tick(self) -> None:
        wait = 50.0

        def work() -> None:
            nonlocal wait
            wait = self.driver.timer()
            self.membership.look()
            self._relay.look()

        self.view.now_s = time.monotonic()
        if self._http is not None:
            self.dispatch.sample()
        self._guarded(work)
        if self.view.now_s >= self._storage_at_s:
            self._storage_at_s = self.view.now_s + STORAGE_EVERY_S
            self._guarded(self._look_after_storage)
        if self.view.now_s >= self._upkeep_at_s:
            self._upkeep_at_s = self.view.now_s + UPKEEP_EVERY_S
            self._upkeep()
        self._timer_at_s = time.monotonic() + wait / 1000.0
        self._loop.call_later(wait / 1000.0, self._timer)

    def _look_after_storage(self) -> None:
        self.storage.upkeep(clock.boot_ms())
        self._note_room()

    def _note_room(self) -> None:
        """Refuse what adds data while there is no room, or serve it again."""
        self.no_room = self._room.refusal(self.storage.lacking)

    def look_at_memory(self) -> None:
        """Whether there is more of it in use than there may be."""
        self._room.look_at_memory()
        self._note_room()

    def _upkeep(self) -> None:
        self.view.sample()
        self.look_at_memory()
        timeout_s = self.settings.server.timeout
        if timeout_s:
            close_idle(self.dispatch.connections.values(), self.view.now_s, timeout_s)
        most = self.settings.limits.client_output_buffer_limit
        if most:
            close_slow(self.dispatch.connections.values(), most)
        if self.dispatch.pubsub.clients:
            close_lagging(self.dispatch.connections.values(), self.dispatch.output_limit, self.view.now_s)

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._woken = False
        if self.loading:
            self.dispatch.flush()
        else:
            self._guarded(self.driver.turn)

    def _announce(self, channel: bytes, message: bytes) -> None:
        """Tell this node's own subscribers; every node tells its own."""
        self.dispatch.pubsub.deliver(channel, message)
        self.wake()

    def spread(self, messages: list[Published]) -> None:
        self.links.publish(messages)

    # -- node.driver.World

    def steady_ms(self) -> float:
        return clock.boot_ms()

    def call_later(self, delay_s: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_s, work)

    def wall_ms(self) -> float:
        return clock.wall_ms()

    def applied(self, index: int, size: int) -> None:
        self.storage.advanced(index, size)

    def send(self, messages: Iterable[Message], cluster_ms: float) -> None:
        self.links.send(messages, cluster_ms)

    def persist(self, persist: Persist) -> None:
        loop = self._loop

        def done(error: BaseException | None) -> None:
            loop.call_soon_threadsafe(self._persisted, persist, error)

        self.storage.writer.write(persist, done)

    def _persisted(self, persist: Persist, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error if isinstance(error, Fault) else Fault(f"the journal failed: {error!r}"))
        self.storage.persisted()
        self._note_latency("aof-fsync-always", self.journal.last_write_ms)
        self._note_room()
        self._guarded(lambda: self.driver.persisted(persist.mark))

    def hold_writes(self, held: bool) -> None:
        if held:
            self.dispatch.pausing.hold(2 * self.settings.raft.election_timeout_ms)
        else:
            self.dispatch.pausing.release()

    def role_changed(self) -> None:
        core = self.driver.core
        self.leading = self.driver.leading
        self.meter.role_changed(time.time(), core.role, core.term, core.leader)
        self.whereabouts.changed()
        self.dispatch.leads_in(core.term if self.leading else 0)
        self.waits.check(self.driver)
        self._relay.look()
        log.info(
            "term %d: %s%s",
            core.term,
            core.role.name.lower(),
            f" of {core.leader}" if core.leader and core.role is Role.FOLLOWER else "",
        )

    def members_changed(self) -> None:
        was_outside = self.roster.outside
        self.roster.follow(self.driver.core.configuration, self.machine.membership[1])
        self.membership.look()
        self.links.follow(self.roster.peers)
        if self.roster.outside and not was_outside:
            log.warning("%s is no member of the cluster: it serves nothing", self.settings.node.id)

    def flush(self) -> None:
        self.dispatch.flush()
        self._relay.flush()
        self._worked.set()

    # -- node.storage.Host

    @property
    def commands_processed(self) -> int:
        return self.view.commands_processed

    def later(self, ms: float, work: Callable[[], None]) -> None:
        self._loop.call_later(ms / 1000.0, lambda: self._guarded(work))

    def from_thread(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(self._guarded, work)

    def durable_index(self) -> int:
        return self.driver.core.durable_index

    def applied_term(self) -> int:
        return self.driver.applied_term

    def stranded(self) -> tuple[str, ...]:
        return self.driver.core.stranded()

    def leader(self) -> str | None:
        return self.driver.core.leader

    def send_parcel(self, peer: str, parcel: list[Any]) -> None:
        self.links.send_parcel(peer, parcel)

    def install(self, manifest: Manifest, keyspace: Keyspace) -> bool:
        def adopt() -> None:
            self.keyspace.adopt(keyspace)
            self.machine.applied = manifest.index
            if manifest.membership[0]:
                self.machine.membership = manifest.membership

        index, configuration = manifest.membership
        return self.driver.install(manifest.index, manifest.term, configuration if index else None, adopt)

    # -- node.membership.World

    def member_addresses(self) -> Mapping[str, Address]:
        return self.roster.addresses

    def tell(self, peer: str, frame: bytes) -> bool:
        return self.links.tell(peer, frame)

    # -- node.relay.World

    def relay_frame(self, peer: str, frame: bytes) -> bool:
        return self.links.relay(peer, frame)

    def reaches(self, peer: str) -> bool:
        return self.links.online(peer)

    # -- server.host.Server

    def may_read(self, connection: Connection) -> bool:
        now = clock.boot_ms()
        if now < self.driver.readable_until:
            self._set_read_time(now)
            return True
        if (connection.readonly or self._reading == "local") and not self.roster.outside:
            self.keyspace.now_ms = self.keyspace.stamp_ms
            return True
        return False

    def is_current(self) -> bool:
        now = clock.boot_ms()
        if now >= self.driver.readable_until:
            return False
        self._set_read_time(now)
        return True

    def set_read_time(self) -> None:
        self._set_read_time(clock.boot_ms())

    def _set_read_time(self, now: float) -> None:
        keyspace = self.keyspace
        now_ms = self.time.now_ms(now)
        keyspace.now_ms = now_ms if now_ms > keyspace.stamp_ms else keyspace.stamp_ms

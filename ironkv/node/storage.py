"""The node's disk: the directory, the journal, the snapshots, and what connects them.

Start: load the newest snapshot that is whole, bring the journal in line with it, replay what the journal
has behind it. Then: take snapshots when they are due, trim what they cover.

Always true between two calls
    D1  the journal begins at or before the entry behind the newest snapshot: nothing is ever missing between
    D2  nothing is trimmed that the newest snapshot does not cover
    D3  after a crash between making an installed snapshot current and emptying the journal, the journal
        is emptied at the next start: what it holds is older than the snapshot, or was never committed
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from ironkv import __version__, images
from ironkv.commands.later import Later
from ironkv.errors import CommandError, Fault
from ironkv.keyspace.keyspace import Keyspace
from ironkv.machine import Machine
from ironkv.node import transfer
from ironkv.node.compaction import Compaction
from ironkv.node.snapshotting import Snapshotting
from ironkv.node.transfer import Receiving, Sending
from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import EntryKind
from ironkv.resp.replies import OK, Reply
from ironkv.storage.coherence import contradiction
from ironkv.storage.directory import DataDirectory
from ironkv.storage.journal import Journal, JournalWriter
from ironkv.storage.room import Room
from ironkv.storage.snapshots import Damaged, Manifest, Snapshots, lost_for_good
from ironkv.storage.worker import Done, Worker

if TYPE_CHECKING:
    from ironkv.config import Settings

log = logging.getLogger(__name__)

BUSY_COMMANDS: Final = 20
"""Commands between two slices from which on clients are taken to keep the loop busy …"""
BUSY_MS: Final = 200.0
"""… for so long: large pipelines come in far apart."""
RECEIVING: Final = "ERR a snapshot is being received from the leader, so none is taken here"
REJOIN: Final = (
    "Nothing was changed. While the other nodes are up and well, move this node's data directory away and "
    "start it empty: it fetches everything from them"
)


class Host(Protocol):
    """What the disk side needs of its node."""

    @property
    def commands_processed(self) -> int:
        """Of all clients, since the start."""

    def steady_ms(self) -> float: ...

    def wall_ms(self) -> float: ...

    def later(self, ms: float, work: Callable[[], None]) -> None:
        """Do `work` on the loop in `ms`."""

    def from_thread(self, work: Callable[[], None]) -> None:
        """Do `work` on the loop, soon; called from another thread."""

    def durable_index(self) -> int:
        """How far the journal is on disk."""

    def applied_term(self) -> int:
        """The term of the last applied entry."""

    def stranded(self) -> tuple[str, ...]:
        """The followers that lack entries which the journal has not any more."""

    def leader(self) -> str | None:
        """Who leads, as far as this node knows."""

    def send_parcel(self, peer: str, parcel: list[Any]) -> None:
        """Send part of a snapshot to a peer; it may get lost."""

    def install(self, manifest: Manifest, keyspace: Keyspace) -> bool:
        """Go on from this state and entry; False when the log has caught up meanwhile."""


class Storage:
    """Implements `snapshotting.World`. Raises Fault when the directory cannot be used."""

    def __init__(self, settings: Settings, machine: Machine, host: Host, first: Configuration) -> None:
        """`first`: who belongs to the cluster if this directory is new, and its log says nothing yet."""
        self._settings = settings
        self._machine = machine
        self._host = host
        cluster = settings.cluster
        path = Path(settings.node.data_dir)
        self.directory = DataDirectory(path, settings.node.id, cluster.name, first)
        self._first = first
        self.members: list[tuple[int, Configuration]] = []
        """After `recover`: what the snapshot and the log behind it say of who belongs to the cluster."""
        try:
            self.journal = Journal(path / "journal", settings.journal.map_size)
            self.snapshots = Snapshots(path / "snapshots")
        except BaseException:
            self.directory.close()
            raise
        self.writer = JournalWriter(self.journal, self._trim_failed)
        self._worker = Worker("snapshots")
        self._snapshotting = Snapshotting(self, machine, self.snapshots, self._finished)
        self._snapshotting.keep = settings.snapshot.keep
        self.compaction = Compaction(settings.snapshot, host.steady_ms())
        self._sending = Sending(self, self.snapshots)
        self._receiving = Receiving(self, self.snapshots, self._receives, self._install)
        self._room = room = Room(path, settings.disk.quota, settings.disk.reserve, settings.journal.map_size)
        self.snapshots.room_for = room.for_snapshot
        self.lacking: str | None = None
        """Why commands that add data are refused, if they are."""
        self._waiting: list[Later] = []
        self._armed = False
        self._again = False
        self._commands = 0
        self._busy_until = 0.0
        self._saved_ms = 0.0
        self._saved_changes = self._begun_changes = 0
        """`Keyspace.changes` when the newest snapshot was begun, and one that is under way."""

    # -- starting

    def recover(self) -> Iterator[tuple[str, float]]:
        """Load what is on disk into the machine; yields (what is being done, how much of it, 0 to 1) often,
        so that the caller may pause. Raises Fault."""
        journal, machine = self.journal, self._machine
        machine.membership = 0, self.directory.first
        newest = self._chosen()
        if newest is not None:
            yield from self._load(newest)
        self._reconcile(newest)
        self.members = [machine.membership]
        known = min(max(journal.commit, machine.applied), journal.last_index)
        first = machine.applied + 1
        for entry in journal.replay(first):
            if entry.index <= known:
                machine.apply(entry)
                self.compaction.advanced(entry.index, len(entry.data))
            if entry.kind is EntryKind.CONFIG:  # it rules, committed or not
                self.members.append((entry.index, Configuration.decode(entry.data)))
            # What lies behind is read all the same: a damaged entry must show before it is sent on.
            yield "replaying the journal", (min(entry.index, known) + 1 - first) / max(known + 1 - first, 1)
        self._check_members()

    def _check_members(self) -> None:
        """A log that one set of voters wrote means nothing to another: a node that ran alone and then joined
        would bring entries that no majority ever saw. Members change by the log alone (RAFT ADD)."""
        ruling, rules = self.members[-1]
        if self._first.voters == rules.voters or (ruling and self._first.voters):
            return
        if self.directory.first.addresses and self._first.voters:
            return  # it joined a cluster that ran: its settings need not know the others
        held, given = (sorted(each.everybody) for each in (rules, self._first))
        raise Fault(
            f"data directory {self.directory.path} belongs to members {held}, this is members {given}; they "
            "change only while the cluster runs (RAFT ADD, RAFT REMOVE)"
        )

    def _chosen(self) -> Manifest | None:
        """The newest snapshot, or the one the operator chose; later ones are then forgotten."""
        wanted = self._settings.snapshot.recover
        if not wanted:
            return self.snapshots.newest
        chosen = next((each for each in self.snapshots.manifests if each.index == wanted), None)
        if chosen is None:
            held = ", ".join(str(each.index) for each in self.snapshots.manifests) or "none"
            raise Fault(f"snapshot.recover is {wanted}, but the snapshots held are: {held}")
        if self.journal.first_index > chosen.index + 1:
            raise Fault(
                f"snapshot {wanted} cannot be used: the journal begins at {self.journal.first_index}, so "
                "committed entries are missing between them"
            )
        self.snapshots.forget_above(wanted)
        return chosen

    def _load(self, manifest: Manifest) -> Iterator[tuple[str, float]]:
        try:
            for done in self.snapshots.load(manifest, self._machine.keyspace):
                yield "loading the snapshot", done
        except Damaged as damage:
            raise Fault(f"{damage}. {self._way_out(manifest)}") from damage
        self._machine.applied = manifest.index
        if manifest.membership[0]:
            self._machine.membership = manifest.membership
        self.compaction.recovered(manifest.index, self.snapshots.view()["bytes_used"])
        self._saved_ms = manifest.taken_ms
        self._saved_changes = self._machine.keyspace.changes

    def _way_out(self, damaged: Manifest) -> str:
        """What an operator can do about a damaged snapshot."""
        older = [
            each.index
            for each in self.snapshots.manifests
            if each.index < damaged.index and self.journal.first_index <= each.index + 1
        ]
        if older:
            return f"{REJOIN}; or start it with --recover-snapshot {older[-1]}: the journal has all since"
        return REJOIN

    def _reconcile(self, newest: Manifest | None) -> None:
        """Bring the journal in line with the snapshot (D1, D3). Never a silent gap."""
        journal = self.journal
        index, term = (newest.index, newest.term) if newest is not None else (0, 0)
        if journal.first_index > index + 1:
            raise Fault(
                f"the journal begins at entry {journal.first_index}, the newest snapshot ends at {index}: "
                f"what lies between is missing. {REJOIN}"
            )
        told = self._settings.snapshot.recover
        if newest is not None and journal.hard is None and not (self.fresh or told):
            raise Fault(
                f"the journal is gone, and nobody else has what was written behind snapshot {index}. Bring "
                f"it back; or go on without that: --recover-snapshot {index}"
            )
        older = contradiction(journal, self.snapshots)
        if older and not told:
            raise Fault(f"{older}. {REJOIN}; or go on without that: --recover-snapshot {index}")
        if newest is not None and (journal.last_index < index or journal.term(index) != term):
            log.info("the journal ends before snapshot %d, or differs: it begins anew behind it", index)
            journal.reset(index, term, fresh=self.fresh or bool(older and self._others))

    @property
    def fresh(self) -> bool:
        """Whether this node knows of no promise it made, or has not caught up since (`raft.membership`).

        That a snapshot is there changes nothing: without its journal the node has forgotten what it voted
        and what it acknowledged behind the snapshot. Only who votes alone owes nobody anything."""
        hard = self.journal.hard
        if hard is not None:
            return hard.fresh
        return bool(self._others)

    @property
    def _others(self) -> frozenset[str]:
        """Who else votes."""
        voters = self.directory.first.voters | self._machine.membership[1].voters
        return voters - {self._settings.node.id}

    # -- running

    def advanced(self, index: int, size: int) -> None:
        """Entries up to `index` were applied, `size` bytes of them."""
        self.compaction.advanced(index, size)

    def upkeep(self, now: float) -> None:
        """Called a few times a second."""
        self._judge_room()
        stranded = self._host.stranded()
        self._sending.offer(stranded)
        self._receiving.upkeep()
        self._snapshotting.pinned = self._sending.pinned
        nothing_to_send = bool(stranded) and self.snapshots.newest is None
        if self.compaction.due(now, short_of_room=self.lacking is not None, wanted=nothing_to_send):
            self.begin()
        goal = self.compaction.trim_to(self._snapshotting.pinned, keep_tail=self.lacking is None)
        self.writer.trim_to(min(goal, self._host.durable_index()))

    def persisted(self) -> None:
        """A write of the journal has ended: look at the disk at once if that may have made it tight."""
        if self.writer.free_bytes < 2 * self._room.reserve:
            self._judge_room()

    def _judge_room(self) -> None:
        journal, snapshots = self.journal.view(), self.snapshots.view()
        free = int(journal["bytes_free"])
        in_use = int(journal["bytes_used"]) - free
        lacking = self._room.lacking(
            used=in_use + snapshots["bytes_used"] - snapshots["bytes_free"],
            journal_used=in_use,
            journal_free=free,
            refusing=self.lacking is not None,
        )
        if (lacking is None) != (self.lacking is None):
            if lacking is None:
                log.info("there is room again: all commands are served")
            else:
                log.error("%s: commands that add data are refused", lacking)
        self.lacking = lacking

    def begin(self) -> bool:
        """Begin a snapshot now; False when one is under way or nothing is new."""
        if self._receiving.active or not self._snapshotting.begin(self._host.applied_term()):
            return False
        self.compaction.begun(self._host.steady_ms())
        self._begun_changes = self._machine.keyspace.changes
        log.info("taking a snapshot at entry %d", self._machine.applied)
        self._arm()
        return True

    def reload(self) -> None:
        """Hold what images of the present state give, as after a restart from a snapshot (DEBUG RELOAD)."""
        self._snapshotting.abandon()
        keyspace = self._machine.keyspace
        keyspace.adopt(images.reread(keyspace))

    def save(self) -> Later:
        """Take a snapshot that holds all that is applied now; the reply comes when it is on disk.
        Raises CommandError."""
        if self._snapshotting.active:
            raise CommandError("ERR Background save already in progress")
        if self._receiving.active:
            raise CommandError(RECEIVING)
        later = Later()
        if self.begin():
            self._waiting.append(later)
        else:  # the newest one holds everything
            self._saved_ms = self._host.wall_ms()
            self._host.later(0.0, lambda: later.resolve(OK))
        return later

    def backup(self) -> Later:
        """As `save`; the reply is [manifest, cluster, version], and the snapshot is kept to be read."""
        later = Later()

        def saved(reply: Reply) -> None:
            newest = self.snapshots.newest
            if reply is not OK or newest is None:
                later.resolve(reply if reply is not OK else CommandError("ERR there is nothing to back up"))
                return
            self._sending.lend(newest)
            self._snapshotting.pinned = self._sending.pinned
            later.resolve([newest.packed(), self._settings.cluster.name.encode(), __version__.encode()])

        self.save().then(saved)
        return later

    def backup_records(self, index: int, after: bytes) -> Later:
        """[key, record, …] behind `after` of a snapshot that `backup` took; none at its end."""
        later = Later()
        found: list[bytes] = []

        def read() -> None:
            for key, record in self._sending.lent(index, after):
                found.extend((key, record))

        def ended(error: BaseException | None) -> None:
            if error is None:
                self._sending.lent_again(index)
                later.resolve(found)
            else:
                later.resolve(CommandError(f"ERR no snapshot {index} is being backed up: {error}"))

        self.in_thread(read, ended)
        return later

    def save_again(self) -> None:
        """BGSAVE SCHEDULE while one is under way: take another when it has ended."""
        self._again = True

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._host.later(0.0, self._step)

    def _step(self) -> None:
        self._armed = False
        commands, now = self._host.commands_processed, self._host.steady_ms()
        if commands - self._commands > BUSY_COMMANDS:
            self._busy_until = now + BUSY_MS
        self._commands = commands
        wait_ms = self._snapshotting.step(now < self._busy_until, hurry=self.compaction.behind)
        if wait_ms is not None:
            self._armed = True
            self._host.later(wait_ms, self._step)

    def _finished(self, manifest: Manifest | None) -> None:
        now = self._host.steady_ms()
        self.compaction.finished(manifest, self.snapshots.view()["bytes_used"], now)
        if manifest is not None:
            self._saved_ms = self._host.wall_ms()
            self._saved_changes = self._begun_changes
            log.info(
                "snapshot %d: %d keys, %.1f MB written in %.2f s",
                manifest.index,
                manifest.keys,
                manifest.bytes_written / 1e6,
                manifest.took_ms / 1000,
            )
        self._tell(OK if manifest is not None else CommandError(f"ERR {self._snapshotting.error}"))
        if self._again:
            self._again = False
            self.begin()

    def _tell(self, reply: Reply) -> None:
        """Answer those who wait for the snapshot under way."""
        waiting, self._waiting = self._waiting, []
        for later in waiting:
            later.resolve(reply)

    def _trim_failed(self, error: BaseException) -> None:
        def fail() -> None:
            raise error if isinstance(error, Fault) else Fault(f"the journal could not be trimmed: {error!r}")

        self._host.from_thread(fail)

    # -- snapshots between nodes

    def parcel(self, peer: str, content: list[Any]) -> None:
        """Part of a snapshot's transfer came from a peer. Raises Damaged when it makes no sense."""
        match content:
            case [transfer.OFFER, int(index), bytes(manifest)] if peer == self._host.leader():
                self._receiving.offered(peer, index, manifest, self._machine.applied)
            case [transfer.FETCH, int(index), bytes(after)]:
                self._sending.fetched(peer, index, after)
            case [transfer.RECORDS, int(index), bytes(after), list(pairs), int(more)]:
                self._receiving.received(peer, index, after, pairs, more)

    def _receives(self) -> None:
        """The state is about to be replaced: a snapshot of it is worth nothing any more."""
        self._snapshotting.abandon()
        self._tell(CommandError(RECEIVING))

    def _install(self, manifest: Manifest, keyspace: Keyspace) -> None:
        if self._host.install(manifest, keyspace):
            self.compaction.recovered(manifest.index, self.snapshots.view()["bytes_used"])
            self._saved_ms = manifest.taken_ms
            self._saved_changes = self._machine.keyspace.changes
            log.info("goes on from snapshot %d of the leader", manifest.index)
        self.in_thread(lambda: self.snapshots.prune(self._snapshotting.keep, transfer.LATEST), _ignore)

    def send_parcel(self, peer: str, parcel: list[Any]) -> None:
        self._host.send_parcel(peer, parcel)

    def later(self, ms: float, work: Callable[[], None]) -> None:
        self._host.later(ms, work)

    # -- snapshotting.World

    def steady_ms(self) -> float:
        return self._host.steady_ms()

    def wall_ms(self) -> float:
        return self._host.wall_ms()

    def in_thread(self, work: Callable[[], object], done: Done) -> None:
        def told(error: BaseException | None) -> None:
            if lost_for_good(error):
                # Until it is opened again LMDB refuses everything: no snapshot could be taken, nor received.
                raise Fault(f"{error}. Check the disk before starting again") from error
            done(error)

        self._worker.do(work, lambda error: self._host.from_thread(lambda: told(error)))

    def durable_index(self) -> int:
        return self._host.durable_index()

    # -- looking

    def view(self) -> dict[str, Any]:
        """For INFO: of the snapshots."""
        newest = self.snapshots.newest
        snapshotting = self._snapshotting
        return {
            **self.snapshots.view(),
            "index": newest.index if newest else 0,
            "last_took_ms": newest.took_ms if newest else 0,
            "last_bytes_written": newest.bytes_written if newest else 0,
            "in_progress": snapshotting.active,
            "progress": snapshotting.progress,
            "longest_slice_ms": round(snapshotting.longest_slice_ms, 3),
            "saved_s": int(self._saved_ms / 1000),
            "error": snapshotting.error,
            "changes_since": self._machine.keyspace.changes - self._saved_changes,
            "lacking": self.lacking,
            "journal_waits": self.writer.full,
        }

    def note_commit(self) -> None:
        """At a stop in good order, once all is loaded: note how far entries are known to be committed."""
        self.writer.close()
        try:
            # What is committed may not have reached this disk: then something else may be in its place.
            self.journal.note_commit(min(self._machine.applied, self._host.durable_index()))
        except Fault as fault:
            log.warning("%s", fault)

    def close(self) -> None:
        """Nothing may be asked of it any more."""
        self._snapshotting.abandon()
        self._worker.close()
        self.writer.close()
        self.snapshots.close()
        self.journal.close()
        self.directory.close()


def _ignore(error: BaseException | None) -> None:
    if error is not None:
        log.error("old snapshots could not be removed: %s", error)

"""Sending a snapshot to a follower whose entries the journal has trimmed away (Raft §7).

The follower pulls, so it takes as much as its disk can, and goes on where it was after a broken connection:

    leader → follower   offer    index, manifest         again and again while the follower lacks entries
    follower → leader   fetch    index, after            the records behind `after`, about `FETCH_BYTES`
    leader → follower   records  index, after, [[key, record], …], more     several of these answer one fetch;
                                                         more: 2 in this answer, 1 in another, 0 none

What is fetched lies in the follower's own images table, as a snapshot that is not finished (S3): a crash
leaves nothing. When all is there it is loaded aside and verified to the last digest; only then it becomes
current, and the state and the log begin anew behind it.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from ironkv.errors import Fault
from ironkv.keyspace.keyspace import Keyspace
from ironkv.storage.snapshots import Damaged, Group, Manifest, Record, Snapshots, rekeyed, unsealed
from ironkv.storage.worker import Done

log = logging.getLogger(__name__)

FETCH_BYTES: Final = 1 << 20
PARCEL_BYTES: Final = 128 << 10
"""Heartbeats share the connection: a parcel must not stand in front of them for long."""
OFFER_EVERY_MS: Final = 500.0
PATIENCE_MS: Final = 60_000.0
"""How long a snapshot and the log behind it are kept for a follower that fetches nothing."""
INSTALL_MS: Final = 30_000.0
"""How long a follower to which everything was sent may take to load it before it is offered a newer one."""
RETRY_MS: Final = 1_000.0
"""After this long without an answer a fetch is sent again. Where heartbeats arrive in time, so do parcels."""
LOAD_SLICE_MS: Final = 5.0
LATEST: Final = 1 << 63

OFFER, FETCH, RECORDS = range(3)


class World(Protocol):
    """What a transfer needs from outside."""

    def steady_ms(self) -> float: ...

    def send_parcel(self, peer: str, parcel: list[Any]) -> None:
        """Send to a peer; it may get lost."""

    def in_thread(self, work: Callable[[], object], done: Done) -> None:
        """Do `work` off the loop, in order; `done` is called on the loop."""

    def later(self, ms: float, work: Callable[[], None]) -> None: ...


@dataclass(slots=True)
class _Offer:
    """What a follower is offered. It stays, though the connection break, until the follower has it or is
    given up: the snapshot and the log behind it are kept for it."""

    manifest: Manifest
    at: float
    """When it last fetched, or was first offered it."""
    said_at: float
    sent: bool = False
    """The last of it was sent."""

    def stays(self, now: float, *, wanted: bool) -> bool:
        """`wanted`: the follower is known to lack entries still."""
        idle = now - self.at
        if self.sent:
            return wanted and idle <= INSTALL_MS
        return idle <= PATIENCE_MS


class Sending:
    """The leader's side. Holds nothing of a follower but where it last asked."""

    def __init__(self, world: World, snapshots: Snapshots) -> None:
        self._world = world
        self._snapshots = snapshots
        self._offered: dict[str, _Offer] = {}
        self._plan: tuple[int, list[tuple[Group, int]]] = (0, [])
        self._lent: dict[int, tuple[Manifest, float]] = {}
        """Snapshots that are being backed up, by index, and when they were last read."""

    @property
    def pinned(self) -> int:
        """Snapshots from this index on, and the log behind them, are still needed."""
        held = [offer.manifest.index for offer in self._offered.values()]
        return min([*held, *self._lent], default=LATEST)

    def lend(self, manifest: Manifest) -> None:
        """Keep a snapshot for a client that backs it up, for as long as it goes on reading."""
        self._lent[manifest.index] = manifest, self._world.steady_ms()

    def lent_again(self, index: int) -> None:
        """It is being read."""
        if index in self._lent:
            self._lent[index] = self._lent[index][0], self._world.steady_ms()

    def lent(self, index: int, after: bytes) -> list[Record]:
        """The next records of a snapshot that was lent, none at its end. Raises Damaged, KeyError. Reads the
        disk, so it is for the thread."""
        return list(self._behind(self._lent[index][0], after))

    def offer(self, stranded: tuple[str, ...]) -> None:
        """Offer the newest snapshot to followers that are connected and lack entries. Called often."""
        now = self._world.steady_ms()
        self._lent = {index: each for index, each in self._lent.items() if now - each[1] <= PATIENCE_MS}
        for peer, offer in list(self._offered.items()):
            if not (self._holds(offer.manifest) and offer.stays(now, wanted=peer in stranded)):
                del self._offered[peer]
        newest = self._snapshots.newest
        for peer in stranded:
            if newest is None:
                break
            offer = self._offered.setdefault(peer, _Offer(newest, now, now - OFFER_EVERY_MS))
            if now - offer.said_at >= OFFER_EVERY_MS:
                offer.said_at = now
                self._world.send_parcel(peer, [OFFER, offer.manifest.index, offer.manifest.packed()])

    def _holds(self, manifest: Manifest) -> bool:
        """Not if it was pruned in the moment in which it was offered."""
        return manifest in self._snapshots.manifests

    def fetched(self, peer: str, index: int, after: bytes) -> None:
        """A follower asks for the records behind `after`."""
        offer = self._offered.get(peer)
        if offer is None or offer.manifest.index != index:
            return  # an offer will follow, if it still needs one
        manifest = offer.manifest
        if offer.sent and not after and manifest != self._snapshots.newest:
            del self._offered[peer]  # it could not take this one: it may be able to take the newest
            return
        offer.at = self._world.steady_ms()
        found: list[Record] = []

        def read() -> None:
            found.extend(self._behind(manifest, after))

        self._world.in_thread(read, lambda error: self._send(peer, offer, after, found, error))

    def _behind(self, manifest: Manifest, after: bytes) -> Iterator[Record]:
        """Records of a snapshot in the order of their keys, under its own index, about FETCH_BYTES."""
        if self._plan[0] != manifest.index:
            self._plan = manifest.index, self._snapshots.plan(manifest)
        plan = self._plan[1]
        size = 0
        start = bisect_left(plan, Snapshots.group_of(after), key=lambda each: each[0]) if after else 0
        for group, index in plan[start:]:
            for key, record in self._snapshots.records(group, index):
                new = rekeyed(self._snapshots.path, key, record, manifest.index)
                if new[0] > after:
                    if size > FETCH_BYTES:
                        return
                    size += len(new[1])
                    yield new

    def _send(
        self,
        peer: str,
        offer: _Offer,
        after: bytes,
        found: list[Record],
        error: BaseException | None,
    ) -> None:
        manifest = offer.manifest
        if self._offered.get(peer) is not offer or not self._holds(manifest):
            return  # it may have been pruned while it was read
        if error is not None:
            raise error if isinstance(error, Fault) else Fault(f"snapshot {manifest.index}: {error!r}")
        parcel: list[list[bytes]] = []
        size = 0
        for key, record in found:
            if size + len(record) > PARCEL_BYTES and parcel:
                self._world.send_parcel(peer, [RECORDS, manifest.index, after, parcel, 2])
                after, parcel, size = parcel[-1][0], [], 0
            parcel.append([key, record])
            size += len(record)
        whole = sum(len(record) for _, record in found) <= FETCH_BYTES
        offer.sent = whole
        self._world.send_parcel(peer, [RECORDS, manifest.index, after, parcel, 0 if whole else 1])


class Receiving:
    """The follower's side: at most one snapshot at a time.

    `begun()` is called before anything is written; `install(manifest, keyspace)` when the snapshot is current
    on disk and loaded.
    """

    def __init__(
        self,
        world: World,
        snapshots: Snapshots,
        begun: Callable[[], None],
        install: Callable[[Manifest, Keyspace], None],
    ) -> None:
        self._world = world
        self._snapshots = snapshots
        self._begun, self._install = begun, install
        self._manifest: Manifest | None = None
        self._from = ""
        self._after = b""
        """The last record that has arrived."""
        self._arrived: list[Record] = []
        """Records of the answer that is coming in."""
        self._asked_at = 0.0
        self._loading = False
        self.bytes = 0

    @property
    def active(self) -> bool:
        return self._manifest is not None

    def offered(self, peer: str, index: int, packed: bytes, applied: int) -> None:
        """The leader offers a snapshot. Raises Damaged when the offer cannot be read."""
        try:
            manifest = Manifest.unpacked(packed)
        except Fault as fault:  # of a later version, perhaps: that is no reason to stop
            raise Damaged(str(fault)) from fault
        if manifest.index != index or index <= applied or self._loading:
            return
        mine = self._manifest
        # Of the same state it may be another's: all that was fetched of it fits.
        if mine is not None and (mine.index, mine.digest) == (index, manifest.digest):
            if self._from != peer:
                self._from = peer
                self._ask()
            return
        log.info("%s sends snapshot %d: %d keys", peer, index, manifest.keys)
        self._begun()
        coming = replace(manifest, base=index)
        self._manifest, self._from = coming, peer
        self._after, self._arrived, self.bytes = b"", [], 0
        self._world.in_thread(self._snapshots.clear_leftovers, lambda error: self._stored(coming, error))
        self._ask()

    def upkeep(self) -> None:
        """Ask again when no answer came. Called often."""
        waits = self._manifest is not None and not self._loading
        if waits and self._world.steady_ms() - self._asked_at > RETRY_MS:
            self._ask()

    def _ask(self) -> None:
        assert self._manifest is not None
        self._arrived = []
        self._asked_at = self._world.steady_ms()
        self._world.send_parcel(self._from, [FETCH, self._manifest.index, self._after])

    def received(self, peer: str, index: int, after: bytes, pairs: list[Any], more: int) -> None:
        """Records arrived. Raises Damaged when one does not verify."""
        manifest = self._manifest
        if manifest is None or manifest.index != index or peer != self._from or self._loading:
            return
        last = self._arrived[-1][0] if self._arrived else self._after
        if after != last:
            return  # something before it got lost, or it came twice: what is missing is asked for again
        for pair in pairs:
            key, record = unsealed(self._snapshots.path, pair, index)
            if key <= last:
                raise Damaged("records of a snapshot were sent out of order")
            last = key
            self._arrived.append((key, record))
        self._asked_at = self._world.steady_ms()
        if more == 2:
            return
        records, self._arrived, self._after = self._arrived, [], last
        self.bytes += sum(len(record) for _, record in records)
        self._loading = not more
        self._world.in_thread(
            lambda: self._snapshots.put_records(records),
            lambda error: self._stored(manifest, error, last=not more),
        )
        if more:
            self._ask()

    def _stored(self, manifest: Manifest, error: BaseException | None, *, last: bool = False) -> None:
        if manifest is not self._manifest:
            return  # another one is coming by now
        if error is not None:
            log.error("snapshot %d of %s could not be stored: %s", manifest.index, self._from, error)
            self.abandon()
        elif last:
            self._load(manifest)

    def abandon(self) -> None:
        """Let go of what is under way; the next offer begins anew."""
        self._manifest, self._loading = None, False
        self._arrived = []

    # -- all is there

    def _load(self, manifest: Manifest) -> None:
        keyspace = Keyspace()
        digests = self._snapshots.digests
        loading = self._snapshots.load(manifest, keyspace)

        def step() -> None:
            until = self._world.steady_ms() + LOAD_SLICE_MS
            try:
                for _ in loading:
                    if self._world.steady_ms() >= until:
                        self._world.later(0.0, step)
                        return
            except Fault as damage:  # what it came from is not this node's disk
                log.error("snapshot %d of %s: %s", manifest.index, self._from, damage)
                self._snapshots.digests = digests
                self.abandon()
                return
            self._world.in_thread(
                lambda: self._snapshots.finish(manifest, received=True),
                lambda error: self._finished(manifest, keyspace, error),
            )

        step()

    def _finished(self, manifest: Manifest, keyspace: Keyspace, error: BaseException | None) -> None:
        self.abandon()
        if error is not None:  # a full disk, for one: nothing has become current
            log.error("snapshot %d of %s could not be stored: %s", manifest.index, self._from, error)
        else:
            self._install(manifest, keyspace)

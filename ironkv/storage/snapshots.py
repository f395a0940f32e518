"""Snapshots: the state at an index, in an LMDB environment of its own, so that writing one never stands in
front of a commit of the journal.

Tables      manifests   index u64 → record(manifest): a snapshot that is whole
            images      database u8 | group u16 | index u64 | chunk u32 → record(chunk)

    key      = the numbers, big-endian, so that LMDB's order is theirs
    record   = crc u32 | format u8 | flags u8 | body            (little-endian; the crc covers key and record)
    chunk    = msgpack([slot, part, slot, part, …])             zstd; parts as `ironkv.images` makes them
    manifest = msgpack of the fields of `Manifest`

A group of eight slots is written when one of them has changed since the snapshot before. So a snapshot's
image of a group is the one with the highest index that is not above the snapshot's and not below its `base`;
what lies between is shared. What the state holds beside the slots is kept as group 0 of database 255.

Always true
    S1  a manifest is there only when all it needs is durable: it is written last, on its own
    S2  nothing a kept manifest needs is removed before a newer manifest is durable
    S3  images above the newest manifest belong to nobody: a snapshot that was not finished
    S4  the manifest's digest covers every group it is made of, so a missing image is found like a damaged one
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias
from zlib import crc32

import lmdb
import msgpack
import zstandard

from ironkv import images
from ironkv.errors import Fault
from ironkv.keyspace.keyspace import Keyspace
from ironkv.raft.configuration import ALONE, Configuration
from ironkv.storage.environment import opened
from ironkv.storage.room import is_full

log = logging.getLogger(__name__)

FORMAT: Final = 1
LEVEL: Final = 1
EXTRAS: Final = (255, 0)
"""Where the image of what stands beside the slots is kept."""
PRUNE_KEYS: Final = 1_000
"""Images removed in one transaction."""

_KEY: Final = Struct(">BHQI")
_INDEX: Final = Struct(">Q")
_HEAD: Final = Struct("<IBB")
_ZSTD, _LAST, _EMPTY = 1, 2, 4
_RECEIVED = 1
"""Of a manifest: it came from another node, and may be ahead of the journal."""

Group: TypeAlias = tuple[int, int]
"""(database, group)"""
Record: TypeAlias = tuple[bytes, bytes]
"""A key and its value, as the images table holds them and as a follower is sent them."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A snapshot that is whole."""

    index: int
    """The last entry whose effects it holds."""
    term: int
    """The term of that entry."""
    base: int
    """Images below this index are none of it."""
    stamp_ms: int
    """The state's time."""
    digest: bytes
    """`images.digest_of_state`"""
    membership: tuple[int, Configuration] = (0, ALONE)
    """Which entry says who belonged to the cluster as of that one, and what it says (`Machine.membership`); 0
    stands for what the data directory began with."""
    taken_ms: int = 0
    """Wall clock, for people."""
    took_ms: int = 0
    keys: int = 0
    bytes_written: int = 0
    """Compressed bytes of the groups that had changed."""

    def packed(self, flags: int = 0) -> bytes:
        """All of it as a record of the manifests table."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        index, configuration = self.membership
        plain["membership"] = [index, configuration.encode() if configuration.voters else b""]
        return _sealed(_INDEX.pack(self.index), flags, msgpack.packb(plain))

    @classmethod
    def unpacked(cls, record: bytes) -> Manifest:
        """The reverse of `packed`. Raises Damaged, or Fault for one of another version."""
        if len(record) < _HEAD.size:
            raise Damaged("a snapshot's manifest is cut short")
        try:
            plain = msgpack.unpackb(record[_HEAD.size :])
            key = _INDEX.pack(plain["index"])
        except (ValueError, TypeError, LookupError, struct.error, msgpack.UnpackException) as damage:
            raise Damaged(f"a snapshot's manifest cannot be read: {damage!r}") from damage
        _verified(key, record, f"the manifest of snapshot {plain['index']}")
        if "members" in plain:  # as written before members could change
            del plain["members"]
            plain["membership"] = [0, b""]
        if set(plain) != {field.name for field in fields(cls)}:
            raise Fault(
                f"the manifest of snapshot {plain['index']} has fields that this ironkv does not know"
            )
        if not _is_manifest(plain):
            raise Damaged(f"the manifest of snapshot {plain['index']} makes no sense")
        index, configuration = plain["membership"]
        try:
            plain["membership"] = index, Configuration.decode(configuration) if configuration else ALONE
        except Fault as fault:
            raise Damaged(f"the manifest of snapshot {plain['index']}: {fault}") from fault
        return cls(**plain)


def lost_for_good(error: BaseException | None) -> bool:
    """Whether LMDB has given this environment up: its own state is in doubt (MDB_PANIC)."""
    return isinstance(error, lmdb.PanicError) or isinstance(
        getattr(error, "__cause__", None), lmdb.PanicError
    )


def _is_manifest(plain: dict[str, Any]) -> bool:
    """Whether the fields have the types they should have: another node may have sent them."""
    membership = plain["membership"]
    return (
        type(plain["digest"]) is bytes
        and type(membership) is list
        and [type(part) for part in membership] == [int, bytes]
        and all(type(value) is int for key, value in plain.items() if key not in ("digest", "membership"))
    )


class Chunk(NamedTuple):
    """Part of a group's image. `last` says that no more of the group follows."""

    group: Group
    number: int
    content: list[Any]
    """slot, part, slot, part …"""
    last: bool


class Damaged(Fault):
    """An image does not verify."""


class Snapshots:
    """The snapshots of one data directory. One thread writes; any thread reads, in short transactions."""

    def __init__(self, path: Path, map_size: int = 1 << 40, *, readonly: bool = False) -> None:
        self.path = path
        try:
            self._env = opened(path, map_size, (b"manifests", b"images"), readonly=readonly)
            self._manifests = self._env.open_db(b"manifests", create=False)
            self._images = self._env.open_db(b"images", create=False)
        except lmdb.Error as error:
            raise Fault(f"snapshots {path} cannot be opened: {error}") from error
        self.received: set[int] = set()
        """The indexes of snapshots that came from another node (`storage.coherence`)."""
        self._compress = zstandard.ZstdCompressor(level=LEVEL).compress
        try:
            self.manifests = self._read_manifests()
        except BaseException:
            self._env.close()
            raise
        self.room_for: Callable[[int], bool] = lambda size: True
        """Whether the disk has room for so many bytes more (`room.Room`)."""
        self.digests: dict[Group, bytes] = {}
        """Of the newest snapshot's groups; filled by `load` and by every `put`."""

    # -- what there is

    @property
    def newest(self) -> Manifest | None:
        return self.manifests[-1] if self.manifests else None

    def _read_manifests(self) -> list[Manifest]:
        try:
            with self._env.begin(db=self._manifests) as txn:
                records = [record for _, record in txn.cursor()]
            manifests = [Manifest.unpacked(record) for record in records]
        except Fault as fault:
            raise type(fault)(f"{self.path}: {fault}") from fault
        flagged = zip(manifests, records, strict=True)
        self.received = {manifest.index for manifest, record in flagged if record[5] & _RECEIVED}
        return manifests

    def view(self) -> dict[str, int]:
        """Sizes in bytes."""
        info, page = self._env.info(), self._env.stat()["psize"]
        with self._env.begin() as txn:
            used = page * sum(_pages(dict(txn.stat(db))) for db in (self._images, self._manifests))
        size = page * (info["last_pgno"] + 1)
        return {"bytes_used": size, "bytes_free": max(0, size - used), "bytes_mapped": info["map_size"]}

    # -- writing (one thread)

    def clear_leftovers(self) -> None:
        """Remove what a snapshot left that was not finished (S3)."""
        newest = self.newest.index if self.newest is not None else -1
        self._remove(key for key, index in self._all_keys() if index > newest)

    def put(self, index: int, chunks: Iterable[Chunk]) -> int:
        """Write images for the snapshot at `index`, durably; how many bytes they took. Raises Fault."""
        return self.put_records([self._record(index, chunk) for chunk in chunks])

    def put_records(self, records: list[Record]) -> int:
        """Write images as another node's `records` gave them. Raises Fault."""
        size = sum(len(value) for _, value in records)
        if not self.room_for(max(0, size - self.view()["bytes_free"])):
            raise Fault(f"no room for a snapshot in {self.path}: the rest of the disk is the journal's")
        try:
            with self._env.begin(write=True, db=self._images) as txn:
                txn.cursor().putmulti(records)
        except lmdb.Error as error:
            raise Fault(self._explain(error)) from error
        return size

    def _explain(self, error: lmdb.Error) -> str:
        why = "the disk is full" if is_full(self.path) else str(error)
        return f"snapshots {self.path} could not be written: {why}"

    def _record(self, index: int, chunk: Chunk) -> Record:
        key = _KEY.pack(*chunk.group, index, chunk.number)
        flags = _LAST if chunk.last else 0
        body: bytes = b""
        if chunk.content:
            body = msgpack.packb(chunk.content)
            small = self._compress(body)
            if len(small) < len(body):
                body, flags = small, flags | _ZSTD
        else:
            flags |= _EMPTY
        return key, _sealed(key, flags, body)

    def finish(self, manifest: Manifest, *, received: bool = False) -> None:
        """Make the snapshot current (S1). `received`: from another node."""
        key = _INDEX.pack(manifest.index)
        try:
            with self._env.begin(write=True, db=self._manifests) as txn:
                txn.put(key, manifest.packed(_RECEIVED if received else 0))
        except lmdb.Error as error:
            raise Fault(self._explain(error)) from error
        self.received = self.received | {manifest.index} if received else self.received - {manifest.index}
        self.manifests = [*(each for each in self.manifests if each.index < manifest.index), manifest]

    def forget_above(self, index: int) -> None:
        """Forget every snapshot newer than the one at `index`: their images are leftovers from then on."""
        gone = [manifest for manifest in self.manifests if manifest.index > index]
        with self._env.begin(write=True, db=self._manifests) as txn:
            for manifest in gone:
                txn.delete(_INDEX.pack(manifest.index))
        self.manifests = [manifest for manifest in self.manifests if manifest.index <= index]

    def prune(self, keep: int, pinned: int) -> None:
        """Forget all but the `keep` newest snapshots and those from index `pinned` on, in small
        transactions (S2)."""
        old = [manifest for manifest in self.manifests[:-keep] if manifest.index < pinned]
        kept = self.manifests[len(old) :]
        if old:
            with self._env.begin(write=True, db=self._manifests) as txn:
                for manifest in old:
                    txn.delete(_INDEX.pack(manifest.index))
            self.manifests = kept
        if kept:
            self._remove(self._superseded(kept[0]))

    def _superseded(self, oldest: Manifest) -> Iterator[bytes]:
        """Images that neither `oldest` nor a later snapshot needs."""
        held: list[bytes] = []
        of: tuple[int, int, int] | None = None
        for key, index in self._all_keys():
            database, group, _, _ = _KEY.unpack(key)
            if of != (database, group, index):
                replaced = of is not None and of[:2] == (database, group) and index <= oldest.index
                if replaced or (of is not None and of[2] < oldest.base):
                    yield from held
                of, held = (database, group, index), []
            held.append(key)
        if of is not None and of[2] < oldest.base:
            yield from held

    def _all_keys(self) -> Iterator[tuple[bytes, int]]:
        """Every image's key and its snapshot's index, read in short transactions."""
        start = b""
        while True:
            with self._env.begin(db=self._images) as txn:
                cursor = txn.cursor()
                if not cursor.set_range(start):
                    return
                keys = list(islice(cursor.iternext(values=False), PRUNE_KEYS))
            for key in keys:
                if len(key) != _KEY.size:
                    raise Damaged(f"{self.path} has an image under {key[:32]!r}, which is no key of one")
                yield key, _KEY.unpack(key)[2]
            start = keys[-1] + b"\0"

    def image_indexes(self) -> Iterator[int]:
        """The snapshot's index of every chunk that is held."""
        return (index for _, index in self._all_keys())

    def _remove(self, keys: Iterator[bytes]) -> None:
        while batch := list(islice(keys, PRUNE_KEYS)):
            with self._env.begin(write=True, db=self._images) as txn:
                for key in batch:
                    txn.delete(key)

    # -- reading

    def plan(self, manifest: Manifest) -> list[tuple[Group, int]]:
        """The groups of a snapshot, each with the index of its image."""
        newest: dict[Group, int] = {}
        for key, index in self._all_keys():
            if manifest.base <= index <= manifest.index:
                database, group, _, _ = _KEY.unpack(key)
                newest[database, group] = index
        return list(newest.items())

    def records(self, group: Group, index: int) -> list[Record]:
        """The records of one image. Raises Damaged when it is not whole."""
        first = _KEY.pack(*group, index, 0)
        found: list[Record] = []
        with self._env.begin(db=self._images) as txn:
            cursor = txn.cursor()
            cursor.set_range(first)
            for key, value in cursor:
                if key[:-4] != first[:-4]:
                    break
                found.append((key, value))
        check_whole(self.path, group, found, f" of snapshot {index}")
        return found

    @staticmethod
    def group_of(key: bytes) -> Group:
        """The group that a record is of."""
        database, group, _, _ = _KEY.unpack(key)
        return database, group

    def load(self, manifest: Manifest, keyspace: Keyspace) -> Iterator[float]:
        """Fill an empty keyspace; yields how much is done, 0 to 1, so that the caller may pause.

        Every checksum is verified, and in the end the digest of all. Raises Damaged.
        """
        plan = self.plan(manifest)
        digests: dict[Group, bytes] = {}

        def held() -> Iterator[list[Record]]:
            return (self.records(group, index) for group, index in plan)

        for done, _ in enumerate(loading(self.path, manifest, held(), keyspace, digests), 1):
            yield done / len(plan)
        self.digests = digests

    def close(self) -> None:
        self._env.close()


def loading(
    path: Path,
    manifest: Manifest,
    held: Iterable[list[Record]],
    keyspace: Keyspace,
    digests: dict[Group, bytes],
) -> Iterator[None]:
    """Fill an empty keyspace from the records of each group, all that the snapshot has; a step for each. The
    groups' digests go into `digests`. Raises Damaged, also when something is missing."""
    beside = b""
    for records in held:
        group = Snapshots.group_of(records[0][0])
        contents = [open_record(path, key, record) for key, record in records]
        if group == EXTRAS:
            beside = b"".join(part for content in contents for part in content[1::2])
            images.load_extras(keyspace, beside)
        elif digest := _load_group(keyspace, group, contents):
            digests[group] = digest
        yield
    if images.digest_of_state(digests, beside, manifest.stamp_ms) != manifest.digest:
        raise Damaged(f"{path}: snapshot {manifest.index} is not whole: its digest does not match")
    keyspace.advance(manifest.stamp_ms)
    keyspace.entry = manifest.index


def _load_group(keyspace: Keyspace, group: Group, contents: list[list[Any]]) -> bytes:
    """Fill the group's slots; its digest."""
    database = keyspace.database(group[0])
    digest = images.GroupDigest()
    by_slot: dict[int, list[bytes]] = {}
    for content in contents:
        digest.add(content)
        for slot, part in zip(content[::2], content[1::2], strict=True):
            by_slot.setdefault(slot, []).append(part)
    for slot, image in by_slot.items():
        images.load(database, slot, image)
    return digest.value()


def _pages(stat: dict[str, Any]) -> int:
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])


# -- records


def _sealed(key: bytes, flags: int, body: bytes) -> bytes:
    head = _HEAD.pack(0, FORMAT, flags)[4:]
    return crc32(body, crc32(head, crc32(key))).to_bytes(4, "little") + head + body


def _verified(key: bytes, record: bytes, what: str) -> bytes:
    """The body of a record. Raises Damaged."""
    if len(record) < _HEAD.size:
        raise Damaged(f"{what} is cut short")
    crc, version, _ = _HEAD.unpack_from(record)
    if crc != crc32(memoryview(record)[4:], crc32(key)):
        raise Damaged(f"{what} is damaged (checksum)")
    if version != FORMAT:
        raise Fault(f"{what} has format {version}, this ironkv reads {FORMAT}")
    return record[_HEAD.size :]


def open_record(path: Path, key: bytes, record: bytes) -> list[Any]:
    """What a chunk's record holds: slot, part, slot, part … Raises Damaged."""
    what = _named(path, key)
    body = _verified(key, record, what)
    flags = record[5]
    if flags & _EMPTY:
        return []
    try:
        plain = zstandard.decompress(body) if flags & _ZSTD else body
        content: list[Any] = msgpack.unpackb(plain)
    except (zstandard.ZstdError, ValueError, MemoryError, msgpack.UnpackException) as error:
        raise Damaged(f"{what} cannot be read: {error}") from error
    if type(content) is not list or [*map(type, content)] != [int, bytes] * (len(content) // 2):
        raise Damaged(f"{what} makes no sense")
    return content


def rekeyed(path: Path, key: bytes, record: bytes, index: int) -> Record:
    """The same record as one of the snapshot at `index`. Raises Damaged."""
    database, group, _, chunk = _KEY.unpack(key)
    body = _verified(key, record, _named(path, key))
    new = _KEY.pack(database, group, index, chunk)
    return new, _sealed(new, record[5], body)


def unsealed(path: Path, sent: Any, index: int) -> Record:
    """What another node sent as a record of the snapshot at `index`. Raises Damaged."""
    match sent:
        case [bytes(key), bytes(record)] if len(key) == _KEY.size:
            pass
        case _:
            raise Damaged("what was sent is no record of a snapshot")
    if _KEY.unpack(key)[2] != index:
        raise Damaged("a record of another snapshot was sent")
    _verified(key, record, _named(path, key))
    return key, record


def _named(path: Path, key: bytes) -> str:
    database, group, index, chunk = _KEY.unpack(key)
    return f"{path}: chunk {chunk} of database {database}, group {group}, of snapshot {index}"


def check_whole(path: Path, group: Group, records: list[Record], of: str = "") -> None:
    """Raise Damaged unless the records are all chunks of the image, in order."""
    numbers = [_KEY.unpack(key)[3] for key, _ in records]
    lasts = [len(value) > 5 and bool(value[5] & _LAST) for _, value in records]
    if numbers != list(range(len(records))) or lasts != [False] * (len(records) - 1) + [True]:
        raise Damaged(f"{path}: the image of database {group[0]}, group {group[1]}{of} is not whole")

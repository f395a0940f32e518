"""LMDB in memory: as much of py-lmdb as the journal and the snapshots use, on a disk that may fail.

What LMDB promises is taken for granted here: a commit is all or nothing, and durable when it returns, unless
the environment was opened with `sync=False`, `metasync=False` or `writemap=True`; then a power cut takes back
the newest commits. (That real LMDB keeps its word under kill -9 is tested with real files: tests/storage.)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

PAGE = 4096


class Error(Exception):
    pass


class MapFullError(Error):
    pass


class PanicError(Error):
    pass


class CorruptedError(Error):
    pass


class PowerCut(BaseException):
    """The machine stops in the middle of a commit."""


class Table:
    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.values: dict[bytes, bytes] = {}

    def put(self, key: bytes, value: bytes | None) -> bytes | None:
        """Set or (None) remove; what was there before."""
        before = self.values.get(key)
        if value is None:
            if before is not None:
                del self.values[key]
                del self.keys[bisect_left(self.keys, key)]
        else:
            if before is None:
                if not self.keys or key > self.keys[-1]:
                    self.keys.append(key)
                else:
                    insort(self.keys, key)
            self.values[key] = value
        return before


class Disk:
    """What a machine has stored, and how its disk behaves."""

    def __init__(self) -> None:
        self.environments: dict[str, dict[bytes, Table]] = {}
        self.unsynced: list[list[tuple[Table, bytes, bytes | None]]] = []
        """How to take back each commit that is not durable."""
        self.cut_in = 0
        """The power fails in so many commits; 0: not planned."""
        self.cut_lands = False
        """Whether the commit that it strikes is whole on the disk, or not there at all."""
        self.fail = False
        """The next commit reports an error."""
        self.fail_lands = False
        self.failed = 0
        self.full = False
        self.damaged = 0
        self._whole: list[tuple[Table, bytes, bytes | None]] = []

    def commit(self, undo: list[tuple[Table, bytes, bytes | None]], synced: bool) -> None:
        if self.full:
            take_back(undo)
            raise Error("mdb_txn_commit: Input/output error")
        if self.fail:
            self.fail = False
            self.failed += 1
            if self.fail_lands:
                # The data is there, and the page that says so failed: LMDB then does nothing any more.
                raise PanicError("mdb_txn_commit: MDB_PANIC: Update of meta page failed")
            take_back(undo)
            raise Error("mdb_txn_commit: Input/output error")
        if self.cut_in:
            self.cut_in -= 1
            if not self.cut_in:
                if not self.cut_lands:
                    take_back(undo)
                raise PowerCut
        if not synced:
            self.unsynced.append(undo)

    def crash(self) -> None:
        """What was not synced is gone."""
        for undo in reversed(self.unsynced):
            take_back(undo)
        self.unsynced.clear()
        self.cut_in = 0
        self.fail = False

    def table(self, environment: str, name: bytes) -> Table:
        return self.environments.get(environment, {}).get(name) or Table()

    def damage(self, chance: Any, table: Table) -> bool:
        """Flip a bit of some record, or lose its end: torn in writing, or rotten."""
        if not table.keys:
            return False
        key = chance.choice(table.keys)
        value = bytearray(table.values[key])
        self._whole.append((table, key, table.values[key]))
        if chance.random() < 0.3 and len(value) > 1:
            keep = chance.randrange(1, len(value))
            value[keep:] = bytes(len(value) - keep) if chance.random() < 0.5 else b""
            if value == table.values[key]:
                value[-1] ^= 1
        else:
            value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
        table.values[key] = bytes(value)
        self.damaged += 1
        return True

    def as_it_was(self) -> Disk:
        """Without the damage: what it once held, when it is gone."""
        take_back(self._whole)
        return self


def take_back(undo: list[tuple[Table, bytes, bytes | None]]) -> None:
    for table, key, before in reversed(undo):
        table.put(key, before)


class Lmdb:
    """Stands for the module."""

    Error, MapFullError, PanicError, CorruptedError = Error, MapFullError, PanicError, CorruptedError
    Transaction = object

    def __init__(self, disk_of: Callable[[Path], Disk]) -> None:
        self._disk_of = disk_of

    def open(self, path: str, **options: Any) -> Environment:
        where = Path(path)
        where.mkdir(parents=True, exist_ok=True)
        (where / "data.mdb").touch()
        synced = options.get("sync", True) and options.get("metasync", True) and not options.get("writemap")
        disk = self._disk_of(where)
        name = where.name.removesuffix(".new")  # one that is being made, and then renamed
        return Environment(disk, disk.environments.setdefault(name, {}), options["map_size"], bool(synced))


class Environment:
    def __init__(self, disk: Disk, tables: dict[bytes, Table], map_size: int, synced: bool) -> None:
        self._disk, self._tables, self._map_size, self._synced = disk, tables, map_size, synced
        self.panicked = False

    def __enter__(self) -> Environment:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def sync(self, force: bool = False) -> None:
        pass

    def reader_check(self) -> int:
        return 0

    def open_db(self, name: bytes, create: bool = True) -> Table:
        return self._tables.setdefault(name, Table())

    def begin(self, db: Table | None = None, write: bool = False, buffers: bool = False) -> Transaction:
        if write and self.panicked:
            raise PanicError("mdb_txn_begin: MDB_PANIC")
        return Transaction(self, self._disk, db, write, self._synced)

    def stat(self) -> dict[str, int]:
        return {"psize": PAGE}

    def info(self) -> dict[str, int]:
        pages = 3 + sum(_pages(table) for table in self._tables.values())
        return {"last_pgno": pages, "map_size": self._map_size}

    def close(self) -> None:
        pass


def _pages(table: Table) -> int:
    return 1 + len(table.keys) // 16


class Transaction:
    def __init__(
        self, environment: Environment, disk: Disk, db: Table | None, write: bool, synced: bool
    ) -> None:
        self._environment = environment
        self._disk, self._db, self._write, self._synced = disk, db, write, synced
        self._undo: list[tuple[Table, bytes, bytes | None]] = []

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        undo, self._undo = self._undo, []
        if kind is not None:
            take_back(undo)
        elif undo:
            try:
                self._disk.commit(undo, self._synced)
            except PanicError:
                self._environment.panicked = True
                raise

    def _table(self, db: Table | None) -> Table:
        table = db if db is not None else self._db
        assert table is not None
        return table

    def get(self, key: bytes, default: Any = None, db: Table | None = None) -> Any:
        return self._table(db).values.get(key, default)

    def put(self, key: bytes, value: bytes, db: Table | None = None, append: bool = False) -> bool:
        assert self._write
        table = self._table(db)
        if append and table.keys and key <= table.keys[-1]:
            return False
        self._undo.append((table, key, table.put(key, bytes(value))))
        return True

    def delete(self, key: bytes, db: Table | None = None) -> bool:
        assert self._write
        table = self._table(db)
        before = table.put(key, None)
        if before is not None:
            self._undo.append((table, key, before))
        return before is not None

    def drop(self, db: Table, delete: bool = True) -> None:
        for key in [*db.keys]:
            self.delete(key, db)

    def stat(self, db: Table) -> dict[str, int]:
        return {
            "entries": len(db.keys),
            "branch_pages": 0,
            "leaf_pages": _pages(db),
            "overflow_pages": 0,
        }

    def cursor(self, db: Table | None = None) -> Cursor:
        return Cursor(self, self._table(db))


class Cursor:
    """Where it stands is a place among the keys; iteration goes on from there."""

    def __init__(self, transaction: Transaction, table: Table) -> None:
        self._transaction, self._table = transaction, table
        self._at = 0

    def _there(self) -> bool:
        return self._at < len(self._table.keys)

    def first(self) -> bool:
        self._at = 0
        return self._there()

    def last(self) -> bool:
        self._at = max(0, len(self._table.keys) - 1)
        return self._there()

    def set_range(self, key: bytes) -> bool:
        self._at = bisect_left(self._table.keys, key)
        return self._there()

    def key(self) -> bytes:
        return self._table.keys[self._at] if self._there() else b""

    def value(self) -> bytes:
        return self._table.values[self.key()] if self._there() else b""

    def iternext(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        while self._there():
            key = self.key()
            yield (key, self._table.values[key]) if keys and values else key
            self._at += 1

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self.iternext()

    def putmulti(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        for key, value in records:
            self._transaction.put(key, value, self._table)

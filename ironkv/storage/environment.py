"""Opening an LMDB environment, which comes into being whole or not at all.

LMDB writes the first pages of a new file without a sync: a power cut in that moment leaves a file that nobody
can open. So a new environment is made beside its place, and renamed when all of it is on disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import lmdb

from ironkv.storage.directory import sync_directory


def opened(path: Path, map_size: int, tables: tuple[bytes, ...], *, readonly: bool) -> lmdb.Environment:
    """The environment in the directory `path`. Raises lmdb.Error, OSError."""
    if not readonly and not (path / "data.mdb").exists():
        _make(path, map_size, tables)
    environment = lmdb.open(
        str(path), map_size=map_size, max_dbs=len(tables), subdir=True, max_spare_txns=4, max_readers=126,
        readonly=readonly, lock=not readonly, create=False,
    )  # fmt: skip
    environment.reader_check()
    return environment


def _make(path: Path, map_size: int, tables: tuple[bytes, ...]) -> None:
    aside = path.with_name(path.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    with lmdb.open(str(aside), map_size=map_size, max_dbs=len(tables), subdir=True) as environment:
        for table in tables:
            environment.open_db(table)
        environment.sync(True)
    sync_directory(aside)
    (path / "lock.mdb").unlink(missing_ok=True)  # of a file that is gone
    os.rename(aside, path)
    sync_directory(path.parent)
    sync_directory(path.parent.parent)

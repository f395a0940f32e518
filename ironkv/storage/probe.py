"""Looking through LMDB's files before this process trusts them.

LMDB verifies nothing: from a page that is damaged, or in a file that was cut short, it reads wherever it is
led, and the process ends by a signal, without a word. So a child goes first; if that ends, it is known why.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
from pathlib import Path
from struct import Struct
from typing import Any, Final

import lmdb

from ironkv.errors import Fault
from ironkv.storage.directory import locked, release

PARTS: Final = ("journal", "snapshots")
DATA: Final = "data.mdb"
HEADER: Final = 16
"""Bytes of a page's header."""
_META: Final = Struct("=IIQQI44s48sQQ")
"""magic, version, address, map size, page size, rest of two tables, last page, number of the transaction"""
MOST_TABLES: Final = 16
WAY_OUT: Final = (
    "Nothing was changed. While all other nodes are up and well, and only then, move this node's data "
    "directory away and start it empty: it fetches everything from them. A node on its own needs a backup"
)


def look_through(directory: Path) -> None:
    """Walk through the environments of a data directory that this process has locked: all keys, and the end
    of each value. Raises Fault where that cannot be done."""
    for part in PARTS:
        file = directory / part / DATA
        if file.exists() and (why := _damage(file)):
            raise Fault(f"{file} is damaged: {why}. {WAY_OUT}")


def look_first(directory: Path) -> None:
    """The same for one that is not locked yet. One that is in use, or is not there, is left to whoever locks
    it. Raises Fault."""
    try:
        held = locked(directory, make=False)
    except OSError:
        return
    try:
        look_through(directory)
    finally:
        release(held)


def _damage(file: Path) -> str:
    """What is wrong with a file; nothing when it can be walked through."""
    if why := _of_metas(file):
        return why
    child = os.fork()
    if not child:
        _go_first(file)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGBUS:
        return "it is cut short, or the disk cannot be read"
    return "its pages do not hang together" if status else ""


def _of_metas(file: Path) -> str:
    """Two pages describe the file in turn; were one's number damaged, LMDB would go by the older one, and the
    newest transaction would be gone without a trace."""
    with file.open("rb") as opened:
        head = opened.read(HEADER + _META.size)
        if len(head) < HEADER + _META.size:
            return "it is cut short"
        first = _META.unpack_from(head, HEADER)
        opened.seek(first[4] + HEADER)
        second = opened.read(_META.size)
    if len(second) < _META.size:
        return "it is cut short, or its first page is damaged"
    other = _META.unpack(second)
    if other[:2] != first[:2] or other[-1] % 2 == 0 or abs(other[-1] - first[-1]) != 1:
        return "its first two pages contradict each other"
    return ""


def _go_first(file: Path) -> None:
    """In the child, which ends here."""
    status = 1
    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LMDB says which assertion failed
        _walk(file.parent)
        status = 0
    finally:
        os._exit(status)


def _walk(path: Path) -> None:
    with lmdb.open(str(path), max_dbs=MOST_TABLES, readonly=True, lock=False, create=False) as environment:
        with environment.begin() as txn:
            names = list(txn.cursor().iternext(values=False))
        for name in names:
            table = environment.open_db(name, create=False)
            with environment.begin(db=table, buffers=True) as txn:
                stat: dict[str, Any] = dict(txn.stat(table))
                left = int(stat["entries"])
                for _, value in txn.cursor():
                    left -= 1
                    if left < 0:  # in circles
                        break
                    value[-1:].tobytes()
                if left:
                    raise Fault(f"{path} has {left} keys less in {name!r} than it says")

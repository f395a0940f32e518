"""The data directory: one process at a time, one node and one cluster for its whole life.

DIR/LOCK       held (flock) by the process that uses the directory
DIR/identity   JSON: format, node, cluster, members, birth, and addresses if the node joined a cluster that
               ran; written once, before anything else
DIR/journal/   the LMDB environment of the log
DIR/snapshots/ the LMDB environment of the snapshots
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from ironkv.errors import Fault
from ironkv.raft.configuration import ALONE, Configuration, addresses_of
from ironkv.storage.room import NETWORK, filesystem

FORMAT: Final = 3
READABLE: Final = (2, 3)
"""2 had no birth: it is given one."""


class DataDirectory:
    """A locked data directory. Raises Fault when it is in use or belongs to another node or cluster.

    `first` is who belongs to the cluster until the log says something else; nobody, for a node on its own. A
    directory goes on with what it was made with, here in `self.first`.
    """

    def __init__(self, path: Path, node_id: str, cluster: str, first: Configuration = ALONE) -> None:
        self.path = path
        self.first = first
        kind = filesystem(path)
        if kind in NETWORK:
            raise Fault(
                f"data directory {path} is on {kind}: a network file system cannot be trusted with it"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Fault(f"data directory {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise Fault(f"data directory {path} is in use by another process") from error
        try:
            self._identify(node_id, cluster)
        except BaseException:
            self.close()
            raise

    def _identify(self, node_id: str, cluster: str) -> None:
        file = self.path / "identity"
        mine = {"format": FORMAT, "node": node_id, "cluster": cluster}
        self.birth = secrets.randbits(62)
        """A number drawn when the directory was made: a node that lost it comes back with another."""
        try:
            found = json.loads(file.read_bytes())
        except FileNotFoundError:
            if (self.path / "journal").exists():
                raise Fault(f"data directory {self.path} holds a journal but no identity file") from None
            self._write(file, mine)
            return
        except ValueError as error:
            raise Fault(f"{file} cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise Fault(f"{file} cannot be read: it holds no JSON object")
        old = found.get("format") == 2
        for key, value in mine.items():
            if found.get(key) != value and not (old and key == "format"):
                raise Fault(
                    f"data directory {self.path} belongs to {key} {found.get(key)!r}, this is {key} {value!r}"
                )
        try:
            self.first = first_of(found)
        except Fault as fault:
            raise Fault(f"{file} cannot be read: {fault}") from fault
        # Without its journal the node has forgotten what it promised: that is another life.
        if old or not (self.path / "journal" / "data.mdb").exists():
            self._write(file, mine)
        elif type(found.get("birth")) is int:
            self.birth = found["birth"]

    def _write(self, file: Path, identity: dict[str, object]) -> None:
        first = self.first
        whole = {**identity, "members": sorted(first.voters), "birth": self.birth}
        if first.addresses:
            whole["addresses"] = {node: list(where) for node, where in first.addresses}
        with replacing(file) as out:
            out.write(json.dumps(whole).encode() + b"\n")
        sync_directory(file.parent.parent)

    def close(self) -> None:
        """Let another process use the directory."""
        os.close(self._lock)


def first_of(identity: Mapping[str, Any]) -> Configuration:
    """Who belonged to the cluster when a directory was made, as its identity says. Raises Fault."""
    members = identity.get("members")
    if type(members) is not list or not all(type(member) is str for member in members):
        raise Fault("it does not say who the members are")
    return Configuration(frozenset(members), addresses=addresses_of(identity.get("addresses", {})))


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: fsync of a file does not cover its name."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `file` once it is whole and on disk: written beside, fsynced,
    renamed. After a crash, or an error in between, the old one is there, or none."""
    beside = file.with_name(file.name + ".new")
    try:
        with beside.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        beside.rename(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(file.absolute().parent)

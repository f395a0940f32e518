"""The data directory: one process at a time, one node and one cluster for its whole life.

DIR/LOCK       held (flock) by the process that uses the directory, as is the directory itself
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
            self._locks = locked(path, make=True)
        except BlockingIOError as error:
            raise Fault(f"data directory {path} is in use by another process") from error
        except OSError as error:
            raise Fault(f"data directory {path}: {error.strerror}") from error
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
            for part in ("journal", "snapshots"):
                if (self.path / part).exists():
                    raise Fault(
                        f"data directory {self.path} holds {part} but no identity file: "
                        "it was not finished, or it has lost a part"
                    ) from None
            self._identity(node_id, cluster)
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
            self._identity(node_id, cluster)
        elif type(found.get("birth")) is int:
            self.birth = found["birth"]

    def _identity(self, node_id: str, cluster: str) -> None:
        write_identity(self.path, node_id, cluster, self.first, self.birth)

    def close(self) -> None:
        """Let another process use the directory."""
        release(self._locks)


def locked(path: Path, *, make: bool) -> list[int]:
    """Keep every other process off a data directory, until `release`: by LOCK, which `make` makes, and by the
    directory itself, for LOCK can be removed under whoever holds it, and a copy may lack it. Raises
    BlockingIOError when it is in use, OSError."""
    held: list[int] = []
    try:
        held.append(_locked(path, os.O_RDONLY | os.O_DIRECTORY))
        if make or (path / "LOCK").exists():
            held.append(_locked(path / "LOCK", os.O_RDWR | os.O_CREAT if make else os.O_RDONLY))
    except OSError:
        release(held)
        raise
    return held


def _locked(path: Path, flags: int) -> int:
    handle = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def release(held: list[int]) -> None:
    """Give up what `locked` took."""
    for handle in held:
        os.close(handle)


def write_identity(path: Path, node: str, cluster: str, first: Configuration, birth: int) -> None:
    """Say whose directory it is, durably. Raises OSError."""
    whole = {
        "format": FORMAT, "node": node, "cluster": cluster, "members": sorted(first.voters), "birth": birth
    }  # fmt: skip
    if first.addresses:
        whole["addresses"] = {name: list(where) for name, where in first.addresses}
    with replacing(path / "identity") as out:
        out.write(json.dumps(whole).encode() + b"\n")
    sync_directory(path.absolute().parent)


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

"""How much room there is on the disk, and whether writes that add data must wait for more.

A full disk must not be where a node learns of it: below the reserve, or at the quota, what adds data is
refused, while reads and deletes go on, and the reserve carries the journal until there is room again. Pages
that are free inside the journal's file count as room: LMDB never gives them back, but uses them again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

FULL_BYTES: Final = 1 << 20
"""A disk with less than this is full: a commit that fails there failed for that."""
RESERVE_SHARE: Final = 0.1
"""The reserve is never more than this part of the file system."""
AGAIN: Final = 1.1
MAP_SHARE: Final = 0.9
"""Of the journal's map; the rest is head-room for cutting it back."""


def free_bytes(path: Path) -> int:
    """What the file system has left for this process."""
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


def is_full(path: Path) -> bool:
    """Whether a write that failed here failed for want of room: LMDB may say EIO, so the disk is asked."""
    try:
        return free_bytes(path) < FULL_BYTES
    except OSError:
        return False


NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs"}
)
"""File systems on which LMDB's locks and flushes cannot be trusted: http://www.lmdb.tech/doc/ (caveats)."""


def filesystem(directory: Path) -> str:
    """The type of file system a directory is on, `unknown` where the system does not say."""
    return mount(directory).kind


class Mount(NamedTuple):
    """A file system as it is mounted."""

    kind: str = "unknown"
    options: str = ""
    """With commas between them."""
    source: str = ""
    """The device, as far as there is one."""


def mount(directory: Path) -> Mount:
    """Where a directory is on; `unknown` where the system does not say."""
    path = str(directory.resolve())
    best, found = "", Mount()
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return found
    for line in mounts:
        source, where, what, options, *_ = line.split()
        where = where.replace("\\040", " ")
        inside = path == where or path.startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best):
            best, found = where, Mount(what, options, source)
    return found


class Room:
    """Judges from time to time; sizes in bytes, a quota of 0 is none."""

    def __init__(self, path: Path, quota: int, reserve: int, map_size: int) -> None:
        self._path = path
        self._quota, self._reserve, self._map_size = quota, reserve, map_size

    @property
    def reserve(self) -> int:
        """What is kept free of this file system."""
        space = os.statvfs(self._path)
        return min(self._reserve, int(space.f_blocks * space.f_frsize * RESERVE_SHARE))

    def for_snapshot(self, size: int) -> bool:
        """Whether a snapshot's file may grow by so many bytes: that must leave the reserve to the journal."""
        return size <= 0 or free_bytes(self._path) >= self.reserve + size

    def lacking(self, *, used: int, journal_used: int, journal_free: int, refusing: bool) -> str | None:
        """Why no data can be added now, or None. `used`: pages in use of journal and snapshots together;
        `refusing`: whether it is refused so far, which then takes a little more room to end."""
        if self._quota and used >= (self._quota / AGAIN if refusing else self._quota):
            return f"the quota of {_mib(self._quota)} is used up"
        if journal_used >= self._map_size * MAP_SHARE:
            return f"the journal has nearly reached its map size of {_mib(self._map_size)}"
        reserve, free = self.reserve, free_bytes(self._path)
        if refusing:
            reserve = int(reserve * AGAIN)
        # A large entry needs pages side by side, so the journal's free pages alone do only if they are many.
        if journal_free >= 2 * reserve or (free >= reserve / 2 and free + journal_free >= reserve):
            return None
        return f"the disk is nearly full: {_mib(free)} left, {_mib(reserve)} are kept in reserve"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"

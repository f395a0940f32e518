"""What a power cut leaves of a directory, from a record of everything that was done to it (`recorder.c`).

Promised is what POSIX promises, and no more: what was written to a file is there once that file was synced
(or it was opened for synchronous writes), and a name is there once its directory was. Of the rest anything
may be there: each write whole, in sectors, or not at all, in any order; names in order, in each directory up
to any point.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

SECTOR: Final = 512
_HEAD: Final = struct.Struct("=ciqI")


class Step(NamedTuple):
    """One thing that a process did."""

    kind: str
    """O open, C close, W write, T truncate, S sync, R rename, U unlink, M mkdir, D rmdir"""
    fd: int
    number: int
    content: bytes


def compiled(folder: Path) -> Path:
    """The recorder, ready to be preloaded."""
    library = folder / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def recorded(log: Path) -> Iterator[Step]:
    """The record's steps, in order."""
    data = log.read_bytes()
    at = 0
    while at < len(data):
        kind, fd, number, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        yield Step(kind.decode(), fd, number, data[at : at + length])
        at += length


@dataclass(slots=True)
class File:
    """A file's bytes: those that are promised, and writes that are not yet."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    """(offset, bytes); (length, b"") for a truncation."""
    length: int = 0
    """Of the file as the process sees it."""

    def sync(self) -> None:
        for at, content in self.pending:
            _write(self.synced, at, content)
        self.pending.clear()

    def after_a_cut(self, chance: random.Random, keep: float) -> bytes:
        left = bytearray(self.synced)
        for at, content in self.pending:
            if not content:
                if chance.random() < keep:
                    _write(left, at, content)
            elif chance.random() < keep:
                _write(left, at, content)
            elif chance.random() < keep:
                for low in range(0, len(content), SECTOR):
                    if chance.random() < keep:
                        _write(left, at + low, content[low : low + SECTOR])
        return bytes(left)


def _write(data: bytearray, at: int, content: bytes) -> None:
    if not content:
        del data[at:]
        data.extend(bytes(at - len(data)))
        return
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    data[at : at + len(content)] = content


class Change(NamedTuple):
    """A name goes, another comes, or both at once."""

    old: str
    new: str
    what: File | None

    @property
    def folder(self) -> str:
        """Syncing it makes the change lasting."""
        return str(Path(self.new or self.old).parent)

    def apply(self, names: dict[str, File | None]) -> None:
        if self.old:
            names.pop(self.old, None)
        if self.new:
            names[self.new] = self.what
        if self.old and self.new and self.what is None:  # a directory moves with all that is in it
            for name in [name for name in names if name.startswith(self.old + "/")]:
                names[self.new + name.removeprefix(self.old)] = names.pop(name)


class Disk:
    """The directory `root` while its record is played, from a moment when all of it was on disk."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._names: dict[str, File | None] = {str(root): None}
        """Names that are promised; None for a directory."""
        self._seen: dict[str, File | None] = {str(root): None}
        """Names as the process sees them."""
        self._unsynced: list[Change] = []
        """Not promised yet, in order."""
        self._open: dict[int, tuple[str, File | None, bool]] = {}

    def play(self, step: Step) -> None:
        match step.kind:
            case "O":
                self._opened(step)
            case "C":
                self._open.pop(step.fd, None)
            case "W":
                self._wrote(step)
            case "T":
                self._truncated(step)
            case "S":
                self._sync(step.fd)
            case _:
                self._named(step)

    def _opened(self, step: Step) -> None:
        path = step.content.decode()
        if path not in self._seen:
            if not step.number & os.O_CREAT:
                return
            self._change(Change("", path, File()))
        file = self._seen[path]
        if file is not None and step.number & os.O_TRUNC and file.length:
            file.pending.append((0, b""))
            file.length = 0
        self._open[step.fd] = path, file, bool(step.number & os.O_DSYNC)

    def _wrote(self, step: Step) -> None:
        _, file, at_once = self._open[step.fd]
        assert file is not None
        file.length = max(file.length, step.number + len(step.content))
        if at_once:
            _write(file.synced, step.number, step.content)
        elif step.content:
            file.pending.append((step.number, step.content))

    def _truncated(self, step: Step) -> None:
        _, file, _ = self._open[step.fd]
        assert file is not None
        file.pending.append((step.number, b""))
        file.length = step.number

    def _sync(self, fd: int) -> None:
        path, file, _ = self._open[fd]
        if file is not None:
            file.sync()
            return
        later = []
        for change in self._unsynced:
            if path == change.folder:
                change.apply(self._names)
            else:
                later.append(change)
        self._unsynced = later

    def _named(self, step: Step) -> None:
        old, _, new = step.content.decode().partition("\n")
        match step.kind:
            case "M":
                self._change(Change("", old, None))
            case "U" | "D":
                self._change(Change(old, "", None))
            case "R":
                self._change(Change(old, new, self._seen[old]))

    def _change(self, change: Change) -> None:
        change.apply(self._seen)
        self._unsynced.append(change)

    def cut(self, into: Path, chance: random.Random, keep: float) -> None:
        """Make in `into` what the power going off now may leave; each thing that is not promised is there
        with the likelihood `keep`."""
        names = dict(self._names)
        late: set[str] = set()
        for change in self._unsynced:
            if change.folder in late or chance.random() >= keep:
                late.add(change.folder)
            else:
                change.apply(names)
        into.mkdir(parents=True)
        for path in sorted(names):
            target = into / Path(path).relative_to(self._root)
            if not target.parent.is_dir():
                continue  # its directory's own name is not there
            file = names[path]
            if file is None:
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(file.after_a_cut(chance, keep))

"""A backup in one file: a snapshot's records, whole or refused.

file    = "IRONKV BACKUP 1\\n" | frame …
frame   = length u32 | crc32 u32 | body                            (big-endian; the crc covers the body)
bodies  = msgpack {manifest, cluster, version, made_ms}            the first
          msgpack [key, record, key, record, …]                    any number; as the images table has them
          msgpack {records, sha256}                                the last: how many; of all bodies before
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Final, Self
from zlib import crc32

import msgpack

from ironkv.errors import Fault
from ironkv.storage.snapshots import Manifest, Record

MAGIC: Final = b"IRONKV BACKUP 1\n"
_HEAD: Final = Struct(">II")
FRAME_MAX: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Header:
    manifest: Manifest
    cluster: str
    version: str
    """Of the ironkv that was asked."""
    made_ms: int


class Writer:
    """Writes to a stream; the file is whole once `finish` was called."""

    def __init__(self, out: BinaryIO, header: Header) -> None:
        self._out = out
        self._out.write(MAGIC)
        self._sum, self.records = sha256(), 0
        self._frame(
            {
                "manifest": header.manifest.packed(),
                "cluster": header.cluster,
                "version": header.version,
                "made_ms": header.made_ms,
            }
        )

    def _frame(self, content: object) -> None:
        body: bytes = msgpack.packb(content)
        self._sum.update(body)
        self._out.write(_HEAD.pack(len(body), crc32(body)) + body)

    def add(self, flat: list[bytes]) -> None:
        """key, record, key, record …"""
        self.records += len(flat) // 2
        self._frame(flat)

    def finish(self) -> None:
        self._frame({"records": self.records, "sha256": self._sum.digest()})


class Reader:
    """Raises Fault where the file is not what `Writer` made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._sum = sha256()
        try:
            if self._file.read(len(MAGIC)) != MAGIC:
                raise Fault(f"{path} is no IronKV backup")
            self.header = self._header(self._frame())
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _frame(self) -> Any:
        at = self._file.tell()
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise Fault(f"{self._path} is cut short at byte {at}: it is no whole backup")
        length, crc = _HEAD.unpack(head)
        body = self._file.read(length) if length <= FRAME_MAX else b""
        if len(body) < length or crc32(body) != crc:
            raise Fault(f"{self._path} is damaged at byte {at} (checksum)")
        try:
            content = msgpack.unpackb(body)
        except (ValueError, msgpack.UnpackException) as error:  # zeros: an empty frame's checksum fits
            raise Fault(f"{self._path} is damaged at byte {at}: {error}") from error
        if type(content) is not dict or "sha256" not in content:
            self._sum.update(body)
        return content

    def _header(self, plain: Any) -> Header:
        try:
            manifest = Manifest.unpacked(plain["manifest"])
            return Header(manifest, plain["cluster"], plain["version"], plain["made_ms"])
        except (TypeError, LookupError) as error:
            raise Fault(f"{self._path} begins with something else than a backup's header") from error

    def records(self) -> Iterator[list[Record]]:
        """All records, in batches; the end is verified before the last one is given out as whole."""
        count = 0
        while True:
            content = self._frame()
            if type(content) is dict:
                break
            count += len(content) // 2
            yield list(zip(content[::2], content[1::2], strict=True))
        if content.get("records") != count or content.get("sha256") != self._sum.digest():
            raise Fault(f"{self._path} is not whole: what it says at its end does not match")
        if self._file.read(1):
            raise Fault(f"{self._path} goes on behind its end")


def now_ms() -> int:
    """For people: when a backup was made."""
    return time.time_ns() // 1_000_000

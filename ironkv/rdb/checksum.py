"""The checksum at the end of files and payloads: CRC-64 with Jones's polynomial."""

from __future__ import annotations

from typing import Final

from anycrc import CRC

_CRC: Final = CRC(width=64, poly=0xAD93D23594C935A9, init=0, refin=True, refout=True, xorout=0)


def crc64(data: bytes | memoryview, before: int = 0) -> int:
    """The checksum of what has the checksum `before`, with `data` behind it."""
    checksum: int = _CRC.calc(data, before)
    return checksum

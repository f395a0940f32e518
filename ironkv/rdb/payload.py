"""What DUMP replies and RESTORE takes: a value, the version it is of, a checksum of these.

type (1)  value  version (2, little-endian)  CRC-64 (8, little-endian)
"""

from __future__ import annotations

from typing import Final

from ironkv.keyspace.values import Value
from ironkv.rdb.checksum import crc64
from ironkv.rdb.corrupt import Corrupt
from ironkv.rdb.source import Source
from ironkv.rdb.values import VERSION, VERSION_MOST, decode, encode

_FOOTER: Final = 10


def dump(value: Value, version: int = VERSION) -> bytes:
    """The payload of a value."""
    body = encode(value, version) + version.to_bytes(2, "little")
    return body + crc64(body).to_bytes(8, "little")


def is_whole(payload: bytes) -> bool:
    """Whether the checksum is right, and the version one that can be read."""
    if len(payload) < _FOOTER or int.from_bytes(payload[-10:-8], "little") > VERSION_MOST:
        return False
    return crc64(memoryview(payload)[:-8]) == int.from_bytes(payload[-8:], "little")


def load(payload: bytes) -> Value:
    """The value of a payload that is whole. Raises Corrupt."""
    source = Source(payload[:-_FOOTER])
    value = decode(source.byte(), source)
    if not source.is_at_end():
        raise Corrupt("more bytes than the value has")
    return value

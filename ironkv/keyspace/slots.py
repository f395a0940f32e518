"""Which of the 16,384 hash slots a key belongs to.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import Final

SLOTS: Final = 16_384


def slot_of(key: bytes) -> int:
    """CRC16/XMODEM of the key, or of its hash tag: what stands between the first `{` and the next `}`."""
    if b"{" in key:
        start = key.index(b"{") + 1
        end = key.find(b"}", start)
        if end > start:
            key = key[start:end]
    return crc_hqx(key, 0) & 0x3FFF

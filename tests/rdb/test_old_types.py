"""Types that Redis wrote before 7.0, and those that only 7.2 writes: as Redis reads them, or as it would."""

from __future__ import annotations

from struct import pack

import pytest

from ironkv.rdb import listpack, payload
from ironkv.rdb.basics import length, string
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.rdb.keys import seen
from tests.rdb.test_hostile import sealed

WORDS = [b"a", b"1", b"b", b"-70000", b"c", b"x" * 100, b"d", b"12", b"e", b"300"]
NUMBERS = [
    b"0", b"12", b"13", b"-1", b"127", b"-128", b"32767", b"-32768", b"8388607", b"-8388608", b"2147483647",
    b"9223372036854775807", b"-9223372036854775808",
]  # fmt: skip


def ziplist(items: list[bytes]) -> bytes:
    body, before, tail = b"", 0, 10
    for item in items:
        entry = bytes((before,)) if before < 254 else b"\xfe" + pack("<I", before)
        entry += _ziplist_content(item)
        tail, body, before = 10 + len(body), body + entry, len(entry)
    return pack("<IIH", len(body) + 11, tail, len(items)) + body + b"\xff"


def _ziplist_content(item: bytes) -> bytes:
    if item.lstrip(b"-").isdigit():
        number = int(item)
        if 0 <= number <= 12:
            return bytes((0xF1 + number,))
        for code, size in ((0xFE, 1), (0xC0, 2), (0xF0, 3), (0xD0, 4), (0xE0, 8)):
            if -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1:
                return bytes((code,)) + number.to_bytes(size, "little", signed=True)
    if len(item) < 64:
        return bytes((len(item),)) + item
    if len(item) < 1 << 14:
        return (0x4000 | len(item)).to_bytes(2, "big") + item
    return b"\x80" + len(item).to_bytes(4, "big") + item


def zipmap(words: list[bytes]) -> bytes:
    body = b"".join(
        _size(field) + field + _size(value) + b"\x02" + value + b"??"
        for field, value in zip(words[::2], words[1::2], strict=True)
    )
    return bytes((len(words) // 2,)) + body + b"\xff"


def _size(word: bytes) -> bytes:
    return bytes((len(word),)) if len(word) < 254 else b"\xfe" + pack("<I", len(word))


SCORED = [b"a", b"-1.5", b"b", b"2", b"c", b"inf"]
BODIES = {
    "list": b"\x01" + length(len(WORDS)) + b"".join(map(string, WORDS)),
    "zset of texts": b"\x03\x03" + b"\x01a\x04-1.5" + b"\x01b\xfe" + b"\x01c\xff",
    "zipmap": b"\x09" + string(zipmap(WORDS)),
    "zipmap with long words": b"\x09" + string(zipmap([b"f", b"v" * 300])),
    "list as a ziplist": b"\x0a" + string(ziplist(WORDS + NUMBERS)),
    "large list as a ziplist": b"\x0a" + string(ziplist([b"y" * 20_000, b"z" * 300, *WORDS])),
    "zset as a ziplist": b"\x0c" + string(ziplist(SCORED)),
    "hash as a ziplist": b"\x0d" + string(ziplist(WORDS)),
    "large hash as a ziplist": b"\x0d" + string(ziplist([b"%d" % n for n in range(1_400)])),
    "list of ziplists": b"\x0e\x03" + b"".join(map(string, (ziplist(WORDS), ziplist([]), ziplist(NUMBERS)))),
    "stream without counters": b"\x0f\x01" + string((5 << 64 | 1).to_bytes(16, "big"))
    + string(listpack.write([b"1", b"0", b"1", b"f", b"0", b"2", b"0", b"0", b"v", b"4"]))
    + length(1) + length(5) + length(1) + b"\x01\x01g" + length(5) + length(1)
    + b"\x01" + bytes(15) + b"\x07" + pack("<q", 1_000) + b"\x02" + b"\x01\x01c" + pack("<q", 2_000) + b"\x01"
    + bytes(15) + b"\x07",
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_an_old_type_is_read_as_redis_reads_it(oracle: Oracle, name: str) -> None:
    local, whole = Local(), sealed(BODIES[name], version=6)
    oracle.ask([b"FLUSHALL"])
    for ask in (oracle.ask, local.ask):
        assert ask([b"RESTORE", b"k", b"0", whole]) == b"+OK\r\n"
    assert seen(local.ask, b"k") == seen(oracle.ask, b"k")


@pytest.mark.parametrize("size", [1, 128, 129])
def test_a_set_in_a_listpack(size: int) -> None:
    members = [b"m%d" % n for n in range(size)]
    local = Local()
    whole = sealed(b"\x14" + string(listpack.write(members)))
    assert local.ask([b"RESTORE", b"k", b"0", whole]) == b"+OK\r\n"
    assert local.do("SMEMBERS k") == set(members) or sorted(local.db.find(b"k")) == sorted(members)
    assert local.db.find(b"k").encoding() == (b"listpack" if size <= 128 else b"hashtable")


def test_when_a_consumer_was_active_is_kept_in_version_11_only() -> None:
    local = Local(now_ms=1_000)
    for line in ("XADD k 1-1 f v", "XGROUP CREATE k g 0", "XREADGROUP GROUP g c STREAMS k >"):
        local.do(line)
    local.now_ms = 5_000
    local.do("XREADGROUP GROUP g c STREAMS k >")
    stream = local.db.find(b"k")
    for version, active_ms in ((10, 5_000), (11, 1_000)):
        consumer = payload.load(payload.dump(stream, version)).groups[b"g"].consumers[b"c"]
        assert (consumer.seen_ms, consumer.active_ms) == (5_000, active_ms)

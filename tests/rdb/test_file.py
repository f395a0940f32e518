"""What may stand in a file beside keys, and what ends the reading."""

from __future__ import annotations

import io

import pytest

from ironkv.rdb import file
from ironkv.rdb.checksum import crc64
from ironkv.rdb.corrupt import Corrupt
from ironkv.rdb.file import Item

KEY = b"\x00\x01k\x01v"


def whole(body: bytes, version: bytes = b"0011") -> io.BytesIO:
    data = b"REDIS" + version + body + b"\xff"
    return io.BytesIO(data + crc64(data).to_bytes(8, "little"))


def test_the_checksum_is_that_of_redis() -> None:
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA
    assert crc64(b"6789", crc64(b"12345")) == crc64(b"123456789")


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (b"", Item(0, b"k", b"v", None)),
        (b"\xfe\x03", Item(3, b"k", b"v", None)),
        (b"\xfe\x03\xfb\x01\x00", Item(3, b"k", b"v", None)),
        (b"\xfc" + (1_700_000_000_123).to_bytes(8, "little"), Item(0, b"k", b"v", 1_700_000_000_123)),
        (b"\xfd" + (1_700_000_000).to_bytes(4, "little"), Item(0, b"k", b"v", 1_700_000_000_000)),
        (b"\xf8\x40\xff", Item(0, b"k", b"v", None)),
        (b"\xf9\xff", Item(0, b"k", b"v", None)),
        (b"\xf5\x04code", Item(0, b"k", b"v", None)),
        (
            b"\xf7\x01\x02\x05\x01\x07\x04" + bytes(8) + b"\x03" + bytes(4) + b"\x05\x01x\x00",
            Item(0, b"k", b"v", None),
        ),
    ],
)
def test_what_may_stand_before_a_key(before: bytes, expected: Item) -> None:
    assert list(file.read(whole(before + KEY))) == [expected]


def test_a_deadline_is_of_one_key_only() -> None:
    body = b"\xfc" + bytes(8) + KEY + KEY
    assert [item.deadline_ms for item in file.read(whole(body))] == [0, None]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (io.BytesIO(b"not a file of Redis"), "does not begin with REDIS"),
        (whole(KEY, b"0012"), "RDB version 12"),
        (whole(KEY, b"0000"), "RDB version 0"),
        (whole(b"\xf6\x01x"), "release candidates"),
        (whole(b"\xf7\x01\x09"), "no kind of what a module"),
        (whole(b"\x08\x01k\x01v"), "0x08 is no type"),
        (whole(b"\x18\x01k\x01v"), "0x18 is no type"),
        (whole(KEY + b"\x07\x01m\x01"), "module"),
        (whole(b"\x10\x01h\x07\x07\x00\x00\x00\x00\x00\xff"), "without elements"),
    ],
)
def test_what_is_refused_and_why(data: io.BytesIO, reason: str) -> None:
    with pytest.raises(Corrupt, match=rf"at byte \d+: .*{reason}"):
        list(file.read(data))


def test_before_version_5_files_had_no_checksum() -> None:
    assert len(list(file.read(io.BytesIO(b"REDIS0004" + KEY + b"\xff")))) == 1


def test_a_large_file_is_read_in_pieces() -> None:
    class Counting(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1) -> bytes:
            assert size in range(1, 1 << 20)
            return super().read(size)

    out = io.BytesIO()
    keys = [(n % 16, b"key:%d" % n, b"%d" % n * (n % 300), None) for n in range(20_000)]
    assert file.write(out, keys) == len(keys)
    assert list(file.read(Counting(out.getvalue()))) == keys

"""Bytes that nobody should have sent: a clean refusal, or a value that works; never anything else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironkv.rdb import file, payload
from ironkv.rdb.checksum import crc64
from ironkv.rdb.corrupt import Corrupt
from ironkv.rdb.lzf import decompress
from ironkv.rdb.source import Source
from ironkv.rdb.values import DECODERS, decode, encode
from tests.commands.local import Local
from tests.rdb.keys import MAKERS, seen


def sealed(body: bytes, version: int = 11) -> bytes:
    """A payload with the right checksum, whatever it holds."""
    body += version.to_bytes(2, "little")
    return body + crc64(body).to_bytes(8, "little")


def _restored(body: bytes) -> None:
    """Either nothing is made of it, or a key that every command can serve and that can be dumped."""
    local = Local(now_ms=1_700_000_000_000)
    reply = local.ask([b"RESTORE", b"k", b"0", sealed(body)])
    if reply != b"+OK\r\n":
        assert reply == b"-ERR Bad data format\r\n"
        assert local.db.find(b"k") is None
        return
    assert seen(local.ask, b"k")
    again = local.ask([b"DUMP", b"k"])
    assert again.startswith(b"$")


def _bodies() -> Iterator[bytes]:
    for maker in MAKERS:
        for size in (1, 5, 130):
            local = Local(now_ms=1_700_000_000_000)
            for command in maker(b"k", Random(size), size):
                local.ask(command)
            for version in (10, 11):
                yield encode(local.db.find(b"k"), version)[:250]


@pytest.mark.parametrize("body", set(_bodies()), ids=lambda body: f"{body[0]}-{crc64(body) % 9973}")
def test_no_flipped_or_missing_byte_does_harm(body: bytes) -> None:
    for place in range(len(body)):
        for mask in (0x01, 0x80, 0xFF):
            _restored(body[:place] + bytes((body[place] ^ mask,)) + body[place + 1 :])
        _restored(body[:place])


@pytest.mark.parametrize("kind", range(256))
def test_every_type_with_little_behind_it(kind: int) -> None:
    for body in (
        b"",
        b"\0",
        b"\1",
        b"\1\0",
        b"\1\1\0",
        b"\x80\xff\xff\xff\xff",
        b"\x81" + b"\xff" * 8,
        b"\xc3\x01\x01a",
    ):
        _restored(bytes((kind,)) + body)


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=80))
def test_any_bytes_behind_a_type(kind: int, body: bytes) -> None:
    _restored(bytes((kind,)) + body)


@given(st.sampled_from([9, 10, 11, 12, 13, 16, 17, 20]), st.binary(max_size=60))
def test_any_bytes_in_a_blob(kind: int, blob: bytes) -> None:
    _restored(bytes((kind, len(blob))) + blob)


@given(st.binary(max_size=60), st.integers(0, 300))
def test_compressed_strings_never_grow_beyond_what_they_say(data: bytes, size: int) -> None:
    try:
        assert len(decompress(data, size)) == size
    except Corrupt:
        pass


def test_a_string_that_claims_to_be_huge_is_refused_before_it_is_made() -> None:
    with pytest.raises(Corrupt, match="cannot be"):
        Source(b"\xc3\x03\x81" + (2**60).to_bytes(8, "big") + b"\xe0\xff\x00").string()


def test_a_module_is_refused_by_its_name() -> None:
    name = 0
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for letter in "ReJSON-RL":
        name = name << 6 | letters.index(letter)
    with pytest.raises(Corrupt, match="ReJSON-RL"):
        decode(7, Source(b"\x81" + (name << 10 | 3).to_bytes(8, "big") + b"\0"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: whole[:9],
        lambda whole: whole[:-1],
        lambda whole: b"x" + whole,
        lambda whole: whole[:-1] + bytes((whole[-1] ^ 1,)),
        lambda whole: sealed(b"\0\1a", version=12),
        lambda whole: sealed(b"\0\1a", version=0xFFFF),
    ],
)
def test_a_payload_that_is_not_whole(spoil: object) -> None:
    whole = payload.dump(b"value")
    assert payload.is_whole(whole)
    assert not payload.is_whole(spoil(whole))  # type: ignore[operator]


def test_a_file_cut_off_anywhere_is_refused() -> None:
    out = io.BytesIO()
    file.write(out, [(0, b"k", b"v" * 30, 1_700_000_000_000), (2, b"n", b"12345", None)], aux={"ctime": "1"})
    whole = out.getvalue()
    assert len(list(file.read(io.BytesIO(whole)))) == 2
    for end in range(len(whole)):
        with pytest.raises(Corrupt, match=r"at byte \d+: "):
            list(file.read(io.BytesIO(whole[:end])))
    for place in range(len(whole)):
        flipped = whole[:place] + bytes((whole[place] ^ 0x40,)) + whole[place + 1 :]
        with pytest.raises(Corrupt, match=r"at byte \d+: "):
            list(file.read(io.BytesIO(flipped)))

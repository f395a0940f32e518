"""For each way in, a function that takes any bytes. What it may raise is caught in it; all else is a fault.

The checksums of journal, snapshots and frames are made right first where they would keep everything out: they
are there against accidents, and whoever means harm can compute them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

from ironkv import batch, config, images
from ironkv.errors import Fault
from ironkv.keyspace.keyspace import Keyspace
from ironkv.peers import wire
from ironkv.raft import messages as raft
from ironkv.rdb import payload
from ironkv.rdb.corrupt import Corrupt
from ironkv.resp.parser import Parser, ProtocolError
from ironkv.storage import codec, snapshots

BULK_MAX, REQUEST_MAX = 4096, 16384
HERE = Path("fuzz")
KEYSPACE = Keyspace()
"""One for all: to make one takes longer than all else here."""


def requests(data: bytes) -> None:
    """What clients send. However it is cut, the same requests come out, and little is held."""
    whole, in_pieces = Parser(BULK_MAX, REQUEST_MAX), Parser(BULK_MAX, REQUEST_MAX)
    if not data:
        return  # a socket never gives nothing
    cut = data[0] + 1
    first = whole.feed(data)
    second = []
    for at in range(0, len(data), cut):
        if in_pieces.error is None:  # behind it the connection is closed
            second += in_pieces.feed(data[at : at + cut])
    assert first == second, "the requests depend on how the bytes were cut"
    assert (whole.error is None) == (in_pieces.error is None)
    assert whole.held <= len(data) + REQUEST_MAX
    for request in first:
        assert all(type(word) is bytes for word in request)
    assert whole.error is None or isinstance(whole.error, ProtocolError)


def frames(data: bytes) -> None:
    """What comes in on the cluster port, before and after hello."""
    for trusted in (False, True):
        cutter = wire.Frames(1 << 16)
        if trusted:
            cutter.trust()
        with contextlib.suppress(wire.WireError):
            for body in cutter.feed(data):
                _parse(body)
    framed = wire.HEAD.pack(len(data), crc32(data)) + data
    cutter = wire.Frames(1 << 20)
    cutter.trust()
    for body in cutter.feed(framed):
        with contextlib.suppress(wire.WireError):
            _parse(body)


def _parse(body: bytes) -> None:
    mail = wire.parse(body, "a", "b")
    if isinstance(mail, wire.Mail):
        for message in mail.messages:
            assert (message.sender, message.to) == ("a", "b"), "a message in another's name"
            assert 0 <= message.term < wire.NUMBER_MAX
            if isinstance(message, raft.Append):
                for place, entry in enumerate(message.entries, message.prev_index + 1):
                    assert entry.index == place
                    assert type(entry.data) is bytes


def journal(data: bytes) -> None:
    """Records of the journal."""
    with contextlib.suppress(Fault):
        codec.verify_entry(7, data, 1)
    body = data
    for decode in (codec.decode_hard, codec.decode_base):
        for record in (data, crc32(body).to_bytes(4, "little") + body):
            with contextlib.suppress(Fault):
                decode(record)
    right = crc32(body, crc32(codec.key_of(7), 1)).to_bytes(4, "little") + body
    with contextlib.suppress(Fault):
        codec.verify_entry(7, right, 1)
        entry = codec.decode_entry(7, right)
        with contextlib.suppress(Fault):
            batch.decode(entry.data)
    with contextlib.suppress(Fault):
        codec.index_of(data)


def entries(data: bytes) -> None:
    """The data of an entry: a batch of commands."""
    with contextlib.suppress(Fault):
        batch.decode(data)


def snapshot_images(data: bytes) -> None:
    """Records of snapshots: from the disk, and from a leader."""
    key = bytes(snapshots.EXTRAS[0:1]) + bytes(14)
    for record in (data, _sealed(key, data)):
        with contextlib.suppress(Fault):
            snapshots.open_record(HERE, key, record)
        with contextlib.suppress(Fault):
            snapshots.unsealed(HERE, [key, record], 0)
        with contextlib.suppress(Fault):
            snapshots.rekeyed(HERE, key, record, 9)
    for record in (data, _sealed_manifest(data)):
        with contextlib.suppress(Fault):
            snapshots.Manifest.unpacked(record)
    with contextlib.suppress(Fault):
        KEYSPACE.database(0).values[0] = {}
        images.load(KEYSPACE.database(0), 0, [data])
    with contextlib.suppress(Fault):
        images.load_extras(KEYSPACE, data)


def _sealed(key: bytes, data: bytes) -> bytes:
    """With format 1, flags and body out of `data`, and the right checksum."""
    head = bytes((1, data[0] & 7 if data else 0))
    body = data[1:]
    return crc32(body, crc32(head, crc32(key))).to_bytes(4, "little") + head + body


def _sealed_manifest(data: bytes) -> bytes:
    """The key of a manifest is the index that it names; that of damaged ones cannot matter."""
    head = bytes((1, 0))
    return crc32(data, crc32(head, crc32((120).to_bytes(8, "big")))).to_bytes(4, "little") + head + data


def settings(data: bytes) -> None:
    """A configuration file."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(config.ConfigError):
            config.load(["--config", file.name], {})


def payloads(data: bytes) -> None:
    """What RESTORE takes."""
    payload.is_whole(data)
    with contextlib.suppress(Corrupt):
        value = payload.load(data + bytes(10))
        assert type(value) is bytes or value.type_name


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "requests": requests,
    "frames": frames,
    "journal": journal,
    "entries": entries,
    "snapshot_images": snapshot_images,
    "settings": settings,
    "payloads": payloads,
}

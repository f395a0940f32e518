"""What becomes of good bytes: hypothesis draws where they are cut, flipped, doubled, or told to be huge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
from hypothesis import strategies as st

from ironkv import batch, images
from ironkv.keyspace.keyspace import Keyspace
from ironkv.peers import wire
from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import Append, AppendReply, Entry, EntryKind, PreVote, ReadIndex, Vote
from ironkv.rdb import payload
from ironkv.storage import codec
from ironkv.storage.snapshots import Manifest

ROOT = Path(__file__).resolve().parents[2]
HUGE = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x00", b"\xc1")


def good() -> dict[str, list[bytes]]:
    """Well-formed bytes for each target."""
    entry = Entry(7, 3, EntryKind.BATCH, batch.encode(5, [[b"SET", b"k", b"v"], 2, [b"DEL", b"k"]]))
    sent = [
        Append("a", "b", 3, 6, 2, 5, 9, (entry, Entry(8, 3, EntryKind.NOOP, b"")), welcome=True),
        AppendReply("a", "b", 3, 9, None, 4, 2, True),
        Vote("a", "b", 3, 7, 3, True, 9),
        PreVote("a", "b", 4, 7, 3),
        ReadIndex("a", "b", 3, 77),
    ]
    frames = [
        wire.hello("c", "a", 5),
        wire.mail(sent, 1.5, 2.5),
        wire.pulse(3),
        wire.parcel([0, 7, b"manifest"]),
        wire.published([(True, b"channel", b"message")]),
    ]
    record, _ = codec.encode_entry(entry, 1)
    keyspace = Keyspace()
    keyspace.scripts = {b"a" * 40: b"return 1"}
    manifest = Manifest(120, 3, 100, 5, b"d" * 16, (80, Configuration(frozenset({"a", "b"}))))
    whole = msgpack.packb((0, [b"k", b"n"], [b"v", (b"list", b"quicklist", [b"1", b"2"])], [0, 99]))
    pieces = msgpack.packb((1, b"k", b"hash", b"listpack", 99))
    return {
        "requests": [
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" * 3,
            b"PING\r\nSET k 'v w'\r\n",
            b"*1\r\n$-1\r\n*-1\r\n",
        ],
        "frames": [*frames, *(frame[wire.HEAD.size :] for frame in frames), b"".join(frames)],
        "journal": [
            record,
            record[4:],
            codec.encode_hard(codec.Hard(3, "node1", 5, True)),
            codec.encode_base(codec.Base(4, 2, 9)),
        ],
        "entries": [entry.data],
        "snapshot_images": [
            whole,
            pieces,
            b"\0" + whole,
            b"\2" + msgpack.packb([0, whole]),
            images.extras(keyspace),
            manifest.packed(),
            manifest.packed()[6:],
        ],
        "settings": [path.read_bytes() for path in sorted((ROOT / "config").glob("*.toml"))],
        "payloads": [payload.dump(b"value")[:-10], b"\x01\x02\x01a\x01b", b"\x12\x01\x02\x0f" + bytes(8)],
    }


@st.composite
def damaged(draw: Any, whole: list[bytes]) -> bytes:
    """Good bytes, and what a few accidents make of them."""
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("flip", "set", "cut", "insert", "huge", "double", "drop"))):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case "huge":
                data[at : at + 4] = draw(st.sampled_from(HUGE))
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case "drop":
                del data[at : at + draw(st.integers(1, 8))]
    return bytes(data)

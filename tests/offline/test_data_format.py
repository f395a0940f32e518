"""docs/data-format.md is enough to write a reader: this one knows nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import lmdb
import msgpack
import zstandard

from tests.offline.conftest import Builder, fill


def table(path: Path, name: bytes) -> list[tuple[bytes, bytes]]:
    with lmdb.open(str(path), readonly=True, lock=False, max_dbs=2) as env:
        db = env.open_db(name, create=False)
        with env.begin(db=db) as txn:
            return list(txn.cursor())


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def entries(path: Path) -> list[tuple[int, int, Any]]:
    """(index, term, items) of the journal."""
    node = dict(table(path, b"node"))
    base = node[b"base"]
    assert number(base[:4]) == crc32(base[4:])
    index, chain = number(base[5:13]), number(base[21:25])
    found = []
    for key, value in table(path, b"entries"):
        index += 1
        assert int.from_bytes(key, "big") == index
        chain = crc32(value[4:], crc32(key, chain))
        assert number(value[:4]) == chain
        found.append((index, number(value[6:14]), msgpack.unpackb(value[14:])[2] if value[5] == 1 else None))
    return found


def snapshot(path: Path) -> tuple[dict[str, Any], dict[bytes, Any]]:
    """(manifest, values by key) of the newest snapshot, database 0."""
    key, record = table(path, b"manifests")[-1]
    assert number(record[:4]) == crc32(record[4:], crc32(key))
    manifest = msgpack.unpackb(record[6:])
    newest: dict[bytes, dict[bytes, bytes]] = {}
    for key, record in table(path, b"images"):
        assert number(record[:4]) == crc32(record[4:], crc32(key))
        if key[0] == 0 and manifest["base"] <= int.from_bytes(key[3:11], "big") <= manifest["index"]:
            newest.setdefault(key[:3], {}).setdefault(key[:11], b"")
            body = zstandard.decompress(record[6:]) if record[5] & 1 else record[6:]
            newest[key[:3]][key[:11]] += body
    values: dict[bytes, Any] = {}
    for images in newest.values():
        unpacker = msgpack.Unpacker()
        unpacker.feed(images[max(images)])
        for content in unpacker:
            for part in content[1::2]:
                kind, *rest = msgpack.unpackb(part)
                assert kind == 0, "no large values here"
                values.update(zip(rest[0], rest[1], strict=True))
    return manifest, values


def test_another_reader_finds_what_was_written(builder: Builder) -> None:
    fill(builder)
    path = builder.stop()
    identity = json.loads((path / "identity").read_text())
    assert (identity["format"], identity["node"]) == (3, "n1")
    log = entries(path / "journal")
    assert log[-1] == (builder.index, 1, [[b"APPEND", b"behind", b"y"]])
    manifest, values = snapshot(path / "snapshots")
    assert manifest["index"] == builder.index - 2
    assert values[b"text"] == b"hello"
    assert values[b"key1"] == b"value1"
    assert values[b"list"] == [b"list", b"listpack", [b"x", b"y", b"z"]]
    assert values[b"z"] == [b"zset", b"listpack", [b"a", 1.5, b"b", 2.0]]
    assert len(values) == manifest["keys"]

"""`ironkv-verify`: what is damaged is named, what is well is called well, and who differs is found."""

from __future__ import annotations

import json
from pathlib import Path

import lmdb
import pytest

from ironkv.offline import verify
from ironkv.storage import codec
from tests.offline.conftest import Builder, fill


def damage(path: Path, table: bytes, place: int, flip: int) -> None:
    """Flip a bit of the record at a place of a table."""
    with lmdb.open(str(path), map_size=64 << 20, max_dbs=2) as env:
        db = env.open_db(table)
        with env.begin(write=True, db=db) as txn:
            key, value = list(txn.cursor())[place]
            spoiled = bytearray(value)
            spoiled[flip] ^= 1
            txn.put(key, bytes(spoiled))


def test_a_directory_that_is_well(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    fill(builder)
    path = builder.stop()
    assert verify.main([str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (found,) = document["directories"]
    assert document["well"]
    assert (found["problems"], found["checked_snapshots"], found["node"]) == ([], 1, "n1")
    assert len(found["digest"]) == 32


def test_an_empty_one_is_well(builder: Builder) -> None:
    assert verify.main([str(builder.stop())]) == 0


@pytest.mark.parametrize(
    ("part", "table", "place", "says"),
    [
        ("journal", b"entries", 2, "journal entry"),
        ("journal", b"node", -1, "term and vote"),
        ("journal", b"node", 0, "where it begins"),
        ("snapshots", b"images", 3, "of snapshot"),
        ("snapshots", b"manifests", 0, "manifest"),
    ],
)
def test_every_kind_of_damage_is_named(
    builder: Builder, part: str, table: bytes, place: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(builder)
    path = builder.stop()
    damage(path / part, table, place, 12)
    assert verify.main([str(path)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "DAMAGED" in shown
    assert says in shown


def test_a_missing_entry_is_named(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    fill(builder)
    path = builder.stop()
    with lmdb.open(str(path / "journal"), map_size=64 << 20, max_dbs=2) as env:
        db = env.open_db(b"entries")
        with env.begin(write=True, db=db) as txn:
            keys = [key for key, _ in txn.cursor()]
            txn.delete(keys[2])
    assert verify.main([str(path)]) == 1
    assert f"{len(keys) - 1} entries" in " ".join(capsys.readouterr().out.split())
    assert codec.index_of(keys[2])


def test_several_that_agree_and_one_that_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = ("n1", "n2", "n3")
    builders = [Builder(tmp_path / name, name, members) for name in members]
    for builder in builders:
        fill(builder)
    builders[1].write("SET more x")
    paths = [str(builder.stop()) for builder in builders]
    assert verify.main(paths) == 0
    assert "they agree" in capsys.readouterr().out
    stray = Builder(tmp_path / "stray", "n4", members)
    fill(stray)
    stray.write("SET another x")
    stray.write("SET yet another")
    builders[1] = Builder(tmp_path / "n5", "n5", members)
    fill(builders[1])
    builders[1].write("SET different x")
    assert verify.main([str(stray.stop()), str(builders[1].stop())]) == 1
    assert "entry 36 differs" in " ".join(capsys.readouterr().out.split())

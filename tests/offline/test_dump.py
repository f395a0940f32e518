"""`ironkv-dump`: what a stopped node's directory holds, for people, for programs and for another Redis."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ironkv import images
from ironkv.offline import contents, dump
from ironkv.storage.stopped import StoppedNode
from tests.commands.oracle import running_oracle
from tests.commands.wire import meaning
from tests.offline.conftest import Builder, fill


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert dump.main(list(words)) == 0
    return capsys.readouterr().out


def test_the_overview(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    fill(builder)
    path = str(builder.stop())
    facts = json.loads(told(capsys, path, "--json"))
    assert (facts["node"]["node"], facts["node"]["cluster"], facts["node"]["term"]) == ("n1", "c", 1)
    assert facts["journal"]["last entry"] == builder.index
    assert [each["index"] for each in facts["snapshots"]] == [builder.index - 2]
    assert facts["state"]["keys"] == sum(each["keys"] for each in facts["state"]["types"])
    assert facts["state"]["with_deadline"] == 2
    assert facts["state"]["biggest"][0]["bytes"] >= facts["state"]["biggest"][-1]["bytes"]
    shown = told(capsys, path)
    assert "certainly committed up to" in shown
    assert "keys by type" in shown


def test_the_log(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    fill(builder)
    builder.write("SET unsure x", commit=False)
    path = str(builder.stop())
    lines = told(capsys, path, "--log", "--from", str(builder.index - 2)).splitlines()
    assert [line.partition("Z ")[2] for line in lines] == [
        'db0 SET "behind" "x"', 'db0 DEL "key1"', 'db0 APPEND "behind" "y"', 'db0 SET "unsure" "x"',
    ][-len(lines) :]  # fmt: skip
    assert "?" in lines[-1]
    assert "?" not in lines[-2]
    records = [json.loads(line) for line in told(capsys, path, "--log", "--json").splitlines()]
    assert records[-1]["command"] == ["SET", "unsure", "x"]
    assert not records[-1]["committed"]
    one = told(capsys, path, "--log", "--from", "33", "--to", "33", "--format", "csv")
    assert next(csv.reader(io.StringIO(one)))[0] == "33"


def test_keys_and_time_travel(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    fill(builder)
    path = str(builder.stop())
    names = [json.loads(line)["key"] for line in told(capsys, path, "--keys", "key1?", "--json").splitlines()]
    assert sorted(names) == [f"key1{n}" for n in range(10)]
    (found,) = json.loads(told(capsys, path, "--key", "hash", "--json"))
    assert (found["type"], found["encoding"], found["value"]) == ("hash", "listpack", {"a": "1", "b": "2"})
    assert "(no" not in told(capsys, path, "--key", "stream")
    snapshot = str(builder.index - 2)
    assert json.loads(told(capsys, path, "--key", "key1", "--at", snapshot, "--json"))[0]["value"] == "value1"
    assert dump.main([path, "--key", "key1"]) == 66, "deleted since"
    assert dump.main([path, "--at", "3"]) == 70, "out of reach"
    assert "out of reach" in capsys.readouterr().err


def test_into_a_real_redis(builder: Builder) -> None:
    fill(builder)
    builder.write("SET {x}big " + "y" * 30_000)
    path = builder.stop()
    words = [sys.executable, "-m", "ironkv.offline.dump", str(path), "--format", "resp"]
    commands = subprocess.run(words, capture_output=True, check=True).stdout
    with running_oracle() as oracle, StoppedNode(path) as node:
        keyspace = node.state().keyspace
        count = 0
        for key in contents.keys(keyspace):
            for command in contents.commands(key):
                count += 1
                assert b"-" not in oracle.ask(command)[:1], command
                assert all(word in commands for word in command)
        assert count > 40
        assert meaning(oracle.ask([b"DBSIZE"])) == sum(1 for _ in contents.keys(keyspace))
        assert meaning(oracle.ask([b"LRANGE", b"list", b"0", b"-1"])) == [b"x", b"y", b"z"]
        assert meaning(oracle.ask([b"ZSCORE", b"z", b"a"])) == b"1.5"
        assert meaning(oracle.ask([b"XLEN", b"stream"])) == 1
        assert meaning(oracle.ask([b"PEXPIRETIME", b"later"])) == 1_900_000_000_000


def test_names_that_look_like_markup_and_numbers_that_json_has_not(
    builder: Builder, capsys: pytest.CaptureFixture[str]
) -> None:
    builder.write("SET [/red]x 1", "ZADD [bold]z inf a -inf b 1.5 c", "XADD [/s] 5-1 f v")
    path = str(builder.stop())
    for words in ([], ["--keys", "*"], ["--key", "[/red]x"], ["--key", "[bold]z"]):
        assert dump.main([path, *words]) == 0
        said = capsys.readouterr().out
        assert "[/red]x" in said or "[bold]z" in said
    assert dump.main([path, "--key", "[bold]z", "--json"]) == 0

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    (found,) = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found["value"] == {"a": "inf", "b": "-inf", "c": 1.5}
    assert dump.main([path, "--key", "[/s]", "--format", "csv"]) == 0
    assert capsys.readouterr().out.split() == ["5-1,f,v"]
    assert dump.main([str(builder.path / "[/none]")]) == 66
    assert "[/none]" in capsys.readouterr().err


def test_a_closed_pipe_and_directories_that_are_none(builder: Builder, tmp_path: Path) -> None:
    fill(builder, 2_000)
    assert dump.main([str(builder.path)]) == 69, "in use"
    path = builder.stop()
    shell = f"{sys.executable} -m ironkv.offline.dump {path} --keys '*' | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert dump.main([str(tmp_path / "nowhere")]) == 66
    assert dump.main([str(tmp_path)]) == 70


def test_an_empty_directory(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(builder.stop())
    assert json.loads(told(capsys, path, "--json"))["state"]["keys"] == 0
    assert told(capsys, path, "--log") == ""


def test_nothing_is_changed_by_looking(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    fill(builder)
    path = builder.stop()
    before = {file: file.read_bytes() for file in path.rglob("*.mdb") if file.name == "data.mdb"}
    told(capsys, str(path))
    assert {file: file.read_bytes() for file in before} == before
    with StoppedNode(path) as node:
        assert images.digest_of_keyspace(node.state().keyspace)

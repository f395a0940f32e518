"""`ironkv-recover`: a cluster of one from what is left, and never by mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ironkv.errors import Fault
from ironkv.offline import building, recover
from ironkv.tools.client import ErrorReply
from ironkv.tools.cluster import ThrowawayCluster, wait_for
from tests.offline.conftest import Builder, fill


def test_from_one_of_three_nodes(tmp_path: Path) -> None:
    with ThrowawayCluster(3) as cluster:
        leader = cluster.wait_for_leader()
        with leader.connect() as client:
            client.pipeline([("RPUSH", "acknowledged", number) for number in range(500)])
        cluster.wait_until_level()
        left, *lost = cluster.nodes
        cluster.kill_all()
        new = cluster.directory / "new"
        assert recover.main([str(left.data_dir), "--into", str(new), "--cluster", "again", "--yes"]) == 0
        file = left.settings.config
        text = file.read_text().replace('name = "ironkv-throwaway"', 'name = "again"')
        text = text.replace(f'data_dir = "data/{left.id}"', 'data_dir = "new"')
        tables = text.split("[[cluster.nodes]]")
        mine = next(table for table in tables[1:] if f'"{left.id}"' in table)
        rest = tables[-1][tables[-1].index("[http]") :] if "[http]" in tables[-1] else ""
        mine = mine.split("[http]")[0]
        file.write_text(tables[0] + "[[cluster.nodes]]" + mine + rest)
        left.start()
        cluster.nodes = [left]
        found = cluster.write("LRANGE", "acknowledged", 0, -1)
        assert found == [b"%d" % number for number in range(500)]
        lost[0].start()  # it waits for its own cluster
        cluster_settings = {"name": "again"}
        newcomer = cluster.newcomer("node4", left, cluster_settings)
        newcomer.start()
        cluster.nodes.append(newcomer)

        def votes() -> bool:
            with left.connect() as client:
                members = client.call("RAFT", "MEMBERS")
            assert isinstance(members, list)
            return sum(b"voter" in each for each in members) == 2  # type: ignore[operator, misc]

        wait_for(votes, "the new node votes")
        assert cluster.write("LLEN", "acknowledged") == 500
        with lost[0].connect() as client, pytest.raises(ErrorReply, match="CLUSTERDOWN"):
            client.call("LLEN", "acknowledged")
        refusal = "it is of cluster 'ironkv-throwaway', this is 'again'"
        wait_for(lambda: refusal in left.log_tail(200), "the old node was turned away")
        # Nor does it help to give an old directory the new name.
        file = lost[1].settings.config
        file.write_text(file.read_text().replace('name = "ironkv-throwaway"', 'name = "again"'))
        lost[1].start()
        assert lost[1].exit_status(60) == 70
        assert "belongs to cluster 'ironkv-throwaway'" in lost[1].log_tail()
        with left.connect() as client:
            members = client.call("RAFT", "MEMBERS")
        assert all(node.id not in str(members) for node in lost)
        cluster.nodes += lost


def test_unsure_entries_come_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = Builder(tmp_path / "old", "n1", ("n1", "n2", "n3"))
    builder.write("SET a 1")
    builder.write("SET b 2", commit=False)
    builder.crash()
    words = [str(tmp_path / "old"), "--into", str(tmp_path / "new"), "--cluster", "c2", "--json"]
    assert recover.main([*words, "--dry-run"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["last entry"], facts["keys"], facts["left behind"]) == (2, 2, ["n2", "n3"])
    assert facts["unsure entries"] >= 1
    assert not (tmp_path / "new").exists()
    assert recover.main([*words, "--yes"]) == 0
    capsys.readouterr()
    assert recover.main([*words, "--yes"]) == 1, "what is there is not touched"
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "status"), [("c2\n", 0), ("yes\n", 1), ("", 1)])
def test_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, status: int) -> None:
    builder = Builder(tmp_path / "old", "n1", ("n1", "n2", "n3"))
    builder.write("SET a 1")
    builder.crash()

    def answer(question: str) -> str:
        if not typed:
            raise EOFError
        return typed

    monkeypatch.setattr("builtins.input", answer)
    words = [str(tmp_path / "old"), "--into", str(tmp_path / "new"), "--cluster", "c2"]
    assert recover.main(words) == status
    assert (tmp_path / "new").exists() == (status == 0)


def test_a_damaged_directory_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = Builder(tmp_path / "old", "n1", ("n1", "n2", "n3"))
    fill(builder)
    builder.crash()
    words = [str(tmp_path / "old"), "--into", str(tmp_path / "new"), "--cluster", "c2", "--yes"]
    for part in ("journal", "snapshots"):
        file = tmp_path / "old" / part / "data.mdb"
        whole = file.read_bytes()
        for damaged in (whole[: 3 * 4096], flipped(whole, part)):
            file.write_bytes(damaged)
            assert recover.main(words) == 70
            assert "damaged" in capsys.readouterr().err
            assert [path.name for path in tmp_path.iterdir()] == ["old"]
        file.write_bytes(whole)
    assert recover.main(words) == 0


def flipped(whole: bytes, part: str) -> bytes:
    """With another letter in the last entry, or in every image; LMDB's old copies of these as well."""
    word = b"behind" if part == "journal" else b"value"
    assert word in whole
    return whole.replace(word, word[:-1] + b"_")


def test_what_was_written_wrongly_is_not_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = Builder(tmp_path / "old", "n1", ("n1", "n2", "n3"))
    fill(builder)
    builder.crash()

    def forgetful(path: Path, *others: object) -> None:
        raise Fault("the new snapshot makes another state")

    monkeypatch.setattr(building, "verify_parts", forgetful)
    words = [str(tmp_path / "old"), "--into", str(tmp_path / "new"), "--cluster", "c2", "--yes"]
    assert recover.main(words) == 70
    assert "another state" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_for_programs_it_asks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tmp_path / "old"), "--into", str(tmp_path / "new"), "--cluster", "c2", "--json"]
    with pytest.raises(SystemExit) as ended:
        recover.main(words)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert (said.out, "--yes" in said.err) == ("", True)


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = Builder(tmp_path / "old", "n1", ("n1", "n2", "n3"))
    into = ["--into", str(tmp_path / "new"), "--yes", "--cluster"]
    assert recover.main([str(tmp_path / "old"), *into, "c2"]) == 69, "in use"
    builder.crash()
    assert recover.main([str(tmp_path / "old"), *into, "c"]) == 70, "the same name"
    assert recover.main([str(tmp_path / "old"), *into, "c2"]) == 70, "nothing in it"
    assert recover.main([str(tmp_path / "none"), *into, "c2"]) == 66
    assert "holds no entries" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()

"""`ironkv-ctl` beside a real cluster that asks for a password."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster, free_ports, wait_for
from ironkv.tools.ctl.__main__ import main
from ironkv.tools.nodes import Node
from tests.cluster.conftest import CALM
from tests.server.test_tls import Authority

PASSWORD = "a long password of this test"
Ctl = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    settings = {**CALM, "server": {"requirepass": PASSWORD}}
    running = ThrowawayCluster(parent=tmp_path_factory.mktemp("ctl"), settings=settings)
    try:
        for node in running.nodes:
            node.start()
        yield running
    finally:
        running.close()


@pytest.fixture
def ctl(
    cluster: ThrowawayCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Ctl:
    """Runs it against a node: exit status, stdout, stderr."""
    monkeypatch.setenv("REDISCLI_AUTH", PASSWORD)

    def run(*words: object, node: Node = cluster.nodes[0]) -> tuple[int, str, str]:
        status = main([*map(str, words), "--port", str(node.port)])
        return (status, *capsys.readouterr())

    def well() -> bool:
        return run("status")[0] == 0

    wait_for(well, "a cluster that is well")
    return run


def test_status_is_the_same_from_everywhere(ctl: Ctl, cluster: ThrowawayCluster) -> None:
    told = [json.loads(ctl("status", "--json", node=node)[1]) for node in cluster.nodes]
    leader = told[0]["leader"]
    for each in told:
        assert each["leader"] == leader
        assert each["wrong"] == []
        assert [node["id"] for node in each["nodes"]] == ["node1", "node2", "node3"]
        assert [node["role"] for node in each["nodes"] if node["id"] == leader] == ["leader"]
        assert sum(node["role"] == "follower" for node in each["nodes"]) == 2
    status, text, _ = ctl("status")
    assert status == 0
    assert f"{leader} leads in term" in text
    for node in cluster.nodes:
        assert str(node.port) in text


def test_only_with_the_password(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDISCLI_AUTH", "another")
    status, out, err = ctl("status")
    assert (status, out) == (1, "")
    assert "WRONGPASS" in err
    assert ctl("status", "--password", PASSWORD)[0] == 0
    monkeypatch.delenv("REDISCLI_AUTH")
    assert "NOAUTH" in ctl("status")[2]
    monkeypatch.setenv("IRONKV_PASSWORD", PASSWORD)
    assert ctl("--user", "default", "status")[0] == 0


def test_leadership_is_handed_over_from_any_node(ctl: Ctl, cluster: ThrowawayCluster) -> None:
    for target in ("node2", "node1"):
        wait_for(lambda: ctl("status")[0] == 0, "all of them are level")
        status, text, _ = ctl("members", "transfer", target, node=cluster["node3"])
        assert (status, text.split()) == (0, [target, *text.split()[1:]])
        assert json.loads(ctl("status", "--json", node=cluster["node3"])[1])["leader"] == target
    assert "leads already" in ctl("members", "transfer", "node1")[1]
    status, _, err = ctl("members", "transfer", "nobody")
    assert status == 1
    assert "no such follower" in err


def test_members_are_told_with_what_the_leader_knows(ctl: Ctl, cluster: ThrowawayCluster) -> None:
    for node in cluster.nodes:
        members = json.loads(ctl("members", "--json", node=node)[1])
        assert [each["id"] for each in members] == ["node1", "node2", "node3"]
        assert all(each["online"] and each["match"] > 0 for each in members)
    assert "node3" in ctl("members")[1]


def test_a_node_is_not_removed_without_a_question(ctl: Ctl) -> None:
    status, _, err = ctl("members", "remove", "node3")
    assert status == 1
    assert "--yes" in err
    assert len(json.loads(ctl("members", "--json")[1])) == 3


def test_a_member_goes_and_comes_back(ctl: Ctl, cluster: ThrowawayCluster) -> None:
    ctl("members", "transfer", "node1")
    gone, asked = cluster["node3"], cluster["node2"]
    assert ctl("members", "remove", "node3", "--yes", node=asked)[0] == 0
    assert [each["id"] for each in json.loads(ctl("members", "--json")[1])] == ["node1", "node2"]
    assert ctl("doctor")[0] >= 1, "two nodes bear no loss"
    words = "node3", "127.0.0.1", gone.port, gone.settings.cluster_port
    assert ctl("members", "add", *words, node=asked)[0] == 0

    def votes() -> bool:
        members = json.loads(ctl("members", "--json")[1])
        return [each["vote"] for each in members] == ["voter"] * 3

    wait_for(votes, "it has caught up and got its vote")
    assert "cluster port" in ctl("members")[1]
    status, _, err = ctl("members", "add", "node4", "127.0.0.1", 0, 1)
    assert status == 1
    assert "Invalid port" in err


def test_snapshots_of_one_and_of_all(ctl: Ctl) -> None:
    status, text, _ = ctl("snapshot")
    assert status == 0
    assert "snapshot taken" in text
    status, text, _ = ctl("snapshot", "--all")
    assert status == 0
    assert [line.partition(":")[0] for line in text.splitlines()] == ["node1", "node2", "node3"]


def test_a_backup_is_what_ironkv_backup_writes(ctl: Ctl, tmp_path: Path) -> None:
    from ironkv.offline import backup

    file = tmp_path / "x.backup"
    assert ctl("backup", file)[0] == 0
    assert backup.main([str(file), "--verify"]) == 0
    status, _, err = ctl("backup", file)
    assert status == 1
    assert "--force" in err
    assert ctl("backup", file, "--force", "--leader")[0] == 0


def test_the_doctor_finds_nothing_wrong_but_what_is(ctl: Ctl, tmp_path: Path) -> None:
    status, text, _ = ctl("doctor", "--json", "--data-dir", tmp_path)
    found = json.loads(text)
    subjects = {each["subject"] for each in found}
    assert {
        "reach",
        "leader",
        "links",
        "versions",
        "clocks",
        "limits",
        "memory",
        "disk",
        "this disk",
    } <= subjects
    assert status == max(["fine", "warning", "trouble"].index(each["level"]) for each in found)
    # What a test's machine may well have: little room, a quick disk, something else that runs.
    of_the_cluster = [
        e for e in found if e["subject"] in ("reach", "leader", "links", "versions", "clocks", "doors")
    ]
    assert all(each["level"] == "fine" for each in of_the_cluster)
    assert "median" in next(each["text"] for each in found if each["subject"] == "this disk")
    assert "leader" in ctl("doctor")[1]


def test_a_lost_node_is_seen(ctl: Ctl, cluster: ThrowawayCluster) -> None:
    """In --watch while it happens, and by the doctor."""
    ctl("members", "transfer", "node2")
    lost = cluster["node1"]
    command = [sys.executable, "-m", "ironkv.tools.ctl", "status", "--watch", "0.2"]
    command += ["--port", str(lost.port)]
    environ = {**os.environ, "REDISCLI_AUTH": PASSWORD, "COLUMNS": "140"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert any("node2 leads" in line for line in watching.stdout)
        lost.kill()
        assert any("node1: 127.0.0.1:" in line for line in watching.stdout), "another is asked"
        watching.send_signal(signal.SIGINT)
    assert watching.returncode == 1
    status, text, _ = ctl("doctor", node=cluster["node2"])
    assert status == 2
    assert "node1 does not answer" in text
    assert "one more node lost" in text
    assert ctl("status")[0] == 1, "who is asked is away"
    lost.start()


def test_over_tls_only_who_is_certified_is_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, (port,) = Authority(tmp_path / "authority"), free_ports(1)
    files, mine = authority.files("127.0.0.1"), authority.files("me")
    pem = {"cert_file": files.certificate, "key_file": files.key, "ca_cert_file": authority.file}
    settings = {"tls": {"port": port, **pem}, "server": {"requirepass": PASSWORD}}
    monkeypatch.setenv("REDISCLI_AUTH", PASSWORD)
    lone = ThrowawayCluster(1, parent=tmp_path, settings=settings)
    try:
        lone.nodes[0].start()
        there = ["status", "--port", str(port), "--tls", "--cert", mine.certificate, "--key", mine.key]
        believing = [*there, "--cacert", authority.file]
        wait_for(lambda: main(believing) == 0, "it is served")
        capsys.readouterr()
        assert main(there) == 1
        assert "certificate verify failed" in capsys.readouterr().err
        assert main([*there, "--insecure"]) == 0
        assert main([*believing, "--sni", "another.example"]) == 1
        assert "not for another.example" in capsys.readouterr().err
        assert main(["status", "--port", str(port)]) == 1, "plain"
        without = ["status", "--port", str(port), "--tls", "--cacert", authority.file]
        assert main(without) == 1
    finally:
        lone.close()

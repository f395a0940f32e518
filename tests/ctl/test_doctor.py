"""What the doctor makes of facts that a test's machine does not have; and a disk, measured for real."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ironkv.tools.ctl import disk, health, machines
from ironkv.tools.ctl.findings import Finding, Level
from ironkv.tools.ctl.seen import Seen

GIB = 1 << 30
INFO = {
    "ironkv_version": "0.1.0", "raft_role": "follower", "raft_leader": "node1", "raft_term": "3",
    "connected_clients": "10", "maxclients": "10000", "used_memory_rss": str(GIB),
    "total_system_memory": str(8 * GIB), "ironkv_snapshot_bytes": str(GIB),
    "host_clock_usec": "1000000000", "host_cores": "4", "host_open_files": "20000",
    "host_memory_swapped": "0", "host_overcommit_memory": "1", "host_thp": "always",
    "host_thp_defrag": "madvise", "host_somaxconn": "4096", "host_disk_filesystem": "ext4",
    "host_disk_options": "rw,relatime", "host_disk_total": str(100 * GIB), "host_disk_free": str(50 * GIB),
    "host_journal_writes": "1000", "host_journal_p50_usec": "900", "host_journal_p99_usec": "3000",
    "host_loop_late_p99_usec": "900",
}  # fmt: skip
CONFIG = {
    "bind": "0.0.0.0", "requirepass": "***", "protected-mode": "yes", "cluster.enabled": "yes",
    "cluster.secret_file": "/etc/ironkv/secret", "tls-cluster": "no", "disk.reserve": str(64 << 20),
    "raft.election_timeout_ms": "300",
}  # fmt: skip
IDS = ("node1", "node2", "node3")


def cluster(**of_node2: str) -> list[Seen]:
    """Three nodes that are well, but for these facts of the second."""
    members = [{"id": name, "online": 1} for name in IDS]
    well = [
        Seen(name, "127.0.0.1", 6379, dict(INFO), members, config=CONFIG, asked_us=10**9, uncertain_us=500)
        for name in IDS
    ]
    well[0] = replace(well[0], info={**INFO, "raft_role": "leader"})
    info = {**INFO, **{k: v for k, v in of_node2.items() if k in INFO or k.startswith("host_")}}
    config = {**CONFIG, **{k: v for k, v in of_node2.items() if k in CONFIG}}
    well[1] = replace(well[1], info=info, config=config)
    return well


def judged(nodes: list[Seen]) -> Iterator[Finding]:
    yield from health.judge(nodes)
    yield from machines.judge(nodes)


def wrong(nodes: list[Seen]) -> list[Finding]:
    return [finding for finding in judged(nodes) if finding.level is not Level.FINE]


def test_nothing_is_made_up() -> None:
    assert wrong(cluster()) == []
    subjects = [finding.subject for finding in judged(cluster())]
    assert subjects == ["reach", "leader", "links", "versions", "clocks", *machines.CHECKS]


@pytest.mark.parametrize(
    ("facts", "level", "subject", "said"),
    [
        ({"ironkv_version": "0.2.0"}, Level.WARNING, "versions", "0.2.0 on node2"),
        ({"host_clock_usec": str(10**9 + 60_000_000)}, Level.WARNING, "clocks", "60.0 s ahead"),
        ({"host_clock_usec": str(10**9 - 5_000_000)}, Level.WARNING, "clocks", "5.0 s behind"),
        ({"connected_clients": "9500"}, Level.WARNING, "clients", "9,500 of 10,000"),
        ({"requirepass": "", "protected-mode": "no"}, Level.TROUBLE, "doors", "no password"),
        ({"requirepass": ""}, Level.WARNING, "doors", "refused"),
        ({"cluster.secret_file": ""}, Level.WARNING, "doors", "can be a node"),
        ({"host_open_files": "1024"}, Level.WARNING, "limits", "no more than 896 clients"),
        ({"host_address_space": str(GIB)}, Level.WARNING, "limits", "ulimit -v"),
        ({"host_memory_limit": str(GIB + GIB // 20)}, Level.TROUBLE, "memory", "kills it"),
        ({"host_memory_swapped": str(GIB)}, Level.WARNING, "memory", "1.00 GiB of node2"),
        ({"host_disk_filesystem": "tmpfs"}, Level.TROUBLE, "disk", "in memory"),
        ({"host_disk_filesystem": "nfs4"}, Level.TROUBLE, "disk", "network file system"),
        ({"host_disk_filesystem": "overlay"}, Level.WARNING, "disk", "Use a volume"),
        ({"host_disk_options": "rw,nobarrier"}, Level.TROUBLE, "disk", "power cut"),
        ({"host_journal_p50_usec": "15"}, Level.WARNING, "disk speed", "a drive that lies"),
        ({"host_journal_p99_usec": "90000"}, Level.WARNING, "disk speed", "90 ms"),
        ({"host_journal_p99_usec": "400000"}, Level.TROUBLE, "disk speed", "election timeout"),
        ({"host_disk_free": str(100 << 20)}, Level.TROUBLE, "disk room", "is refused"),
        ({"host_disk_free": str(GIB)}, Level.WARNING, "disk room", "next snapshot"),
        ({"host_disk_free": str(5 * GIB)}, Level.WARNING, "disk room", "5 % of the disk"),
        ({"host_overcommit_memory": "2"}, Level.WARNING, "kernel", "overcommit"),
        ({"host_thp_defrag": "always"}, Level.WARNING, "kernel", "huge pages"),
        ({"host_somaxconn": "128"}, Level.WARNING, "kernel", "somaxconn"),
        ({"host_loop_late_p99_usec": "150000"}, Level.WARNING, "loop", "150 ms"),
    ],
)
def test_one_fact_makes_one_finding(facts: dict[str, str], level: Level, subject: str, said: str) -> None:
    (finding,) = wrong(cluster(**facts))
    assert (finding.level, finding.subject) == (level, subject)
    assert said in finding.text
    assert "node2" in finding.text


def test_who_is_away_and_who_is_cut_off() -> None:
    nodes = cluster()
    away = Seen("node3", "127.0.0.1", 6383, why="127.0.0.1:6383: Connection refused")
    found = wrong([nodes[0], nodes[1], away])
    assert [finding.level for finding in found] == [Level.TROUBLE, Level.TROUBLE]
    assert "one more node lost" in found[1].text
    cut = [{"id": name, "online": name != "node3"} for name in IDS]
    found = wrong([nodes[0], replace(nodes[1], members=cut), nodes[2]])
    assert [finding.subject for finding in found] == ["links"]
    assert "node2 has no connection with node3" in found[0].text
    deposed = replace(nodes[0], info=INFO)
    assert "there is none" in wrong([deposed, *nodes[1:]])[0].text
    lost = wrong([replace(nodes[0], why="gone", info={}), nodes[1], away])
    assert any("no majority" in finding.text for finding in lost)


def test_without_permission_what_can_be_seen_is_judged() -> None:
    bare: list[Any] = [replace(node, config={}) for node in cluster()]
    assert wrong(bare) == []


def test_a_disk_is_measured(tmp_path: Path) -> None:
    took = disk.measure(tmp_path)
    assert 0 < took.median <= took.p99 <= took.worst
    assert list(tmp_path.iterdir()) == []
    assert any(finding.subject == "this disk" for finding in disk.judge(tmp_path))
    shared = Path("/dev/shm")
    if shared.is_dir():
        assert any(f.level is Level.TROUBLE and "in memory" in f.text for f in disk.judge(shared))

"""A real cluster among clients that mean harm or know no better: it keeps its leader, its memory and its
other clients' replies."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.client import Client, encode
from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node

MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("hostile")) as running:
        yield running


def memory_of(node: Node) -> int:
    """Bytes of memory a node's process holds."""
    process = node.process()
    assert process is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def still_well(cluster: ThrowawayCluster) -> None:
    for node in cluster.nodes:
        with node.connect(60.0) as client:
            assert client.call("PING") == "PONG"
    assert cluster.write("SET", "well", "1") == "OK"
    assert cluster.write("GET", "well") == b"1"


def test_half_commands_of_many_clients(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    before = memory_of(leader)
    halves = [
        b"*",
        b"*3\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$500000000\r\n",
        b"*1048576\r\n",
        b"SET a",
        b"*2\r\n$3\r\nGET\r\n$",
        b"*1\r\n$4\r\nPING\r",
        b'SET "a',
        b"*3\r\n$3\r\nSET\r\n$536870912\r\nx",
    ]
    sockets = [socket.create_connection((leader.settings.host, leader.port)) for _ in range(400)]
    try:
        for number, sock in enumerate(sockets):
            sock.sendall(halves[number % len(halves)])
        still_well(cluster)
        assert memory_of(leader) - before < 64 * MIB, "what is announced is not allocated"
        for number, sock in enumerate(sockets):
            if number % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # end with a reset
    finally:
        for sock in sockets:
            sock.close()
    still_well(cluster)


def test_noise_on_the_client_port(cluster: ThrowawayCluster) -> None:
    chance = random.Random(1)
    leader = cluster.wait_for_leader()
    for _ in range(50):
        with leader.connect() as client:
            client.send_raw(
                bytes(chance.choices(b"*$\r\n0123456789-GETSPINGabc\x00\xff", k=chance.randrange(1, 3000)))
            )
    still_well(cluster)


def test_noise_on_the_cluster_port(cluster: ThrowawayCluster) -> None:
    chance = random.Random(2)
    cluster.wait_until_level()
    before = cluster.facts()
    for node in cluster.nodes:
        for size in (0, 1, 7, 8, 9, 1000, 200_000):
            with socket.create_connection((node.settings.host, node.settings.cluster_port), 10) as sock:
                try:
                    sock.sendall(chance.randbytes(size))
                    sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
                except OSError:
                    pass  # cut off already
    still_well(cluster)
    for node_id, facts in cluster.facts().items():
        was = before[node_id]
        assert facts is not None
        assert was is not None
        assert (facts.role, facts.term) == (was.role, was.term), "and nobody was unseated"


def test_a_client_that_never_reads(cluster: ThrowawayCluster) -> None:
    """It asks for 20 GB in a quarter of a megabyte."""
    value = b"v" * MIB
    cluster.write("SET", "big", value)
    leader = cluster.wait_for_leader()
    before = memory_of(leader)
    deaf = leader.connect()
    try:
        deaf.send(*[("GET", "big")] * 10_000, *[("GETRANGE", "big", 0, -1)] * 10_000)
        still_well(cluster)
        assert memory_of(leader) - before < 128 * MIB
        for _ in range(100):
            assert deaf.read() == value, "what it does read is right"
    finally:
        deaf.close()
    still_well(cluster)
    wait_for(lambda: memory_of(leader) - before < 128 * MIB, "memory is given back")


def test_large_values_from_several_clients_at_once(tmp_path: Path) -> None:
    # Such values hold every loop on the way for longer than a short election timeout.
    patient = {"raft": {"election_timeout_ms": 3_000, "heartbeat_ms": 300}}
    with ThrowawayCluster(parent=tmp_path, settings=patient) as cluster:
        leader = cluster.wait_for_leader()
        values = {f"large{n}": bytes([n]) * (64 * MIB) for n in range(3)}
        clients: list[Client] = [leader.connect(120.0) for _ in values]
        try:
            wires = [encode(("SET", key, value)) for key, value in values.items()]
            for at in range(0, len(wires[0]), MIB):
                for client, wire in zip(clients, wires, strict=True):
                    client.send_raw(wire[at : at + MIB])
            assert [client.read() for client in clients] == ["OK"] * 3
            for node in cluster.nodes:
                with node.connect(120.0) as reader:
                    for key, value in values.items():
                        assert reader.call("STRLEN", key) == len(value)
                        assert reader.call("GETRANGE", key, -MIB, -1) == value[-MIB:]
            assert clients[0].call("GET", "large2") == values["large2"]
        finally:
            for client in clients:
                client.close()


def test_connections_that_come_and_go(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    for number in range(300):
        sock = socket.create_connection((leader.settings.host, leader.port))
        sock.sendall(encode(("INCR", "visits")) * 3)
        if number % 3 == 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif number % 3 == 1:
            sock.shutdown(socket.SHUT_WR)
            received = b""
            while data := sock.recv(1000):
                received += data
            assert received.count(b":") == 3
        sock.close()
    still_well(cluster)
    visits = cluster.write("GET", "visits")
    assert isinstance(visits, bytes)
    assert int(visits) >= 300

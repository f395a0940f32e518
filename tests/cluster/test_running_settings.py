"""CONFIG SET on a running node: what is set takes effect."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import cast

import pytest

from ironkv.tools.client import Client, ErrorReply, Reply
from ironkv.tools.cluster import ThrowawayCluster, wait_for


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(1, parent=tmp_path_factory.mktemp("lone")) as running:
        running.wait_for_leader()
        yield running


@pytest.fixture
def client(node: ThrowawayCluster) -> Iterator[Client]:
    with node.nodes[0].connect() as client:
        yield client


def _connect(node: ThrowawayCluster) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.nodes[0].port), timeout=30)


def _ask(node: ThrowawayCluster, *words: str) -> Reply:
    """Over a connection of its own: no other can have been closed for what is tested here."""
    with node.nodes[0].connect() as client:
        return client.call(*words)


def _is_listed(node: ThrowawayCluster, client: socket.socket) -> bool:
    host, port = client.getsockname()
    return f"addr={host}:{port} ".encode() in cast(bytes, _ask(node, "CLIENT", "LIST"))


def test_idle_clients_are_closed(node: ThrowawayCluster) -> None:
    with closing(_connect(node)) as idle:
        idle.sendall(b"PING\r\n")
        assert idle.recv(100) == b"+PONG\r\n"
        assert _ask(node, "CONFIG", "SET", "timeout", "1") == "OK"
        try:
            assert idle.recv(100) == b"", "the node closes it"
        finally:
            _ask(node, "CONFIG", "SET", "timeout", "0")


def test_too_many_clients_are_turned_away(node: ThrowawayCluster, client: Client) -> None:
    assert client.call("CONFIG", "SET", "maxclients", "1") == "OK"
    try:
        with closing(_connect(node)) as one_more:
            assert one_more.recv(100) == b"-ERR max number of clients reached\r\n"
            assert one_more.recv(100) == b""
    finally:
        client.call("CONFIG", "SET", "maxclients", "100")
    with node.nodes[0].connect() as another:
        assert another.call("PING") == "PONG"


def test_a_longer_argument_is_taken_by_connections_that_are_open(
    node: ThrowawayCluster, client: Client
) -> None:
    assert client.call("CONFIG", "SET", "proto-max-bulk-len", "1mb") == "OK"
    try:
        with (
            node.nodes[0].connect() as other,
            pytest.raises((ErrorReply, OSError), match="invalid bulk length"),
        ):
            other.call("ECHO", b"x" * (1 << 20 | 1))
        client.call("CONFIG", "SET", "proto-max-bulk-len", "2mb")
        assert client.call("ECHO", b"x" * (1 << 20 | 1)) == b"x" * (1 << 20 | 1)
    finally:
        client.call("CONFIG", "SET", "proto-max-bulk-len", "512mb")


def test_several_are_set_together_or_not_at_all(client: Client) -> None:
    with pytest.raises(ErrorReply, match=r"related to argument 'databases'\) - can't set immutable config"):
        client.call("CONFIG", "SET", "maxclients", "77", "databases", "3")
    assert client.call("CONFIG", "GET", "maxclients") != [b"maxclients", b"77"]


def test_clients_that_do_not_read_are_closed(node: ThrowawayCluster) -> None:
    assert _ask(node, "CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0") == "OK"
    try:
        with closing(_connect(node)) as deaf:
            word = b"x" * (16 << 20)
            deaf.sendall(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(word), word))
            wait_for(lambda: not _is_listed(node, deaf), "the client that does not read is gone")
    finally:
        _ask(node, "CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")


def test_the_log_level_changes(node: ThrowawayCluster) -> None:
    def says_so() -> bool:
        return " DEBUG " in node.nodes[0].log_path.read_text()

    assert not says_so()
    _ask(node, "CONFIG", "SET", "loglevel", "debug", "timeout", "1")
    try:
        with closing(_connect(node)):  # that it is closed for idling is a thing to debug
            wait_for(says_so, "something is said at this level")
    finally:
        _ask(node, "CONFIG", "SET", "loglevel", "notice", "timeout", "0")
    assert _ask(node, "CONFIG", "GET", "loglevel") == [b"loglevel", b"notice"]

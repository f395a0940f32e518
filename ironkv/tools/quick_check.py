"""`start_cluster.sh test`: a few seconds of real commands through real sockets, and a score."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ironkv.tools.client import Client, ErrorReply, ProtocolFault
from ironkv.tools.cluster import Cluster, NeverHappened, wait_for
from ironkv.tools.nodes import Node

PATIENCE = 5.0


class Wrong(Exception):
    """The reply was another one than it should be."""


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Wrong(f"{what}: expected {wanted!r}, got {found!r}")


@dataclass(slots=True)
class Subject:
    """What the checks work on: the cluster, a connection to its leader, a prefix for keys of their own."""

    cluster: Cluster
    leader: Node
    client: Client
    prefix: str

    def key(self, name: str) -> str:
        return self.prefix + name


def every_node_answers(on: Subject) -> None:
    """PING on every node"""
    for node in on.cluster.nodes:
        with node.connect(PATIENCE) as client:
            expect(client.call("PING"), "PONG", node.id)


def set_and_get(on: Subject) -> None:
    """SET, then GET"""
    expect(on.client.call("SET", on.key("a"), "hello"), "OK", "SET")
    expect(on.client.call("GET", on.key("a")), b"hello", "GET")


def any_bytes(on: Subject) -> None:
    """keys and values of any bytes"""
    value = bytes(range(256)) + b"\r\n$5\r\n"
    key = on.prefix.encode() + b"\0\r\n\xff"
    expect(on.client.call("SET", key, value), "OK", "SET")
    expect(on.client.call("GET", key), value, "GET")


def counting(on: Subject) -> None:
    """INCR in a pipeline"""
    replies = on.client.pipeline([("INCR", on.key("n"))] * 100)
    expect(replies, list(range(1, 101)), "INCR")


def time_to_live(on: Subject) -> None:
    """EXPIRE and TTL"""
    key = on.key("ttl")
    on.client.call("SET", key, "x")
    expect(on.client.call("TTL", key), -1, "TTL before")
    expect(on.client.call("EXPIRE", key, 100), 1, "EXPIRE")
    left = on.client.call("TTL", key)
    if not isinstance(left, int) or not 90 <= left <= 100:
        raise Wrong(f"TTL after: expected 100, got {left!r}")


def expiry(on: Subject) -> None:
    """a key is gone after its time"""
    key = on.key("brief")
    on.client.call("SET", key, "x", "PX", 1_000)
    expect(on.client.call("EXISTS", key), 1, "EXISTS at once")
    wait_for(lambda: on.client.call("EXISTS", key) == 0, "the key is gone", PATIENCE)


def follower_rejects(on: Subject) -> None:
    """a follower refuses a write and names the leader"""
    wanted = f"NOTLEADER not leader: the leader is {on.leader.id} at {on.leader.address}"
    for node in on.cluster.nodes:
        if node is not on.leader:
            with node.connect(PATIENCE) as client:
                reply = client.pipeline([("SET", on.key("refused"), "x")])[0]
                expect(str(reply), wanted, node.id)
    expect(on.client.call("EXISTS", on.key("refused")), 0, "EXISTS")


def replicated(on: Subject) -> None:
    """a write is read from every follower at once"""
    for i in range(20):
        on.client.call("SET", on.key("copy"), i)
        for node in on.cluster.nodes:
            with node.connect(PATIENCE) as client:
                expect(client.call("GET", on.key("copy")), str(i).encode(), node.id)


def same_state(on: Subject) -> None:
    """all nodes follow the leader and apply its log"""
    on.cluster.wait_until_level(PATIENCE)


def wrong_input(on: Subject) -> None:
    """errors are worded as in Redis"""
    key = on.key("text")
    on.client.call("SET", key, "abc")
    for command, wanted in (
        (("INCR", key), "ERR value is not an integer or out of range"),
        (("GET",), "ERR wrong number of arguments for 'get' command"),
        (("SET", key, "x", "NONSENSE"), "ERR syntax error"),
    ):
        expect(str(on.client.pipeline([command])[0]), wanted, " ".join(command))


def inline(on: Subject) -> None:
    """inline commands: echo PING | nc"""
    with on.leader.connect(PATIENCE) as client:
        client.send_raw(b"PING\r\n")
        expect(client.read(), "PONG", "PING")


def resp3(on: Subject) -> None:
    """HELLO 3"""
    with on.leader.connect(PATIENCE) as client:
        reply = client.call("HELLO", 3)
        expect(isinstance(reply, dict) and reply.get(b"proto"), 3, "HELLO 3")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    every_node_answers,
    set_and_get,
    any_bytes,
    counting,
    time_to_live,
    expiry,
    follower_rejects,
    replicated,
    same_state,
    wrong_input,
    inline,
    resp3,
)


def run(cluster: Cluster) -> int:
    """Print one line per check and the score; 0 when all passed."""
    passed = 0
    leader = cluster.leader()
    if leader is None:
        print("✗ no node says that it leads: is the cluster up? ./start_cluster.sh status")
        print(f"score: 0 of {len(CHECKS)}")
        return 1
    print(f"leader: {leader.id} at {leader.address}")
    with _prepared(cluster, leader) as subject:
        for check in CHECKS:
            began = time.perf_counter()
            problem = _problem(check, subject)
            took = (time.perf_counter() - began) * 1000
            passed += not problem
            print(f"{'✅' if not problem else '❌'} {check.__doc__:<48} {took:7.1f} ms", flush=True)
            if problem:
                print(f"   {problem}")
    print(f"score: {passed} of {len(CHECKS)} ({100 * passed // len(CHECKS)} %)")
    return 0 if passed == len(CHECKS) else 1


def _problem(check: Callable[[Subject], None], on: Subject) -> str:
    try:
        check(on)
    except (Wrong, NeverHappened, OSError, ErrorReply, ProtocolFault) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@contextlib.contextmanager
def _prepared(cluster: Cluster, leader: Node) -> Iterator[Subject]:
    prefix = f"ironkv-quick-check:{secrets.token_hex(4)}:"
    with leader.connect(PATIENCE) as client:
        try:
            yield Subject(cluster, leader, client, prefix)
        finally:
            with contextlib.suppress(OSError, ErrorReply, ProtocolFault):
                names = ("a", "n", "ttl", "brief", "copy", "text", "refused")
                client.call("DEL", *(prefix + n for n in names), prefix.encode() + b"\0\r\n\xff")

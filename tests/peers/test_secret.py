"""Nodes that share a secret, nodes that do not, and strangers who try."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ironkv.peers import links as module
from ironkv.peers import wire
from ironkv.peers.pulse import Pulse
from ironkv.peers.secret import check_nonce, check_proof, nonce, proof
from ironkv.tools.cluster import free_ports
from tests.peers.test_links import PATIENCE_S, End, run, until

SECRET = b"correct horse battery staple"


@asynccontextmanager
async def two(one: bytes, other: bytes) -> AsyncIterator[tuple[End, End]]:
    ports = dict(zip("ab", free_ports(2), strict=True))
    ends = End("a", ports), End("b", ports)
    for end, secret in zip(ends, (one, other), strict=True):
        end.links.secret = secret
        await end.start()
    try:
        yield ends
    finally:
        for end in ends:
            await end.links.close()
        await asyncio.sleep(0)


def test_the_same_secret() -> None:
    async def test() -> None:
        async with two(SECRET, SECRET) as (a, b):
            await until(lambda: a.ups and b.ups, "both are connected")
            a.say("b", 7)
            await until(lambda: b.mail, "mail comes")
            assert b.mail[0][0] == "a"

    run(test)


@pytest.mark.parametrize(
    ("one", "other", "complaint"),
    [
        (SECRET, SECRET + b"!", "its cluster.secret is another"),
        (SECRET, b"", "it has no cluster.secret, this node has one"),
        (b"", SECRET, "it has a cluster.secret, this node has none"),
    ],
)
def test_another_secret(caplog: pytest.LogCaptureFixture, one: bytes, other: bytes, complaint: str) -> None:
    async def test() -> None:
        async with two(one, other) as (a, b):
            await until(lambda: complaint in caplog.text, "it is told")
            for _ in range(3):  # it is tried again, and told once
                tries = a.links._links_made
                await until(lambda tries=tries: a.links._links_made > tries, "another try")
            assert not a.ups + b.ups
            assert not any(end.links.peers and end.links._births for end in (a, b))

    run(test)
    lines = [record.getMessage() for record in caplog.records]
    assert all(lines.count(line) <= 2 for line in lines), "once on each side"


def test_a_proof_is_good_for_one_connection_and_one_side() -> None:
    def hello(node: str) -> wire.Hello:
        return wire.Hello(wire.VERSION, "c", node, 1, nonce(SECRET))

    a, b, later = hello("a"), hello("b"), hello("b")
    given = proof(SECRET, dialled=True, dialler=a, acceptor=b)
    check_proof(SECRET, given, dialled=True, dialler=a, acceptor=b)
    for dialled, dialler, acceptor in ((False, a, b), (True, b, a), (True, a, later), (False, b, a)):
        with pytest.raises(wire.WireError):
            check_proof(SECRET, given, dialled=dialled, dialler=dialler, acceptor=acceptor)
    with pytest.raises(wire.WireError):
        check_nonce(SECRET, a, a._replace(node="b"))


def test_what_a_stranger_can_do(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing: mail, pulses and proofs before the right proof end the connection, and a replayed one does."""

    async def test() -> None:
        async with two(SECRET, SECRET) as (a, b):
            await until(lambda: a.ups and b.ups, "both are connected")
            heard: list[bytes] = []
            for frames in (
                wire.pulse(9), wire.proof(b""), wire.mail([], 0, 0), wire.hello("c", "b", 0, bytes(16)) * 2,
                wire.hello("c", "b", 0, bytes(16)) + wire.pulse(9),
                wire.hello("c", "b", 0, bytes(16)) + wire.proof(bytes(32)),
                wire.hello("c", "b", 0, bytes(15)), wire.hello("c", "b", 0, bytes(600)),
            ):  # fmt: skip
                reader, writer = await asyncio.open_connection("127.0.0.1", a.port)
                writer.write(frames)
                async with asyncio.timeout(PATIENCE_S):
                    try:
                        heard.append(await reader.read())
                    except ConnectionResetError:
                        pass
                writer.close()
            assert SECRET not in b"".join(heard)
            assert not a.mail
            assert a.links.online("b")

    run(test)


def test_many_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of those who say nothing gives way."""
    monkeypatch.setattr(module, "STRANGERS_MAX", 3)

    async def test() -> None:
        async with two(SECRET, SECRET) as (a, b):
            await until(lambda: len(a.ups) + len(b.ups) == 2 and not a.links._strangers, "both are connected")
            quiet = [await asyncio.open_connection("127.0.0.1", a.port) for _ in range(9)]
            async with asyncio.timeout(PATIENCE_S):
                for reader, _ in quiet[:6]:
                    assert await reader.read() == b""
            assert a.links.online("b")
            for _, writer in quiet:
                writer.close()

    run(test)


def test_a_pulse_is_proven_too() -> None:
    heard = threading.Event()

    async def test() -> None:
        async with two(SECRET, SECRET) as (a, b):
            await until(lambda: a.ups and b.ups, "both are connected")
            b.links.on_pulse = lambda peer, term: heard.set()
            silent = iter([0.0, *[1.0] * 10_000])
            pulse = Pulse(
                a.links.introduce, lambda: a.links.peers, lambda: (3, next(silent)), after_s=0.02, limit_s=5.0
            )
            pulse.start()
            await until(heard.is_set, "the pulse is heard")
            await asyncio.to_thread(pulse.stop)

    run(test)


def test_a_pulse_meets_something_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ends = End("a", {"a": 1, "b": server.getsockname()[1]})
        ends.links.secret = SECRET
        with socket.create_connection(server.getsockname()) as sock:
            other, _ = server.accept()
            other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.settimeout(PATIENCE_S)
            with pytest.raises((OSError, wire.WireError)):
                ends.links.introduce(sock, "b")
            other.close()

"""What clients publish, between nodes: in order, at most once, and never in the way of Raft's messages."""

from __future__ import annotations

import asyncio

import pytest

from ironkv.peers import links as module
from ironkv.peers import wire
from ironkv.raft.messages import Vote
from tests.peers.test_links import before_b, ends, run, until

Message = tuple[bool, bytes, bytes]


def test_all_peers_hear_it_in_order() -> None:
    async def test() -> None:
        async with ends("a", "b", "c") as (a, b, c):
            await until(lambda: all(len(end.ups) == 2 for end in (a, b, c)), "all are connected")
            heard: dict[str, list[Message]] = {"b": [], "c": []}
            b.links.on_published, c.links.on_published = heard["b"].extend, heard["c"].extend
            sent = [(n % 7 == 0, b"channel", b"%d" % n * (n % 50)) for n in range(3000)]
            sent[1000] = (False, b"large", bytes(3 << 20))
            for at in range(0, 3000, 100):
                a.links.publish(sent[at : at + 100])
            await until(lambda: all(len(each) == 3000 for each in heard.values()), "it arrives")
            assert heard == {"b": sent, "c": sent}
            assert a.links.missed == 0

    run(test)


def test_nobody_to_publish_to() -> None:
    async def test() -> None:
        async with before_b() as a:
            a.links.publish([(False, b"a", b"b")])
            assert a.links.missed == 0

    run(test)


def test_a_peer_that_does_not_keep_up_misses_some_and_raft_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PUBLISHED_QUEUED_MAX", 1 << 20)

    async def test() -> None:
        async with ends("a", "b") as (a, b):
            await until(lambda: a.ups and b.ups, "connected")
            heard: list[Message] = []
            b.links.on_published = heard.extend
            for accepted in b.links._accepted:
                accepted.transport.pause_reading()
            for n in range(200):
                a.links.publish([(False, b"a", b"%06d" % n + bytes(100_000))])
            assert 0 < a.links.missed < 200
            assert a.links._dialled["b"].transport.get_write_buffer_size() < (1 << 20) + 200_000
            a.say("b", 7)
            for accepted in b.links._accepted:
                accepted.transport.resume_reading()
            await until(lambda: b.mail, "Raft's message was not refused")
            numbers = [int(message[2][:6]) for message in heard]
            assert len(numbers) == 200 - a.links.missed
            assert numbers == sorted(set(numbers))

    run(test)


def test_an_older_connection_comes_too_late() -> None:
    """The peer has given one up and made another; what lies unread on the first would be out of order."""

    async def test() -> None:
        async with before_b() as a:
            heard: list[Message] = []
            a.links.on_published = heard.extend
            first, second = [await _speaker(a.port) for _ in range(2)]
            first.write(wire.published([(False, b"a", b"1")]))
            await until(lambda: len(heard) == 1, "the first connection is heard")
            second.write(wire.published([(False, b"a", b"3")]))
            await until(lambda: len(heard) == 2, "so is the second")
            first.write(wire.published([(False, b"a", b"2")]))
            first.write(wire.mail([Vote("b", "a", 1, 0, 0, False)], 0, 0))
            await until(lambda: a.mail, "of Raft's messages none is refused for that")
            assert heard == [(False, b"a", b"1"), (False, b"a", b"3")]
            for writer in (first, second):
                writer.close()

    run(test)


async def _speaker(port: int) -> asyncio.StreamWriter:
    """A connection of "b"."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wire.hello("c", "b"))
    await reader.readexactly(len(wire.hello("c", "a")))
    return writer

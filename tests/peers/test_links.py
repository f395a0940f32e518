"""Connections between nodes, over real sockets: reconnecting, strangers, peers that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from ironkv.peers import links as module
from ironkv.peers import wire
from ironkv.peers.links import Links
from ironkv.raft.messages import Append, Entry, EntryKind, Message, Vote
from ironkv.tools.cluster import free_ports

PATIENCE_S = 30.0
FRAME_MAX = 8 << 20


class End:
    """One node's links, and what they reported."""

    def __init__(self, name: str, ports: dict[str, int], cluster: str = "c", birth: int = 0) -> None:
        self.name = name
        self.port = ports[name]
        self.mail: list[tuple[str, Message]] = []
        self.ups: list[str] = []
        self.downs: list[str] = []
        self.reborn: list[str] = []
        self.links = Links(
            cluster,
            name,
            {peer: ("127.0.0.1", port) for peer, port in ports.items() if peer != name},
            FRAME_MAX,
            on_mail=lambda peer, mail: self.mail.extend((peer, message) for message in mail.messages),
            on_up=self.ups.append,
            on_down=self.downs.append,
            on_reborn=self.reborn.append,
            birth=birth,
        )

    async def start(self) -> End:
        await self.links.listen("127.0.0.1", self.port)
        self.links.dial()
        return self

    def say(self, to: str, term: int = 1) -> None:
        self.links.send([Vote(self.name, to, term, 0, 0, False)], 0.0)


async def until(reached: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110  (what is waited for is nobody's event)
            await asyncio.sleep(0.005)
    assert reached(), what


@asynccontextmanager
async def ends(*names: str, clusters: dict[str, str] | None = None) -> AsyncIterator[list[End]]:
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    made = [End(name, ports, (clusters or {}).get(name, "c")) for name in names]
    try:
        for end in made:
            await end.start()
        yield made
    finally:
        for end in made:
            await end.links.close()
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def and_tidy_up() -> None:
        await test()
        for _ in range(10):  # closed transports say so in the loop
            await asyncio.sleep(0)

    asyncio.run(and_tidy_up())


def test_mail_goes_both_ways() -> None:
    async def test() -> None:
        async with ends("a", "b", "c") as (a, b, c):
            await until(lambda: all(len(end.ups) == 2 for end in (a, b, c)), "all are connected")
            a.say("b", 1), b.say("a", 2), c.say("a", 3)
            await until(lambda: len(a.mail) == 2 and b.mail, "mail comes")
            assert b.mail == [("a", Vote("a", "b", 1, 0, 0, False))]
            assert {(peer, message.term) for peer, message in a.mail} == {("b", 2), ("c", 3)}
            assert a.links.online("b")

    run(test)


def test_a_peer_that_comes_back_is_found_again() -> None:
    async def test() -> None:
        async with ends("a", "b") as (a, b):
            await until(lambda: a.ups and b.ups, "connected")
            await b.links.close()
            await until(lambda: "b" in a.downs, "the loss is reported")
            await until(lambda: not a.links.online("b"), "nothing is sent any more")
            a.say("b")
            ups = len(a.ups)
            await b.start()
            await until(lambda: len(a.ups) > ups, "connected again")
            a.say("b", 5)
            await until(lambda: b.mail, "mail comes")
            assert b.mail == [("a", Vote("a", "b", 5, 0, 0, False))], "and not what was sent meanwhile"

    run(test)


@asynccontextmanager
async def before_b() -> AsyncIterator[End]:
    """Node "a" of a cluster whose "b" is played by the test."""
    a = End("a", dict(zip("ab", free_ports(2), strict=True)))
    await a.links.listen("127.0.0.1", a.port)
    try:
        yield a
    finally:
        await a.links.close()
        await asyncio.sleep(0)


async def _speaker(end: End, birth: int) -> asyncio.StreamWriter:
    """A connection on which "b" of that birth says something every time it is asked to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", end.port)
    writer.write(wire.hello("c", "b", birth))
    await reader.readexactly(len(wire.hello("c", "a")))
    return writer


def _vote(term: int) -> bytes:
    return wire.mail([Vote("b", "a", term, 0, 0, False)], 0, 0)


def test_nothing_is_taken_from_an_older_life() -> None:
    async def test() -> None:
        async with before_b() as a:
            old = await _speaker(a, 1)
            also_old = await _speaker(a, 1)
            old.write(_vote(1))
            await until(lambda: a.mail, "the first life is heard")
            assert a.reborn == [], "a second connection is no second life"
            new = await _speaker(a, 2)
            assert a.reborn == ["b"]
            for writer in (old, also_old):
                writer.write(_vote(7))
            new.write(_vote(2))
            await until(lambda: len(a.mail) == 2, "the second life is heard")
            await until(lambda: len(a.links._accepted) == 1, "the older connections are cut")
            assert [message.term for _, message in a.mail] == [1, 2]
            assert a.downs == [], "that an older life ended is no news of this one"
            for writer in (old, also_old, new):
                writer.close()

    run(test)


def test_mail_read_together_with_the_news_of_a_newer_life() -> None:
    """This process was stopped, and finds what both lives have written."""

    async def test() -> None:
        async with before_b() as a:
            first = await _speaker(a, 1)
            (link,) = a.links._accepted
            second = await _speaker(a, 2)
            link.data_received(_vote(7))
            assert a.mail == []
            first.close(), second.close()

    run(test)


def test_an_older_life_that_calls_again_is_refused_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BURIED_S", 0.3)

    async def test() -> None:
        async with before_b() as a:
            first, second = await _speaker(a, 1), await _speaker(a, 2)
            reader, again = await asyncio.open_connection("127.0.0.1", a.port)
            again.write(wire.hello("c", "b", 1) + _vote(9))
            assert await reader.read() == b""
            assert a.mail == []
            assert any("replaced by another" in told for told in a.links._told)
            await asyncio.sleep(0.4)
            third = await _speaker(a, 1)
            assert a.reborn == ["b", "b"], "should we have met the two in the wrong order, it heals"
            for writer in (first, second, again, third):
                writer.close()

    run(test)


def test_a_peer_with_a_new_directory_is_found_again() -> None:
    async def test() -> None:
        ports = dict(zip("ab", free_ports(2), strict=True))
        a, b = await End("a", ports, birth=1).start(), await End("b", ports, birth=2).start()
        await until(lambda: a.ups and b.ups, "connected")
        await b.links.close()
        b = await End("b", ports, birth=3).start()
        await until(lambda: a.reborn == ["b"] and a.links.online("b") and b.ups, "it is known as another")
        await until(lambda: "b" in a.downs, "and the end of the old one was told")
        a.say("b", 5), b.say("a", 6)
        await until(lambda: a.mail and b.mail, "mail goes both ways")
        assert b.reborn == []
        await a.links.close()
        await b.links.close()

    run(test)


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        struct.pack(">II", (1 << 32) - 1, 0),
        wire.mail([], 0, 0),
        wire.pulse(1 << 40),
        wire.hello("other", "b"),
        wire.hello("c", "a", 99),
        wire.hello("c", "a"),
        wire._frame((0, 1, "c", "b")),
        wire._frame((0, wire.VERSION, "c", "b")),
        wire._frame((0, wire.VERSION, "c", "b", -1)),
        wire._frame((7, 1)),
        wire.hello("c", "b") + b"\x00" * 64,
        wire.hello("c", "b") + wire.hello("c", "b"),
        wire.hello("c", "b") + struct.pack(">II", FRAME_MAX + 1, 0),
        wire.hello("c", "b") + wire.mail([], 0, 0)[:-1] + b"\xff",
    ],
    ids=range(18),
)
def test_a_stranger_is_cut_off_and_nobody_else_is_disturbed(noise: bytes) -> None:
    async def test() -> None:
        async with ends("a", "b") as (a, b):
            await until(lambda: a.ups and b.ups, "connected")
            reader, writer = await asyncio.open_connection("127.0.0.1", a.port)
            writer.write(noise)
            async with asyncio.timeout(PATIENCE_S):
                try:
                    said = await reader.read()
                except ConnectionResetError:
                    said = b""
            writer.close()
            assert said in (b"", wire.hello("c", "a"))
            b.say("a", 3)
            await until(lambda: a.mail, "the others go on")
            assert a.mail == [("b", Vote("b", "a", 3, 0, 0, False))]
            assert b.links.online("a")

    run(test)


def test_a_node_that_is_not_known_is_answered_where_it_called() -> None:
    """As by a leader of which this node's log does not know yet. Once it is a member it is dialled."""

    async def test() -> None:
        ports = dict(zip("ab", free_ports(2), strict=True))
        a, b = End("a", {"a": ports["a"]}), End("b", ports)
        for end in (a, b):
            await end.start()
        try:
            await until(lambda: b.ups, "b has called")
            a.say("b", 1)
            b.say("a", 2)
            await until(lambda: a.mail and a.links.online("b"), "it is known by its mail")
            a.say("b", 3)
            await until(lambda: b.mail, "it is answered")
            assert b.mail == [("a", Vote("a", "b", 3, 0, 0, False))], "before, nobody could be told"
            a.links.follow({"b": ("127.0.0.1", ports["b"])})
            await until(lambda: len(a.ups) == 2, "it is dialled")
            a.links.follow({})
            await until(lambda: not a.links._dialled, "it is left")
            b.links.follow({})
            await until(lambda: not a.links.online("b"), "it has gone")
        finally:
            for end in (a, b):
                await end.links.close()
            await asyncio.sleep(0)

    run(test)


def test_there_are_not_many_guests() -> None:
    async def test() -> None:
        async with ends("a") as (a,):
            calls = []
            for number in range(module.GUESTS_MAX + 4):
                reader, writer = await asyncio.open_connection("127.0.0.1", a.port)
                vote = Vote(f"g{number}", "a", 1, 0, 0, False)
                writer.write(wire.hello("c", f"g{number}", number) + wire.mail([vote], 0, 0))
                calls.append((reader, writer))
                if number < module.GUESTS_MAX:
                    await until(lambda number=number: len(a.links._guests) == number + 1, "it is taken in")
            for reader, _ in calls[module.GUESTS_MAX :]:
                async with asyncio.timeout(PATIENCE_S):
                    with contextlib.suppress(ConnectionResetError):
                        assert await reader.read() == b""
            assert len(a.mail) == module.GUESTS_MAX
            for _, writer in calls:
                writer.close()
            await until(lambda: not a.links._guests, "all are forgotten")

    run(test)


def test_one_that_never_says_hello_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELLO_S", 0.1)

    async def test() -> None:
        async with ends("a") as (a,):
            reader, writer = await asyncio.open_connection("127.0.0.1", a.port)
            writer.write(wire.hello("c", "b")[:-1])
            async with asyncio.timeout(PATIENCE_S):
                try:
                    assert await reader.read() == b""
                except ConnectionResetError:
                    pass
            writer.close()
            await until(lambda: not a.links._accepted, "it is forgotten")
            assert a.downs == []

    run(test)


def test_strangers_cost_no_memory() -> None:
    """What one may announce before hello is half a kilobyte, and that is all that is kept of it."""

    async def test() -> None:
        async with ends("a") as (a,):
            sockets = [await asyncio.open_connection("127.0.0.1", a.port) for _ in range(50)]
            for _, writer in sockets:
                writer.write(wire.HEAD.pack(512, 0) + bytes(500))
            await until(lambda: len(a.links._accepted) == 50, "all are accepted")
            await until(
                lambda: all(len(li._frames._buffer) == 508 for li in a.links._accepted), "all is read"
            )
            for _, writer in sockets:
                writer.close()
            await until(lambda: not a.links._accepted, "all are forgotten")

    run(test)


def test_another_node_at_a_peer_s_address() -> None:
    async def test() -> None:
        ports = dict(zip("abc", free_ports(3), strict=True))
        a = End("a", ports)
        swapped = End("c", ports | {"c": ports["b"]})
        await a.start()
        await swapped.links.listen("127.0.0.1", ports["b"])
        await until(lambda: a.links._told, "it is told")
        assert any("answered at the address of 'b'" in told for told in a.links._told)
        assert not a.links.online("b")
        assert a.ups == []
        await a.links.close()
        await swapped.links.close()

    run(test)


def test_a_cluster_of_another_name() -> None:
    async def test() -> None:
        async with ends("a", "b", clusters={"b": "d"}) as (a, b):
            await until(lambda: a.links._told and b.links._told, "both say why")
            assert a.ups == b.ups == []

    run(test)


def test_a_peer_that_does_not_read_holds_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUED_MAX", 1 << 20)

    async def test() -> None:
        ports = dict(zip("ab", free_ports(2), strict=True))
        a = End("a", ports)
        sleeper = await asyncio.start_server(_greet_and_sleep, "127.0.0.1", ports["b"], limit=1024)
        await a.start()
        await until(lambda: a.ups, "connected")
        big = Append("a", "b", 1, 0, 0, 0, 1, (Entry(1, 1, EntryKind.BATCH, bytes(100_000)),))
        link = a.links._dialled["b"]
        for _ in range(1000):
            a.links.send([big], 0.0)
            await asyncio.sleep(0)
        assert 0 < link.transport.get_write_buffer_size() < (1 << 20) + 200_000
        await a.links.close()
        link.transport.abort()
        sleeper.close()

    run(test)


async def _greet_and_sleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(wire.hello("c", "b"))
    try:
        await asyncio.Event().wait()  # never reads
    finally:
        writer.close()


def test_a_way_that_is_dead_without_a_word_is_given_up() -> None:
    """A cut cable closes nothing: TCP would try for a quarter of an hour, and then come back late."""

    async def test() -> None:
        async with ends("a", "b") as (a, b):
            await until(lambda: a.ups and b.ups and a.links._accepted and b.links._accepted, "connected")
            for link in [*a.links._dialled.values(), *a.links._accepted]:
                sock = link.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 10_000
                assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 10

    run(test)


def test_closing_in_the_moment_a_connection_comes_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """`asyncio.wait_for` of Python 3.11 forgets that it was cancelled if what it waits for is just done."""

    async def test() -> None:
        a = End("a", {"a": 1, "b": 2})
        loop = asyncio.get_running_loop()
        dialling, connected = asyncio.Event(), asyncio.Event()

        async def connect(make: Callable[[], Any], *_: object, **__: object) -> tuple[Any, Any]:
            dialling.set()
            await connected.wait()
            link = make()
            link.transport = SimpleNamespace(close=lambda: None)
            return link.transport, link

        monkeypatch.setattr(loop, "create_connection", connect)
        a.links.dial()
        await dialling.wait()
        connected.set()
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            await a.links.close()

    run(test)

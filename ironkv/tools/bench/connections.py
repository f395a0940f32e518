"""Thousands of clients at once: all connect, all stay, and each is served."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ironkv.tools.client import encode
from ironkv.tools.cluster import ThrowawayCluster

ROUNDS = 3
DIALLING_AT_ONCE = 200
REPLY_LIMIT_S = 60.0
DESCRIPTORS_BESIDE = 200  # what both ends need besides the connections
# The default is Redis's 10,000, of which our own questions would take a few.
ROOM_FOR_ALL = {"limits": {"maxclients": 12_000}}


@dataclass(slots=True)
class Crowd:
    asked: int
    connected: int = 0
    served: int = 0  # commands answered rightly
    errors: list[str] = field(default_factory=list)
    connect_s: float = 0.0
    round_s: float = 0.0

    @property
    def is_clean(self) -> bool:
        return not self.errors and self.connected == self.asked


def descriptors() -> int:
    """Raise the limit of open files as far as we may, for us and the nodes we start; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def measure(parent: Path, counts: list[int], say: Callable[[str], None]) -> list[Crowd]:
    room = descriptors() - DESCRIPTORS_BESIDE
    crowds = []
    with ThrowawayCluster(3, parent=parent, settings=ROOM_FOR_ALL) as cluster:
        for count in counts:
            if count > room:
                say(f"{count:,} connections: skipped, {room + DESCRIPTORS_BESIDE:,} open files are the limit")
                continue
            crowd = asyncio.run(gather(cluster.wait_for_leader().port, count))
            say(
                f"{count:,} connections: {crowd.connected:,} connected in {crowd.connect_s:.1f} s,"
                f" {crowd.served:,} commands served, {len(crowd.errors)} errors"
            )
            crowds.append(crowd)
    return crowds


async def gather(port: int, count: int, host: str = "127.0.0.1", prefix: str = "crowd:") -> Crowd:
    """Connect `count` clients, hold them, and let each write and read its own key, all at the same time."""
    crowd = Crowd(count)
    gate = asyncio.Semaphore(DIALLING_AT_ONCE)
    began = time.perf_counter()
    streams = await asyncio.gather(*(_dial(host, port, gate, crowd) for _ in range(count)))
    crowd.connect_s = time.perf_counter() - began
    members = [stream for stream in streams if stream is not None]
    try:
        began = time.perf_counter()
        for turn in range(ROUNDS):
            await asyncio.gather(*(_talk(s, f"{prefix}{i}", turn, crowd) for i, s in enumerate(members)))
        crowd.round_s = (time.perf_counter() - began) / ROUNDS
        await asyncio.gather(*(_forget(s, f"{prefix}{i}", crowd) for i, s in enumerate(members)))
    finally:
        for _, writer in members:
            writer.close()
        for _, writer in members:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return crowd


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _dial(host: str, port: int, gate: asyncio.Semaphore, crowd: Crowd) -> Stream | None:
    async with gate:
        try:
            stream = await asyncio.wait_for(asyncio.open_connection(host, port), REPLY_LIMIT_S)
        except (OSError, TimeoutError) as error:
            crowd.errors.append(f"connect: {error!r}")
            return None
        if await _ask(stream, ("PING",), b"+PONG\r\n", crowd):
            crowd.connected += 1
        return stream


async def _talk(stream: Stream, key: str, turn: int, crowd: Crowd) -> None:
    value = f"{key} in turn {turn}".encode()
    await _ask(stream, ("SET", key, value), b"+OK\r\n", crowd)
    await _ask(stream, ("GET", key), b"$%d\r\n%b\r\n" % (len(value), value), crowd)


async def _forget(stream: Stream, key: str, crowd: Crowd) -> None:
    await _ask(stream, ("DEL", key), b":1\r\n", crowd)


async def _ask(stream: Stream, command: tuple[str | bytes, ...], wanted: bytes, crowd: Crowd) -> bool:
    reader, writer = stream
    try:
        writer.write(encode(command))
        found = await asyncio.wait_for(reader.readexactly(len(wanted)), REPLY_LIMIT_S)
    except (OSError, EOFError, TimeoutError) as error:
        crowd.errors.append(f"{command[0]!r}: {error!r}")
        return False
    if found != wanted:
        crowd.errors.append(f"{command[0]!r}: expected {wanted!r}, got {found!r}")
        return False
    crowd.served += 1
    return True

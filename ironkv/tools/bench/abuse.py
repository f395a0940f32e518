"""Clients that a server must bear: each takes a port and a time at which to stop, and says what it did.

They run in a process of low priority, as if on another machine: what is measured is the node, not who wins
this machine's processors.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from ironkv.tools.bench.connections import descriptors
from ironkv.tools.client import Client, encode
from ironkv.tools.cluster import surroundings

BIG_KEY: Final = "abuse:big"
BIG_BYTES: Final = 1 << 20
SLOW_READERS: Final = 20
ASKED_EACH: Final = 200
PIPELINE_BYTES: Final = 1 << 30
DROPPED: Final = 10_000
LORISES: Final = 1_000


def prepare(client: Client) -> None:
    """What they ask for."""
    client.call("SET", BIG_KEY, "x" * BIG_BYTES)


def slow_readers(port: int, until: float) -> str:
    """Each asks for 200 MB and reads some KB a second."""
    readers = [_dial(port, receive=4096) for _ in range(SLOW_READERS)]
    read = 0
    for reader in readers:
        reader.sendall(encode(("GET", BIG_KEY)) * ASKED_EACH)
        reader.setblocking(False)
    while time.monotonic() < until:
        for reader in readers:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                read += len(reader.recv(256))
        time.sleep(0.05)
    _hang_up(readers)
    return (
        f"{SLOW_READERS} asked for {SLOW_READERS * ASKED_EACH * BIG_BYTES >> 30} GB and read {read >> 10} KB"
    )


def unread_reads(port: int, until: float) -> str:
    """A pipeline of a gigabyte of GETs, of which no reply is read."""
    return f"{_pour(port, encode(('GET', BIG_KEY)) * 500, until) >> 10:,} KB of GETs were taken"


def unread_writes(port: int, until: float) -> str:
    """A pipeline of a gigabyte of SETs, of which no reply is read."""
    block = b"".join(encode(("SET", f"abuse:{n}", "x" * 1000)) for n in range(64))
    return f"{_pour(port, block, until) >> 20:,} of 1,024 MB of SETs were taken"


def _pour(port: int, block: bytes, until: float) -> int:
    sender = _dial(port, receive=4096)
    sender.setblocking(False)
    sent, at = 0, 0
    while sent < PIPELINE_BYTES and time.monotonic() < until:
        try:
            taken = sender.send(memoryview(block)[at:])
        except BlockingIOError:
            time.sleep(0.005)
            continue
        except ConnectionError:
            break
        sent, at = sent + taken, (at + taken) % len(block)
    while time.monotonic() < until:
        time.sleep(0.05)
    _hang_up([sender])
    return sent


def dropped_connections(port: int, until: float) -> str:
    """Ten thousand connections, opened and dropped: every other without a goodbye (RST)."""
    began, done = time.monotonic(), 0
    pace = (until - began) / DROPPED
    while done < DROPPED and time.monotonic() < until:
        with contextlib.suppress(OSError):
            dialled = _dial(port)
            if done % 2:
                dialled.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            dialled.close()
            done += 1
        if (ahead := began + done * pace - time.monotonic()) > 0.01:
            time.sleep(ahead)
    return f"{done:,} opened and dropped in {time.monotonic() - began:.1f} s"


def half_commands(port: int, until: float) -> str:
    """A slow loris: a thousand clients begin a command of half a gigabyte and send a byte now and then."""
    begun = encode(("SET", "k"))[4:] + b"$536870912\r\n"
    lorises = [_dial(port) for _ in range(LORISES)]
    for number, loris in enumerate(lorises):
        loris.setblocking(False)
        with contextlib.suppress(OSError):
            loris.send(b"*3\r\n" + begun if number % 2 else b"*3\r\n$3\r\nSE")
    sent = 0
    while time.monotonic() < until:
        for loris in lorises:
            with contextlib.suppress(OSError):
                sent += loris.send(b"x")
        time.sleep(0.25)
    _hang_up(lorises)
    return f"{LORISES:,} half commands, {sent:,} bytes one by one"


CASES: Final[dict[str, Callable[[int, float], str]]] = {
    "slow readers": slow_readers,
    "1 GB of reads, unread": unread_reads,
    "1 GB of writes, unread": unread_writes,
    "10,000 connections dropped": dropped_connections,
    "half commands": half_commands,
}


def start(case: str, port: int, seconds: float) -> subprocess.Popen[str]:
    """Run one in a process of its own; it says what it did on its output."""
    return subprocess.Popen(
        [sys.executable, "-m", "ironkv.tools.bench.abuse", case, str(port), str(seconds)],
        stdout=subprocess.PIPE, text=True, env=surroundings(),
    )  # fmt: skip


def _dial(port: int, receive: int = 0) -> socket.socket:
    made = socket.socket()
    if receive:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    made.settimeout(10)
    made.connect(("127.0.0.1", port))
    return made


def _hang_up(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


if __name__ == "__main__":
    descriptors()
    os.nice(10)
    print(CASES[sys.argv[1]](int(sys.argv[2]), time.monotonic() + float(sys.argv[3])))

"""Loads on a server, and how much of them it takes."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Self

from ironkv.tools.client import Client
from ironkv.tools.cluster import wait_for
from ironkv.tools.nodes import Node

VALUE_BYTES: Final = 64
CHUNK: Final = 1_000
LOAD_MOST: Final = 20_000_000
"""Requests of a load that nobody ends."""


class Pings:
    """A client that asks PING again and again beside a load: what it waits is what the loop is held up."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._slowest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def slowest_ms(self) -> float:
        """The slowest since this was last asked."""
        slowest, self._slowest = self._slowest, 0.0
        return slowest * 1000

    def _run(self) -> None:
        with Client("127.0.0.1", self._port, timeout=120) as client:
            while not self._over.wait(0.002):
                began = time.monotonic()
                client.call("PING")
                self._slowest = max(self._slowest, time.monotonic() - began)


@contextmanager
def load(port: int, keys: int) -> Iterator[None]:
    """redis-benchmark overwriting keys: it leaves the processor to the server."""
    words = _benchmarking(port, LOAD_MOST, keys, pipeline=16)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def rate(node: Node, seconds: float = 0.0, until: Callable[[], bool] | None = None) -> float:
    """Commands a second, for so long or until something has happened."""
    began, before = time.monotonic(), _processed(node)
    if until is None:
        time.sleep(seconds)
    else:
        wait_for(until, "what is waited for has happened", 180, pause=0.05)
    return (_processed(node) - before) / (time.monotonic() - began)


def _processed(node: Node) -> int:
    return int(facts(node)["total_commands_processed"])


def key(number: int) -> str:
    """The name redis-benchmark gives its key of that number."""
    return f"key:{number:012d}"


def fill(port: int, keys: int) -> None:
    """Write so many keys, which a load then overwrites."""
    chance = random.Random(1)
    with Client("127.0.0.1", port, timeout=120) as client:
        for start in range(0, keys, CHUNK):
            client.pipeline(
                [
                    ("SET", key(n), chance.randbytes(VALUE_BYTES))
                    for n in range(start, min(keys, start + CHUNK))
                ]
            )


def overwrite(port: int, names: list[str]) -> None:
    chance = random.Random(2)
    with Client("127.0.0.1", port, timeout=120) as client:
        for start in range(0, len(names), CHUNK):
            client.pipeline(
                [("SET", name, chance.randbytes(VALUE_BYTES)) for name in names[start : start + CHUNK]]
            )


def _benchmarking(port: int, requests: int, keys: int, pipeline: int) -> list[str]:
    """The command that overwrites keys."""
    program = shutil.which("redis-benchmark")
    if program is None:
        raise SystemExit("no redis-benchmark here (Debian: apt install redis-tools)")
    numbers = {"-p": port, "-n": requests, "-r": keys, "-d": VALUE_BYTES, "-P": pipeline}
    return [program, "-t", "set", "-q", *(str(word) for pair in numbers.items() for word in pair)]


def benchmark(port: int, requests: int, keys: int) -> None:
    """Overwrite so many times in all."""
    words = _benchmarking(port, requests, keys, pipeline=64)
    subprocess.run(words, stdout=subprocess.DEVNULL, timeout=900, check=True)


def facts(node: Node) -> dict[str, str]:
    """What it says in INFO."""
    with node.connect() as client:
        text = client.call("INFO")
    assert isinstance(text, bytes)
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)

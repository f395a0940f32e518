"""The servers that are compared: an IronKV cluster, a Redis that fsyncs every write, a Redis in memory."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ironkv.tools.client import Client, ErrorReply
from ironkv.tools.cluster import ThrowawayCluster, free_ports, wait_for

IRONKV, REDIS_ALWAYS, REDIS_MEMORY = "ironkv", "redis-always", "redis-memory"
TITLES = {
    IRONKV: "IronKV, 3 nodes",
    REDIS_ALWAYS: "redis, appendfsync always",
    REDIS_MEMORY: "redis, no persistence",
}

KEYS = 100_000
VALUE_BYTES = 64
_PRELOAD_CHUNK = 1_000


class Partner(Protocol):
    def port(self) -> int:
        """Where to send commands now: for a cluster, its leader."""
        ...

    def last_words(self) -> list[str]:
        """The ends of its logs, when something went wrong."""
        ...


class IronKV:
    def __init__(self, cluster: ThrowawayCluster) -> None:
        self.cluster = cluster

    def port(self) -> int:
        return self.cluster.wait_for_leader().port

    def last_words(self) -> list[str]:
        return [f"{node.id}: {line}" for node in self.cluster.nodes for line in node.log_tail(6).splitlines()]


class Redis:
    def __init__(self, port: int) -> None:
        self._port = port

    def port(self) -> int:
        return self._port

    def last_words(self) -> list[str]:
        return []


@contextlib.contextmanager
def all_partners(parent: Path) -> Iterator[dict[str, Partner]]:
    """All of them, fresh, each filled with the same keys."""
    with contextlib.ExitStack() as running:
        partners: dict[str, Partner] = {
            IRONKV: IronKV(running.enter_context(ThrowawayCluster(3, parent=parent))),
            REDIS_ALWAYS: running.enter_context(
                # Its rewrite of the log is switched off: IronKV is not compacting either meanwhile.
                redis(
                    parent,
                    "--appendonly",
                    "yes",
                    "--appendfsync",
                    "always",
                    "--auto-aof-rewrite-percentage",
                    "0",
                )
            ),
            REDIS_MEMORY: running.enter_context(redis(parent)),
        }
        for partner in partners.values():
            preload(partner.port())
        yield partners


@contextlib.contextmanager
def redis(parent: Path, *options: str) -> Iterator[Redis]:
    """A redis-server on a free port, in a directory of its own."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit(
            "no redis-server here to compare with (Debian: apt install redis-server redis-tools)"
        )
    directory = Path(tempfile.mkdtemp(prefix="redis-", dir=parent))
    (port,) = free_ports(1)
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(directory),
        "--save",
        "",
        *options,
    ]
    with (directory / "redis.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port), f"redis-server on port {port}")
        yield Redis(port)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def preload(port: int) -> None:
    """Every key redis-benchmark may ask for, so that a GET finds something."""
    value = "x" * VALUE_BYTES
    with Client("127.0.0.1", port, timeout=60) as client:
        for start in range(0, KEYS, _PRELOAD_CHUNK):
            keys = range(start, min(KEYS, start + _PRELOAD_CHUNK))
            for reply in client.pipeline([("SET", f"key:{k:012d}", value) for k in keys]):
                if reply != "OK":
                    raise SystemExit(f"port {port} refuses a SET: {reply!r}")


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError, ErrorReply), Client("127.0.0.1", port, timeout=5) as client:
        return client.call("PING") == "PONG"
    return False

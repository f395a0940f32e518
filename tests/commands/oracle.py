"""A private redis-server: what it answers is right, save for the differences that `compare` lists.

It listens on a unix socket in a directory of its own, keeps nothing on disk, and is ended with the test run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.wire import read_reply

PROGRAM = "redis-server"
PATIENCE_S = 10.0
END = b"end of what was heard"


class Oracle:
    """Two connections to one server: `ask` in RESP2 or in RESP3."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._streams = {proto: _connect(path) for proto in (2, 3)}
        self.ask([b"HELLO", b"3"], 3)

    def ask(self, args: list[bytes], proto: int = 2) -> bytes:
        """The bytes of the reply to a command."""
        stream = self._streams[proto]
        stream.write(_request(args))
        stream.flush()
        return read_reply(stream)[0]

    def ask_all(self, requests: list[list[bytes]], proto: int = 2) -> list[bytes]:
        """The bytes of the replies to commands that are sent in one go."""
        stream = self._streams[proto]
        stream.write(b"".join(map(_request, requests)))
        stream.flush()
        return [read_reply(stream)[0] for _ in requests]

    def listener(self, pattern: bytes) -> Listener:
        """Hear what is published on the channels that match from now on."""
        return Listener(_connect(self.path), pattern)

    def close(self) -> None:
        for stream in self._streams.values():
            stream.close()


class Listener:
    """A subscribed connection."""

    def __init__(self, stream: Any, pattern: bytes) -> None:
        self._stream = stream
        stream.write(_request([b"PSUBSCRIBE", pattern, END]))
        stream.flush()
        for _ in range(2):
            read_reply(stream)

    def heard(self, oracle: Oracle) -> list[tuple[int, bytes, bytes]]:
        """(database, event, key) of what was done through `oracle` since the last time."""
        oracle.ask([b"PUBLISH", END, b""])
        found = []
        while (message := read_reply(self._stream)[1])[2] != END:
            channel, key = message[2:]
            index, _, event = channel.removeprefix(b"__keyevent@").partition(b"__:")
            found.append((int(index), event, key))
        return found

    def close(self) -> None:
        self._stream.close()


def _request(args: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)


def _connect(path: Path) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(path))
        return connection.makefile("rwb")


@contextlib.contextmanager
def running_oracle(dump: bytes | None = None) -> Iterator[Oracle]:
    """A server for the length of the block. Skips the test, or fails it under CI, where there is none.

    `dump`: a file as Redis saves it, which it is to load first.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        message = f"{PROGRAM} is not installed: nothing says what Redis would have answered"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(f"*** {message} ***")
    # Not pytest's tmp_path: the path of a unix socket may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="oracle-") as directory:
        path = Path(directory) / "socket"
        if dump is not None:
            (path.parent / "dump.rdb").write_bytes(dump)
        with _server(program, path) as server:
            _wait_until_ready(server, path)
            oracle = Oracle(path)
            if dump is not None:
                _wait_until_loaded(oracle)
            try:
                yield oracle
            finally:
                oracle.close()


@contextlib.contextmanager
def _server(program: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    settings = {"port": "0", "unixsocket": str(path), "save": "", "appendonly": "no", "dir": str(path.parent)}
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], path: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if server.poll() is not None:
            pytest.fail(f"{PROGRAM} ended at once with status {server.returncode}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            return
        time.sleep(0.02)
    pytest.fail(f"{PROGRAM} does not listen after {PATIENCE_S} s")


def _wait_until_loaded(oracle: Oracle) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while oracle.ask([b"PING"]).startswith(b"-LOADING"):
        assert time.monotonic() < give_up, f"{PROGRAM} is still loading"
        time.sleep(0.02)

"""A small blocking Redis client: RESP2 and RESP3, pipelines, raw bytes.

It hides nothing: no pool, no retries, no reconnecting. A tool that checks a server wants to see each reply
and each broken connection as it was.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

Argument = bytes | str | int | float


class ErrorReply(Exception):
    """A reply that began with `-`. `str(error)` is the line without it."""

    @property
    def code(self) -> str:
        """The first word: `NOTLEADER`, `ERR`, `WRONGTYPE` …"""
        return str(self).split(" ", 1)[0]


class ProtocolFault(Exception):
    """What came back is no RESP."""


class Push(list["Reply"]):
    """An out-of-band message of RESP3."""


# Simple strings come as `str` and bulk strings as `bytes`, so that a test can tell +OK from $2 OK.
Reply = str | bytes | int | float | bool | None | ErrorReply | list["Reply"] | dict[object, "Reply"]


def encode(arguments: Iterable[Argument]) -> bytes:
    """One command as it goes over the wire."""
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts])


class Client:
    """One connection; over TLS with a `context`."""

    def __init__(
        self,
        host: str,
        port: int,
        timeout: float = 10.0,
        context: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> None:
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname=server_name or host)
        self._buffer = b""
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def call(self, *arguments: Argument) -> Reply:
        """Send one command and return its reply; an error reply is raised."""
        self.send(arguments)
        reply = self.read()
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Send all commands at once and return their replies; error replies stay where they are."""
        self.send(*commands)
        return [self.read() for _ in commands]

    def send(self, *commands: Sequence[Argument]) -> None:
        self.send_raw(b"".join([encode(c) for c in commands]))

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> Reply:
        """The next reply."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest.decode("utf-8", "surrogateescape")
            case b"-":
                return ErrorReply(rest.decode("utf-8", "surrogateescape"))
            case b":":
                return int(rest)
            case b"$" | b"=":
                size = int(rest)
                return None if size < 0 else self._exactly(size)
            case b"*" | b"~":
                count = int(rest)
                return None if count < 0 else [self.read() for _ in range(count)]
            case b">":
                return Push(self.read() for _ in range(int(rest)))
            case b"%":
                return {_hashable(self.read()): self.read() for _ in range(int(rest))}
            case b"_":
                return None
            case b"#":
                return rest == b"t"
            case b",":
                return float(rest)
            case b"(":
                return int(rest)
            case b"!":
                return ErrorReply(self._exactly(int(rest)).decode("utf-8", "surrogateescape"))
        raise ProtocolFault(f"not a RESP reply: {line[:80]!r}")

    def closed_by_server(self) -> bool:
        """Wait for the server to close; False when it sends something or stays (until the timeout)."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def _line(self) -> bytes:
        while True:
            end = self._buffer.find(b"\r\n", self._at)
            if end >= 0:
                line = self._buffer[self._at : end]
                self._at = end + 2
                return line
            self._fill()

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) - self._at < size + 2:
            self._fill(size + 2)
        data = self._buffer[self._at : self._at + size]
        self._at += size + 2
        return data

    def _fill(self, wanted: int = 0) -> None:
        data = self.socket.recv(max(65536, min(wanted, 1 << 20)))
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._buffer = self._buffer[self._at :] + data
        self._at = 0


def mapped(reply: Any) -> dict[str, Any]:
    """A map with its bytes as text; RESP2 sends it as a list of keys and values."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(key): _text(value) for key, value in pairs}


def maps(reply: Any) -> list[dict[str, Any]]:
    """A list of maps."""
    return [mapped(each) for each in reply]


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _hashable(reply: Reply) -> object:
    return tuple(map(_hashable, reply)) if isinstance(reply, list) else reply

"""Reading replies off a stream, in RESP2 and RESP3: the bytes as they are, and what they mean."""

from __future__ import annotations

import io
from typing import IO, Any


class ErrorReply(str):
    """The text of an error reply."""

    __slots__ = ()


def read_reply(stream: IO[bytes]) -> tuple[bytes, Any]:
    """The bytes of the next reply, and its value: sets and pushes as lists, doubles as bytes."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("the connection ended within a reply")
    kind, rest = line[:1], line[1:-2]
    if kind in b"$=" and rest != b"-1":
        body = stream.read(int(rest) + 2)
        return line + body, body[:-2]
    if kind in b"*~>%" and rest != b"-1":
        items = [read_reply(stream) for _ in range(int(rest) * (2 if kind == b"%" else 1))]
        values = [value for _, value in items]
        pairs = dict(zip(map(_hashable, values[::2]), values[1::2], strict=True)) if kind == b"%" else None
        return line + b"".join(raw for raw, _ in items), values if pairs is None else pairs
    return line, _scalar(kind, rest)


def _scalar(kind: bytes, rest: bytes) -> Any:
    if kind == b":":
        return int(rest)
    if kind == b"-":
        return ErrorReply(rest.decode("utf-8", "surrogateescape"))
    if kind == b"#":
        return rest == b"t"
    if kind in b"$*_":
        return None
    return rest


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def meaning(raw: bytes) -> Any:
    """The value of one reply."""
    return read_reply(io.BytesIO(raw))[1]

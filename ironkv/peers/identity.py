"""Whether a node is the one it says it is, as far as its certificate tells; and how to wait for its hello."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from ironkv import tls
from ironkv.peers import wire


def check_certificate(certificate: Any, name: str, peers: Mapping[str, tuple[str, int]]) -> None:
    """A node's certificate must be for its id or for the host at which others reach it. Raises WireError."""
    host = peers[name][0] if name in peers else name
    if not certificate or not tls.is_for(certificate, name, host):
        known = ", ".join(sorted(tls.names(certificate or {}))) or "nobody"
        raise wire.WireError(f"its certificate is for {known}, not for {name} or {host}")


def receive_hello(sock: socket.socket) -> wire.Hello:
    """The first frame that comes. Raises OSError, WireError."""
    head = _receive(sock, wire.HEAD.size)
    size, _ = wire.HEAD.unpack(head)
    if size > wire.HELLO_MAX:
        raise wire.WireError(f"a hello of {size} bytes")
    (body,) = wire.Frames(wire.HELLO_MAX).feed(head + _receive(sock, size))
    hello = wire.parse(body, "", "")
    if not isinstance(hello, wire.Hello):
        raise wire.WireError("no hello")
    return hello


def _receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionResetError("closed during hello")
        data += more
    return data

"""TCP keepalive of clients."""

from __future__ import annotations

import socket


def keep_alive(sock: socket.socket, interval_s: int) -> None:
    """Probe a silent peer after `interval_s`, give it up after three probes in as long again (anet.c)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(interval_s, 32_767))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, min(max(interval_s // 3, 1), 32_767))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

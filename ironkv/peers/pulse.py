"""A sign of life while the loop is busy.

A heavy command (KEYS over millions of names, a reply of many megabytes) can hold the loop for longer
than an election timeout. The leader is well, yet its followers would replace it, and every write in
flight would have an uncertain outcome. So a thread of its own watches the loop, and speaks for it
over connections of its own while it is silent: "still leading term 7".

A pulse only keeps followers loyal. It confirms no round, so no lease and no read rests on it, and a
process that is stopped or hangs in C sends none. After `limit_s` of silence it stops: a loop that is
stuck for that long is to be replaced.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final

from ironkv.peers import wire

log = logging.getLogger(__name__)

CONNECT_S: Final = 0.25
SEND_S: Final = 0.05

Watch = Callable[[], tuple[int, float]]
"""(term that this node leads or 0, seconds since its loop last came round)"""


class Pulse:
    """Speaks for the leader of `watch()` when its loop has been silent for `after_s`."""

    def __init__(
        self,
        introduce: Callable[[socket.socket, str], socket.socket],
        peers: Callable[[], Mapping[str, tuple[str, int]]],
        watch: Watch,
        *,
        after_s: float,
        limit_s: float,
    ) -> None:
        self._introduce = introduce
        self._peers = peers
        self._watch = watch
        self._after_s = after_s
        self._limit_s = limit_s
        self._sockets: dict[str, socket.socket] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        said = False
        while not self._stop.wait(self._after_s / 2):
            term, silent_s = self._watch()
            if not term:
                self._hang_up()
                continue
            self._connect()  # in quiet times, so that the way stands when it is needed
            if self._after_s <= silent_s < self._limit_s:
                self._send(wire.pulse(term))
                if not said and silent_s > 4 * self._after_s:
                    said = True
                    log.warning("the loop has been busy for %.1f s; followers are told", silent_s)
            else:
                said = False
        self._hang_up()

    def _connect(self) -> None:
        peers = self._peers()
        for gone in self._sockets.keys() - peers.keys():
            self._sockets.pop(gone).close()
        for peer, address in peers.items():
            if peer not in self._sockets and not self._stop.is_set():
                try:
                    self._sockets[peer] = self._greet(peer, address)
                except (OSError, wire.WireError):
                    continue  # down, or not reachable now: tried again at the next round

    def _greet(self, peer: str, address: tuple[str, int]) -> socket.socket:
        sock = socket.create_connection(address, CONNECT_S)
        try:
            known = self._introduce(sock, peer)
        except BaseException:
            sock.close()
            raise
        known.settimeout(SEND_S)
        return known

    def _send(self, frame: bytes) -> None:
        for peer, sock in [*self._sockets.items()]:
            try:
                sock.sendall(frame)
            except OSError:
                sock.close()
                del self._sockets[peer]

    def _hang_up(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

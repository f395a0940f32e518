"""Relayed requests and their replies on the links between nodes: messages of `server.relays`, packed.

All messages of a turn to one node go in one frame, and what is large in pieces, so that Raft's messages find
their way between them. What a link cannot take is kept here, and is no more than the clients' requests and
what sessions may send ahead of their clients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgpack

from ironkv.peers import wire
from ironkv.server import relays
from ironkv.server.dispatch import Dispatch

FRAME_BYTES: Final = 256 << 10
"""A message above is cut in pieces of that size, and a frame is closed when it has reached it."""


class World(Protocol):
    """What it needs from outside."""

    def relay_frame(self, peer: str, frame: bytes) -> bool:
        """Send a frame; False if the peer cannot be reached, or much is on its way to it."""

    def wake(self) -> None: ...


class Relay:
    """What waits to be sent to each node, and what came from it in pieces."""

    def __init__(self, world: World, dispatch: Callable[[], Dispatch]) -> None:
        self._world = world
        self._dispatch = dispatch
        self._outgoing: dict[str, deque[bytes]] = {}
        """Packed messages of this turn, by node."""
        self._frames: dict[str, deque[bytes]] = {}
        """What the links have not taken yet."""
        self._pieces: dict[str, list[bytes]] = {}

    def tell(self, peer: str, message: list[Any]) -> None:
        outgoing = self._outgoing.get(peer)
        if outgoing is None:
            outgoing = self._outgoing[peer] = deque()
            self._world.wake()
        outgoing.append(msgpack.packb(message))

    def flush(self) -> None:
        """Send what the links take."""
        while self._outgoing:
            peer, messages = self._outgoing.popitem()
            self._frames.setdefault(peer, deque()).extend(_frames(messages))
        for peer, frames in [*self._frames.items()]:
            while frames and self._world.relay_frame(peer, frames[0]):
                frames.popleft()
            if not frames:
                del self._frames[peer]

    def look(self) -> None:
        """Go on with what waits; called often."""
        forwarding = self._dispatch().forwarding
        if forwarding is not None:
            forwarding.look()
        if self._frames:
            self.flush()

    def arrived(self, peer: str, frame: wire.Relayed | wire.Fragment) -> None:
        """A peer sent this. Raises WireError."""
        if isinstance(frame, wire.Relayed):
            messages = frame.messages
        else:
            pieces = self._pieces.setdefault(peer, [])
            pieces.append(frame.data)
            if not frame.last:
                return
            del self._pieces[peer]
            messages = [_unpacked(b"".join(pieces))]
        dispatch = self._dispatch()
        for message in messages:
            try:
                if message[0] < relays.PART:
                    dispatch.relayed.arrived(peer, message)
                elif dispatch.forwarding is not None:
                    dispatch.forwarding.arrived(peer, message)
            except (TypeError, ValueError, IndexError) as error:
                raise wire.WireError(f"a malformed relayed message: {error}") from error

    def lost(self, peer: str) -> None:
        """A connection with a peer broke."""
        for waiting in (self._outgoing, self._frames, self._pieces):
            waiting.pop(peer, None)
        dispatch = self._dispatch()
        dispatch.relayed.lost(peer)
        if dispatch.forwarding is not None:
            dispatch.forwarding.lost(peer)


def _unpacked(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise wire.WireError(f"a malformed relayed message: {error}") from error


def _frames(messages: deque[bytes]) -> list[bytes]:
    """Frames that hold these messages, in order."""
    frames: list[bytes] = []
    some: list[bytes] = []
    size = 0
    for message in messages:
        if len(message) > FRAME_BYTES:
            if some:
                frames.append(wire.relayed(some))
                some, size = [], 0
            frames += _pieces(message)
            continue
        some.append(message)
        size += len(message)
        if size >= FRAME_BYTES:
            frames.append(wire.relayed(some))
            some, size = [], 0
    if some:
        frames.append(wire.relayed(some))
    return frames


def _pieces(message: bytes) -> list[bytes]:
    view = memoryview(message)
    starts = range(0, len(view), FRAME_BYTES)
    return [
        wire.fragment(low + FRAME_BYTES >= len(view), bytes(view[low : low + FRAME_BYTES])) for low in starts
    ]

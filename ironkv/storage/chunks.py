"""Cutting what is imaged into chunks of bounded size, and the digests of the groups that they make."""

from __future__ import annotations

from typing import Any, Final

from ironkv import images
from ironkv.storage.snapshots import EXTRAS, Chunk, Group

CHUNK_BYTES: Final = 256 << 10
"""Image bytes from which on a chunk is whole."""


class Cutter:
    """Takes what `Imaging.walk` yields, group by group; at most one chunk is unfinished at a time."""

    def __init__(self) -> None:
        self._content: list[Any] = []
        self._number = 0
        self._bytes = 0

    def take(self, group: Group, piece: list[Any] | None) -> Chunk | None:
        """[slot, part] of a group, or None for its end; the chunk that is whole now, if one is."""
        if piece is not None:
            self._content += piece
            self._bytes += len(piece[1])
            if self._bytes < CHUNK_BYTES:
                return None
        chunk = Chunk(group, self._number, self._content, last=piece is None)
        self._number = 0 if chunk.last else self._number + 1
        self._content, self._bytes = [], 0
        return chunk


def extras(content: bytes) -> Chunk:
    """What the state holds beside its slots."""
    return Chunk(EXTRAS, 0, [0, content], last=True)


class Digests:
    """The digest of each group whose chunks have come by."""

    def __init__(self) -> None:
        self.by_group: dict[Group, bytes] = {}
        """Empty for a group that has no keys any more."""
        self._digest = images.GroupDigest()

    def add(self, chunk: Chunk) -> None:
        if chunk.group == EXTRAS:
            return
        self._digest.add(chunk.content)
        if chunk.last:
            self.by_group[chunk.group] = self._digest.value()
            self._digest = images.GroupDigest()

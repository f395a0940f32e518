"""Reads that must first learn how far the state has to be (ReadIndex, thesis §6.4).

All connections that wait when a round starts share it. The core grants the round an index; once
that is applied here, each of them may run the reads it had sent before the round began.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ironkv.raft.core import RaftCore
from ironkv.raft.messages import ReadGrant


class Reader(Protocol):
    """A connection whose next request is a read."""

    def backlog_size(self) -> int:
        """Requests it has waiting."""

    def may_read(self, requests: int) -> None:
        """Run the first `requests` of them: the state is current for these."""

    def may_not_read(self, requests: int) -> None:
        """The round that the first `requests` of them waited for failed: no leader confirmed it."""


class ReadGate:
    """Rounds of waiting readers."""

    def __init__(self) -> None:
        self._next_id = 1
        self._waiting: list[Reader] = []
        self._asked: dict[int, list[tuple[Reader, int]]] = {}
        self._granted: list[tuple[int, list[tuple[Reader, int]]]] = []

    def wait(self, reader: Reader) -> None:
        """Have `reader` called back after the next round."""
        self._waiting.append(reader)

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def start(self, core: RaftCore, now: float) -> None:
        """Begin a round for whoever waits."""
        if self._waiting:
            readers, self._waiting = self._waiting, []
            self._asked[self._next_id] = [(reader, reader.backlog_size()) for reader in readers]
            core.read(self._next_id, now)
            self._next_id += 1

    def granted(self, grants: Iterable[ReadGrant]) -> None:
        """Rounds that ended: their index is known, or will not be."""
        for grant in grants:
            readers = self._asked.pop(grant.read_id, [])
            if grant.index is not None:
                self._granted.append((grant.index, readers))
            else:
                for reader, requests in readers:
                    reader.may_not_read(requests)

    def release(self, applied: int) -> None:
        """Let those read whose index the state has reached."""
        if self._granted:
            ready = [readers for index, readers in self._granted if index <= applied]
            self._granted = [granted for granted in self._granted if granted[0] > applied]
            for readers in ready:
                for reader, requests in readers:
                    reader.may_read(requests)

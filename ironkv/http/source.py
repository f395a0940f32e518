"""What the HTTP port asks of the node it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Source(Protocol):
    """The node, as this server knows it."""

    def call(self, work: Callable[[], T]) -> Future[T]:
        """Have `work` done on the node's loop."""

    def figures(self) -> dict[str, Any]:
        """`node.figures`; to be called on the node's loop."""

    def seen(self) -> dict[str, Any]:
        """Figures and data: slow commands, biggest and hottest keys, the last minutes. To be called on
        the node's loop, as what follows."""

    def scan(self, database: int, cursor: int, pattern: bytes) -> tuple[int, list[dict[str, Any]]]:
        """`node.browsing.scan`."""

    def describe(self, database: int, key: bytes) -> dict[str, Any] | None:
        """`node.browsing.describe`."""

    def order(self, words: list[str]) -> Future[str]:
        """What RAFT ADD, PROMOTE, REMOVE and TRANSFER do; empty once it is done, or why it was not. Others
        may have to agree, so this takes its time."""

    def silent_s(self) -> float:
        """For how long the node's loop has not come round. From any thread."""

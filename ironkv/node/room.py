"""Whether there is room for more data: on the disk, and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ironkv.commands.info_sections import resident_bytes
from ironkv.commands.tight import OUT_OF_MEMORY
from ironkv.errors import NotAvailable

if TYPE_CHECKING:
    from ironkv.config import Settings


class Room:
    """What commands that add data are told. Nothing is evicted: what was acknowledged stays."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._on_disk: NotAvailable | None = None
        self._memory_full = False

    def look_at_memory(self) -> None:
        """Compare what the process holds with `limits.maxmemory`: a system call, for once a second."""
        most = self._settings.limits.maxmemory
        self._memory_full = 0 < most < resident_bytes()

    def refusal(self, lacking: str | None) -> NotAvailable | None:
        """None while there is room; `lacking` is what the disk has not."""
        if lacking is None:
            self._on_disk = None
        elif self._on_disk is None:
            refusal = f"MISCONF {lacking}. Commands that add data are refused until there is room"
            self._on_disk = NotAvailable(refusal)
        return self._on_disk or (OUT_OF_MEMORY if self._memory_full else None)

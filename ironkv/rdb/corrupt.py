"""What is no Redis serialization."""

from __future__ import annotations

from ironkv.errors import IronKVError


class Corrupt(IronKVError):
    """These bytes cannot be read; the message says why, and where if it is known."""

"""What a value must know of itself, whatever its type, so that the generic key commands can serve it.

A string is plain `bytes`. Every other type is a class of its own that follows `Structure`; TYPE, SCAN TYPE,
OBJECT ENCODING and COPY then work without knowing the class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias

INT64_MAX: Final = 2**63 - 1
EMBEDDED_MOST: Final = 44
"""Redis embeds strings up to this size in their object (OBJ_ENCODING_EMBSTR_SIZE_LIMIT)."""

_looks_like_int = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z").match


class Structure(Protocol):
    """A value that is not a string."""

    type_name: ClassVar[bytes]
    """As TYPE replies: `list`, `set`, `zset`, `hash`, `stream`."""

    def encoding(self) -> bytes:
        """As OBJECT ENCODING replies: `listpack`, `hashtable`, …"""

    def copy(self) -> Self:
        """An equal value that shares nothing that can change."""

    def pieces(self, most: int) -> Iterator[list[Any]]:
        """All that it holds, as lists of about `most` elements (bytes, int, float, None, lists of these): its
        image. Nothing changes it until the last piece is taken."""

    @classmethod
    def from_pieces(cls, encoding: bytes, items: list[Any]) -> Self:
        """The very same value again, from its encoding and its pieces put together: whatever a later command
        could tell from it (order, encoding, counters) is as it was."""


Value: TypeAlias = Any
"""bytes for a string, else a Structure. Never None. (`Any`: a check of `type(value) is bytes` narrows it.)"""


def type_name(value: Value) -> bytes:
    """The Redis name of the value's type."""
    return b"string" if type(value) is bytes else value.type_name


def encoding(value: Value) -> bytes:
    """How Redis would hold the value in memory: `int`, `embstr` or `raw` for a string."""
    if type(value) is not bytes:
        name: bytes = value.encoding()
        return name
    if is_int64(value):
        return b"int"
    return b"embstr" if len(value) <= EMBEDDED_MOST else b"raw"


def is_int64(text: bytes) -> bool:
    """Whether it is a signed 64-bit integer in its canonical form: Redis may hold it as a number."""
    return _looks_like_int(text) is not None and -INT64_MAX - 1 <= int(text) <= INT64_MAX


def copied(value: Value) -> Value:
    """A value that can live at a second key."""
    return value if type(value) is bytes else value.copy()

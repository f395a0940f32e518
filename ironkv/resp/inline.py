"""Inline commands: a line of words as typed into telnet, with Redis's quoting (sdssplitargs)."""

from __future__ import annotations

from typing import Final

_ESCAPES: Final = {0x6E: 0x0A, 0x72: 0x0D, 0x74: 0x09, 0x62: 0x08, 0x61: 0x07}
_SPACE: Final = b" \t\n\r\v\f\0"
_HEX: Final = b"0123456789abcdefABCDEF"


def split_words(line: bytes) -> list[bytes] | None:
    """The words of a line; None when a quote is not closed or is followed by more than a blank.

    "…" knows \\n \\r \\t \\b \\a \\xHH and \\ before any other byte; '…' only \\'.
    """
    words: list[bytes] = []
    at, end = 0, len(line)
    while True:
        while at < end and line[at] in _SPACE:
            at += 1
        if at == end:
            return words
        word = bytearray()
        while at < end and line[at] not in _SPACE:
            if line[at] in b"\"'":
                closed = _quoted(line, at, word)
                if closed is None:
                    return None
                at = closed
            else:
                word.append(line[at])
                at += 1
        words.append(bytes(word))


def _quoted(line: bytes, at: int, word: bytearray) -> int | None:
    """Read a quoted part from its opening quote at `at`; the place behind its closing one, or None."""
    quote, at, end = line[at], at + 1, len(line)
    while at < end:
        byte = line[at]
        if byte == quote:
            at += 1
            return at if at == end or line[at] in _SPACE else None
        if byte == 0x5C and at + 1 < end:
            escaped = line[at + 1]
            if quote == 0x27:
                if escaped != 0x27:
                    word.append(byte)
                    at += 1
                    continue
            elif escaped == 0x78 and at + 3 < end and line[at + 2] in _HEX and line[at + 3] in _HEX:
                word.append(int(line[at + 2 : at + 4], 16))
                at += 4
                continue
            else:
                escaped = _ESCAPES.get(escaped, escaped)
            word.append(escaped)
            at += 2
        else:
            word.append(byte)
            at += 1
    return None

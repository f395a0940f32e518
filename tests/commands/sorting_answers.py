"""How to compare what IronKV and Redis answer to SORT; `compare` takes it up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.commands.wire import ErrorReply, meaning

Ask = Callable[[list[bytes]], bytes]


def _sort(ask: Ask, args: list[bytes]) -> Any:
    """The elements, or how many were stored. Where their order is nobody's promise, what was stored is
    removed again."""
    words = [word.upper() for word in args]
    if b"BY" in words[2:-1] and not _is_ordered(ask, args, words):
        raw = ask(args)
        reply = meaning(raw)
        if b"STORE" in words:
            ask([b"DEL", *args[1:]])
        return reply if isinstance(reply, ErrorReply | int) else (raw[:1], len(reply))
    return ask(args)


def _is_ordered(ask: Ask, args: list[bytes], words: list[bytes]) -> bool:
    """Not a set that is left as it is, nor elements of which the pattern says the same."""
    pattern = args[len(words) - words[::-1].index(b"BY")]
    if b"*" not in pattern:
        return b"STORE" in words or meaning(ask([b"TYPE", args[1]])) != b"set"
    found = meaning(ask([b"SORT_RO", args[1], b"BY", b"nosort", b"GET", pattern]))
    return b"ALPHA" not in words or not isinstance(found, list) or len(set(found)) == len(found)


MEANINGS: dict[bytes, Callable[[Ask, list[bytes]], Any]] = {b"SORT": _sort, b"SORT_RO": _sort}

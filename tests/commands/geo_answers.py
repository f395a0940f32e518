"""How to compare what IronKV and Redis answer about places; `compare` takes it up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.commands.wire import ErrorReply, meaning

Ask = Callable[[list[bytes]], bytes]

SEARCHES = (
    b"GEOSEARCH", b"GEOSEARCHSTORE", b"GEORADIUS", b"GEORADIUS_RO", b"GEORADIUSBYMEMBER",
    b"GEORADIUSBYMEMBER_RO",
)  # fmt: skip
NO_MEMBER = "ERR could not decode requested zset member"


def _reported_sooner(args: list[bytes], ours: Any, theirs: Any) -> bool:
    name = args[0].upper()
    malformed = isinstance(ours, ErrorReply) and ours != NO_MEMBER and not ours.startswith("WRONGTYPE")
    # Without a key GEORADIUSBYMEMBER does not even read the radius.
    another = name.startswith(b"GEORADIUSBYMEMBER") and isinstance(theirs, ErrorReply)
    sooner = isinstance(theirs, ErrorReply) and theirs.startswith(("WRONGTYPE", NO_MEMBER))
    return name in SEARCHES and malformed and (theirs in ([], 0) or sooner or another)


DIFFERENCES: list[tuple[str, Callable[[list[bytes], Any, Any], bool]]] = [
    (
        "Arguments are checked before the key and the member are looked up: Redis stops at the first of "
        "these that is not there or of another type, and may never see what is malformed behind it.",
        _reported_sooner,
    ),
]


def _search(ask: Ask, args: list[bytes]) -> Any:
    """What was found. Without an order it comes cell by cell, and Redis 7.2 chooses cells otherwise than
    7.0; then only the elements must agree, and with ANY only their number."""
    words = [word.upper() for word in args]
    if words[0] == b"GEORADIUSBYMEMBER" and len(args) > 1 and not meaning(ask([b"EXISTS", args[1]])):
        ask([b"DEL", *args[1:]])  # Redis would empty the destination, however malformed the radius
    raw = ask(args)
    reply = meaning(raw)
    if not isinstance(reply, list) or not reply:
        return reply
    if b"ANY" in words:
        return len(reply)
    if b"ASC" in words or b"DESC" in words or b"COUNT" in words:
        return raw
    return raw[:1], sorted(reply)


MEANINGS: dict[bytes, Callable[[Ask, list[bytes]], Any]] = dict.fromkeys(SEARCHES, _search)

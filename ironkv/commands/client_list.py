"""CLIENT INFO, LIST and KILL: the connections there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ironkv.commands import clients  # noqa: F401  (CLIENT's own row comes first)
from ironkv.commands.arguments import integer
from ironkv.commands.session import NodeView, Session
from ironkv.commands.subscriptions import Kind
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, NotInteger, SyntaxFault
from ironkv.resp.replies import OK, Reply, Verbatim

TYPES: Final = {b"NORMAL": "normal", b"MASTER": "master", b"REPLICA": "replica", b"SLAVE": "replica",
                b"PUBSUB": "pubsub"}  # fmt: skip
"""Only the kinds normal and pubsub connect here: nodes meet each other on the cluster port."""


# -- looking


@command(
    "CLIENT|INFO",
    2,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns information about the connection.",
)
def client_info(session: Session, args: Args) -> Reply:
    """CLIENT INFO"""
    return _listing([session], session, args)


@command(
    "CLIENT|LIST",
    -2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="connection",
    since="2.4.0",
    complexity="O(N) where N is the number of client connections",
    summary="Lists open connections.",
)
def client_list(session: Session, args: Args) -> Reply:
    """CLIENT LIST [TYPE NORMAL | MASTER | REPLICA | PUBSUB] [ID client-id [client-id ...]]"""
    sessions = session.node.sessions
    shown: Iterable[Session]
    option = args[2].upper() if len(args) > 3 else b""
    if len(args) == 2:
        shown = sessions.values()
    elif option == b"TYPE" and len(args) == 4:
        kind = _client_type(args[3])
        shown = [other for other in sessions.values() if _type_of(other) == kind]
    elif option == b"ID":
        ids = [_client_id(text) for text in args[3:]]
        shown = [sessions[number] for number in ids if number in sessions]
    else:
        raise SyntaxFault
    return _listing(shown, session, args)


def _type_of(session: Session) -> str:
    return "normal" if session.subscriptions is None else "pubsub"


def _client_type(text: bytes) -> str:
    kind = TYPES.get(text.upper())
    if kind is None:
        raise CommandError(f"ERR Unknown client type '{_text(text)}'")
    return kind


def _client_id(text: bytes) -> int:
    try:
        return integer(text)
    except NotInteger:
        raise CommandError("ERR Invalid client ID") from None


def line_of(session: Session) -> bytes:
    """What ACL LOG keeps of a connection."""
    return _line(session, session.node.monotonic(), 0).rstrip(b"\n")


def _listing(sessions: Iterable[Session], me: Session, args: Args) -> Verbatim:
    now = me.node.monotonic()
    asked = encoded_size(args)
    return Verbatim(b"".join(_line(session, now, asked if session is me else 0) for session in sessions))


def _line(session: Session, now: float, asked: int) -> bytes:
    """What is known of a connection, under Redis's names; what is not kept here is left out. `asked`: bytes
    of the request that is being answered, which Redis still has in the buffer."""
    received, unsent = session.buffer_sizes()
    received += asked
    channels, patterns, shard_channels = (len((session.subscriptions or {}).get(kind, ())) for kind in Kind)
    text = (
        f"id={session.id} addr={session.address} laddr={session.local_address} fd={session.fd} "
        f"name={_text(session.name)} age={int(now - session.created)} "
        f"idle={max(0, int(now - session.last_active))} flags={_flags(session)} db={session.db_index} "
        f"sub={channels} psub={patterns} ssub={shard_channels} multi={session.queued} "
        f"qbuf={received} qbuf-free=0 argv-mem=0 multi-mem={session.queued_bytes} "
        f"rbs={unsent} rbp={max(unsent, session.largest_write)} obl={unsent} oll=0 omem=0 "
        f"tot-mem={received + unsent} events=r cmd={session.last_command} "
        f"user={_text(session.user)} redir=-1 resp={session.proto} lib-name={_text(session.lib_name)} "
        f"lib-ver={_text(session.lib_version)}\n"
    )
    return text.encode("utf-8", "surrogateescape")


def _flags(session: Session) -> str:
    letters = (
        ("P", session.subscriptions is not None),
        ("x", session.queued >= 0),
        ("b", session.blocked),
        ("d", session.touched),
        ("c", session.closing),
        ("r", session.readonly),
        ("e", session.no_evict),
        ("T", session.no_touch),
    )
    return "".join(letter for letter, holds in letters if holds) or "N"


# -- closing


class _Filter(NamedTuple):
    """Which connections CLIENT KILL means."""

    id: int = 0
    address: str | None = None
    local_address: str | None = None
    kind: str | None = None
    user: bytes | None = None
    skip_me: bool = True

    def matches(self, other: Session, me: Session) -> bool:
        return (
            (not self.id or other.id == self.id)
            and self.address in (None, other.address)
            and self.local_address in (None, other.local_address)
            and self.kind in (None, _type_of(other))
            and self.user in (None, other.user)
            and not (self.skip_me and other is me)
        )


@command(
    "CLIENT|KILL",
    -3,
    Route.LOCAL,
    "admin noscript loading stale",
    group="connection",
    since="2.4.0",
    complexity="O(N) where N is the number of client connections",
    summary="Terminates open connections.",
)
def client_kill(session: Session, args: Args) -> Reply:
    """CLIENT KILL ip:port | [ID client-id] [TYPE type] [USER user] [ADDR ip:port] [LADDR ip:port] [SKIPME yes|no]"""  # noqa: E501
    if len(args) == 3:
        if not _kill(session, _Filter(address=_text(args[2]), skip_me=False)):
            raise CommandError("ERR No such client")
        return OK
    return _kill(session, _filter(session.node, args[2:]))


def _filter(node: NodeView, options: list[bytes]) -> _Filter:
    found = _Filter()
    for place in range(0, len(options), 2):
        pair = options[place : place + 2]
        if len(pair) < 2:
            raise SyntaxFault
        found = _with_option(node, found, pair[0].upper(), pair[1])
    return found


def _with_option(node: NodeView, found: _Filter, option: bytes, value: bytes) -> _Filter:
    match option:
        case b"ID":
            return found._replace(id=_positive_id(value))
        case b"TYPE":
            return found._replace(kind=_client_type(value))
        case b"ADDR":
            return found._replace(address=_text(value))
        case b"LADDR":
            return found._replace(local_address=_text(value))
        case b"USER" if node.accounts.user(value) is not None:
            return found._replace(user=value)
        case b"USER":
            raise CommandError(f"ERR No such user '{_text(value)}'")
        case b"SKIPME" if value.upper() in (b"YES", b"NO"):
            return found._replace(skip_me=value.upper() == b"YES")
    raise SyntaxFault


def _positive_id(text: bytes) -> int:
    try:
        number = integer(text)
    except NotInteger:
        number = 0
    if number < 1:
        raise CommandError("ERR client-id should be greater than 0")
    return number


def _kill(me: Session, wanted: _Filter) -> int:
    """Close what matches, this connection only after its reply; how many they were."""
    matching = [other for other in me.node.sessions.values() if wanted.matches(other, me)]
    for other in matching:
        if other is me:
            me.closing = True
        else:
            other.kill()
    return len(matching)


def encoded_size(args: Args) -> int:
    """Bytes of a request as clients send it."""
    return len(b"*%d\r\n" % len(args)) + sum(len(b"$%d\r\n" % len(arg)) + len(arg) + 2 for arg in args)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")

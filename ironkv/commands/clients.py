"""CLIENT: this connection and the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ironkv.commands.arguments import integer
from ironkv.commands.connection import USER, checked_name, is_plain, refused_attribute
from ironkv.commands.help_texts import help_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, NotInteger, SyntaxFault
from ironkv.resp.replies import OK, Members, Reply, Verbatim

TYPES: Final = {b"NORMAL": "normal", b"MASTER": "master", b"REPLICA": "replica", b"SLAVE": "replica",
                b"PUBSUB": "pubsub"}  # fmt: skip
"""Only the normal kind connects here: nodes meet each other on the cluster port."""

HELP: Final = help_of(
    "CLIENT",
    """
GETREDIR
    Return the client ID we are redirecting to when tracking is enabled.
GETNAME
    Return the name of the current connection.
ID
    Return the ID of the current connection.
INFO
    Return information about the current client connection.
KILL <ip:port>
    Kill connection made from <ip:port>.
KILL <option> <value> [<option> <value> [...]]
    Kill connections. Options are:
    * ADDR (<ip:port>|<unixsocket>:0)
      Kill connections made from the specified address
    * LADDR (<ip:port>|<unixsocket>:0)
      Kill connections made to specified local address
    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)
      Kill connections by type.
    * USER <username>
      Kill connections authenticated by <username>.
    * SKIPME (YES|NO)
      Skip killing current connection (default: yes).
LIST [options ...]
    Return information about client connections. Options:
    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)
      Return clients of specified type.
REPLY (ON|OFF|SKIP)
    Control the replies sent to the current connection.
SETNAME <name>
    Assign the name <name> to the current connection.
SETINFO <option> <value>
    Set client meta attr. Options are:
    * LIB-NAME: the client lib name.
    * LIB-VER: the client lib version.
TRACKINGINFO
    Report tracking status for the current connection.
NO-EVICT (ON|OFF)
    Protect current client connection from eviction.
NO-TOUCH (ON|OFF)
    Will not touch LRU/LFU stats when this mode is on.
""",
)


@command(
    "CLIENT",
    -2,
    Route.LOCAL,
    "",
    group="connection",
    since="2.4.0",
    complexity="Depends on subcommand.",
    summary="A container for client connection commands.",
)
def client(session: Session, args: Args) -> Reply:
    """CLIENT subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


# -- this connection


@command(
    "CLIENT|ID",
    2,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns the unique client ID of the connection.",
)
def client_id(session: Session, args: Args) -> Reply:
    """CLIENT ID"""
    return session.id


@command(
    "CLIENT|GETNAME",
    2,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="2.6.9",
    complexity="O(1)",
    summary="Returns the name of the connection.",
)
def client_getname(session: Session, args: Args) -> Reply:
    """CLIENT GETNAME"""
    return session.name or None


@command(
    "CLIENT|SETNAME",
    3,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="2.6.9",
    complexity="O(1)",
    summary="Sets the connection name.",
)
def client_setname(session: Session, args: Args) -> Reply:
    """CLIENT SETNAME name: an empty one removes it."""
    session.name = checked_name(args[2])
    return OK


@command(
    "CLIENT|SETINFO",
    4,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="7.2.0",
    complexity="O(1)",
    summary="Sets information specific to the client or connection.",
)
def client_setinfo(session: Session, args: Args) -> Reply:
    """CLIENT SETINFO LIB-NAME libname | LIB-VER libver"""
    attribute = args[2].upper()
    if attribute not in (b"LIB-NAME", b"LIB-VER"):
        raise CommandError(f"ERR Unrecognized option '{_text(args[2])}'")
    if not is_plain(args[3]):
        raise refused_attribute(args[2])
    if attribute == b"LIB-NAME":
        session.lib_name = args[3]
    else:
        session.lib_version = args[3]
    return OK


@command(
    "CLIENT|REPLY",
    3,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="3.2.0",
    complexity="O(1)",
    summary="Instructs the server whether to reply to commands.",
)
def client_reply(session: Session, args: Args) -> Reply:
    """CLIENT REPLY ON | OFF | SKIP: only ON is answered."""
    mode = args[2].upper()
    if mode == b"ON":
        session.replies = "on"
    elif mode == b"OFF":
        session.replies = "off"
    elif mode != b"SKIP":
        raise SyntaxFault
    elif session.replies != "off":
        session.replies = "skip-next"
    return OK


def _switch(text: bytes) -> bool:
    """ON or OFF."""
    word = text.upper()
    if word not in (b"ON", b"OFF"):
        raise SyntaxFault
    return word == b"ON"


@command(
    "CLIENT|NO-EVICT",
    3,
    Route.LOCAL,
    "admin noscript loading stale",
    group="connection",
    since="7.0.0",
    complexity="O(1)",
    summary="Sets the client eviction mode of the connection.",
)
def client_no_evict(session: Session, args: Args) -> Reply:
    """CLIENT NO-EVICT ON | OFF: clients are never evicted, so it only shows in CLIENT LIST."""
    session.no_evict = _switch(args[2])
    return OK


@command(
    "CLIENT|NO-TOUCH",
    3,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="7.2.0",
    complexity="O(1)",
    summary="Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
)
def client_no_touch(session: Session, args: Args) -> Reply:
    """CLIENT NO-TOUCH ON | OFF: access times are not kept, so it only shows in CLIENT LIST."""
    session.no_touch = _switch(args[2])
    return OK


@command(
    "CLIENT|GETREDIR",
    2,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="6.0.0",
    complexity="O(1)",
    summary="Returns the client ID to which the connection's tracking notifications are redirected.",
)
def client_getredir(session: Session, args: Args) -> Reply:
    """CLIENT GETREDIR: nothing is tracked, so -1."""
    return -1


@command(
    "CLIENT|TRACKINGINFO",
    2,
    Route.LOCAL,
    "noscript loading stale",
    group="connection",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns information about server-assisted client-side caching for the connection.",
)
def client_trackinginfo(session: Session, args: Args) -> Reply:
    """CLIENT TRACKINGINFO: nothing is tracked."""
    return {b"flags": Members([b"off"]), b"redirect": -1, b"prefixes": []}


# -- the others


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
    return _listing([session], session.node.monotonic())


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
        shown = sessions.values() if _client_type(args[3]) == "normal" else ()
    elif option == b"ID":
        ids = [_client_id(text) for text in args[3:]]
        shown = [sessions[number] for number in ids if number in sessions]
    else:
        raise SyntaxFault
    return _listing(shown, session.node.monotonic())


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


def _listing(sessions: Iterable[Session], now: float) -> Verbatim:
    return Verbatim(b"".join(_line(session, now) for session in sessions))


def _line(session: Session, now: float) -> bytes:
    """What is known of a connection, under Redis's names; what is not kept here is left out."""
    received, unsent = session.buffer_sizes()
    text = (
        f"id={session.id} addr={session.address} laddr={session.local_address} fd={session.fd} "
        f"name={_text(session.name)} age={int(now - session.created)} "
        f"idle={max(0, int(now - session.last_active))} flags={_flags(session)} db={session.db_index} "
        f"sub=0 psub=0 ssub=0 multi=-1 qbuf={received} qbuf-free=0 argv-mem=0 multi-mem=0 "
        f"obl={unsent} oll=0 omem=0 tot-mem={received + unsent} events=r cmd={session.last_command} "
        f"user={USER.decode()} redir=-1 resp={session.proto} lib-name={_text(session.lib_name)} "
        f"lib-ver={_text(session.lib_version)}\n"
    )
    return text.encode("utf-8", "surrogateescape")


def _flags(session: Session) -> str:
    letters = (
        ("b", session.blocked),
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
    kind: str = "normal"
    skip_me: bool = True

    def matches(self, other: Session, me: Session) -> bool:
        return (
            (not self.id or other.id == self.id)
            and self.address in (None, other.address)
            and self.local_address in (None, other.local_address)
            and self.kind == "normal"
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
    """CLIENT KILL ip:port | [ID id] [TYPE type] [USER user] [ADDR ip:port] [LADDR ip:port] [SKIPME yes|no]"""
    if len(args) == 3:
        if not _kill(session, _Filter(address=_text(args[2]), skip_me=False)):
            raise CommandError("ERR No such client")
        return OK
    return _kill(session, _filter(args[2:]))


def _filter(options: list[bytes]) -> _Filter:
    found = _Filter()
    for place in range(0, len(options), 2):
        pair = options[place : place + 2]
        if len(pair) < 2:
            raise SyntaxFault
        found = _with_option(found, pair[0].upper(), pair[1])
    return found


def _with_option(found: _Filter, option: bytes, value: bytes) -> _Filter:
    match option:
        case b"ID":
            return found._replace(id=_positive_id(value))
        case b"TYPE":
            return found._replace(kind=_client_type(value))
        case b"ADDR":
            return found._replace(address=_text(value))
        case b"LADDR":
            return found._replace(local_address=_text(value))
        case b"USER" if value == USER:
            return found
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


@command(
    "CLIENT|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="connection",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def client_help(session: Session, args: Args) -> Reply:
    """CLIENT HELP"""
    return HELP


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")

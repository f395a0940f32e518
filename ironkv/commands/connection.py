"""The connection itself: greeting, protocol, database, farewell."""

from __future__ import annotations

from typing import Any, Final

from ironkv.commands.arguments import database_index, integer
from ironkv.commands.session import NodeView, Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, NotInteger
from ironkv.keyspace.users import DEFAULT_NAME
from ironkv.resp.replies import OK, PONG, Reply, Status

REDIS_VERSION: Final = "7.2.4"
"""The Redis whose commands and replies these are: what HELLO and INFO tell clients."""
_WRONG_PASSWORD: Final = "WRONGPASS invalid username-password pair or user is disabled."

_RESET: Final = Status(b"RESET")
_HELLO_FIRST: Final = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
    "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at the "
    "same time"
)
_NAME_REFUSED: Final = "cannot contain spaces, newlines or special characters."


def is_plain(text: bytes) -> bool:
    """Whether a name keeps CLIENT LIST readable: only printable ASCII without blanks."""
    return all(33 <= byte <= 126 for byte in text)


def checked_name(name: bytes) -> bytes:
    """A name for CLIENT SETNAME and HELLO SETNAME. Raises CommandError."""
    if not is_plain(name):
        raise CommandError(f"ERR Client names {_NAME_REFUSED}")
    return name


def refused_attribute(attribute: bytes) -> CommandError:
    return CommandError(f"ERR {attribute.decode('utf-8', 'surrogateescape')} {_NAME_REFUSED}")


def leads(node: NodeView) -> bool:
    """Whether clients should take this node for the master; one that stands alone is its own."""
    return not node.settings.cluster.enabled or node.raft_view()["role"] == "leader"


# -- is anybody there?


@command(
    "PING",
    -1,
    Route.LOCAL,
    "fast",
    group="connection",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the server's liveliness response.",
)
def ping(session: Session, args: Args) -> Reply:
    """PING [message]"""
    if len(args) > 2:
        raise CommandError("ERR wrong number of arguments for 'ping' command")
    if session.subscriptions is not None and session.proto == 2:  # looks like a message
        return [b"pong", args[1] if len(args) == 2 else b""]
    return args[1] if len(args) == 2 else PONG


@command(
    "ECHO",
    2,
    Route.LOCAL,
    "loading stale fast",
    group="connection",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the given string.",
)
def echo(session: Session, args: Args) -> Reply:
    """ECHO message"""
    return args[1]


# -- who speaks, and how


@command(
    "HELLO",
    -1,
    Route.LOCAL,
    "noscript loading stale fast no_auth allow_busy",
    group="connection",
    since="6.0.0",
    complexity="O(1)",
    summary="Handshakes with the Redis server.",
)
def hello(session: Session, args: Args) -> Reply:
    """HELLO [protover [AUTH username password] [SETNAME clientname]]"""
    proto = _protocol(args[1]) if len(args) > 1 else session.proto
    user: tuple[bytes, bytes] | None = None
    name: bytes | None = None
    place = 2
    while place < len(args):
        option, more = args[place].upper(), len(args) - 1 - place
        if option == b"AUTH" and more >= 2:
            user = args[place + 1], args[place + 2]
            place += 3
        elif option == b"SETNAME" and more >= 1:
            name = checked_name(args[place + 1])
            place += 2
        else:
            text = args[place].decode("utf-8", "surrogateescape")
            raise CommandError(f"ERR Syntax error in HELLO option '{text}'")
    if user is not None:
        _authenticate(session, *user)
    if not session.authenticated:
        raise CommandError(_HELLO_FIRST)
    if name is not None:
        session.name = name
    session.proto = proto
    return _greeting(session)


def _protocol(text: bytes) -> int:
    try:
        proto = integer(text)
    except NotInteger:
        raise CommandError("ERR Protocol version is not an integer or out of range") from None
    if proto not in (2, 3):
        raise CommandError("NOPROTO unsupported protocol version")
    return proto


def _greeting(session: Session) -> dict[bytes, Any]:
    return {
        b"server": b"redis",
        b"version": REDIS_VERSION.encode(),
        b"proto": session.proto,
        b"id": session.id,
        b"mode": b"cluster" if session.node.settings.redirects else b"standalone",
        b"role": b"master" if leads(session.node) else b"replica",
        b"modules": [],
    }


@command(
    "AUTH",
    -2,
    Route.LOCAL,
    "noscript loading stale fast no_auth allow_busy",
    group="connection",
    since="1.0.0",
    complexity="O(N) where N is the number of passwords defined for the user",
    summary="Authenticates the connection.",
)
def auth(session: Session, args: Args) -> Reply:
    """AUTH [username] password"""
    if len(args) > 3:
        raise CommandError("ERR syntax error")
    default = session.node.accounts.user(DEFAULT_NAME)
    if len(args) == 2 and default is not None and default.nopass:
        raise CommandError(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    _authenticate(session, args[1] if len(args) == 3 else DEFAULT_NAME, args[-1])
    return OK


def _authenticate(session: Session, user: bytes, password: bytes) -> None:
    if not session.authenticate(user, password):
        if session.node.loading:
            raise CommandError("LOADING Redis is loading the dataset in memory")
        raise CommandError(_WRONG_PASSWORD)


# -- what it works on


@command(
    "SELECT",
    2,
    Route.LOCAL,
    "loading stale fast",
    group="connection",
    since="1.0.0",
    complexity="O(1)",
    summary="Changes the selected database.",
)
def select(session: Session, args: Args) -> Reply:
    """SELECT index"""
    index = database_index(args[1])
    if index and session.node.settings.redirects:
        raise CommandError("ERR SELECT is not allowed in cluster mode")
    session.select(index)
    return OK


@command(
    "READONLY",
    1,
    Route.LOCAL,
    "loading stale fast",
    group="cluster",
    since="3.0.0",
    complexity="O(1)",
    summary="Enables read-only queries for a connection to a Redis Cluster replica node.",
    categories="connection",
)
def readonly(session: Session, args: Args) -> Reply:
    """READONLY: reads are answered from what this node has applied, however old that is."""
    session.readonly = True
    return OK


@command(
    "READWRITE",
    1,
    Route.LOCAL,
    "loading stale fast",
    group="cluster",
    since="3.0.0",
    complexity="O(1)",
    summary="Enables read-write queries for a connection to a Redis Cluster replica node.",
    categories="connection",
)
def readwrite(session: Session, args: Args) -> Reply:
    """READWRITE: reads are linearizable again."""
    session.readonly = False
    return OK


# -- beginning anew, and leaving


@command(
    "RESET",
    1,
    Route.LOCAL,
    "noscript loading stale fast no_auth allow_busy",
    group="connection",
    since="6.2.0",
    complexity="O(1)",
    summary="Resets the connection.",
)
def reset(session: Session, args: Args) -> Reply:
    """RESET: as a new connection, in RESP2."""
    session.reset()
    return _RESET


@command(
    "QUIT",
    -1,
    Route.LOCAL,
    "noscript loading stale fast no_auth allow_busy",
    group="connection",
    since="1.0.0",
    complexity="O(1)",
    summary="Closes the connection.",
)
def quit_(session: Session, args: Args) -> Reply:
    """QUIT"""
    session.closing = True
    return OK

"""CLIENT: what a connection says of itself, and how it is answered. The others are in `client_list`."""

from __future__ import annotations

from typing import Final

from ironkv.commands.connection import checked_name, is_plain, refused_attribute
from ironkv.commands.help_texts import help_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.resp.replies import OK, Members, Reply

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

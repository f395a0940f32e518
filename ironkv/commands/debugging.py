"""DEBUG, as far as tests of clients use it; refused unless the setting `enable_debug_command` allows it."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from ironkv.commands import long_double
from ironkv.commands.arguments import integer
from ironkv.commands.help_texts import help_of
from ironkv.commands.patterns import matcher
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Handler, Route, command
from ironkv.errors import CommandError, ReplyError
from ironkv.keyspace.values import encoding
from ironkv.rdb.payload import dump
from ironkv.resp.replies import OK, BigNumber, Members, Push, Reply, Status, Verbatim

log = logging.getLogger(__name__)

REFUSED: Final = (
    'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it '
    "from a local connection, otherwise you need to set this option in the configuration file, and then "
    "restart the server."
)
LOCAL_HOSTS: Final = ("127.", "[::1]")
SLEEP_MOST_S: Final = 60

HELP: Final = help_of(
    "DEBUG",
    """
DIGEST
    Output the digest of all that this node holds: replicas at the same entry have the same.
ERROR <string>
    Return a Redis protocol error with <string> as message. Useful for clients
    unit tests to simulate Redis errors.
LOG <message>
    Write <message> to the server log.
OBJECT <key>
    Show low level info about `key` and associated value.
PROTOCOL <type>
    Reply with a test value of the specified type. <type> can be: string,
    integer, double, null, array, set, map, push, verbatim, bignum, true,
    false.
RELOAD
    Put all keys into images, as for a snapshot, and load them from these.
SET-ACTIVE-EXPIRE <0|1>
    Setting it to 0 disables expiring keys without a command (ticks of this node while it leads).
SLEEP <seconds>
    Stop the server for <seconds>. Decimals allowed.
STRINGMATCH-LEN <str> <pattern>
    Match <pattern> against <str>.
""",
)


@command(
    "DEBUG",
    -2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="1.0.0",
    complexity="Depends on subcommand.",
    summary="A container for debugging commands.",
)
def debug(session: Session, args: Args) -> Reply:
    """DEBUG: its subcommands are no rows of the table, as in Redis, and not in its documentation."""
    if not _is_allowed(session):
        raise CommandError(REFUSED)
    name = args[1].upper()
    handler = _SUBCOMMANDS.get((name, len(args)))
    if handler is None:
        text = args[1].decode("utf-8", "surrogateescape")
        raise CommandError(
            f"ERR unknown subcommand or wrong number of arguments for '{text}'. Try DEBUG HELP."
        )
    return handler(session, args)


def _is_allowed(session: Session) -> bool:
    allowed = session.node.settings.server.enable_debug_command
    return allowed == "yes" or (allowed == "local" and session.address.startswith(LOCAL_HOSTS))


def _help(session: Session, args: Args) -> Reply:
    return HELP


def _sleep(session: Session, args: Args) -> Reply:
    """Stops the whole node, as it does in Redis: that is its use. A leader may be deposed by it."""
    try:
        amount = long_double.parse(args[2])
    except CommandError:
        amount = (0, 0)
    if not isinstance(amount, long_double.Infinite):
        mantissa, exponent = amount
        time.sleep(max(0.0, min(mantissa * 2.0**exponent, SLEEP_MOST_S)))
    return OK


def _set_active_expire(session: Session, args: Args) -> Reply:
    session.node.expire_actively(integer(args[2]) != 0)
    return OK


def _object(session: Session, args: Args) -> Reply:
    keyspace = session.node.keyspace
    keyspace.now_ms = keyspace.stamp_ms  # as of what is applied: nothing can be due
    value = keyspace.database(session.db_index).find(args[2])
    if value is None:
        raise CommandError("ERR no such key")
    return Status(
        b"Value at:%#x refcount:1 encoding:%b serializedlength:%d lru:0 lru_seconds_idle:0"
        % (id(value), encoding(value), len(dump(value)))
    )


def _digest(session: Session, args: Args) -> Reply:
    return Status(session.node.digest().hex().encode())


def _reload(session: Session, args: Args) -> Reply:
    session.node.reload()
    return OK


def _log(session: Session, args: Args) -> Reply:
    log.warning("DEBUG LOG: %s", args[2].decode("utf-8", "backslashreplace"))
    return OK


def _error(session: Session, args: Args) -> Reply:
    raise ReplyError(args[2].decode("utf-8", "surrogateescape").replace("\r", " ").replace("\n", " "))


def _match(session: Session, args: Args) -> Reply:
    return int(bool(matcher(args[3])(args[2])))


_PROTOCOL: Final[dict[bytes, Any]] = {
    b"STRING": b"Hello World",
    b"INTEGER": 12345,
    b"DOUBLE": 3.141,
    b"NULL": None,
    b"ARRAY": [0, 1, 2],
    b"SET": Members([0, 1, 2]),
    b"MAP": {0: False, 1: True, 2: False},
    b"PUSH": Push([b"server-cpu-usage", 42]),
    b"VERBATIM": Verbatim(b"This is a verbatim\nstring"),
    b"BIGNUM": BigNumber(b"1234567999999999999999999999999999999"),
    b"TRUE": True,
    b"FALSE": False,
}


def _protocol(session: Session, args: Args) -> Reply:
    kind = args[2].upper()
    if kind == b"PUSH" and session.proto == 2:
        raise CommandError("ERR RESP2 is not supported by this command")
    if kind not in _PROTOCOL:
        raise CommandError(
            "ERR Wrong protocol type name. Please use one of the following: "
            "string|integer|double|null|array|set|map|push|verbatim|bignum|true|false"
        )
    found: Reply = _PROTOCOL[kind]
    return found


_SUBCOMMANDS: Final[dict[tuple[bytes, int], Handler]] = {
    (b"HELP", 2): _help,
    (b"SLEEP", 3): _sleep,
    (b"SET-ACTIVE-EXPIRE", 3): _set_active_expire,
    (b"OBJECT", 3): _object,
    (b"DIGEST", 2): _digest,
    (b"RELOAD", 2): _reload,
    (b"LOG", 3): _log,
    (b"ERROR", 3): _error,
    (b"PROTOCOL", 3): _protocol,
    (b"STRINGMATCH-LEN", 4): _match,
}
"""(Name, how many arguments with it and DEBUG itself). In Redis they are no rows of the table either."""

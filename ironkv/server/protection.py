"""Protected mode, as in Redis: without a password, only this machine's own clients are served."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch

DENIED: Final = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set "
    b"for the default user. In this mode connections are only accepted from the loopback interface. If you "
    b"want to connect from external computers to Redis you may adopt one of the following solutions: 1) "
    b"Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback "
    b"interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis "
    b"is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change "
    b"permanent. 2) Alternatively you can just disable the protected mode by editing the Redis "
    b"configuration file, and setting the protected mode option to 'no', and then restarting the server. "
    b"3) If you started the server manually just for testing, restart it with the '--protected-mode no' "
    b"option. 4) Setup a an authentication password for the default user. NOTE: You only need to do one of "
    b"the above things in order for the server to start accepting connections from the outside.\r\n"
)


def is_exposed(dispatch: Dispatch, connection: Connection) -> bool:
    """Refuse a client from elsewhere while whoever comes is let in; whether it was."""
    if not dispatch.guarding.accounts.open or _is_local(connection.transport.get_extra_info("peername")):
        return False
    dispatch.node.connections_rejected += 1
    connection.closing = True
    connection.transport.write(DENIED)
    connection.transport.close()
    return True


def _is_local(peer: object) -> bool:
    if not isinstance(peer, tuple):  # a Unix socket
        return True
    address = ip_address(peer[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)

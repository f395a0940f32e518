"""What nodes say to each other about requests that are relayed (see `server.forwarding`, `server.relayed`).

A message is a list that begins with its kind. `session` is a number that the sender of requests chose, never
twice in the life of the cluster as far as chance allows; `run` numbers the runs of requests of a session.

    to the leader
        RUN      session, run, flags, database, protocol, [user, name, address], [request, …]
                 the last list is empty unless NEW; a request is a list of arguments. With TRANSACTION the
                 requests are what EXEC is to carry out, and there is one reply.
        ACK      session, bytes       that many bytes of PARTs went on to the client
        UNWATCH  session
        EOF      session              the client will send no more: if it waits, nobody is there to be served
        UNBLOCK  session, run, error  CLIENT UNBLOCK; with an error or as if time were up
        CLOSE    session              the client is gone
        LEFT     0                    nothing follows LEAVING
    from there
        PART     session, run, bytes  of the replies, when there is much of them
        DONE     session, run, refused, bytes
                 the rest of the replies; `refused`: so many at the end say that nothing was done, and the
                 next leader may be asked
        REFUSED  session, run         nothing was done: no such session, or that node does not lead
        CLOSED   session              it was closed there
        LEAVING  0                    that node stops: ask another
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

RUN: Final = 0
ACK: Final = 1
UNWATCH: Final = 2
EOF: Final = 3
UNBLOCK: Final = 4
CLOSE: Final = 5
LEFT: Final = 6
PART: Final = 10
DONE: Final = 11
REFUSED: Final = 12
CLOSED: Final = 13
LEAVING: Final = 14

NEW: Final = 1
"""A session begins with this run. Without it, one that is not known there is refused."""
TRANSACTION: Final = 2

Tell = Callable[[str, list[Any]], None]
"""Send a message to a node, in order with all that is sent to it."""

"""LOLWUT: in Redis a different work of art in every release, and its version. Here only the version."""

from __future__ import annotations

from ironkv.commands.arguments import integer
from ironkv.commands.connection import REDIS_VERSION
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.resp.replies import Reply, Verbatim


@command(
    "LOLWUT",
    -1,
    Route.LOCAL,
    "readonly fast",
    group="server",
    since="5.0.0",
    complexity="",
    summary="Displays computer art and the Redis version.",
)
def lolwut(session: Session, args: Args) -> Reply:
    """LOLWUT [VERSION version]"""
    if len(args) > 2 and args[1].upper() == b"VERSION":
        integer(args[2])  # of whichever version, there is none
    return Verbatim(f"IronKV ver. {session.node.version}, as Redis ver. {REDIS_VERSION}\n".encode())

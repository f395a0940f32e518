"""Random commands on times to die."""

from __future__ import annotations

from tests.commands.strategies.common import (
    call,
    keys,
    milliseconds,
    option,
    options,
    seconds,
    unix_milliseconds,
    unix_seconds,
)

conditions = options(option("NX"), option("XX"), option("GT"), option("LT"), most=2)

COMMANDS = [
    call("EXPIRE", keys, seconds, conditions),
    call("PEXPIRE", keys, milliseconds, conditions),
    call("EXPIREAT", keys, unix_seconds, conditions),
    call("PEXPIREAT", keys, unix_milliseconds, conditions),
    call("TTL", keys),
    call("PTTL", keys),
    call("EXPIRETIME", keys),
    call("PEXPIRETIME", keys),
    call("PERSIST", keys),
]

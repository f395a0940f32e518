"""Every command file imported, and the writes by name: the lookup that apply does per command."""

from __future__ import annotations

from typing import Final

from ironkv.commands import (  # noqa: F401
    acl,
    acting,
    backup,
    bitfields,
    bitmaps,
    blocking,
    client_blocking,
    client_list,
    clients,
    configuration,
    connection,
    counters,
    debugging,
    dumping,
    encodings,
    expiration,
    geo,
    geo_search,
    hashes,
    hyperloglog,
    hyperloglog_checks,
    information,
    introspection,
    keys,
    latency,
    lcs,
    list_elements,
    lists,
    lolwut,
    memory,
    modules,
    monitor,
    objects,
    persistence,
    pubsub,
    raft,
    scanning,
    scripting,
    set_algebra,
    sets,
    slowlog,
    sorting,
    stopping,
    stream_claims,
    stream_groups,
    stream_info,
    stream_reads,
    streams,
    strings,
    tight,
    transactions,
    waiting,
    zset_algebra,
    zset_ranges,
    zsets,
)
from ironkv.commands.table import TABLE, Handler, Route

WRITE_HANDLERS: Final[dict[bytes, Handler]] = {
    name: row.handler for name, row in TABLE.items() if row.route is Route.WRITE and not row.subcommands
}

"""docs/commands.md: every command of Redis 7.2 and what becomes of it here. `tools/commands` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from ironkv.commands import write_handlers  # noqa: F401  (importing fills the table)
from ironkv.commands.shapes import shape
from ironkv.commands.table import Command, Route, commands

ABSENT: Final = {
    "CLIENT CACHING, CLIENT TRACKING": "client-side caching is not there: a client that asks for it is told so",
    "FCALL, FCALL_RO": "functions are not there; scripts are, and theirs is a cache that no restart empties",
    "FUNCTION, FUNCTION DELETE, FUNCTION DUMP, FUNCTION FLUSH, FUNCTION HELP, FUNCTION KILL, FUNCTION LIST, "
    "FUNCTION LOAD, FUNCTION RESTORE, FUNCTION STATS": "see FCALL",
    "MIGRATE": "a node is nobody's client: DUMP here and RESTORE there, or `ironkv-export`",
    "MODULE LOAD, MODULE LOADEX, MODULE UNLOAD": "there are no modules",
    "PSYNC, REPLCONF, SYNC": "Redis's replication; replicas follow the Raft log",
    "REPLICAOF, SLAVEOF": "who belongs to the cluster and who leads is decided by Raft",
    "RESTORE-ASKING": "slots do not move from node to node",
    "ACL, ACL CAT, ACL DELUSER, ACL DRYRUN, ACL GENPASS, ACL GETUSER, ACL HELP, ACL LIST, ACL LOAD, ACL LOG, ACL SAVE, "
    "ACL SETUSER, ACL USERS, ACL WHOAMI": "there are no users yet",
    "CLUSTER LINKS": "the links between nodes are in INFO raft",
    "CLUSTER ADDSLOTS, CLUSTER ADDSLOTSRANGE, CLUSTER BUMPEPOCH, CLUSTER DELSLOTS, "
    "CLUSTER DELSLOTSRANGE, CLUSTER FAILOVER, CLUSTER FLUSHSLOTS, CLUSTER FORGET, CLUSTER MEET, CLUSTER REPLICATE, "
    "CLUSTER RESET, CLUSTER SAVECONFIG, CLUSTER SET-CONFIG-EPOCH, CLUSTER SETSLOT":
        "all nodes hold all slots, and Raft decides who leads",
}  # fmt: skip
"""Commands of Redis 7.2 -> why there is no such here. One that has come meanwhile is passed over."""

DIFFERING: Final = {
    "ASKING, CLUSTER COUNTKEYSINSLOT, CLUSTER GETKEYSINSLOT, CLUSTER HELP, CLUSTER INFO, CLUSTER KEYSLOT, CLUSTER MYID, "
    "CLUSTER MYSHARDID, CLUSTER NODES, CLUSTER REPLICAS, CLUSTER SHARDS, CLUSTER SLAVES, CLUSTER SLOTS, "
    "CLUSTER COUNT-FAILURE-REPORTS": 'with `on_follower_write = "redirect"`; else as a Redis without cluster support',
    "SELECT": 'one database with `on_follower_write = "redirect"`, as in Redis Cluster',
    "BGREWRITEAOF, BGSAVE, SAVE": "a snapshot, taken while the node serves: every acknowledged write is on disk anyway",
    "CONFIG REWRITE": "what CONFIG SET changed is written into the node's file; all else in it stays as it is",
    "CONFIG SET": "what a node cannot be without (`appendonly yes`, `maxmemory-policy noeviction` …) can be set to what "
    "holds only; the sizes of encodings are set on all nodes, through the log, and never in a transaction",
    "DEBUG": "DIGEST, ERROR, LOG, OBJECT, PROTOCOL, RELOAD, SET-ACTIVE-EXPIRE, SLEEP and STRINGMATCH-LEN only",
    "EVAL, EVALSHA": "runs on every replica, within bounds of instructions, commands and memory; PUBLISH in it answers "
    "0; `redis.call` of what only a connection can do is refused as in Redis",
    "DUMP": "in RDB version 10, which Redis 7.0 restores, too; 7.2 writes 11, which differs in sets that are listpacks "
    "and in when a consumer was last active. RESTORE takes both",
    "FAILOVER": "gives the leadership away; ends by itself within an election timeout, so ABORT comes too late",
    "FLUSHALL, FLUSHDB": "ASYNC and SYNC are the same: memory is freed by and by",
    "INFO": "what there is not here has no field; memory is the whole process's",
    "LATENCY": "events are command, fast-command, aof-fsync-always (the journal) and event-loop",
    "MONITOR": "shows requests as they arrive, those in a transaction when they are queued",
    "SLOWLOG": "small commands of one pipeline, or of one entry, share its time",
    "LASTSAVE": "of the newest snapshot",
    "MEMORY MALLOC-STATS, MEMORY PURGE": "as in a Redis without jemalloc",
    "MEMORY STATS": "the fields that are known here",
    "MEMORY USAGE": "an estimate of what Python takes",
    "MODULE LIST": "always empty",
    "OBJECT ENCODING": "of a string what Redis would choose if it were set anew: none is `raw` for having been changed",
    "OBJECT FREQ, OBJECT IDLETIME": "access times and frequencies are not kept: 0, and an error",
    "PFCOUNT": "a read: it leaves the string as it is, cached count included",
    "PUBLISH, SPUBLISH": "reaches the subscribers of all nodes, and answers how many there are on this one",
    "RANDOMKEY, SPOP, SRANDMEMBER, HRANDFIELD, ZRANDMEMBER": "other members than Redis's chance would choose",
    "ROLE": "offsets are indices of log entries",
    "SCAN, HSCAN, SSCAN, ZSCAN": "with Redis's guarantees; cursors and order are others",
    "SCRIPT FLUSH, SCRIPT LOAD": "on all nodes, through the log: a loaded script survives restarts",
    "SCRIPT KILL": "a script ends at its bound, alike everywhere; none is ever found running",
    "SHUTDOWN": "stops the node in good order; SAVE, NOSAVE, NOW and FORCE make no difference",
    "SWAPDB": "the same, with 16 databases as a fixed number",
    "WAIT": "followers that have this connection's writes on disk; a write's reply already means a majority has",
    "WAITAOF": "the first number is whether this node's own journal has them",
    "XADD": "the time in automatic ids is the cluster's",
}
"""Commands -> how they differ from Redis 7.2."""

HEAD: Final = """\
# Commands

Every command of Redis 7.2 and what becomes of it here; `tools/commands` writes this file from the command table.
*done*: the replies are Redis's, byte for byte, errors included, as far as tests beside a real Redis can tell. What is said of
where a command is decided: *log* by an item of the log, on every replica; *read* from the state, linearizable; *node* by the node
that is asked, alone.

"""


def _spread(groups: dict[str, str]) -> dict[str, str]:
    return {name.strip(): why for names, why in groups.items() for name in names.split(",")}


def _shown(row: Command) -> str:
    return row.name.replace("|", " ")


def _rows() -> Iterator[Command]:
    return chain.from_iterable((row, *row.subcommands.values()) for row in commands())


def text() -> str:
    """The document."""
    differing, absent = _spread(DIFFERING), _spread(ABSENT)
    rows = {_shown(row): row for row in _rows()}
    unknown = [name for name in differing if name not in rows]
    assert not unknown, f"no such commands: {unknown}"
    where = {Route.LOCAL: "node", Route.READ: "read", Route.WRITE: "log"}
    lines = []
    for name in sorted({*rows, *absent}):
        if name not in rows:
            lines.append(f"| {name} | absent | | {absent[name]} |")
            continue
        row = rows[name]
        if row.subcommands:
            continue
        state = "IronKV's own" if name.startswith(OF_OUR_OWN) else "differs" if name in differing else "done"
        note = differing.get(name, row.summary if state == "IronKV's own" else "")
        arguments = shape(row).replace("|", "\\|")
        lines.append(
            f"| {name}{' ' if arguments else ''}{_code(arguments)} | {state} | {where[row.route]} | {note} |"
        )
    counts = {state: sum(f"| {state} |" in line for line in lines) for state in ("done", "differs", "absent")}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    table = "| command | state | decided by | how, or why |\n|---|---|---|---|\n" + "\n".join(lines)
    return f"{HEAD}{summary}.\n\n{table}\n"


def _code(arguments: str) -> str:
    return f"`{arguments}`" if arguments else ""


OF_OUR_OWN: Final = ("IRONKV", "RAFT", "SENTINEL")

if __name__ == "__main__":
    print(text(), end="")

"""A connection and its node, as LOCAL commands see them.

The server implements both; commands must not import it (imports point towards pure code).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ironkv.commands.later import Later
from ironkv.keyspace.keyspace import Keyspace
from ironkv.resp.replies import Reply

if TYPE_CHECKING:
    from ironkv.commands.accounts import Accounts
    from ironkv.commands.latency import Latencies
    from ironkv.commands.slowlog import SlowLog
    from ironkv.commands.subscriptions import PubSub, Subscriptions
    from ironkv.commands.table import Args
    from ironkv.config import Settings


class Session(Protocol):
    """One client connection. LOCAL handlers get it as their first argument and may change it."""

    id: int
    user: bytes
    """Whose permissions it has; the default user's name before anybody has authenticated, too."""
    authenticated: bool
    name: bytes
    lib_name: bytes
    lib_version: bytes
    proto: int
    """2 or 3, set by HELLO."""
    db_index: int
    address: str
    """`host:port` of the client."""
    local_address: str
    fd: int
    created: float
    """Seconds on the node's monotonic clock (`NodeView.monotonic`)."""
    last_active: float
    replies: str
    """CLIENT REPLY: `on`, `off`, `skip` (leave out the next reply) or `skip-next`."""
    no_evict: bool
    no_touch: bool
    readonly: bool
    """READONLY: reads may be local and stale, as in Redis Cluster."""
    subscriptions: Subscriptions | None
    """None when it is subscribed to nothing; changed by `NodeView.pubsub` only."""
    closing: bool
    """Set it to close the connection once the replies so far are sent."""

    @property
    def blocked(self) -> bool:
        """Whether it waits for a `Later`, or for the end of a pause."""

    @property
    def last_command(self) -> str:
        """As CLIENT LIST shows it: `get`, `client|list`, or `NULL` before the first."""

    @property
    def node(self) -> NodeView: ...

    @property
    def last_write_index(self) -> int:
        """Index of the newest entry that held a write of this connection; 0 before the first."""

    def select(self, index: int) -> None:
        """Use database `index`, which exists."""

    def authenticate(self, user: bytes, password: bytes) -> bool:
        """Be this user from now on, if that is the password; a failure is noted."""

    def reset(self) -> None:
        """As a fresh connection, for RESET."""

    def push(self, wire: bytes, *, after_reply: bool = False) -> None:
        """Send something that is no reply; `after_reply`: once the present command has been answered."""

    def kill(self) -> None:
        """Close at once, dropping what is not sent yet."""

    def unblock(self, reply: Reply) -> bool:
        """End its waiting with this reply; whether it waits in a way that can be ended."""

    def propose(self, item: Args) -> Later:
        """Have a write logged; its reply follows. Raises NotAvailable on a node that does not lead."""

    def begin(self) -> None:
        """Queue what comes, until EXEC or DISCARD."""

    def discard(self) -> None:
        """Forget what is queued and what is watched."""

    in_exec: bool
    """A command of its transaction is being carried out: it must not wait."""

    @property
    def queued(self) -> int:
        """Requests queued since MULTI; -1 outside of a transaction."""

    @property
    def queued_bytes(self) -> int:
        """About what they take."""

    def watch(self, keys: list[bytes]) -> None:
        """Let EXEC do nothing if one of these keys is touched before. Raises NotAvailable."""

    def unwatch(self) -> None:
        """Forget what is watched."""

    @property
    def touched(self) -> bool:
        """Whether one of them was touched."""

    def buffer_sizes(self) -> tuple[int, int]:
        """Bytes (received but not parsed yet, waiting to be sent)."""

    largest_write: int
    """Bytes of replies sent at once so far, at most."""


class NodeView(Protocol):
    """What commands may know of the node."""

    settings: Settings
    keyspace: Keyspace
    accounts: Accounts
    run_id: str
    """40 hex digits, new at every start."""
    config_file: str
    version: str
    """IronKV's own."""
    recovered: float
    """How much of it is done: 0 to 1 (of the snapshot, then of the journal)."""
    commands_processed: int
    connections_received: int
    connections_rejected: int
    bytes_in: int
    bytes_out: int

    @property
    def loading(self) -> bool:
        """The state is being recovered from disk."""

    @property
    def limited_commands(self) -> int:
        """Requests refused for being too many a second."""

    @property
    def sessions(self) -> Mapping[int, Session]:
        """Connections by id."""

    @property
    def pubsub(self) -> PubSub:
        """Who is subscribed to what on this node. `pubsub.publish(channel, message)` is what PUBLISH does."""

    @property
    def errors(self) -> Mapping[str, int]:
        """Error replies by code, for INFO errorstats."""

    def blocking_keys(self) -> tuple[int, int]:
        """For how many keys clients wait; for how many of these also to hear that they are gone."""

    @property
    def slow_log(self) -> SlowLog: ...

    @property
    def latencies(self) -> Latencies: ...

    def monitor(self, session: Session) -> None:
        """Show it all requests of clients of this node, from now on."""

    def wait_replicas(self, index: int, replicas: int, timeout_ms: int) -> Reply | Later:
        """How many followers hold entry `index` durably, once that is `replicas` or time is up."""

    def wait_durable(self, index: int, local: int, replicas: int, timeout_ms: int) -> Reply | Later:
        """[1 if this node holds entry `index` durably, how many followers do], once that is as many or time
        is up."""

    @property
    def transferring(self) -> bool:
        """Whether this node is giving the leadership away."""

    def order_members(self, arguments: list[bytes]) -> Reply | Later:
        """ADD id host port cluster_port, PROMOTE id, REMOVE id, TRANSFER [id]: OK once it is done."""

    def transfer(self, member: str | None) -> None:
        """Give the leadership to that member, or to the best. Raises NotAvailable."""

    def stop(self) -> None:
        """Leave in good order."""

    def expire_actively(self, wanted: bool) -> None:
        """Whether this node logs a tick when deadlines have come and no command has met them."""

    def digest(self) -> bytes:
        """Names all that this node holds."""

    def reload(self) -> None:
        """Put all that is held into images, and hold what these give."""

    def pause_clients(self, timeout_ms: int, *, writes_only: bool) -> None:
        """Let requests of all clients wait, or writes only; 0 ends it."""

    def monotonic(self) -> float:
        """Seconds, for ages and idle times."""

    def clock_us(self) -> int:
        """The node's best knowledge of the time, in microseconds since the epoch."""

    def uptime_s(self) -> int: ...

    def rates(self) -> tuple[float, float, float]:
        """Lately, per second: commands, bytes in, bytes out."""

    def reset_statistics(self) -> None:
        """Begin all counters anew."""

    def change_settings(self, changes: Mapping[str, object]) -> None:
        """Change settings (`section.key`) and what depends on them: all or, with an error, none."""

    def rewrite_settings(self) -> None:
        """Write what was changed into the file the node was started with. Raises CommandError."""

    def raft_view(self) -> Mapping[str, Any]:
        """fresh (bool), role ('leader' | 'follower' | 'candidate'), term, leader (id or None), leader_address
        ((host, port) or None), last_leader (the newest that was known, or None), commit, applied, last_index,
        nodes (a list of dicts: id, host, port, role, match, lag_ms, online)."""

    def journal_view(self) -> Mapping[str, Any]:
        """bytes_used, bytes_mapped, first_index, last_index, writes, last_write_ms, loading (bool)."""

    def host_view(self) -> Mapping[str, object]:
        """What this machine gives the node, for INFO's section `host`: `node.surroundings`."""

    def snapshot_view(self) -> Mapping[str, Any]:
        """bytes_used, bytes_free, index, last_took_ms, last_bytes_written, in_progress (bool), progress
        (0 to 1), longest_slice_ms, saved_s (seconds since the epoch), error (None or why the last failed),
        changes_since (how much was done to keys), lacking (None or why there is no room), journal_waits
        (bool)."""

    def save(self) -> Later:
        """Take a snapshot of the state as it is now; OK or an error follows. Raises CommandError when one is
        under way already."""

    def backup(self) -> Later:
        """As `save`; [manifest, cluster, version] follows, for `backup_records`."""

    def backup_records(self, index: int, after: bytes) -> Later:
        """[key, record, …] of the snapshot that was taken for a backup, behind the key `after`."""

    def save_again(self) -> None:
        """Take another snapshot as soon as the one under way has ended."""

    def on_setting(self, name: str, apply: Callable[[], None]) -> None:
        """Have `apply` called after CONFIG SET changed the setting `name` (`section.key`)."""

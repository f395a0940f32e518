"""A connection and a node in memory, for commands that need no more of the world."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ironkv.commands import introspection, write_handlers  # noqa: F401  (importing fills the table)
from ironkv.commands.accounts import Accounts
from ironkv.commands.later import Later
from ironkv.commands.subscriptions import Subscriptions
from ironkv.commands.table import find
from ironkv.config import load
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Keyspace
from ironkv.resp.replies import Reply, encode
from ironkv.server.pubsub import PubSub
from tests.commands.wire import meaning


def _member(number: int, role: str, match: int, lag_ms: int | None, online: bool) -> dict[str, Any]:
    return {
        "id": f"node{number}", "host": f"10.0.0.{number}", "port": 7000 + number,
        "cluster_port": 6378 + 2 * number, "vote": "voter", "role": role, "match": match,
        "lag_ms": lag_ms, "online": online,
    }  # fmt: skip


MEMBERS = [
    _member(1, "leader", 41, None, True),
    _member(2, "follower", 38, 4, True),
    _member(3, "follower", 9, None, False),
]


class FakeNode:
    """Implements `commands.session.NodeView`: node1, which leads node2 and node3."""

    def __init__(self, *flags: str) -> None:
        self.settings = load(flags or ["--cluster"], {})
        self.keyspace = Keyspace()
        self.accounts = Accounts(self.keyspace, lambda: self.settings.server.requirepass)
        self.run_id = "ab" * 20
        self.config_file = ""
        self.version = "1.2.3"
        self.loading = False
        self.commands_processed = self.connections_received = self.connections_rejected = 0
        self.bytes_in = self.bytes_out = self.limited_commands = 0
        self.sessions: dict[int, FakeSession] = {}
        self.errors: Counter[str] = Counter()
        self.now_s = 1000.0
        self.recovered = 0.5
        self.raft: dict[str, Any] = {
            "fresh": False,
            "role": "leader", "term": 3, "leader": "node1", "leader_address": ("10.0.0.1", 7001),
            "last_leader": "node1",
            "commit": 40, "applied": 40, "last_index": 41, "nodes": MEMBERS,
        }  # fmt: skip
        self.applied_settings: list[str] = []
        self.transferred_to: list[str | None] = []
        self.stopped = False
        self.pubsub = PubSub(lambda: None, has_peers=False)

    def follow(self, leader: str | None) -> None:
        """Be a follower, of `leader` or of nobody that is known."""
        address = next(((m["host"], m["port"]) for m in MEMBERS if m["id"] == leader), None)
        self.raft |= {"role": "follower", "leader": leader, "leader_address": address}
        self.raft["last_leader"] = leader or self.raft["last_leader"]

    def blocking_keys(self) -> tuple[int, int]:
        return 2, 1

    def wait_durable(self, index: int, local: int, replicas: int, timeout_ms: int) -> Reply | Later:
        return [1, 2]

    transferring = False

    def transfer(self, member: str | None) -> None:
        self.transferred_to.append(member)

    def stop(self) -> None:
        self.stopped = True

    def expire_actively(self, wanted: bool) -> None:
        raise NotImplementedError

    def digest(self) -> bytes:
        return bytes(16)

    def reload(self) -> None:
        raise NotImplementedError

    def wait_replicas(self, index: int, replicas: int, timeout_ms: int) -> Reply | Later:
        return 2

    def monotonic(self) -> float:
        return self.now_s

    def clock_us(self) -> int:
        return 1_700_000_000_123_456

    def uptime_s(self) -> int:
        return 100_000

    def rates(self) -> tuple[float, float, float]:
        return 12.4, 2048.0, 1024.0

    def reset_statistics(self) -> None:
        self.commands_processed = 0

    def change_settings(self, changes: Mapping[str, object]) -> None:
        self.settings.change(changes)
        self.applied_settings += changes

    def rewrite_settings(self) -> None:
        raise NotImplementedError

    def raft_view(self) -> Mapping[str, Any]:
        return self.raft

    def journal_view(self) -> Mapping[str, Any]:
        return {
            "bytes_used": 8192, "bytes_mapped": 1 << 30, "first_index": 1, "last_index": 41, "writes": 17,
            "last_write_ms": 0.4, "loading": self.loading,
        }  # fmt: skip

    def snapshot_view(self) -> Mapping[str, Any]:
        return {
            "bytes_used": 4096, "bytes_free": 0, "index": 30, "last_took_ms": 1500,
            "last_bytes_written": 2048,
            "in_progress": False, "progress": 0.0, "longest_slice_ms": 0.5, "saved_s": 1_700_000_000,
            "error": None, "changes_since": 11, "lacking": None, "journal_waits": False,
        }  # fmt: skip

    def host_view(self) -> Mapping[str, object]:
        return {"cores": 2}

    def save(self) -> Later:
        raise NotImplementedError

    def backup(self) -> Later:
        raise NotImplementedError

    def backup_records(self, index: int, after: bytes) -> Later:
        raise NotImplementedError

    def save_again(self) -> None:
        raise NotImplementedError

    def on_setting(self, name: str, apply: Callable[[], None]) -> None:
        raise NotImplementedError


_ids = itertools.count(7)


class FakeSession:
    """Implements `commands.session.Session`."""

    def __init__(self, node: FakeNode | None = None) -> None:
        self.node = node or FakeNode()
        self.id = next(_ids)
        self.user, self.authenticated = b"default", True
        self.name = self.lib_name = self.lib_version = b""
        self.proto = 2
        self.db_index = 0
        self.address = f"127.0.0.1:{50_000 + self.id}"
        self.local_address = "127.0.0.1:6379"
        self.fd = 11
        self.created = self.last_active = self.node.now_s
        self.replies = "on"
        self.no_evict = self.no_touch = self.readonly = self.closing = self.blocked = False
        self.in_exec = False
        self.queued, self.queued_bytes, self.touched = -1, 0, False
        self.last_command = "NULL"
        self.last_write_index = self.largest_write = 0
        self.killed = False
        self.subscriptions: Subscriptions | None = None
        self.pushed: list[bytes] = []
        self.proposed: list[list[bytes]] = []
        self.node.sessions[self.id] = self

    def propose(self, item: list[bytes]) -> Later:
        self.proposed.append(item)
        return Later()

    def authenticate(self, user: bytes, password: bytes) -> bool:
        return self.node.accounts.accepts(user, password)

    def select(self, index: int) -> None:
        self.db_index = index

    def reset(self) -> None:
        self.name = b""
        self.proto = 2
        self.db_index = 0
        self.replies = "on"
        self.no_evict = self.no_touch = self.readonly = False

    def push(self, wire: bytes, *, after_reply: bool = False) -> None:
        self.pushed.append(wire)

    def kill(self) -> None:
        self.killed = self.closing = True
        del self.node.sessions[self.id]

    def buffer_sizes(self) -> tuple[int, int]:
        return 10, 20

    def reply(self, args: list[bytes]) -> Reply:
        """The reply to a command, an error included."""
        try:
            row = find(args)
            self.last_command = row.lower_name
            return row.handler(self, args)
        except CommandError as error:
            return error

    def ask(self, args: list[bytes]) -> bytes:
        """The bytes of the reply to a command."""
        return encode(self.reply(args), self.proto)

    def do(self, line: str) -> Any:
        """What the reply to a command in one line means; `␣` stands for a blank in a word."""
        return meaning(self.ask([word.replace("␣", " ").encode() for word in line.split()]))

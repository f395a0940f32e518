"""Redis's configuration parameters: which of them are settings here, and what is true of the others.

    Changeable   a setting that CONFIG SET changes; its bounds are the setting's own
    Threshold    a size from which on values are held otherwise: the cluster's, changed through the log
    Fixed        what cannot be otherwise here: CONFIG SET takes the same value only, or none at all

A setting without a counterpart in Redis shows under its own name, such as `raft.heartbeat_ms`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ironkv.commands.acl_rules import hashed
from ironkv.commands.arguments import integer
from ironkv.commands.encodings import SIZES, Size
from ironkv.errors import NotInteger
from ironkv.keyspace.keyspace import Keyspace

if TYPE_CHECKING:
    from ironkv.commands.accounts import Accounts
    from ironkv.config import Settings

_UNITS: Final = {
    "": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30,
}  # fmt: skip
_memory_of = re.compile(r"(\d{1,18})([a-z]*)\Z", re.ASCII).match

IMMUTABLE: Final = "can't set immutable config"


class Refused(Exception):
    """A value that a parameter cannot have; the message is Redis's."""


class Parameter:
    """A parameter and how to read it."""

    immutable = False
    """Not even its present value may be set."""

    def __init__(self, read: Callable[[Settings], str]) -> None:
        self.read = read

    def must_be(self, text: str, settings: Settings) -> None:
        """Accept only what holds anyway. Raises Refused."""
        if text.lower() != self.read(settings).lower():
            raise Refused(IMMUTABLE)


class Fixed(Parameter):
    """What is true of every node, whatever its settings."""

    def __init__(self, value: str, *also: str) -> None:
        super().__init__(lambda settings: value)
        self._spellings = {value, *also}

    def must_be(self, text: str, settings: Settings) -> None:
        if text.lower() not in self._spellings:
            raise Refused(IMMUTABLE)


class Immutable(Parameter):
    """As in Redis: set at start, and never again."""

    immutable = True


class Changeable(Parameter):
    """The setting `key`; its kind says how CONFIG writes and reads it."""

    def __init__(self, key: str) -> None:
        super().__init__(lambda settings: self.shown(settings.value(key)))
        self.key = key

    def shown(self, value: Any) -> str:
        return str(value)

    def changes(self, text: str, settings: Settings) -> dict[str, object]:
        """What to change: settings and their new values. Raises Refused."""
        return {self.key: self.parse(text, settings)}

    def parse(self, text: str, settings: Settings) -> object:
        """The setting's new value. Raises Refused."""
        try:
            number = integer(text.encode("utf-8", "surrogateescape"))
        except NotInteger:
            raise Refused("argument couldn't be parsed into an integer") from None
        return self._bounded(number, settings)

    def _bounded(self, number: int, settings: Settings) -> int:
        section, _, name = self.key.partition(".")
        metadata = type(getattr(settings, section)).model_fields[name].metadata
        low, high = (
            next(getattr(item, bound) for item in metadata if hasattr(item, bound)) for bound in ("ge", "le")
        )
        if not low <= number <= high:
            raise Refused(f"argument must be between {low} and {high} inclusive")
        return number


class Threshold(Parameter):
    """A size from which on values are held otherwise: state, not a setting."""

    def __init__(self, size: Size) -> None:
        super().__init__(lambda settings: "")
        self.size = size

    def shown_in(self, keyspace: Keyspace) -> str:
        return str(getattr(keyspace.thresholds, self.size.field))

    def parse(self, text: str) -> int:
        """The new value. Raises Refused."""
        low, high = self.size.low, self.size.high
        try:
            number = _bytes(text) if self.size.in_bytes else integer(text.encode("utf-8", "surrogateescape"))
        except NotInteger:
            raise Refused("argument couldn't be parsed into an integer") from None
        if not low <= number <= high:
            raise Refused(f"argument must be between {low} and {high} inclusive")
        return number


class Memory(Changeable):
    """A number of bytes, which may have a unit."""

    def parse(self, text: str, settings: Settings) -> object:
        return self._bounded(_bytes(text), settings)


def _bytes(text: str) -> int:
    match = _memory_of(text.lower())
    if match is None or match[2] not in _UNITS:
        raise Refused("argument must be a memory value")
    return int(match[1]) * _UNITS[match[2]]


class LogLevel(Changeable):
    """Redis has a level between `debug` and `notice`, and no word for errors only."""

    WORDS: Final = {"debug": "debug", "verbose": "info", "notice": "info", "warning": "warning"}
    SHOWN: Final = {"debug": "debug", "info": "notice", "warning": "warning", "error": "warning"}

    def shown(self, value: Any) -> str:
        return self.SHOWN[value]

    def parse(self, text: str, settings: Settings) -> object:
        level = self.WORDS.get(text.lower())
        if level is None:
            raise Refused(f"argument(s) must be one of the following: {', '.join(self.WORDS)}")
        return level


class OutputLimit(Changeable):
    """`class hard-limit soft-limit soft-seconds` for `normal`, which has no soft limit, and for `pubsub`.

    No node is a client of another, so the class `replica` bounds nothing: it is taken, and shown as Redis's
    default, because many a script sets all three.
    """

    PUBSUB: Final = ("limits.pubsub_output_hard", "limits.pubsub_output_soft", "limits.pubsub_output_soft_s")

    def __init__(self) -> None:
        super().__init__("limits.client_output_buffer_limit")
        self.read = self._read

    def _read(self, settings: Settings) -> str:
        pubsub = " ".join(str(settings.value(key)) for key in self.PUBSUB)
        return f"normal {settings.value(self.key)} 0 0 slave 268435456 67108864 60 pubsub {pubsub}"

    def changes(self, text: str, settings: Settings) -> dict[str, object]:
        words = text.lower().split()
        if len(words) % 4:
            raise Refused("Wrong number of arguments in buffer limit configuration.")
        found: dict[str, object] = {}
        for place in range(0, len(words), 4):
            name, *numbers = words[place : place + 4]
            if name not in ("normal", "pubsub", "slave", "replica"):
                raise Refused("Invalid client class specified in buffer limit configuration.")
            limits = self._limits(numbers)
            if name == "pubsub":
                found |= zip(self.PUBSUB, limits, strict=True)
            elif name == "normal" and any(limits[1:]):
                raise Refused("`normal` has no soft limit: its last two numbers must be 0")
            elif name == "normal":
                found[self.key] = limits[0]
        return found

    @staticmethod
    def _limits(numbers: list[str]) -> list[int]:
        """Bytes, bytes, seconds."""
        with contextlib.suppress(Refused, NotInteger, UnicodeEncodeError):
            limits = [_bytes(numbers[0]), _bytes(numbers[1]), integer(numbers[2].encode())]
            if max(limits[:2]) <= 1 << 40 and 0 <= limits[2] < 1 << 31:
                return limits
        raise Refused("Error in hard, soft or soft_seconds setting in buffer limit configuration.")


class YesNo(Changeable):
    """A setting that is on or off."""

    def shown(self, value: Any) -> str:
        return "yes" if value else "no"

    def parse(self, text: str, settings: Settings) -> object:
        if text.lower() not in ("yes", "no"):
            raise Refused("argument must be 'yes' or 'no'")
        return text.lower() == "yes"


class File(Changeable):
    """The name of a file."""

    def parse(self, text: str, settings: Settings) -> object:
        return text


class Choice(Changeable):
    """One of some words."""

    def __init__(self, key: str, *words: str) -> None:
        super().__init__(key)
        self._words = words

    def parse(self, text: str, settings: Settings) -> object:
        for word in self._words:
            if word.lower() == text.lower():
                return word
        raise Refused(f"argument(s) must be one of the following: {', '.join(self._words)}")


class Password(Parameter):
    """The default user's, so the cluster's: CONFIG SET logs it, as a hash."""

    def __init__(self) -> None:
        super().__init__(lambda settings: settings.server.requirepass)

    def shown_to(self, accounts: Accounts) -> str:
        return accounts.password_shown()

    def rule(self, text: str) -> list[bytes]:
        """The words of ACL SETUSER that set it."""
        return [b"resetpass", b"#" + hashed(text.encode("utf-8", "surrogateescape")) if text else b"nopass"]


class EventClasses(Changeable):
    """notify-keyspace-events, shown in Redis's order (keyspaceEventsFlagsToString)."""

    def shown(self, value: Any) -> str:
        if "A" in value or set("g$lshzxetd") <= set(value):
            return "A" + "".join(letter for letter in "KEm" if letter in value)
        return "".join(letter for letter in "g$lshzxetdnKEm" if letter in value)

    def parse(self, text: str, settings: Settings) -> object:
        if not set(text) <= set("Ag$lshzxeKEtmdn"):
            raise Refused("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
        return text


def _setting(key: str) -> Callable[[Settings], str]:
    def read(settings: Settings) -> str:
        value = settings.value(key)
        return ("yes" if value else "no") if isinstance(value, bool) else str(value)

    return read


PARAMETERS: Final[dict[str, Parameter]] = {
    **{name: Threshold(size) for name, size in SIZES.items()},
    "appendfsync": Fixed("always"),
    "appendonly": Fixed("yes"),
    "bind": Immutable(_setting("server.bind")),
    "client-output-buffer-limit": OutputLimit(),
    "client-query-buffer-limit": Memory("limits.client_query_buffer_limit"),
    "cluster-enabled": Immutable(lambda settings: "no"),
    "daemonize": Immutable(lambda settings: "no"),
    "databases": Immutable(lambda settings: "16"),
    "dir": Immutable(_setting("node.data_dir")),
    "enable-debug-command": Immutable(_setting("server.enable_debug_command")),
    "latency-monitor-threshold": Changeable("latency.monitor_threshold_ms"),
    "loglevel": LogLevel("log.level"),
    "maxclients": Changeable("limits.maxclients"),
    "maxmemory": Memory("limits.maxmemory"),
    "maxmemory-policy": Fixed("noeviction"),
    "notify-keyspace-events": EventClasses("server.notify_keyspace_events"),
    "port": Immutable(_setting("server.port")),
    "proto-max-bulk-len": Memory("limits.proto_max_bulk_len"),
    "replica-read-only": Fixed("yes"),
    "replicaof": Immutable(lambda settings: ""),
    "protected-mode": YesNo("server.protected_mode"),
    "requirepass": Password(),
    "limits.rate_limit_address_commands": Changeable("limits.rate_limit_address_commands"),
    "limits.rate_limit_address_bytes": Memory("limits.rate_limit_address_bytes"),
    "limits.rate_limit_user_commands": Changeable("limits.rate_limit_user_commands"),
    "limits.rate_limit_user_bytes": Memory("limits.rate_limit_user_bytes"),
    "limits.rate_limit_burst": Changeable("limits.rate_limit_burst"),
    "acllog-max-len": Changeable("limits.acllog_max_len"),
    "aclfile": Immutable(lambda settings: ""),
    "save": Fixed(""),
    "slowlog-log-slower-than": Changeable("slowlog.log_slower_than"),
    "slowlog-max-len": Changeable("slowlog.max_len"),
    "tcp-keepalive": Changeable("server.tcp_keepalive"),
    "timeout": Changeable("server.timeout"),
    "unixsocket": Immutable(lambda settings: ""),
    "http.bind": Immutable(_setting("http.bind")),
    "http.enabled": Immutable(_setting("http.enabled")),
    "http.port": Immutable(_setting("http.port")),
    "http.tls": Immutable(_setting("http.tls")),
    "cluster.enabled": Immutable(_setting("cluster.enabled")),
    "tls-port": Immutable(_setting("tls.port")),
    "tls-cert-file": File("tls.cert_file"),
    "tls-key-file": File("tls.key_file"),
    "tls-ca-cert-file": File("tls.ca_cert_file"),
    "tls-auth-clients": Choice("tls.auth_clients", "no", "yes", "optional"),
    "tls-cluster": Immutable(_setting("tls.cluster")),
    "tls.min_version": Choice("tls.min_version", "TLSv1.2", "TLSv1.3"),
    "cluster.secret": Immutable(lambda settings: "***" if settings.cluster.secret else ""),
    "cluster.secret_file": Immutable(_setting("cluster.secret_file")),
    "cluster.name": Immutable(_setting("cluster.name")),
    "cluster.join": Immutable(_setting("cluster.join")),
    "cluster.port": Immutable(_setting("cluster.port")),
    "journal.map_size": Immutable(_setting("journal.map_size")),
    "journal.sync": Immutable(_setting("journal.sync")),
    "limits.max_proposal_bytes": Memory("limits.max_proposal_bytes"),
    "log.format": Immutable(_setting("log.format")),
    "node.id": Immutable(_setting("node.id")),
    "raft.election_timeout_ms": Immutable(_setting("raft.election_timeout_ms")),
    "raft.heartbeat_ms": Immutable(_setting("raft.heartbeat_ms")),
    "raft.reads": Immutable(_setting("raft.reads")),
    "disk.quota": Immutable(_setting("disk.quota")),
    "disk.reserve": Immutable(_setting("disk.reserve")),
    "snapshot.entries": Changeable("snapshot.entries"),
    "snapshot.every_s": Changeable("snapshot.every_s"),
    "snapshot.journal_bytes": Memory("snapshot.journal_bytes"),
    "snapshot.keep": Immutable(_setting("snapshot.keep")),
    "snapshot.keep_bytes": Memory("snapshot.keep_bytes"),
    "snapshot.keep_entries": Changeable("snapshot.keep_entries"),
    "snapshot.recover": Immutable(_setting("snapshot.recover")),
    "server.on_follower_write": Immutable(_setting("server.on_follower_write")),
}

ALIASES: Final = {
    "hash-max-ziplist-entries": "hash-max-listpack-entries",
    "hash-max-ziplist-value": "hash-max-listpack-value",
    "list-max-ziplist-size": "list-max-listpack-size",
    "slave-read-only": "replica-read-only",
    "slaveof": "replicaof",
    "zset-max-ziplist-entries": "zset-max-listpack-entries",
    "zset-max-ziplist-value": "zset-max-listpack-value",
}

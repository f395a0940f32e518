"""CONFIG: real settings under Redis's names, and the truth about what cannot be set."""

from __future__ import annotations

import pytest

from ironkv.commands.configuration import config_set
from ironkv.commands.later import Later
from ironkv.commands.parameters import ALIASES, PARAMETERS, OutputLimit
from ironkv.config import Settings
from ironkv.keyspace.thresholds import Thresholds
from ironkv.refusals import keys
from tests.commands.fakes import FakeSession
from tests.commands.oracle import Oracle
from tests.commands.wire import meaning


def pairs(flat: list[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}


def get(session: FakeSession, *patterns: str) -> dict[str, str]:
    return pairs(session.do(f"CONFIG GET {' '.join(patterns)}"))


# -- GET


def test_what_redis_benchmark_asks() -> None:
    assert get(FakeSession(), "save") == {"save": ""}
    assert get(FakeSession(), "appendonly") == {"appendonly": "yes"}


def test_names_patterns_and_several() -> None:
    session = FakeSession()
    assert get(session, "maxclients") == {"maxclients": "10000"}
    assert get(session, "MaxClients") == {"MaxClients": "10000"}, "as it was asked for"
    assert get(session, "maxm*") == {"maxmemory": "0", "maxmemory-policy": "noeviction"}
    assert get(session, "MAXM?MORY", "port", "nonsense") == {"maxmemory": "0", "port": "6379"}
    assert list(get(session, "*")) == [*PARAMETERS, *ALIASES]
    assert set(get(session, "*ziplist*")) == {alias for alias in ALIASES if "ziplist" in alias}
    session.proto = 3
    assert session.do("CONFIG GET timeout nonsense") == {b"timeout": b"0"}


def test_the_defaults_are_those_of_redis(oracle: Oracle) -> None:
    ours = get(FakeSession(), "*")
    theirs = pairs(meaning(oracle.ask([b"CONFIG", b"GET", b"*"])))
    same = {
        "client-query-buffer-limit", "databases", "maxclients", "maxmemory", "maxmemory-policy",
        "notify-keyspace-events", "proto-max-bulk-len", "replica-read-only", "requirepass", "tcp-keepalive",
        "timeout",
    }  # fmt: skip
    same |= {
        name for name in ours if name in theirs and ("-max-" in name or name.startswith(("list-", "stream-")))
    }
    assert "hash-max-listpack-entries" in same
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    new_in_7_2 = {"set-max-listpack-entries", "set-max-listpack-value"}
    named = {name for name in ours if "." not in name}
    assert named - new_in_7_2 <= set(theirs), "no name that Redis does not know"


def test_how_values_are_held_is_changed_through_the_log() -> None:
    session = FakeSession()
    assert get(session, "hash-max-ziplist-entries") == {"hash-max-ziplist-entries": "512"}
    assert get(session, "set-max-listpack-*") == {
        "set-max-listpack-entries": "128",
        "set-max-listpack-value": "64",
    }
    session.node.keyspace.thresholds = Thresholds(zset_value=9)
    assert get(session, "zset-max-ziplist-value") == {"zset-max-ziplist-value": "9"}
    args = [
        b"CONFIG",
        b"SET",
        b"zset-max-ziplist-value",
        b"1kb",
        b"timeout",
        b"7",
        b"list-max-listpack-size",
        b"-5",
    ]
    assert type(config_set(session, args)) is Later
    sizes = [b"zset-max-listpack-value", b"1024", b"list-max-listpack-size", b"-5"]
    assert session.proposed == [[b"IRONKV", b"THRESHOLDS", *sizes]]
    assert get(session, "timeout") == {"timeout": "7"}
    session.in_exec = True
    assert "in a transaction" in str(session.do("CONFIG SET hash-max-listpack-entries 0"))


@pytest.mark.parametrize(
    "line",
    [
        "hash-max-listpack-entries -1", "hash-max-listpack-entries x", "list-compress-depth -1",
        "list-max-listpack-size 2147483648", "hll-sparse-max-bytes x", "stream-node-max-entries -1",
    ],
)  # fmt: skip
def test_sizes_are_refused_as_in_redis(oracle: Oracle, line: str) -> None:
    session = FakeSession()
    args = [b"CONFIG", b"SET", *line.encode().split()]
    assert session.ask(args) == oracle.ask(args)
    assert not session.proposed


def test_every_setting_can_be_seen() -> None:
    redis_names = {
        **dict.fromkeys(OutputLimit.PUBSUB, "client-output-buffer-limit"),
        "node.data_dir": "dir", "server.bind": "bind", "server.port": "port", "server.timeout": "timeout",
        "server.tcp_keepalive": "tcp-keepalive", "log.level": "loglevel", "cluster.nodes": "",
        "slowlog.log_slower_than": "slowlog-log-slower-than", "slowlog.max_len": "slowlog-max-len",
        "latency.monitor_threshold_ms": "latency-monitor-threshold", "http.token": "",
        **{f"tls.{name}": f"tls-{name.replace('_', '-')}" for name in
           ("port", "cert_file", "key_file", "ca_cert_file", "auth_clients", "cluster")},
    }  # fmt: skip
    for key in keys(Settings):
        name = redis_names.get(key, key if key in PARAMETERS else key.partition(".")[2].replace("_", "-"))
        assert name in PARAMETERS or not name, key


# -- SET


def test_set_several_at_once() -> None:
    session = FakeSession()
    line = "CONFIG SET maxclients 100 TIMEOUT 30 tcp-keepalive 0 proto-max-bulk-len 1mb loglevel debug"
    assert session.do(line) == b"OK"
    settings = session.node.settings
    assert settings.limits.maxclients == 100
    assert (settings.server.timeout, settings.server.tcp_keepalive) == (30, 0)
    assert (settings.limits.proto_max_bulk_len, settings.log.level) == (1 << 20, "debug")
    assert session.node.applied_settings == [
        "limits.maxclients", "server.timeout", "server.tcp_keepalive", "limits.proto_max_bulk_len",
        "log.level",
    ]  # fmt: skip
    assert get(session, "proto-max-bulk-len", "loglevel") == {
        "proto-max-bulk-len": "1048576",
        "loglevel": "debug",
    }


def test_all_or_none() -> None:
    session = FakeSession()
    for line in (
        "CONFIG SET maxclients 7 timeout x",
        "CONFIG SET maxclients 7 foo 1",
        "CONFIG SET maxclients 7 port 1",
    ):
        assert str(session.do(line)).startswith("ERR ")
    assert session.node.settings.limits.maxclients == 10_000
    assert session.node.applied_settings == []


@pytest.mark.parametrize(
    ("shown", "level"),
    [("debug", "debug"), ("verbose", "info"), ("notice", "info"), ("WARNING", "warning")],
)
def test_log_levels(shown: str, level: str) -> None:
    session = FakeSession()
    assert session.do(f"CONFIG SET loglevel {shown}") == b"OK"
    assert session.node.settings.log.level == level


def test_output_limit() -> None:
    session = FakeSession()
    session.node.settings.change({"limits.client_output_buffer_limit": 0})
    args = [b"CONFIG", b"SET", b"client-output-buffer-limit", b"normal 1mb 0 0"]
    assert session.ask(args) == b"+OK\r\n"
    assert session.node.settings.limits.client_output_buffer_limit == 1 << 20
    pubsub = "slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    assert get(session, "client-output-buffer-limit") == {
        "client-output-buffer-limit": f"normal 1048576 0 0 {pubsub}"
    }
    args[3] = b"Pubsub 2mb 64k 7 normal 0 0 0 replica 1gb 512mb 30"
    assert session.ask(args) == b"+OK\r\n"
    limits = session.node.settings.limits
    found = limits.pubsub_output_hard, limits.pubsub_output_soft, limits.pubsub_output_soft_s
    assert (found, limits.client_output_buffer_limit) == ((2 << 20, 64_000, 7), 0)


@pytest.mark.parametrize("flags", ["", "KEA", "AKEmn", "K$", "xE", "g$lshzxetdK", "nmEtlK", "KKgg", "E"])
def test_event_classes_are_shown_as_redis_shows_them(oracle: Oracle, flags: str) -> None:
    session = FakeSession()
    wanted = [b"CONFIG", b"SET", b"notify-keyspace-events", flags.encode()]
    shown = [b"CONFIG", b"GET", b"notify-keyspace-events"]
    try:
        for args in (wanted, shown):
            assert session.ask(args) == oracle.ask(args)
    finally:
        oracle.ask([*wanted[:3], b""])


@pytest.mark.parametrize(
    "name", ["appendonly yes", "appendfsync always", "maxmemory 0", "maxmemory-policy noeviction"]
)
def test_what_holds_anyway_may_be_set(name: str) -> None:
    assert FakeSession().do(f"CONFIG SET {name}") == b"OK"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("appendonly no", "(possibly related to argument 'appendonly') - can't set immutable config"),
        ("appendfsync everysec", "(possibly related to argument 'appendfsync') - can't set immutable config"),
        ("maxmemory-policy allkeys-lru",
         "(possibly related to argument 'maxmemory-policy') - can't set immutable config"),
        ("save 60␣1", "(possibly related to argument 'save') - can't set immutable config"),
        ("notify-keyspace-events KEQ",
         "(possibly related to argument 'notify-keyspace-events') - Invalid event class character. "
         "Use 'Ag$lshzxeKEtmdn'."),
        ("port 7000", "(possibly related to argument 'port') - can't set immutable config"),
        ("raft.heartbeat_ms 50",
         "(possibly related to argument 'raft.heartbeat_ms') - can't set immutable config"),
        ("maxclients 0",
         "(possibly related to argument 'maxclients') - argument must be between 1 and 1000000 inclusive"),
        ("proto-max-bulk-len 1gb",
         "(possibly related to argument 'proto-max-bulk-len') - argument must be between 1048576 and "
         "536870912 inclusive"),
    ],
)  # fmt: skip
def test_what_is_refused_otherwise_than_by_redis(line: str, text: str) -> None:
    assert FakeSession().do(f"CONFIG SET {line}") == f"ERR CONFIG SET failed {text}"


@pytest.mark.parametrize(
    "line",
    [
        "CONFIG", "CONFIG FOO", "CONFIG GET", "CONFIG SET maxclients", "CONFIG SET",
        "CONFIG SET maxclients 1 timeout",
        "CONFIG SET foo 1", "CONFIG SET timeout 1 foo 1", "CONFIG SET foo 1 bar 2", "CONFIG SET timeout x",
        "CONFIG SET timeout -1", "CONFIG SET timeout 1 timeout 2", "CONFIG SET timeout 99999999999",
        "CONFIG SET proto-max-bulk-len x", "CONFIG SET databases 3", "CONFIG SET databases 16",
        "CONFIG SET loglevel loud", "CONFIG RESETSTAT x", "CONFIG RESETSTAT", "CONFIG REWRITE",
        "CONFIG HELP x",
        "CONFIG SET databases 3 foo 1", "CONFIG SET maxclients abc", "CONFIG SET tcp-keepalive -5",
    ],
)  # fmt: skip
def test_the_same_reply_as_from_redis(oracle: Oracle, line: str) -> None:
    args = line.encode().split()
    assert FakeSession().ask(args) == oracle.ask(args)
    oracle.ask([b"CONFIG", b"SET", b"timeout", b"0"])


def test_resetstat() -> None:
    session = FakeSession()
    session.node.commands_processed = 5
    assert session.do("CONFIG RESETSTAT") == b"OK"
    assert session.node.commands_processed == 0

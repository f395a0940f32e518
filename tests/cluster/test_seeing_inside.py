"""SLOWLOG, LATENCY, MONITOR and INFO's statistics, of a real node: what is told is what was done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from ironkv.tools.client import Client, ErrorReply
from ironkv.tools.cluster import ThrowawayCluster, wait_for

SLOW_SCRIPT = "local n = 0 for i = 1, 3000000 do n = n + i end return n"
"""Some tens of milliseconds, on any machine."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(1, parent=tmp_path_factory.mktemp("inside")) as running:
        yield running


Connect = Callable[[], Client]


@pytest.fixture
def connect(node: ThrowawayCluster) -> Connect:
    return lambda: node.nodes[0].connect(60)


@pytest.fixture
def client(connect: Connect) -> Iterator[Client]:
    with connect() as client:
        client.call("FLUSHALL")
        client.call("CONFIG", "SET", "slowlog-log-slower-than", 10_000, "latency-monitor-threshold", 0)
        client.call("CONFIG", "SET", "slowlog-max-len", 128)
        client.call("CONFIG", "RESETSTAT")
        client.call("SLOWLOG", "RESET")
        client.call("LATENCY", "RESET")
        yield client


def info(client: Client, section: str) -> str:
    text = client.call("INFO", section)
    assert isinstance(text, bytes)
    return text.decode()


def statistics(client: Client) -> dict[str, dict[str, float]]:
    """INFO commandstats, by command."""
    return {
        name: {key: float(value) for key, value in (pair.split("=") for pair in fields.split(","))}
        for name, fields in re.findall(r"cmdstat_([^:]+):(\S+)", info(client, "commandstats"))
    }


def calls(client: Client, *names: str) -> list[int]:
    found = statistics(client)
    return [int(found[name]["calls"]) if name in found else 0 for name in names]


def test_every_call_is_counted_once_however_it_came(client: Client) -> None:
    client.call("SET", "a", 1)
    client.pipeline([["SET", "a", str(n)] for n in range(20)])
    client.pipeline(
        [["set", "a", "1"], ["GET", "a"], ["get", "a"], ["LPUSH", "l", "x"], ["LRANGE", "l", "0", "-1"]]
    )
    client.pipeline([["GET", "a"]] * 16)
    client.pipeline([["MULTI"], ["SET", "b", "1"], ["LPUSH", "l", "y"], ["EXEC"]])
    client.call("CONFIG", "GET", "port")
    names = ["set", "get", "lpush", "lrange", "exec", "multi", "config|get"]
    assert dict(zip(names, calls(client, *names), strict=True)) == {
        "set": 23, "get": 18, "lpush": 2, "lrange": 1, "exec": 1, "multi": 1, "config|get": 1
    }  # fmt: skip


def test_what_scripts_call_is_counted(client: Client) -> None:
    """That of other nodes' clients is not, and what memory is lacking for is refused."""
    script = "redis.call('SET',KEYS[1],0) redis.pcall('LPUSH',KEYS[1],1) redis.call('GET',KEYS[1])"
    client.call("EVAL", script, 1, "a")
    client.call("EVAL_RO", "redis.call('GET',KEYS[1])", 1, "a")
    assert calls(client, "eval", "set", "lpush", "get") == [1, 1, 1, 2]
    client.call("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(ErrorReply, match="OOM"):
        client.call("EVAL", script, 1, "a")
    client.call("CONFIG", "SET", "maxmemory", 0)
    found = statistics(client)
    assert (found["set"]["rejected_calls"], found["lpush"]["failed_calls"]) == (1, 1)
    assert (found["eval"]["calls"], found["eval"]["failed_calls"]) == (2, 1)


def test_what_had_to_wait_is_counted_once(client: Client, connect: Connect) -> None:
    """A BLPOP that waits holds up what comes behind it; that is taken up again later."""
    client.send(["BLPOP", "later", "0"], ["GET", "a"], ["SET", "a", "1"], ["GET", "a"])
    with connect() as other:
        wait_for(lambda: "blocked_clients:1" in info(other, "clients"), "it waits")
        other.call("RPUSH", "later", "x")
    assert [client.read() for _ in range(4)] == [[b"later", b"x"], None, "OK", b"1"]
    assert calls(client, "get", "set", "rpush") == [2, 1, 1]
    assert calls(client, "blpop") == [2], "it was tried, and tried again"


def test_refused_and_failed_calls_are_told_apart(client: Client) -> None:
    client.call("SET", "text", "x")
    client.pipeline([["LPUSH", "text", "y"], ["INCR", "text"], ["LLEN", "text"], ["GET"], ["GET", "l", "m"]])
    client.pipeline([["NO", "SUCH"], ["CONFIG", "SET", "port", "1"]])
    found = statistics(client)
    assert (
        found["lpush"]["failed_calls"] == found["incr"]["failed_calls"] == found["llen"]["failed_calls"] == 1
    )
    assert found["get"]["rejected_calls"] == 2
    assert found["get"]["failed_calls"] == 0
    assert found["config|set"]["failed_calls"] == 1
    assert "no" not in found, "names that clients make up are not kept: there is no end of them"


def test_times_add_up(client: Client) -> None:
    client.call("EVAL", SLOW_SCRIPT, 0)
    script = statistics(client)["eval"]
    assert script["calls"] == 1
    assert script["usec"] == pytest.approx(script["usec_per_call"], abs=1)
    assert script["usec"] > 1000
    percentiles = re.search(r"percentiles_usec_eval:p50=([\d.]+),p99=([\d.]+),", info(client, "all"))
    assert percentiles is not None
    assert float(percentiles[1]) == float(percentiles[2])
    assert script["usec"] <= float(percentiles[1]) + 1 <= 1.3 * script["usec"]
    histogram = client.call("LATENCY", "HISTOGRAM", "eval", "nonsense")
    assert isinstance(histogram, list)
    assert histogram[0] == b"eval"
    told = dict(zip(histogram[1][::2], histogram[1][1::2], strict=True))  # type: ignore[index]
    assert told[b"calls"] == 1
    most, count = told[b"histogram_usec"]
    assert count == 1
    assert script["usec"] < most <= 2 * script["usec"] + 2
    assert "cmdstat" not in info(client, "default")
    client.call("CONFIG", "RESETSTAT")
    assert calls(client, "eval", "set") == [0, 0]


def test_a_slow_command_is_kept_with_who_sent_it(client: Client, connect: Connect) -> None:
    with connect() as other:
        other.call("CLIENT", "SETNAME", "slow-one")
        other.pipeline([["SET", "a", "1"], ["EVAL", SLOW_SCRIPT, "0"], ["SET", "a", "2"]])
        address = ":".join(map(str, other.socket.getsockname()))
    (entry,) = client.call("SLOWLOG", "GET")  # type: ignore[misc]
    _, _, us, args, who, name = entry  # type: ignore[misc]
    assert us > 10_000
    assert args == [b"EVAL", SLOW_SCRIPT.encode(), b"0"]
    assert (who, name) == (address.encode(), b"slow-one")
    assert client.call("SLOWLOG", "LEN") == 1
    client.call("SLOWLOG", "RESET")
    assert client.call("SLOWLOG", "LEN") == 0


def test_at_zero_all_commands_are_slow_within_the_bounds(client: Client) -> None:
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 0, "slowlog-max-len", 10)
    client.pipeline([["SET", f"k{n}", "x" * 200] for n in range(20)])
    client.call("MSET", *[str(n) for n in range(40)])
    client.call("GET", "k1")
    client.pipeline([["GET", "k2"], ["CONFIG", "GET", "port"]])
    entries = client.call("SLOWLOG", "GET", -1)
    assert isinstance(entries, list)
    assert len(entries) == 10
    sent = [entry[3] for entry in entries]  # type: ignore[index]
    assert [b"GET", b"k2"] in sent
    assert [b"CONFIG", b"GET", b"port"] in sent
    assert [b"GET", b"k1"] in sent
    (mset,) = [args for args in sent if args[0] == b"MSET"]  # type: ignore[index]
    assert len(mset) == 32  # type: ignore[arg-type]
    assert mset[-1] == b"... (10 more arguments)"  # type: ignore[index]
    (last,) = [args for args in sent if args[:2] == [b"SET", b"k19"]]  # type: ignore[index]
    assert last[2] == b"x" * 128 + b"... (72 more bytes)"  # type: ignore[index]
    numbers = [entry[0] for entry in entries]  # type: ignore[index]
    assert numbers == sorted(numbers, reverse=True)  # type: ignore[type-var]
    with pytest.raises(ErrorReply, match="count should be greater than or equal to -1"):
        client.call("SLOWLOG", "GET", -2)
    client.call("CONFIG", "SET", "slowlog-log-slower-than", -1)
    client.call("SLOWLOG", "RESET")
    client.call("EVAL", SLOW_SCRIPT, 0)
    assert client.call("SLOWLOG", "LEN") == 0


def test_latency_is_noted_from_the_threshold_on(client: Client) -> None:
    client.call("EVAL", SLOW_SCRIPT, 0)
    assert client.call("LATENCY", "LATEST") == []
    assert b"not watched" in bytes(client.call("LATENCY", "DOCTOR"))  # type: ignore[arg-type]
    client.call("CONFIG", "SET", "latency-monitor-threshold", 5)
    for _ in range(2):
        client.call("EVAL", SLOW_SCRIPT, 0)
    latest = client.call("LATENCY", "LATEST")
    assert isinstance(latest, list)
    events = {event[0]: event for event in latest}  # type: ignore[index]
    assert b"command" in events
    _, at_s, newest_ms, worst_ms = events[b"command"]  # type: ignore[misc]
    assert 5 <= newest_ms <= worst_ms  # type: ignore[operator]
    history = client.call("LATENCY", "HISTORY", "command")
    assert [at_s, newest_ms] in history  # type: ignore[operator]
    assert b"command: " in bytes(client.call("LATENCY", "DOCTOR"))  # type: ignore[arg-type]
    assert b"command - high" in bytes(client.call("LATENCY", "GRAPH", "command"))  # type: ignore[arg-type]
    assert client.call("LATENCY", "RESET", "command", "nothing") == 1
    assert client.call("LATENCY", "HISTORY", "command") == []
    with pytest.raises(ErrorReply, match="No samples available for event 'command'"):
        client.call("LATENCY", "GRAPH", "command")


def test_a_monitor_sees_what_the_others_send_and_no_secrets(client: Client, connect: Connect) -> None:
    with connect() as listener:
        assert listener.call("MONITOR") == "OK"
        client.pipeline(
            [
                ["SET", 'q"uo\\te', b"\0\xff\n"],
                ["SELECT", "3"],
                ["get", "x"],
                ["CONFIG", "GET", "port"],
                ["HELLO", "2", "AUTH", "me", "secret"],
                ["SELECT", "0"],
                ["PING"],
            ]
        )
        address = ":".join(map(str, client.socket.getsockname()))
        lines = [str(listener.read()) for _ in range(5)]
        assert all(re.match(r"\d+\.\d{6} \[\d+ ", line) for line in lines)
        seen = [line.partition(" ")[2] for line in lines]
        assert seen[0] == f'[0 {address}] "SET" "q\\"uo\\\\te" "\\x00\\xff\\n"'
        assert seen[1] == f'[3 {address}] "SELECT" "3"'
        assert seen[2] == f'[3 {address}] "get" "x"'
        assert seen[3] == f'[3 {address}] "HELLO" "2" "(redacted)" "(redacted)" "(redacted)"'
        assert "secret" not in "".join(lines)
        assert seen[4].endswith('"SELECT" "0"')
        assert str(listener.read()).endswith('"PING"')
        listener.send(["RESET"])
        while listener.read() != "RESET":
            pass
        client.call("SET", "unseen", "1")
        assert listener.call("PING") == "PONG"


def test_a_monitor_that_does_not_read_is_closed(client: Client, connect: Connect) -> None:
    """Else it would take all the memory there is."""
    client.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
    try:
        with connect() as listener:
            listener.call("MONITOR")
            value = b"x" * 100_000

            def closed() -> bool:
                client.pipeline([["SET", "big", value]] * 50)
                return "connected_clients:1\r" in info(client, "clients")

            wait_for(closed, "it is closed", pause=0)
    finally:
        client.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")

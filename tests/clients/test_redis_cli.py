"""redis-cli's tools, and redis-benchmark's own list of tests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster
from tests.clients.conftest import lacking
from tests.clients.crew import run

DATABASE = 14
BENCHMARK_DATABASE = 15
STRINGS = 1_000
BENCHMARKS = {
    *("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"),
    *("LPUSH", "RPUSH", "LPOP", "RPOP", "LRANGE_100", "LRANGE_300", "LRANGE_500", "LRANGE_600"),
    *("SADD", "SPOP", "HSET", "ZADD", "ZPOPMIN"),
}

Ask = Callable[..., str]


@pytest.fixture(scope="module")
def port(cluster: ThrowawayCluster) -> int:
    for program in ("redis-cli", "redis-benchmark"):
        if shutil.which(program) is None:
            lacking(f"no {program} here (Debian: apt install redis-tools)")
    return cluster.wait_for_leader().port


@pytest.fixture(scope="module")
def cli(port: int, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """redis-cli with these arguments; its database holds one of each kind, and many strings, by --pipe."""

    def ask(*words: str, stdin: str = "") -> str:
        command = ["redis-cli", "-p", str(port), "-n", str(DATABASE), *words]
        return run(command, directory, stdin.encode())

    directory = tmp_path_factory.mktemp("cli")
    lines = [f"SET string:{i} {'x' * (i % 50)}.{i}" for i in range(STRINGS)]
    lines += ["RPUSH list a b c", "SADD set 1 2", "HSET hash f v", "ZADD zset 1 a", "XADD stream * f v"]
    said = ask("--pipe", stdin="".join(f"{line}\r\n" for line in lines))
    assert f"errors: 0, replies: {STRINGS + 5}" in said
    return ask


def test_pipe_counts_errors(cli: Ask) -> None:
    with pytest.raises(AssertionError, match=r"WRONGTYPE(.|\n)*errors: 1, replies: 2"):
        cli("--pipe", stdin="HSET string:1 f v\r\nPING\r\n")


def test_scan(cli: Ask) -> None:
    assert len(set(cli("--scan", "--pattern", "string:*").split())) == STRINGS


def test_big_keys(cli: Ask) -> None:
    said = cli("--bigkeys")
    assert f"Sampled {STRINGS + 5} keys in the keyspace!" in said
    assert re.search(r"Biggest string found '\"string:\d*[49]9\"' has 5[0-9] bytes", said), said
    assert "1 lists with 3 items" in said
    assert "1 streams with 1 entries" in said


def test_memory_by_key(cli: Ask) -> None:
    said = cli("--memkeys")
    assert f"Sampled {STRINGS + 5} keys in the keyspace!" in said
    assert int(re.findall(r"Biggest string found '\"[^\"]+\"' has (\d+) bytes", said)[-1]) > 50
    assert "failed" not in said


def test_hot_keys_say_what_is_missing(port: int, tmp_path: Path) -> None:
    """As in a Redis of its defaults: nothing counts accesses, and the tool is told so."""
    with pytest.raises(AssertionError, match="An LFU maxmemory policy is not selected"):
        run(["redis-cli", "-p", str(port), "-n", str(DATABASE), "--hotkeys"], tmp_path)


def test_latency(cli: Ask) -> None:
    least, most, mean, count = cli("--latency", "-i", "0.3", "--raw").split()
    assert int(count) > 0
    assert int(least) <= float(mean) <= int(most)


def test_statistics(cli: Ask, port: int) -> None:
    """--stat goes on until it is ended."""
    command = ["redis-cli", "-p", str(port), "-n", str(DATABASE), "--stat", "-i", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        heads, columns, first, second = (process.stdout.readline().split() for _ in range(4))
        process.kill()
    assert heads[1] == "data"
    assert columns == ["keys", "mem", "clients", "blocked", "requests", "connections"]
    assert int(second[0]) >= STRINGS
    assert int(second[4]) > int(first[4])


def test_monitor(cli: Ask, port: int) -> None:
    """It shows what other clients ask until it is ended."""
    with subprocess.Popen(
        ["redis-cli", "-p", str(port), "MONITOR"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "OK\n"
        cli("SETEX", 'watched "key"', "100", "value")
        shown = next(line for line in process.stdout if "watched" in line)
        process.kill()
    pattern = rf'\d+\.\d{{6}} \[{DATABASE} 127\.0\.0\.1:\d+\] "SETEX" "watched \\"key\\"" "100" "value"\n'
    assert re.fullmatch(pattern, shown), shown


def test_shapes_of_replies(cli: Ask) -> None:
    assert json.loads(cli("--json", "HGETALL", "hash")) == {"f": "v"}
    assert cli("--csv", "LRANGE", "list", "0", "-1").strip() == '"a","b","c"'
    assert cli("-3", "--no-raw", "ZRANGE", "zset", "0", "-1", "WITHSCORES").split() == [
        "1)",
        "1)",
        '"a"',
        "2)",
        "(double)",
        "1",
    ]
    assert cli("-x", "SET", "from stdin", stdin="hello").strip() == "OK"
    assert cli("GET", "from stdin").strip() == "hello"
    assert cli("DEL", "from stdin").strip() == "1"


def test_scripts_from_a_file(cli: Ask, tmp_path: Path) -> None:
    script = tmp_path / "script.lua"
    script.write_text("return {KEYS[1], ARGV[1], redis.call('TYPE', KEYS[1])}")
    assert cli("--eval", str(script), "list", ",", "argument").split() == ["list", "argument", "list"]


def test_a_transaction_typed_line_by_line(cli: Ask) -> None:
    said = cli(stdin="MULTI\nINCR typed\nGET typed\nEXEC\nDEL typed\n")
    assert said.split() == ["OK", "QUEUED", "QUEUED", "1", "1", "1"]


def test_benchmark(port: int, tmp_path: Path) -> None:
    """Its default list, to the end: it stops at the first error."""
    command = ["redis-benchmark", "-p", str(port), "--dbnum", str(BENCHMARK_DATABASE), "-n", "2000", "--csv"]
    for more in ([], ["-P", "16", "-r", "1000"]):
        rows = re.findall(r'^"(\w+)[^"]*","([0-9.]+)"', run(command + more, tmp_path), re.MULTILINE)
        rates = {name: float(rate) for name, rate in rows}
        assert set(rates) >= BENCHMARKS
        assert all(rate > 0 for rate in rates.values())

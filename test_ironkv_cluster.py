#!/usr/bin/env python3
"""The comprehensive check of a cluster, through real sockets and with real crashes.

    python3 test_ironkv_cluster.py                the cluster on the usual ports; if none runs, one of its own
    python3 test_ironkv_cluster.py --own          one of its own, on free ports, gone afterwards
    python3 test_ironkv_cluster.py --disruptive   also kill and restart the nodes of the running cluster

Keys it writes to a running cluster begin with `ironkv-check:` and are deleted at the end.
Exit status 0 when nothing failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def _enter_environment() -> None:
    """Go on inside .venv, made when there is none: from a plain python3 this is all that is needed."""
    if Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        if subprocess.run([ROOT / "tools" / "venv"], check=False).returncode != 0:
            sys.exit(1)
        python = str(ROOT / ".venv" / "bin" / "python")
        os.execv(python, [python, __file__, *sys.argv[1:]])
    sys.path.insert(0, str(ROOT))


if __name__ == "__main__":
    _enter_environment()

from ironkv.tools import control  # noqa: E402 - found only from inside .venv
from ironkv.tools.bench import connections  # noqa: E402
from ironkv.tools.client import Client, Reply, encode  # noqa: E402
from ironkv.tools.cluster import Cluster, ThrowawayCluster, wait_for  # noqa: E402
from ironkv.tools.load import WriteLoad  # noqa: E402
from ironkv.tools.nodes import FOLLOWER, LEADER, Node  # noqa: E402

CONNECTIONS = 1_000


class Skipped(Exception):
    """Not checked, and why."""


class Wrong(Exception):
    """Not as it should be."""


def expect(found: object, wanted: object, what: str = "") -> None:
    if found != wanted:
        shown = [repr(x) if len(repr(x)) < 300 else repr(x)[:300] + "…" for x in (wanted, found)]
        raise Wrong(f"{what + ': ' if what else ''}expected {shown[0]}, got {shown[1]}")


@dataclass
class Subject:
    """What is checked: a cluster, and a prefix for keys of our own."""

    cluster: Cluster
    prefix: str

    def key(self, name: str) -> str:
        return self.prefix + name

    def leader(self) -> Node:
        return self.cluster.wait_for_leader()

    def client(self) -> Client:
        return self.cluster.connect_to_leader()


@dataclass(frozen=True)
class Check:
    group: str
    title: str
    run: Callable[[Subject], str | None]  # may return a remark
    disruptive: bool


CHECKS: list[Check] = []


def check(group: str, disruptive: bool = False) -> Callable[[Callable[[Subject], str | None]], None]:
    """Register a check; its docstring is the title."""

    def register(function: Callable[[Subject], str | None]) -> None:
        CHECKS.append(Check(group, function.__doc__ or function.__name__, function, disruptive))

    return register


# Commands


@check("commands")
def every_node_answers(on: Subject) -> None:
    """every node answers PING, ECHO and INFO"""
    for node in on.cluster.nodes:
        with node.connect() as client:
            expect(
                client.pipeline([("PING",), ("PING", "hi"), ("ECHO", "x")]), ["PONG", b"hi", b"x"], node.id
            )
        facts = node.facts()
        expect(bool(facts and "redis_version" in facts.all and "ironkv_version" in facts.all), True, "INFO")


@check("commands")
def strings(on: Subject) -> None:
    """strings: SET GET APPEND GETRANGE SETRANGE STRLEN GETDEL MSET MGET"""
    k, other = on.key("s"), on.key("s2")
    _conversation(
        on,
        (("SET", k, "hello"), "OK"),
        (("APPEND", k, " world"), 11),
        (("GETRANGE", k, 0, 4), b"hello"),
        (("SETRANGE", k, 6, "redis"), 11),
        (("STRLEN", k), 11),
        (("GET", k), b"hello redis"),
        (("MSET", k, "1", other, "2"), "OK"),
        (("MGET", k, on.key("none"), other), [b"1", None, b"2"]),
        (("GETDEL", k), b"1"),
        (("GET", k), None),
    )


@check("commands")
def set_options(on: Subject) -> None:
    """SET with NX XX GET KEEPTTL EXAT"""
    k = on.key("opt")
    far = int(time.time()) + 10_000
    _conversation(
        on,
        (("SET", k, "a", "XX"), None),
        (("SET", k, "a", "NX", "EXAT", far), "OK"),
        (("SET", k, "b", "NX"), None),
        (("SET", k, "c", "GET", "KEEPTTL"), b"a"),
        (("EXPIRETIME", k), far),
        (("SET", k, "d"), "OK"),
        (("TTL", k), -1),
    )


@check("commands")
def counters(on: Subject) -> None:
    """counters: INCR DECR INCRBY INCRBYFLOAT"""
    k = on.key("n")
    _conversation(
        on,
        (("INCR", k), 1),
        (("INCRBY", k, 41), 42),
        (("DECR", k), 41),
        (("INCRBYFLOAT", k, "0.5"), b"41.5"),
    )


@check("commands")
def generic(on: Subject) -> None:
    """keys: EXISTS TYPE RENAME COPY TOUCH DEL UNLINK"""
    a, b, c = (on.key(name) for name in "abc")
    _conversation(
        on,
        (("SET", a, "1"), "OK"),
        (("TYPE", a), "string"),
        (("RENAME", a, b), "OK"),
        (("COPY", b, c), 1),
        (("EXISTS", a, b, c), 2),
        (("TOUCH", b, c), 2),
        (("DEL", b), 1),
        (("UNLINK", b, c), 1),
        (("TYPE", c), "none"),
    )


@check("commands")
def scanning(on: Subject) -> None:
    """SCAN finds each of 1,000 keys"""
    wanted = {on.key(f"scan:{i}").encode() for i in range(1_000)}
    with on.client() as client:
        client.pipeline([("SET", key, "x") for key in wanted])
        expect(_scanned(client, on.key("scan:")), wanted)


@check("commands")
def databases(on: Subject) -> None:
    """16 databases that do not see each other"""
    k = on.key("db")
    with on.client() as client:
        try:
            expect(client.pipeline([("SET", k, "0"), ("SELECT", 15), ("GET", k)]), ["OK", "OK", None])
            expect(client.pipeline([("SET", k, "15"), ("SELECT", 0), ("GET", k)]), ["OK", "OK", b"0"])
            expect(str(client.pipeline([("SELECT", 16)])[0]), "ERR DB index is out of range")
        finally:
            client.pipeline([("SELECT", 15), ("DEL", k)])


@check("commands")
def client_library(on: Subject) -> str | None:
    """redis-py, with RESP2 and RESP3"""
    try:
        import redis
    except ImportError:
        raise Skipped("redis-py is not installed: tools/venv dev") from None
    leader = on.leader()
    for protocol in (2, 3):
        library = redis.Redis(leader.settings.host, leader.port, protocol=protocol, decode_responses=True)
        with contextlib.closing(library):
            k = on.key(f"py{protocol}")
            expect(library.set(k, "välue", ex=100), True)
            expect(library.get(k), "välue")
            expect(library.incrby(on.key(f"pyn{protocol}"), 5), 5)
            with library.pipeline(transaction=False) as pipe:
                pipe.mget([k, "none"])
                pipe.strlen(k)
                expect(pipe.execute(), [["välue", None], 6])
            expect(library.info("server")["redis_version"][:2], "7.")
    return f"redis-py {redis.__version__}"


# Expiry


@check("expiry")
def deadlines(on: Subject) -> None:
    """EXPIRE PEXPIRE TTL PTTL PERSIST EXPIRETIME, with NX XX GT LT"""
    k = on.key("ttl")
    far = int(time.time()) + 10_000
    _conversation(
        on,
        (("TTL", k), -2),
        (("SET", k, "x"), "OK"),
        (("TTL", k), -1),
        (("EXPIRE", k, 100, "XX"), 0),
        (("EXPIRE", k, 100, "NX"), 1),
        (("EXPIRE", k, 50, "GT"), 0),
        (("EXPIRE", k, 50, "LT"), 1),
        (("EXPIREAT", k, far), 1),
        (("EXPIRETIME", k), far),
        (("PERSIST", k), 1),
        (("PTTL", k), -1),
        (("EXPIRE", k, -1), 1),
        (("EXISTS", k), 0),
    )


@check("expiry")
def expires_everywhere(on: Subject) -> None:
    """keys are gone on every node when their time has come, without a write"""
    names = [on.key(f"brief:{i}") for i in range(100)]
    with on.client() as client:
        expect(set(client.pipeline([("SET", k, "x", "PX", 300) for k in names])), {"OK"})
    for node in on.cluster.nodes:
        with node.connect() as client:
            _wait_until_gone(client, names, f"all are gone on {node.id}")


# Protocol


@check("protocol")
def pipelines(on: Subject) -> None:
    """a pipeline of 10,000 commands keeps its order"""
    k = on.key("pipe")
    commands: list[Sequence[str | int]] = []
    for i in range(5_000):
        commands += [("SET", k, i), ("GET", k)]
    with on.client() as client:
        writer = threading.Thread(target=client.send, args=commands)  # both directions at once
        writer.start()
        replies = [client.read() for _ in commands]
        writer.join()
    expect(replies[::2], ["OK"] * 5_000)
    expect(replies[1::2], [str(i).encode() for i in range(5_000)])


@check("protocol")
def binary(on: Subject) -> None:
    """keys and values of any bytes, and values up to 8 MiB"""
    with on.client() as client:
        for i, value in enumerate((b"", bytes(range(256)), b"\r\n$-1\r\n*0\r\n", os.urandom(8 << 20))):
            key = on.key("bin").encode() + bytes([0, 13, 10, 255, i])
            expect(client.call("SET", key, value), "OK")
            expect(client.call("GET", key) == value, True, f"{len(value)} bytes come back")


@check("protocol")
def split_anywhere(on: Subject) -> None:
    """a command may arrive byte by byte"""
    k = on.key("split")
    with on.client() as client:
        for byte in encode(("SET", k, "in pieces")) + encode(("GET", k)):
            client.send_raw(bytes([byte]))
        expect([client.read(), client.read()], ["OK", b"in pieces"])


@check("protocol")
def inline(on: Subject) -> None:
    """inline commands, as from nc"""
    k = on.key("inline")
    with on.client() as client:
        client.send_raw(f'SET {k} "two words"\r\nGET {k}\nPING\r\n'.encode())
        expect([client.read() for _ in range(3)], ["OK", b"two words", "PONG"])


@check("protocol")
def resp3(on: Subject) -> None:
    """HELLO 3 and 2, RESP3 nulls"""
    with on.client() as client:
        hello = client.call("HELLO", 3)
        expect(isinstance(hello, dict) and hello.get(b"proto"), 3)
        client.send(("GET", on.key("none")))
        expect(client.socket.recv(100), b"_\r\n")
        expect(isinstance(client.call("HELLO", 2), list), True)
        expect(str(client.pipeline([("HELLO", 4)])[0]), "NOPROTO unsupported protocol version")


@check("protocol")
def wrong_commands(on: Subject) -> None:
    """wrong commands are answered in Redis's words, and the connection lives"""
    k = on.key("text")
    with on.client() as client:
        client.call("SET", k, "abc")
        for command, wanted in (
            (("INCR", k), "ERR value is not an integer or out of range"),
            (("GET",), "ERR wrong number of arguments for 'get' command"),
            (("SET", k, "x", "NONSENSE"), "ERR syntax error"),
            (("SET", k, "x", "EX", "0"), "ERR invalid expire time in 'set' command"),
            (("FOO", "bar"), "ERR unknown command 'FOO', with args beginning with: 'bar' "),
        ):
            expect(str(client.pipeline([command])[0]), wanted, " ".join(command))
        expect(client.call("GET", k), b"abc")


@check("protocol")
def wrong_bytes(on: Subject) -> None:
    """broken and hostile requests: a protocol error, the connection closed, the node well"""
    leader = on.leader()
    for data in (
        b"*2147483647\r\n",
        b"*1\r\n$999999999999\r\n",
        b"*1\r\n*1\r\n",
        b"*1\r\n$x\r\n",
        b"x" * 70_000,
        b'SET "unbalanced\r\n',
    ):
        with leader.connect() as client:
            client.send_raw(data)
            reply = client.read()
            if not str(reply).startswith("ERR Protocol error"):
                raise Wrong(f"{data[:30]!r}: got {reply!r}")
            expect(client.closed_by_server(), True, f"{data[:30]!r}: closed")
    with leader.connect() as client:
        expect(client.call("PING"), "PONG")


# Cluster


@check("cluster")
def one_leader(on: Subject) -> str:
    """one leads, the others follow, all in the same term and level"""
    on.cluster.wait_until_level()
    facts = [f for f in on.cluster.facts().values() if f]
    expect(sorted(f.role for f in facts), [FOLLOWER] * (len(facts) - 1) + [LEADER])
    expect(len({f.term for f in facts}), 1, "terms")
    return f"{on.leader().id}, term {facts[0].term}"


@check("cluster")
def followers_refuse(on: Subject) -> None:
    """followers refuse a write and name the leader"""
    leader = on.leader()
    wanted = f"NOTLEADER not leader: the leader is {leader.id} at {leader.address}"
    for node in on.cluster.followers(leader):
        with node.connect() as client:
            expect(str(client.pipeline([("SET", on.key("refused"), "x")])[0]), wanted, node.id)
    with leader.connect() as client:
        expect(client.call("EXISTS", on.key("refused")), 0)


@check("cluster")
def fresh_reads(on: Subject) -> None:
    """every node reads what was acknowledged a moment ago"""
    clients = [node.connect() for node in on.cluster.nodes]
    try:
        with on.client() as writer:
            for i in range(200):
                writer.call("SET", on.key("fresh"), i)
                for node, client in zip(on.cluster.nodes, clients, strict=True):
                    expect(client.call("GET", on.key("fresh")), str(i).encode(), node.id)
    finally:
        for client in clients:
            client.close()


@check("cluster")
def concurrent_counter(on: Subject) -> str:
    """16 clients count on one key, and each count is given once"""
    counts: list[Reply] = []

    def count() -> None:
        with on.client() as client:
            counts.extend([client.call("INCR", on.key("shared")) for _ in range(100)])

    threads = [threading.Thread(target=count) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(sorted(c for c in counts if isinstance(c, int)), list(range(1, 1_601)))
    return "1,600 counts"


@check("cluster")
def many_connections(on: Subject) -> str:
    """1,000 connections at once, and each is served"""
    if connections.descriptors() < CONNECTIONS + connections.DESCRIPTORS_BESIDE:
        raise Skipped("the limit of open files is too low: ulimit -n")
    leader = on.leader()
    crowd = asyncio.run(connections.gather(leader.port, CONNECTIONS, leader.settings.host, on.key("crowd:")))
    expect(crowd.errors[:3], [])
    return f"{crowd.served:,} commands"


# Crashes


@check("crashes", disruptive=True)
def leader_killed(on: Subject) -> str:
    """the leader is killed under load: service goes on, no data lost"""
    leader = on.leader()
    with WriteLoad(on.cluster.nodes, prefix=on.key("failover:")) as load:
        load.wait_acknowledged(300)
        leader.kill()
        began = time.monotonic()
        load.wait_acknowledged(1)
        pause = time.monotonic() - began
        load.wait_acknowledged(300)
        leader.start()
        load.wait_acknowledged(100)
    _nothing_lost(on, load)
    return f"{pause * 1000:.0f} ms to the next write"


@check("crashes", disruptive=True)
def follower_killed(on: Subject) -> None:
    """a follower is killed under load, and catches up"""
    leader = on.leader()
    follower = on.cluster.followers(leader)[0]
    with WriteLoad(on.cluster.nodes, prefix=on.key("lagging:")) as load:
        load.wait_acknowledged(100)
        follower.kill()
        load.wait_acknowledged(500)
        follower.start()
        load.wait_acknowledged(100)
    _nothing_lost(on, load)


@check("crashes", disruptive=True)
def leader_asked_to_go(on: Subject) -> None:
    """the leader is asked to stop (SIGTERM) and hands over"""
    leader = on.leader()
    with WriteLoad(on.cluster.nodes, prefix=on.key("handover:")) as load:
        load.wait_acknowledged(200)
        leader.stop(signal.SIGTERM)
        load.wait_acknowledged(200)
        leader.start()
    _nothing_lost(on, load)


@check("crashes", disruptive=True)
def restart_of_all(on: Subject) -> None:
    """all nodes stop and start: data and deadlines are kept"""
    with on.client() as client:
        client.call("SET", on.key("lasting"), "x", "EX", 1_000)
        deadline = client.call("PEXPIRETIME", on.key("lasting"))
    on.cluster.stop()
    on.cluster.start()
    for node in on.cluster.nodes:
        with node.connect() as client:
            expect(client.call("PEXPIRETIME", on.key("lasting")), deadline, node.id)


@check("crashes", disruptive=True)
def all_killed(on: Subject) -> str:
    """kill -9 of all nodes in the middle of a write load, three times"""
    loads = []
    for crash in range(3):
        with WriteLoad(on.cluster.nodes, writers=16, prefix=on.key(f"crash{crash}:")) as load:
            load.wait_acknowledged(500)
            on.cluster.kill_all()
        loads.append(load)
        on.cluster.start()
        _nothing_lost(on, *loads)
    return f"{sum(load.acknowledged for load in loads):,} acknowledged writes, all there"


# Helpers


def _wait_until_gone(client: Client, names: Sequence[str], what: str) -> None:
    wait_for(lambda: client.call("EXISTS", *names) == 0, what, timeout=10)


def _conversation(on: Subject, *exchanges: tuple[Sequence[str | int], Reply]) -> None:
    with on.client() as client:
        for command, wanted in exchanges:
            expect(client.call(*command), wanted, " ".join(map(str, command)))


def _scanned(client: Client, prefix: str) -> set[object]:
    found: set[object] = set()
    cursor: Reply = b"0"
    while True:
        reply = client.call(
            "SCAN", cursor if isinstance(cursor, bytes) else b"0", "MATCH", prefix + "*", "COUNT", 500
        )
        if not isinstance(reply, list) or not isinstance(reply[1], list):
            raise Wrong(f"SCAN said {reply!r}")
        cursor = reply[0]
        found.update(key for key in reply[1] if isinstance(key, bytes))
        if cursor == b"0":
            return found


def _nothing_lost(on: Subject, *loads: WriteLoad) -> None:
    on.cluster.wait_until_level()
    for node in on.cluster.nodes:
        with node.connect() as client:
            for load in loads:
                expect(load.check(client)[:5], [], node.id)


# Running them


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that our own cluster is ended
    connections.descriptors()  # before nodes of our own inherit the limit
    with contextlib.ExitStack() as stack:
        running = None if options.own else control.configured()
        own = running is None or not any(running.facts().values())
        if running is None or own:
            print("starting a cluster of our own …", flush=True)
            settings = {"raft": {"election_timeout_ms": 1_500}} if options.patient else {}
            cluster: Cluster = stack.enter_context(ThrowawayCluster(settings=settings))
        else:
            cluster = running
        print(f"checking {', '.join(f'{node.id} at {node.address}' for node in cluster.nodes)}\n", flush=True)
        on = Subject(cluster, f"ironkv-check:{secrets.token_hex(4)}:")
        try:
            return _run_all(on, own or options.disruptive)
        finally:
            if not own:
                _clean_up(on)


def _run_all(on: Subject, disruptive: bool) -> int:
    wide = max(len(c.title) for c in CHECKS)
    counts = {"✅": 0, "❌": 0, "➖": 0}
    began = time.monotonic()
    for item in CHECKS:
        since = time.monotonic()
        mark, remark = _outcome(item, on, disruptive)
        counts[mark] += 1
        took = time.monotonic() - since
        print(f"{item.group:<9} {mark} {item.title:<{wide}} {took:7.2f} s  {remark}".rstrip(), flush=True)
    print(
        f"\n{counts['✅']} passed, {counts['❌']} failed, {counts['➖']} skipped"
        f" in {time.monotonic() - began:.1f} s"
    )
    return 1 if counts["❌"] else 0


def _outcome(item: Check, on: Subject, disruptive: bool) -> tuple[str, str]:
    if item.disruptive and not disruptive:
        return "➖", "kills nodes: only with --disruptive"
    if item.disruptive and any(node.process() is None for node in on.cluster.nodes):
        return "➖", "kills nodes, and not all were started by start_cluster.sh"
    try:
        return "✅", item.run(on) or ""
    except Skipped as reason:
        return "➖", str(reason)
    except Exception as error:  # whatever it is, the other checks go on
        return "❌", f"{type(error).__name__}: {error}"


def _clean_up(on: Subject) -> None:
    with on.client() as client:
        keys = [key for key in _scanned(client, on.prefix) if isinstance(key, bytes)]
        for start in range(0, len(keys), 500):
            client.call("DEL", *keys[start : start + 500])


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Check a running cluster, or one of our own when none runs.")
    parser.add_argument("--own", action="store_true", help="start a cluster on free ports and check that one")
    parser.add_argument(
        "--disruptive", action="store_true", help="also kill and restart nodes of a running cluster"
    )
    parser.add_argument("--patient", action="store_true", help="longer election timeouts, for a busy machine")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

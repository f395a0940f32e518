"""The HTTP port of real nodes, over real sockets: figures, probes, who may ask, what hostile clients get."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from ironkv.tools.cluster import ThrowawayCluster, free_ports, wait_for
from ironkv.tools.nodes import Node
from tests.http.conftest import TOKEN, get


def figures(node: Node) -> dict[tuple[str, ...], float]:
    """What /metrics says: by name and label values."""
    answer = get(node, "/metrics")
    assert answer.status == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_figures_tell_what_was_done(watched: ThrowawayCluster) -> None:
    leader = watched.wait_for_leader()
    before = figures(leader)
    with leader.connect() as client:
        for number in range(50):
            client.call("SET", f"figures {number}", number, "PX", 10**9)
    after = figures(leader)
    assert after["ironkv_commands_processed_total",] >= before["ironkv_commands_processed_total",] + 50
    assert after["ironkv_raft_commit_index",] >= before["ironkv_raft_commit_index",] + 50
    assert after["ironkv_commit_seconds_count",] >= before["ironkv_commit_seconds_count",] + 50
    assert after["ironkv_journal_write_seconds_count",] >= before["ironkv_journal_write_seconds_count",] + 50
    assert after["ironkv_commit_seconds_sum",] > before["ironkv_commit_seconds_sum",]
    assert after["ironkv_keys", "0"] >= after["ironkv_keys_expiring", "0"] >= 50
    assert after["ironkv_raft_role", "leader"] == 1
    followers = watched.followers(leader)
    for follower in followers:
        assert after["ironkv_peer_online", follower.id] == 1
        assert after["ironkv_follower_lag_entries", follower.id] >= 0
        seen = figures(follower)
        assert seen["ironkv_raft_role", "follower"] == 1
        assert seen["ironkv_raft_term",] == after["ironkv_raft_term",]


def test_histograms_keep_their_bounds_and_end_with_everything(watched: ThrowawayCluster) -> None:
    """Prometheus compares each bound with its own past: they must be there before anything was counted."""
    leader = watched.wait_for_leader()
    bounds: list[set[str]] = []
    for node in watched.nodes:
        seen = figures(node)
        mine = {name[1] for name in seen if name[0] == "ironkv_commit_seconds_bucket"}
        bounds.append(mine)
        counts = [seen["ironkv_commit_seconds_bucket", bound] for bound in sorted(mine, key=float)]
        assert counts == sorted(counts)
        assert counts[-1] == seen["ironkv_commit_seconds_count",]
    assert bounds[0] == bounds[1] == bounds[2]
    assert "+Inf" in bounds[0]
    assert leader.process() is not None


def test_what_a_rate_limit_refuses_is_told(watched: ThrowawayCluster) -> None:
    node = watched.wait_for_leader()
    before = figures(node)
    with node.connect() as client:
        client.call("CONFIG", "SET", "limits.rate_limit_user_commands", 5)
        refused = sum("LIMITED" in str(reply) for reply in client.pipeline([["PING"]] * 50))
        while True:  # a bucket that fills lets this through, too
            if client.pipeline([["CONFIG", "SET", "limits.rate_limit_user_commands", "0"]]) == ["OK"]:
                break
            refused += 1
    after = figures(node)
    assert after["ironkv_limited_total", "user"] - before["ironkv_limited_total", "user"] == refused >= 45
    assert after["ironkv_limited_total", "address"] == before["ironkv_limited_total", "address"]
    assert after["ironkv_limited_bytes_total",] > before["ironkv_limited_bytes_total",]
    assert after["ironkv_rate_limit", "user", "commands"] == 0


def test_who_accepts_openmetrics_gets_it(watched: ThrowawayCluster) -> None:
    answer = get(watched.nodes[0], "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert list(parse_openmetrics(answer.text))


def test_status_names_every_node_alike(watched: ThrowawayCluster) -> None:
    leader = watched.wait_for_leader()
    for node in watched.nodes:
        status = get(node, "/status").json
        assert status["id"] == node.id
        assert status["raft"]["leader"] == leader.id
        assert {each["id"]: each["http_port"] for each in status["nodes"]} == {
            each.id: each.settings.http_port for each in watched.nodes
        }
        assert status["failing"] == {"ready": {}, "health": {}}


def test_a_cluster_that_serves_is_live_ready_and_healthy(watched: ThrowawayCluster) -> None:
    for node in watched.nodes:
        assert get(node, "/livez")[:2] == (200, "ok")
        assert get(node, "/readyz")[:2] == (200, "ok")
        assert "[+]leader ok\n" in get(node, "/readyz?verbose").text
        assert get(node, "/health").json == {"health": "true", "reason": ""}


def test_what_is_not_there_is_refused(watched: ThrowawayCluster) -> None:
    node = watched.nodes[0]
    assert get(node, "/nothing").status == 404
    assert get(node, "/..%2f..%2fetc/passwd").status == 404
    connection = http.client.HTTPConnection("127.0.0.1", node.settings.http_port or 0, timeout=30)
    connection.request("POST", "/status", body=b"x" * 100)
    assert connection.getresponse().status == 405
    connection.close()


def test_hostile_requests_end_their_own_connection_only(watched: ThrowawayCluster) -> None:
    node = watched.nodes[0]
    address = ("127.0.0.1", node.settings.http_port or 0)
    for hostile in (
        b"\0" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 50_000,
        b"*1\r\n$4\r\nPING\r\n",
    ):
        with socket.create_connection(address, timeout=30) as stranger:
            try:
                stranger.sendall(hostile)
                assert b"200 OK" not in stranger.recv(4096)
            except ConnectionError:
                pass
    assert get(node, "/livez").text == "ok"


def test_without_a_majority_a_node_is_live_and_says_why_it_is_not_ready(tmp_path: Path) -> None:
    """Restarting it would mend nothing, so whoever watches it must not do that (etcd#14497)."""
    settings = {"http": {"enabled": True, "token": TOKEN}}
    with ThrowawayCluster(parent=tmp_path, settings=settings) as cluster:
        node, *others = cluster.nodes
        for other in others:
            other.kill()
        refused = wait_for(
            lambda: answer if (answer := get(node, "/readyz")).status == 503 else None, "not ready any more"
        )
        assert "[-]leader failed: no leader is known" in refused.text
        assert get(node, "/livez")[:2] == (200, "ok")
        health = get(node, "/health", TOKEN)
        assert health.status == 503
        assert "out of reach: node2, node3" in health.json["reason"]
        # The token is asked for, except by who only looks whether the node is well.
        for path in ("/metrics", "/status", "/health"):
            assert get(node, path).status == 401
            assert get(node, path, "another").status == 401
            assert get(node, path, TOKEN).status in (200, 503)
            assert TOKEN not in get(node, path, TOKEN).text


def test_a_taken_http_port_is_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        cluster = ThrowawayCluster(1, parent=tmp_path, settings={"http": {"enabled": True, "port": port}})
        try:
            node = cluster.nodes[0]
            node.start()
            wait_for(lambda: node.process() is None, "it gives up")
            assert "address already in use" in node.log_tail().lower()
        finally:
            cluster.close()


def test_a_stopped_node_gives_its_port_back(tmp_path: Path) -> None:
    with ThrowawayCluster(1, parent=tmp_path, settings={"http": {"enabled": True}}) as cluster:
        node = cluster.nodes[0]
        node.stop()
        node.start()
        wait_for(node.facts, "it serves again")
        assert get(node, "/livez").text == "ok"

"""Settings: what beats what, and how a wrong one is refused, by the text of the refusal."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from ironkv import __version__
from ironkv.config import LIVE, ConfigError, Settings, load
from ironkv.refusals import keys

CONFIG = Path(__file__).resolve().parents[1] / "config"
NODES = """
[[cluster.nodes]]
id = "a"
host = "10.0.0.1"
port = 1001
cluster_port = 1002
[[cluster.nodes]]
id = "b"
host = "10.0.0.2"
port = 1001
cluster_port = 1002
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes node.toml into the working directory; its name."""
    monkeypatch.chdir(tmp_path)

    def writer(text: str) -> str:
        Path("node.toml").write_text(text)
        return "node.toml"

    return writer


def refusal(argv: list[str], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(argv, environ or {})
    return str(caught.value)


# -- defaults


def test_default_toml_lists_every_setting_with_its_default() -> None:
    listed = tomllib.loads((CONFIG / "default.toml").read_text())
    assert {f"{section}.{key}" for section, values in listed.items() for key in values} == set(keys(Settings))
    assert Settings.model_validate(listed) == Settings()
    assert load(["--config", str(CONFIG / "default.toml")], {}).model_dump() == Settings().model_dump()


def test_every_setting_is_explained_in_default_toml() -> None:
    lines = (CONFIG / "default.toml").read_text().splitlines()
    for above, line in itertools.pairwise(lines):
        if "=" in line and not line.startswith("#"):
            assert above.startswith("#"), line


@pytest.mark.parametrize("n", [1, 2, 3])
def test_node_files_are_the_well_known_nodes(n: int) -> None:
    file = load(["--config", str(CONFIG / f"node{n}.toml")], {})
    flags = load(["--cluster", "--node-id", f"node{n}"], {})
    assert file.model_dump() == flags.model_dump()
    assert (file.server.port, file.cluster.port) == (6377 + 2 * n, 6378 + 2 * n)
    assert file.node.data_dir == f"data/node{n}"
    assert file.config_file.endswith(f"node{n}.toml")
    assert flags.config_file == ""


def test_alone_without_anything() -> None:
    settings = load([], {})
    assert settings.model_dump() == Settings().model_dump()
    assert not settings.cluster.enabled
    assert settings.server.port == 6379


def test_data_dir_follows_the_id() -> None:
    assert load(["--node-id", "left"], {}).node.data_dir == "data/left"


def test_ports_follow_the_clusters_nodes(write: Write) -> None:
    settings = load(["--config", write('[node]\nid = "b"\n[cluster]\nenabled = true' + NODES)], {})
    assert (settings.server.port, settings.cluster.port) == (1001, 1002)


# -- what beats what


def test_flags_beat_environment_beats_file_beats_default(write: Write) -> None:
    file = write("[server]\nport = 2000\ntimeout = 7")
    environ = {"IRONKV_SERVER_PORT": "3000"}
    assert load([], {}).server.port == 6379
    assert load(["--config", file], {}).server.port == 2000
    assert load(["--config", file], environ).server.port == 3000
    settings = load(["--config", file, "--port", "4000"], environ)
    assert settings.server.port == 4000
    assert settings.server.timeout == 7, "a layer replaces settings, not whole sections"


def test_all_flags() -> None:
    node = ["--cluster", "--node-id", "node2", "--data-dir", "d", "--log-level", "debug"]
    settings = load([*node, "--bind", "0.0.0.0", "--port", "6381", "--cluster-port", "6382"], {})
    assert settings.cluster.enabled
    assert settings.node.model_dump() == {"id": "node2", "data_dir": "d"}
    assert (settings.server.bind, settings.server.port, settings.cluster.port) == ("0.0.0.0", 6381, 6382)
    assert settings.log.level == "debug"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("IRONKV_LOG", "debug", "log.level", "debug"),
        ("IRONKV_LOG_LEVEL", "error", "log.level", "error"),
        ("IRONKV_NODE_DATA_DIR", "elsewhere", "node.data_dir", "elsewhere"),
        ("IRONKV_RAFT_ELECTION_TIMEOUT_MS", "1000", "raft.election_timeout_ms", 1000),
        ("IRONKV_LIMITS_PROTO_MAX_BULK_LEN", "1mb", "limits.proto_max_bulk_len", 1 << 20),
        ("IRONKV_CLUSTER_ENABLED", "no", "cluster.enabled", False),
        ("IRONKV_SERVER_PORT", "", "server.port", 6379),
        ("IRONKV_START_DIR", "/somewhere", "server.port", 6379),
        ("HOME", "/root", "server.port", 6379),
    ],
)
def test_environment(variable: str, text: str, key: str, value: object) -> None:
    assert load([], {variable: text}).value(key) == value


def test_the_short_name_of_the_log_level_wins() -> None:
    assert load([], {"IRONKV_LOG": "debug", "IRONKV_LOG_LEVEL": "error"}).log.level == "debug"


def test_a_cluster_from_the_environment_alone() -> None:
    nodes = '[{"id": "x", "host": "h", "port": 1, "cluster_port": 2}]'
    environ = {"IRONKV_CLUSTER_ENABLED": "yes", "IRONKV_CLUSTER_NODES": nodes, "IRONKV_NODE_ID": "x"}
    settings = load([], environ)
    assert [member.id for member in settings.cluster.nodes] == ["x"]
    assert (settings.server.port, settings.cluster.port) == (1, 2)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1048576", 1 << 20), ("1mb", 1 << 20), ("1MB", 1 << 20), ("2000k", 2_000_000), (" 2 mb ", 2 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert load([], {"IRONKV_LIMITS_MAX_PROPOSAL_BYTES": text}).limits.max_proposal_bytes == size


# -- refusals: in the file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[server]\nport = 70000",
            "server.port = 70000 (node.toml): allowed is a whole number from 1 to 65535",
        ),
        (
            '[server]\nport = "x"',
            'server.port = "x" (node.toml): allowed is a whole number from 1 to 65535',
        ),
        (
            "[limits]\nmaxclients = true",
            "limits.maxclients = true (node.toml): allowed is a whole number from 1 to 1000000",
        ),
        (
            '[limits]\nproto_max_bulk_len = "1tb"',
            'limits.proto_max_bulk_len = "1tb" (node.toml): allowed is a size from 1mb to 512mb',
        ),
        (
            '[limits]\nproto_max_bulk_len = "1gb"',
            'limits.proto_max_bulk_len = "1gb" (node.toml): allowed is a size from 1mb to 512mb',
        ),
        (
            '[raft]\nreads = "guess"',
            'raft.reads = "guess" (node.toml): allowed is "lease", "quorum" or "local"',
        ),
        (
            '[server]\non_follower_write = "follow"',
            'server.on_follower_write = "follow" (node.toml): allowed is "reject", "readonly", "redirect" or '
            '"forward"',
        ),
        (
            '[journal]\nsync = "everysec"',
            'journal.sync = "everysec" (node.toml): allowed is "always": no write is acknowledged that is '
            "not on disk",
        ),
        (
            '[node]\nid = "a b"',
            'node.id = "a b" (node.toml): allowed is 1 to 64 letters, digits, `.`, `_` or `-`, a letter or '
            "digit first",
        ),
        (
            '[node]\ndata_dir = ""',
            'node.data_dir = "" (node.toml): allowed is a text that is not empty',
        ),
        (
            '[cluster]\nenabled = "perhaps"',
            'cluster.enabled = "perhaps" (node.toml): allowed is true or false',
        ),
        (
            "[raft]\nheartbeat_ms = 200",
            "raft.election_timeout_ms = 300 (default): allowed is 400 or more, twice raft.heartbeat_ms (200)",
        ),
        (
            "[raft]\nheartbeat_ms = 200\nelection_timeout_ms = 399",
            "raft.election_timeout_ms = 399 (node.toml): allowed is 400 or more, twice raft.heartbeat_ms "
            "(200)",
        ),
        ("server = 3", "server = 3 (node.toml): allowed is a table: [server]"),
        (
            "[raft]\nheartbeet_ms = 50",
            "raft.heartbeet_ms (node.toml): no such setting; did you mean raft.heartbeat_ms?",
        ),
        ("[sever]\nport = 1", "sever (node.toml): no such setting; did you mean server?"),
        ("port = 1", "port (node.toml): no such setting; did you mean server.port?"),
        ("[server]\nreads = 1", "server.reads (node.toml): no such setting; did you mean raft.reads?"),
        (
            "[log]\ncolour = true",
            "log.colour (node.toml): no such setting; known there are level, format",
        ),
        (
            "[zoo]\nape = 1",
            "zoo (node.toml): no such setting; known are node, server, cluster, tls, raft, limits, journal, "
            "snapshot, disk, slowlog, latency, http, log",
        ),
    ],
)
def test_a_wrong_setting_is_refused(write: Write, text: str, message: str) -> None:
    assert refusal(["--config", write(text)]) == message


@pytest.mark.parametrize(
    ("before", "nodes", "message"),
    [
        (
            "",
            "",
            "cluster.nodes = [] (default): allowed is one [[cluster.nodes]] table per node",
        ),
        (
            '[node]\nid = "c"',
            NODES,
            'node.id = "c" (node.toml): allowed is an id of cluster.nodes: a or b',
        ),
        ("", NODES, 'node.id = "node1" (default): allowed is an id of cluster.nodes: a or b'),
        (
            '[node]\nid = "a"\n[server]\nport = 5',
            NODES,
            "server.port = 5 (node.toml): allowed is 1001, as cluster.nodes says of a",
        ),
        (
            '[node]\nid = "a"',
            NODES.replace('"b"', '"a"'),
            'cluster.nodes.1.id = "a" (node.toml): allowed is a name that no other node has',
        ),
        (
            '[node]\nid = "a"',
            NODES.replace("10.0.0.2", "10.0.0.1"),
            "cluster.nodes.1.port = 1001 (node.toml): allowed is a port that a does not have there",
        ),
        (
            '[node]\nid = "a"',
            NODES.replace("cluster_port = 1002", "cluster_port = 1001"),
            "cluster.nodes.0.cluster_port = 1001 (node.toml): allowed is a port that a does not have there",
        ),
        (
            '[node]\nid = "a"',
            NODES.replace("port = 1001", "port = 0", 1),
            "cluster.nodes.0.port = 0 (node.toml): allowed is a whole number from 1 to 65535",
        ),
        (
            '[node]\nid = "a"',
            NODES.replace("cluster_port = 1002", "", 1),
            "cluster.nodes.0.cluster_port (node.toml): missing; wanted is a whole number from 1 to 65535",
        ),
        (
            '[node]\nid = "a"',
            NODES.replace("host", "hots", 1),
            "cluster.nodes.0.hots (node.toml): no such setting; did you mean cluster.nodes.0.host?",
        ),
    ],
)
def test_a_wrong_cluster_is_refused(write: Write, before: str, nodes: str, message: str) -> None:
    assert refusal(["--config", write(f"{before}\n[cluster]\nenabled = true\n{nodes}")]) == message


def test_a_wrong_list_of_nodes_is_refused(write: Write) -> None:
    for nodes in ("3", '"x"'):
        file = write(f"[cluster]\nnodes = {nodes}")
        assert refusal(["--config", file]) == (
            f"cluster.nodes = {nodes} (node.toml): allowed is one [[cluster.nodes]] table per node"
        )
    assert refusal(["--config", write("[cluster]\nnodes = [3]")]) == (
        "cluster.nodes.0 = 3 (node.toml): allowed is a table with id, host, port, cluster_port, http_port, "
        "announce_host, announce_port"
    )


def test_a_file_that_cannot_be_read_is_refused(write: Write) -> None:
    assert refusal(["--config", "nowhere.toml"]) == "--config nowhere.toml: No such file or directory"
    assert refusal(["--config", write("[server")]).startswith("--config node.toml: not valid TOML: ")


# -- refusals: in the environment and among the flags


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "IRONKV_SERVER_PORT",
            "many",
            'server.port = "many" (IRONKV_SERVER_PORT): allowed is a whole number from 1 to 65535',
        ),
        (
            "IRONKV_LOG",
            "loud",
            'log.level = "loud" (IRONKV_LOG): allowed is "debug", "info", "warning" or "error"',
        ),
        (
            "IRONKV_SERVER_PROT",
            "1",
            "server.prot (IRONKV_SERVER_PROT): no such setting; did you mean server.port?",
        ),
        (
            "IRONKV_SEVER_PORT",
            "1",
            "IRONKV_SEVER_PORT: no such setting; did you mean IRONKV_SERVER_…?",
        ),
        (
            "IRONKV_CLUSTER_NODES",
            "node1,node2",
            'cluster.nodes = "node1,node2" (IRONKV_CLUSTER_NODES): allowed is one [[cluster.nodes]] table '
            "per node",
        ),
    ],
)
def test_a_wrong_variable_is_refused(variable: str, text: str, message: str) -> None:
    assert refusal([], {variable: text}) == message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--port x", 'server.port = "x" (--port): allowed is a whole number from 1 to 65535'),
        ("--cluster --node-id n9", 'node.id = "n9" (--node-id): allowed is an id of cluster.nodes: '
         "node1, node2 or node3"),
        ("--cluster --port 7", "server.port = 7 (--port): allowed is 6379, as cluster.nodes says of node1"),
        (
            "--cluster --cluster-port 7",
            "cluster.port = 7 (--cluster-port): allowed is 6380, as cluster.nodes says of node1",
        ),
        ("--prot 7", "unrecognized arguments: --prot 7; did you mean --port?"),
        ("extra", "unrecognized arguments: extra; see --help"),
        ("--port", "argument --port: expected one argument; see --help"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_refused(flags: str, message: str) -> None:
    assert refusal(flags.split()) == message


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, said in (("--version", f"ironkv {__version__}\n"), ("--help", "--cluster-port PORT")):
        with pytest.raises(SystemExit) as caught:
            load([flag], {})
        assert caught.value.code == 0
        assert said in capsys.readouterr().out


# -- while running


def test_what_may_change_changes() -> None:
    settings = load([], {})
    limits = settings.limits
    settings.change({"limits.maxclients": "100", "limits.proto_max_bulk_len": "2mb", "log.level": "debug"})
    assert (limits.maxclients, limits.proto_max_bulk_len, settings.log.level) == (100, 2 << 20, "debug")


def test_a_change_is_made_as_a_whole_or_not_at_all() -> None:
    settings = load([], {})
    with pytest.raises(ConfigError) as caught:
        settings.change({"limits.maxclients": 100, "log.level": "loud"})
    assert str(caught.value) == (
        'log.level = "loud" (CONFIG SET): allowed is "debug", "info", "warning" or "error"'
    )
    assert settings.limits.maxclients == 10_000


def test_the_rest_does_not_change() -> None:
    settings = load([], {})
    for key in set(keys(Settings)) - LIVE:
        with pytest.raises(ConfigError, match=f"{key}: cannot be changed while the node runs"):
            settings.change({key: settings.value(key)})

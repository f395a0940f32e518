"""Settings: what may be set, what is allowed, and where a value comes from.

Flags beat the environment (`IRONKV_SECTION_KEY`, and `IRONKV_LOG` for log.level) beats the file given by
`--config` beats the defaults below, which `config/default.toml` lists. A wrong setting is refused before
anything is opened: the message names the key, the value, where it came from and what is allowed.

A setting is called `section.key` here and in messages.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import pathlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from ironkv import __version__
from ironkv.errors import IronKVError
from ironkv.refusals import IS_SIZE, UNITS, Allowed, Layer, Path, Tree, either, explain, refusal, value_at


class ConfigError(IronKVError):
    """A setting that cannot be used."""


# -- values

_size_of = re.compile(r"(\d{1,18})\s*([a-z]*)", re.ASCII).fullmatch


def parse_size(value: object) -> object:
    """Bytes, from a number or from Redis's spelling: `512mb`, `1gb`, `64k` (which is 64,000)."""
    if isinstance(value, str):
        match = _size_of(value.strip().lower())
        if match is None or match[2] not in UNITS:
            raise ValueError
        return int(match[1]) * UNITS[match[2]]
    return _no_bool(value)


def _no_bool(value: object) -> object:
    # To pydantic, as to Python, `true` is a 1.
    if isinstance(value, bool):
        raise ValueError
    return value


HTTP_ABOVE: Final = 2000
"""The HTTP port is the client port and so many, unless it is set: 8379 for 6379."""

Size = Annotated[int, BeforeValidator(parse_size), IS_SIZE]
Count = Annotated[int, BeforeValidator(_no_bool)]
Port = Annotated[Count, Field(ge=1, le=65535)]
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Allowed("1 to 64 letters, digits, `.`, `_` or `-`, a letter or digit first"),
]
Text = Annotated[str, Field(min_length=1), Allowed("a text that is not empty")]


# -- sections


class Section(BaseModel):
    """A table of the file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class NodeSection(Section):
    id: Name = "node1"
    data_dir: Text = "data/node1"


class ServerSection(Section):
    bind: Text = "127.0.0.1"
    port: Port = 6379
    on_follower_write: Annotated[
        Literal["reject", "readonly", "redirect", "forward"],
        Allowed('"reject", "readonly", "redirect" or "forward"'),
    ] = "reject"
    requirepass: Annotated[str, Allowed("a text")] = ""
    protected_mode: Annotated[bool, Allowed("true or false")] = True
    timeout: Annotated[Count, Field(ge=0, le=2**31 - 1)] = 0
    tcp_keepalive: Annotated[Count, Field(ge=0, le=2**31 - 1)] = 300
    notify_keyspace_events: Annotated[
        str, Field(pattern=r"^[AKEg$lshzxetdmn]*$"), Allowed("letters of AKEg$lshzxetdmn, or nothing")
    ] = ""
    enable_debug_command: Literal["no", "local", "yes"] = "no"


class Member(Section):
    """One node of the cluster, as every node knows it."""

    id: Name
    host: Text = "127.0.0.1"
    port: Port
    cluster_port: Port
    http_port: Port | None = None
    """None: `port` and HTTP_ABOVE."""
    announce_host: Text | None = None
    """The host that clients are told, an address or a name; None: `host`."""
    announce_port: Port | None = None
    """The port that clients are told; None: `port`."""


class ClusterSection(Section):
    enabled: Annotated[bool, Allowed("true or false")] = False
    name: Name = "ironkv"
    port: Port = 6380
    secret: Annotated[
        str,
        Field(pattern=r"^(.{16,1024})?$"),
        Allowed("a text of 16 to 1024 characters, or nothing"),
    ] = ""
    secret_file: str = ""
    nodes: Annotated[list[Member], Allowed("one [[cluster.nodes]] table per node")] = []
    join: Annotated[
        str,
        Field(pattern=r"^(.+:[0-9]{1,5})?$"),
        Allowed("HOST:PORT, where clients find a node of the cluster"),
    ] = ""


class TlsSection(Section):
    port: Annotated[Count, Field(ge=0, le=65535)] = 0
    cert_file: str = ""
    key_file: str = ""
    ca_cert_file: str = ""
    auth_clients: Literal["no", "optional", "yes"] = "yes"
    min_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    cluster: Annotated[bool, Allowed("true or false")] = False


class RaftSection(Section):
    heartbeat_ms: Annotated[Count, Field(ge=5, le=10_000)] = 50
    election_timeout_ms: Annotated[Count, Field(ge=20, le=60_000)] = 300
    reads: Literal["lease", "quorum", "local"] = "lease"


class LimitsSection(Section):
    maxclients: Annotated[Count, Field(ge=1, le=1_000_000)] = 10_000
    proto_max_bulk_len: Annotated[Size, Field(ge=1 << 20, le=512 << 20)] = 512 << 20
    client_query_buffer_limit: Annotated[Size, Field(ge=1 << 20, le=1 << 30)] = 1 << 30
    client_output_buffer_limit: Annotated[Size, Field(ge=0, le=1 << 40)] = 0
    pubsub_output_hard: Annotated[Size, Field(ge=0, le=1 << 40)] = 32 << 20
    pubsub_output_soft: Annotated[Size, Field(ge=0, le=1 << 40)] = 8 << 20
    pubsub_output_soft_s: Annotated[Count, Field(ge=0, le=2**31 - 1)] = 60
    rate_limit_address_commands: Annotated[Count, Field(ge=0, le=1 << 40)] = 0
    rate_limit_address_bytes: Annotated[Size, Field(ge=0, le=1 << 50)] = 0
    rate_limit_user_commands: Annotated[Count, Field(ge=0, le=1 << 40)] = 0
    rate_limit_user_bytes: Annotated[Size, Field(ge=0, le=1 << 50)] = 0
    rate_limit_burst: Annotated[Count, Field(ge=1, le=3600)] = 1
    acllog_max_len: Annotated[Count, Field(ge=0, le=1_000_000)] = 128
    maxmemory: Annotated[Size, Field(ge=0, le=1 << 50)] = 0
    max_proposal_bytes: Annotated[Size, Field(ge=1 << 20, le=1 << 30)] = 64 << 20


class JournalSection(Section):
    map_size: Annotated[Size, Field(ge=1 << 20, le=1 << 46)] = 64 << 30
    sync: Annotated[Literal["always"], Allowed('"always": no write is acknowledged that is not on disk')] = (
        "always"
    )


class SnapshotSection(Section):
    journal_bytes: Annotated[Size, Field(ge=1 << 20, le=1 << 40)] = 128 << 20
    entries: Annotated[Count, Field(ge=1_000, le=1 << 40)] = 1_000_000
    every_s: Annotated[Count, Field(ge=0, le=2**31 - 1)] = 3_600
    keep: Annotated[Count, Field(ge=1, le=16)] = 1
    keep_bytes: Annotated[Size, Field(ge=0, le=1 << 40)] = 64 << 20
    keep_entries: Annotated[Count, Field(ge=0, le=1 << 40)] = 100_000
    recover: Annotated[Count, Field(ge=0, le=1 << 62)] = 0


class DiskSection(Section):
    quota: Annotated[Size, Field(ge=0, le=1 << 50)] = 0
    reserve: Annotated[Size, Field(ge=0, le=1 << 40)] = 64 << 20


class SlowlogSection(Section):
    log_slower_than: Annotated[Count, Field(ge=-1, le=2**62)] = 10_000
    max_len: Annotated[Count, Field(ge=0, le=1_000_000)] = 128


class LatencySection(Section):
    monitor_threshold_ms: Annotated[Count, Field(ge=0, le=2**31 - 1)] = 0


class HttpSection(Section):
    enabled: Annotated[bool, Allowed("true or false")] = True
    bind: Text = "127.0.0.1"
    port: Port = 6379 + HTTP_ABOVE
    token: str = ""
    tls: Annotated[bool, Allowed("true or false")] = False


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


LIVE: Final = frozenset(
    {
        "server.requirepass",
        "server.protected_mode",
        "limits.acllog_max_len",
        "limits.rate_limit_address_commands",
        "limits.rate_limit_address_bytes",
        "limits.rate_limit_user_commands",
        "limits.rate_limit_user_bytes",
        "limits.rate_limit_burst",
        "tls.cert_file",
        "tls.key_file",
        "tls.ca_cert_file",
        "tls.auth_clients",
        "tls.min_version",
        "server.timeout",
        "server.tcp_keepalive",
        "server.notify_keyspace_events",
        "limits.maxclients",
        "limits.proto_max_bulk_len",
        "limits.client_query_buffer_limit",
        "limits.client_output_buffer_limit",
        "limits.pubsub_output_hard",
        "limits.pubsub_output_soft",
        "limits.pubsub_output_soft_s",
        "limits.max_proposal_bytes",
        "limits.maxmemory",
        "log.level",
        "slowlog.log_slower_than",
        "slowlog.max_len",
        "latency.monitor_threshold_ms",
        "snapshot.journal_bytes",
        "snapshot.entries",
        "snapshot.every_s",
        "snapshot.keep_bytes",
        "snapshot.keep_entries",
    }
)
"""Settings that may change while the node runs (CONFIG SET). What they change, each part of the node
has registered with `NodeView.on_setting`."""


class Settings(BaseModel):
    """All settings of one node."""

    model_config = ConfigDict(extra="forbid")

    node: NodeSection = NodeSection()
    server: ServerSection = ServerSection()
    cluster: ClusterSection = ClusterSection()
    tls: TlsSection = TlsSection()
    raft: RaftSection = RaftSection()
    limits: LimitsSection = LimitsSection()
    journal: JournalSection = JournalSection()
    snapshot: SnapshotSection = SnapshotSection()
    disk: DiskSection = DiskSection()
    slowlog: SlowlogSection = SlowlogSection()
    latency: LatencySection = LatencySection()
    http: HttpSection = HttpSection()
    log: LogSection = LogSection()

    _config_file: str = PrivateAttr("")

    @property
    def config_file(self) -> str:
        """The file given by --config; empty without one."""
        return self._config_file

    @property
    def redirects(self) -> bool:
        """The node presents itself to clients as one of Redis Cluster."""
        return self.cluster.enabled and self.server.on_follower_write == "redirect"

    @property
    def forwards(self) -> bool:
        """The node takes every command, whoever leads."""
        return self.cluster.enabled and self.server.on_follower_write == "forward"

    def value(self, key: str) -> Any:
        """The value of the setting `section.key`."""
        section, _, name = key.partition(".")
        return getattr(getattr(self, section), name)

    def change(self, changes: Mapping[str, object], source: str = "CONFIG SET") -> None:
        """Change settings that may change while running: all of them or, with a ConfigError, none."""
        for key in changes:
            if key not in LIVE:
                raise ConfigError(f"{key}: cannot be changed while the node runs")
        tree = self.model_dump()
        layer = _nest(changes)
        _merge(tree, layer)
        changed = _validate(tree, [Layer(layer, dict.fromkeys(changes, source))])
        for key in changes:
            section, _, name = key.partition(".")
            setattr(getattr(self, section), name, changed.value(key))


def _conflict(settings: Settings) -> tuple[Path, str] | None:
    """A setting that does not go with another, and what would be allowed."""
    raft, cluster = settings.raft, settings.cluster
    if raft.election_timeout_ms < 2 * raft.heartbeat_ms:
        least = f"{2 * raft.heartbeat_ms} or more, twice raft.heartbeat_ms ({raft.heartbeat_ms})"
        return ("raft", "election_timeout_ms"), least
    ids = [member.id for member in cluster.nodes]
    for place, member in enumerate(cluster.nodes):
        if member.id in ids[:place]:
            return ("cluster", "nodes", place, "id"), "a name that no other node has"
    ports: dict[tuple[str, int], str] = {}
    for place, member in enumerate(cluster.nodes):
        for name in ("port", "cluster_port"):
            address = (member.host, getattr(member, name))
            if address in ports:
                return ("cluster", "nodes", place, name), f"a port that {ports[address]} does not have there"
            ports[address] = member.id
    own = {settings.server.port: "server.port"}
    if cluster.enabled:
        own[cluster.port] = "cluster.port"
    if settings.http.enabled and settings.http.port in own:
        return ("http", "port"), f"another port than {own[settings.http.port]}"
    return _misfit(settings) if cluster.enabled else None


def _misfit(settings: Settings) -> tuple[Path, str] | None:
    """What this node says of itself and the cluster says otherwise."""
    cluster = settings.cluster
    if not cluster.nodes:
        return ("cluster", "nodes"), "one [[cluster.nodes]] table per node"
    members = {member.id: member for member in cluster.nodes}
    me = members.get(settings.node.id)
    if me is None:
        return ("node", "id"), f"an id of cluster.nodes: {either(list(members))}"
    if settings.server.port != me.port:
        return ("server", "port"), f"{me.port}, as cluster.nodes says of {me.id}"
    if cluster.port != me.cluster_port:
        return ("cluster", "port"), f"{me.cluster_port}, as cluster.nodes says of {me.id}"
    return None


# -- where values come from


def load(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings of this process. Raises ConfigError; exits for --help and --version."""
    arguments = _parser().parse_args(argv)
    file = arguments.config or ""
    layers = [_flags(arguments), _environment(environ), _file(file)]
    tree: Tree = {}
    for layer in reversed(layers):
        _merge(tree, layer.tree)
    _complete(tree, well_known=not file)
    settings = _validate(tree, layers)
    settings._config_file = file
    return settings


_FLAGS: Final = (
    ("--node-id", "node.id", "ID", "this node's name among cluster.nodes (node1)"),
    ("--data-dir", "node.data_dir", "DIR", "where this node keeps all its data (data/<node id>)"),
    ("--bind", "server.bind", "ADDRESS", "address of the client port and the cluster port (127.0.0.1)"),
    ("--port", "server.port", "PORT", "client port (6379)"),
    ("--cluster-port", "cluster.port", "PORT", "port for the other nodes (6380)"),
    ("--join", "cluster.join", "HOST:PORT", "a node of a cluster that runs: have this one taken in"),
    ("--recover-snapshot", "snapshot.recover", "INDEX", "start from this older snapshot, not the newest"),
    ("--log-level", "log.level", "LEVEL", "debug, info, warning or error (info)"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Refuse the command line as any other wrong setting, with the nearest flag there is."""
        unknown = re.match(r"unrecognized arguments: (--[a-z-]+)", message)
        near = difflib.get_close_matches(unknown[1], self._option_string_actions, 1) if unknown else []
        raise ConfigError(f"{message}; did you mean {near[0]}?" if near else f"{message}; see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ironkv-server",
        description="One IronKV node. Without --cluster (or cluster.enabled = true) it is a durable server "
        "of its own; with it, and without a file, one of the three local nodes node1, node2 and node3.",
        epilog="Flags beat the environment (IRONKV_SECTION_KEY, and IRONKV_LOG for the log level), which "
        "beats the file, which beats the defaults: config/default.toml lists them.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="settings (TOML), such as config/node1.toml")
    parser.add_argument("--cluster", action="store_true", help="be a node of a cluster")
    for flag, key, metavar, text in _FLAGS:
        parser.add_argument(flag, dest=key, metavar=metavar, help=text)
    parser.add_argument("--version", action="version", version=f"ironkv {__version__}")
    return parser


def _flags(arguments: argparse.Namespace) -> Layer:
    given = {key: getattr(arguments, key) for _, key, _, _ in _FLAGS if getattr(arguments, key) is not None}
    sources = {key: flag for flag, key, _, _ in _FLAGS}
    if arguments.cluster or arguments.__dict__.get("cluster.join"):
        given["cluster.enabled"] = True
    enabling = "--cluster" if arguments.cluster else "--join"
    return Layer(_nest(given), {**sources, "cluster.enabled": enabling})


def _environment(environ: Mapping[str, str]) -> Layer:
    """IRONKV_SERVER_PORT is server.port, IRONKV_LOG is log.level; an empty variable counts as unset."""
    given: dict[str, object] = {}
    sources: dict[str, str] = {}
    for variable, text in sorted(environ.items(), reverse=True):  # IRONKV_LOG beats IRONKV_LOG_LEVEL
        section, _, name = variable.removeprefix("IRONKV_").lower().partition("_")
        if not variable.startswith("IRONKV_") or not text:
            continue
        if (section, name) == ("log", ""):
            name = "level"
        if section in Settings.model_fields:
            key = f"{section}.{name}"
            given[key], sources[key] = text, variable
        elif near := difflib.get_close_matches(section, Settings.model_fields, 1, 0.75):
            # Others are not ours to judge: IRONKV_START_DIR belongs to start_cluster.sh.
            raise ConfigError(f"{variable}: no such setting; did you mean IRONKV_{near[0].upper()}_…?")
    if "cluster.nodes" in given:
        given["cluster.nodes"] = _json(str(given["cluster.nodes"]))
    return Layer(_nest(given), sources)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _file(name: str) -> Layer:
    if not name:
        return Layer({}, {})
    try:
        tree = tomllib.loads(pathlib.Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {name}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {name}: not valid TOML: {error}") from None
    return Layer(tree, {}, name)


def _nest(flat: Mapping[str, object]) -> Tree:
    nested: Tree = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    return nested


def _merge(into: Tree, layer: Tree) -> None:
    for section, values in layer.items():
        before = into.get(section)
        if isinstance(values, dict):
            into[section] = {**before, **values} if isinstance(before, dict) else dict(values)
        else:
            into[section] = values


def well_known_nodes() -> list[Tree]:
    """The three local nodes that `--cluster` without a file means."""
    return [
        {"id": f"node{n}", "host": "127.0.0.1", "port": 6377 + 2 * n, "cluster_port": 6378 + 2 * n}
        for n in (1, 2, 3)
    ]


def http_port_of(port: int) -> int:
    """The HTTP port that belongs to a client port."""
    return port + HTTP_ABOVE if port + HTTP_ABOVE <= 65_535 else port - HTTP_ABOVE


def _complete(tree: Tree, well_known: bool) -> None:
    """Fill in what follows from other settings: data_dir from the id, the ports from cluster.nodes and from
    each other."""
    _complete_ports(tree, well_known)
    server, http = tree.get("server", {}), tree.setdefault("http", {})
    if isinstance(server, dict) and isinstance(http, dict):
        with contextlib.suppress(TypeError, ValueError):  # wrong ports are refused as what they are
            http.setdefault("port", http_port_of(int(server.get("port", 6379))))


def _complete_ports(tree: Tree, well_known: bool) -> None:
    node, server, cluster = (tree.setdefault(name, {}) for name in ("node", "server", "cluster"))
    if not all(isinstance(section, dict) for section in (node, server, cluster)):
        return
    node_id = node.setdefault("id", "node1")
    node.setdefault("data_dir", f"data/{node_id}")
    if cluster.get("enabled") in (None, False) or _is_off(cluster["enabled"]):
        return
    if cluster.get("join") and not cluster.get("nodes"):
        cluster["nodes"] = [
            {
                "id": node_id,
                "host": server.get("bind", ServerSection().bind),
                "port": server.setdefault("port", ServerSection().port),
                "cluster_port": cluster.setdefault("port", ClusterSection().port),
            }
        ]
    if well_known and not cluster.get("nodes"):
        cluster["nodes"] = well_known_nodes()
    nodes = cluster.get("nodes")
    for member in nodes if isinstance(nodes, list) else []:
        if isinstance(member, dict) and member.get("id") == node_id:
            http = tree.setdefault("http", {})
            for section, name in ((server, "port"), (cluster, "cluster_port"), (http, "http_port")):
                if name in member and isinstance(section, dict):
                    section.setdefault("port", member[name])


def _is_off(value: object) -> bool:
    """As pydantic reads the text of an environment variable."""
    return isinstance(value, str) and value.strip().lower() in ("0", "off", "f", "false", "n", "no")


def _validate(tree: Tree, layers: Sequence[Layer]) -> Settings:
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain(error, Settings, layers)) from None
    conflict = _conflict(settings)
    if conflict is not None:
        path, allowed = conflict
        raise ConfigError(refusal(path, value_at(settings.model_dump(), path), layers, allowed))
    return settings

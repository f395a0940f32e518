"""Settings: what may be set, what is allowed, and where a value comes from.

Flags beat environment (`IRONKV_SECTION_KEY`, and `IRONKV_LOG` for the log level) beat the file given by
`--config` beat the defaults below. `config/default.toml` lists every key with its default.
A wrong setting is refused before anything is opened, naming the key and what is allowed.
"""

from __future__ import annotations

import argparse
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ironkv import __version__
from ironkv.errors import IronKVError

_UNITS: Final = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1 << 10,
    "m": 10**6,
    "mb": 1 << 20,
    "g": 10**9,
    "gb": 1 << 30,
}


class ConfigError(IronKVError):
    """A setting that cannot be used. The message names the key, the value, its source, what is allowed."""


def parse_size(value: object) -> object:
    """Bytes, from a number or from Redis's spelling: `512mb`, `1gb`, `64k`."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+)\s*([a-z]*)", value.strip().lower())
        if match is None or match[2] not in _UNITS:
            raise ValueError("a size such as 1024, 64kb, 512mb or 1gb")
        return int(match[1]) * _UNITS[match[2]]
    return value


Size = Annotated[int, BeforeValidator(parse_size)]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, and changes (CONFIG SET) checked like the rest."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, str_strip_whitespace=True)


class NodeSection(Section):
    id: Name = "node1"
    data_dir: Annotated[str, Field(min_length=1)] = "data/node1"


class ServerSection(Section):
    bind: str = "127.0.0.1"
    port: Port = 6379
    on_follower_write: Literal["reject"] = "reject"
    timeout: Annotated[int, Field(ge=0)] = 0
    tcp_keepalive: Annotated[int, Field(ge=0)] = 300


class Member(Section):
    """One node of the cluster, as every node knows it."""

    id: Name
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port
    cluster_port: Port


class ClusterSection(Section):
    enabled: bool = False
    name: Name = "ironkv"
    port: Port = 6380
    nodes: list[Member] = []

    @field_validator("nodes")
    @classmethod
    def _distinct(cls, nodes: list[Member]) -> list[Member]:
        ids = [node.id for node in nodes]
        if len(set(ids)) != len(ids):
            raise ValueError("every node's id once")
        ports = [(node.host, port) for node in nodes for port in (node.port, node.cluster_port)]
        if len(set(ports)) != len(ports):
            raise ValueError("no port of a host twice")
        return nodes


class RaftSection(Section):
    heartbeat_ms: Annotated[int, Field(ge=5, le=10_000)] = 50
    election_timeout_ms: Annotated[int, Field(ge=20, le=60_000)] = 300
    reads: Literal["lease", "quorum", "local"] = "lease"

    @model_validator(mode="after")
    def _beats(self) -> RaftSection:
        if self.election_timeout_ms < 2 * self.heartbeat_ms:
            raise ValueError(
                f"election_timeout_ms ({self.election_timeout_ms}) at least twice "
                f"heartbeat_ms ({self.heartbeat_ms})"
            )
        return self


class LimitsSection(Section):
    maxclients: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    proto_max_bulk_len: Annotated[Size, Field(ge=1 << 20, le=512 << 20)] = 512 << 20
    client_query_buffer_limit: Annotated[Size, Field(ge=1 << 20, le=1 << 30)] = 1 << 30
    max_proposal_bytes: Annotated[Size, Field(ge=1 << 20, le=1 << 30)] = 64 << 20


class JournalSection(Section):
    map_size: Annotated[Size, Field(ge=1 << 20, le=1 << 46)] = 64 << 30


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseSettings):
    """All settings of one node."""

    model_config = SettingsConfigDict(
        extra="forbid", env_prefix="IRONKV_", env_nested_delimiter="_", env_nested_max_split=1
    )
    node: NodeSection = NodeSection()
    server: ServerSection = ServerSection()
    cluster: ClusterSection = ClusterSection()
    raft: RaftSection = RaftSection()
    limits: LimitsSection = LimitsSection()
    journal: JournalSection = JournalSection()
    log: LogSection = LogSection()

    _config_file: str = ""

    @property
    def config_file(self) -> str:
        """The file given by --config; empty without one."""
        return self._config_file

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The layers are put together in `load`, which must know each value's source for its messages.
        return (init_settings,)

    @model_validator(mode="after")
    def _belongs(self) -> Settings:
        if not self.cluster.enabled:
            return self
        members = {member.id: member for member in self.cluster.nodes}
        if self.node.id not in members:
            raise ValueError(
                f"node.id: one of the cluster's nodes ({', '.join(members) or 'there are none'})"
            )
        me = members[self.node.id]
        for key, mine, theirs in (
            ("server.port", self.server.port, me.port),
            ("cluster.port", self.cluster.port, me.cluster_port),
        ):
            if mine != theirs:
                raise ValueError(f"{key}: {theirs}, as cluster.nodes says of {self.node.id}, not {mine}")
        return self


def well_known_nodes() -> list[dict[str, Any]]:
    """The three local nodes that `--cluster` without a file means."""
    return [
        {"id": f"node{n}", "host": "127.0.0.1", "port": 6377 + 2 * n, "cluster_port": 6378 + 2 * n}
        for n in (1, 2, 3)
    ]


_FLAGS: Final = (
    ("--node-id", "node.id", "this node's name among cluster.nodes"),
    ("--data-dir", "node.data_dir", "where this node keeps its journal"),
    ("--bind", "server.bind", "address of the client port and the cluster port"),
    ("--port", "server.port", "client port"),
    ("--cluster-port", "cluster.port", "port for the other nodes"),
    ("--log-level", "log.level", "debug, info, warning or error"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ironkv-server",
        description="One IronKV node. Without --cluster (or cluster.enabled) it is a durable one-node server.",
        epilog="Flags beat IRONKV_SECTION_KEY in the environment, which beats the file.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="settings (TOML), see config/default.toml")
    parser.add_argument("--cluster", action="store_true", help="be a node of a cluster")
    for flag, key, text in _FLAGS:
        parser.add_argument(flag, dest=key, metavar=key.rpartition(".")[2].upper(), help=text)
    parser.add_argument("--version", action="version", version=f"ironkv {__version__}")
    return parser


def load(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings of this process. Raises ConfigError; exits for --help, --version and wrong flags."""
    arguments = vars(_parser().parse_args(argv))
    file = arguments.pop("config")
    enable = arguments.pop("cluster")
    flags = _nest({key: value for key, value in arguments.items() if value is not None})
    if enable:
        flags.setdefault("cluster", {})["enabled"] = True
    layers = {
        "flag": flags,
        "environment": _environment(environ),
        f"file {file}": _file(file) if file else {},
    }
    merged: dict[str, Any] = {}
    for layer in reversed(layers.values()):
        _merge(merged, layer)
    _complete(merged)
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, layers)) from None
    settings._config_file = file or ""
    return settings


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    return nested


class _Environment(EnvSettingsSource):
    """The environment, given rather than looked up."""

    environ: Mapping[str, str] = {}

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = {key.lower(): value for key, value in self.environ.items() if key.startswith("IRONKV_")}
        if "ironkv_log" in found:
            found["ironkv_log_level"] = found.pop("ironkv_log")
        return found


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    source = type("Given", (_Environment,), {"environ": environ})(Settings)
    found: dict[str, Any] = source()
    return found


def _file(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {name}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {name}: no valid TOML: {error}") from None


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for section, values in layer.items():
        if isinstance(values, dict) and isinstance(into.get(section), dict):
            into[section] = {**into[section], **values}
        else:
            into[section] = values


def _complete(merged: dict[str, Any]) -> None:
    """Fill in what follows from other settings."""
    cluster, node = merged.get("cluster", {}), merged.setdefault("node", {})
    if not isinstance(cluster, dict) or not isinstance(node, dict):
        return
    node.setdefault("id", "node1")
    node.setdefault("data_dir", f"data/{node['id']}")
    if not cluster.get("enabled"):
        return
    cluster.setdefault("nodes", well_known_nodes())
    nodes = cluster["nodes"] if isinstance(cluster["nodes"], list) else []
    for member in nodes:
        if isinstance(member, dict) and member.get("id") == node["id"]:
            cluster.setdefault("port", member.get("cluster_port"))
            server = merged.setdefault("server", {})
            if isinstance(server, dict):
                server.setdefault("port", member.get("port"))


def _explain(error: ValidationError, layers: Mapping[str, Mapping[str, Any]]) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    allowed = first["msg"].removeprefix("Value error, ")
    if not path:
        return allowed
    source = next((name for name, layer in layers.items() if _has(layer, path)), "default")
    if first["type"] == "extra_forbidden":
        known = list(_keys(Settings if len(path) == 1 else Settings.model_fields[path[0]].annotation))
        close = difflib.get_close_matches(path[-1], known, 1)
        hint = f"did you mean {'.'.join([*path[:-1], close[0]])}?" if close else f"known: {', '.join(known)}"
        return f"{key} ({source}): no such setting; {hint}"
    if key == "server.on_follower_write" and first["input"] in ("forward", "redirect"):
        return f"{key} = {first['input']!r} ({source}): not available yet; allowed: 'reject'"
    return f"{key} = {first['input']!r} ({source}): {allowed[:1].lower()}{allowed[1:]}"


def _has(layer: Mapping[str, Any], path: Sequence[str]) -> bool:
    found: Any = layer
    for part in path:
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return found is not layer and not isinstance(found, dict)
    return True


def _keys(model: Any) -> Iterator[str]:
    yield from getattr(model, "model_fields", {})

"""One node from outside: its settings, its process, and the facts it reports over its own socket."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ironkv.tools.client import Client, ErrorReply, ProtocolFault
from ironkv.tools.processes import Process

HTTP_ABOVE = 2000
"""The HTTP port is the client port and so many, unless it is set."""
LEADER, FOLLOWER, CANDIDATE = "leader", "follower", "candidate"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a tool has to know of a node's file."""

    node_id: str
    host: str
    port: int
    cluster_port: int
    data_dir: str
    config: Path
    http_port: int | None
    """None: it has none."""

    @classmethod
    def read(cls, path: Path) -> Settings:
        document = tomllib.loads(path.read_text())
        node, server, cluster = (document.get(name, {}) for name in ("node", "server", "cluster"))
        bind = server.get("bind", "127.0.0.1")
        node_id = node.get("id", path.stem)
        members = cluster.get("nodes", []) if cluster.get("enabled") else []
        http = document.get("http", {})
        me: dict[str, Any] = next((member for member in members if member.get("id") == node_id), {})
        port = server.get("port", me.get("port", 6379))
        http_port = http.get("port", me.get("http_port", port + HTTP_ABOVE))
        return cls(
            node_id=node_id,
            # A server that listens everywhere is asked where it surely answers.
            host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind),
            port=port,
            cluster_port=cluster.get("port", me.get("cluster_port", 6380)),
            data_dir=node.get("data_dir", f"data/{node_id}"),
            config=path,
            http_port=http_port if http.get("enabled", True) else None,
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node says of itself in INFO."""

    role: str
    term: int
    commit: int
    applied: int
    fresh: bool
    """It began empty, and neither votes nor counts before it has everything."""
    all: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Facts:
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

        def number(name: str) -> int:
            value = fields.get(name, "")
            return int(value) if value.isdigit() else -1

        return cls(
            role=fields.get("raft_role", "unknown"),
            term=number("raft_term"),
            commit=number("raft_commit_index"),
            applied=number("raft_applied_index"),
            fresh=fields.get("raft_fresh") == "1",
            all=fields,
        )


class Node:
    """A node on this machine. `directory` holds its log and pid file and is where it runs."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        *,
        command: Sequence[str] = (sys.executable, "-m", "ironkv"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.directory = directory
        self.command = tuple(command)
        self.environment = environment
        self.log_path = directory / f"ironkv_{settings.node_id}.log"
        self.pid_path = directory / f"ironkv_{settings.node_id}.pid"
        self._child: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.id} {self.address}>"

    @property
    def id(self) -> str:
        return self.settings.node_id

    @property
    def port(self) -> int:
        return self.settings.port

    @property
    def address(self) -> str:
        """As clients are told it."""
        return f"{self.settings.host}:{self.settings.port}"

    @property
    def data_dir(self) -> Path:
        return self.directory / self.settings.data_dir

    # The process

    def process(self) -> Process | None:
        """The running process, if this node was started from this directory and lives."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        return Process.load(self.pid_path)

    def start(self) -> Process:
        """Start it in a session of its own, where it outlives the terminal. Nobody waits until it listens."""
        config = self.settings.config
        with contextlib.suppress(ValueError):
            config = config.relative_to(self.directory)
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                [*self.command, "--config", str(config)],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process.seen(self._child.pid)
        if process is None:
            raise RuntimeError(f"{self.id} ended at once\n{self.log_tail()}")
        process.save(self.pid_path)
        return process

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.stop(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM) and return at once."""
        self._signal(signal.SIGTERM)

    def stop(self, first: signal.Signals = signal.SIGTERM, grace: float = 10.0) -> bool:
        """Stop it: with `first`, and firmly when that was not enough. False when it did not run."""
        process = self.process()
        if process is not None:
            process.send(first)
            if not process.wait_gone(grace):
                process.send(signal.SIGKILL)
                if not process.wait_gone(30):
                    raise RuntimeError(f"{self.id}: pid {process.pid} does not end, even after SIGKILL")
        if self._child is not None:
            self._child.wait()
            self._child = None
        self.pid_path.unlink(missing_ok=True)
        return process is not None

    def exit_status(self, timeout: float = 10.0) -> int:
        """Wait until a node that we started ends by itself."""
        if self._child is None:
            raise RuntimeError(f"{self.id} was not started here")
        return self._child.wait(timeout)

    def _signal(self, number: signal.Signals) -> None:
        process = self.process()
        if process is not None:
            process.send(number)

    # The socket

    def connect(self, timeout: float = 10.0) -> Client:
        return Client(self.settings.host, self.settings.port, timeout)

    def facts(self, timeout: float = 2.0) -> Facts | None:
        """What it says in INFO; None when it does not answer."""
        try:
            with self.connect(timeout) as client:
                text = client.call("INFO")
        except (OSError, ErrorReply, ProtocolFault):
            return None
        return Facts.parse(text.decode("utf-8", "replace")) if isinstance(text, bytes) else None

    def log_tail(self, lines: int = 20) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return ""

"""Several nodes: find the leader, wait for a condition; and throwaway clusters for tests and measurements."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from ironkv.tools.client import Client, ErrorReply, Reply
from ironkv.tools.nodes import LEADER, Facts, Node, Settings

T = TypeVar("T")
TomlValue = str | int | bool | float
Sections = Mapping[str, Mapping[str, TomlValue]]

PATIENCE = 60.0  # what a wait may take on a machine that is busy with other things


class NeverHappened(AssertionError):
    """A condition that was waited for did not come true."""


def wait_for(
    condition: Callable[[], T | None], what: str, timeout: float = PATIENCE, pause: float = 0.02
) -> T:
    """Ask again and again until the answer is true, and return it."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise NeverHappened(f"not within {timeout:g} s: {what}")
        time.sleep(pause)


class Cluster:
    """Nodes that belong together."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = list(nodes)

    def __getitem__(self, node_id: str) -> Node:
        return next(node for node in self.nodes if node.id == node_id)

    def facts(self) -> dict[str, Facts | None]:
        """What every node says of itself, asked at the same time."""
        nodes = [*self.nodes]  # tests add some, and take some away
        with ThreadPoolExecutor(len(nodes)) as pool:
            return dict(zip((node.id for node in nodes), pool.map(Node.facts, nodes), strict=True))

    def leader(self) -> Node | None:
        """The node that leads, as far as the nodes say. Of two that claim it, the older does not know yet."""
        claims = [
            (facts.term, node_id) for node_id, facts in self.facts().items() if facts and facts.role == LEADER
        ]
        named = max(claims)[1] if claims else None
        return next((node for node in self.nodes if node.id == named), None)

    def followers(self, leader: Node | None = None) -> list[Node]:
        leader = leader or self.wait_for_leader()
        return [node for node in self.nodes if node is not leader]

    def wait_for_leader(self, timeout: float = PATIENCE, other_than: Node | None = None) -> Node:
        """A leader that serves: it answers a read, so it has committed an entry of its own term."""

        def serving() -> Node | None:
            node = self.leader()
            if node is None or node is other_than:
                return None
            with contextlib.suppress(OSError, ErrorReply), node.connect(2.0) as client:
                client.call("EXISTS", "is anybody there")
                return node
            return None

        return self._wait(serving, "a leader that serves", timeout)

    def wait_until_level(self, timeout: float = PATIENCE) -> None:
        """Every node has applied what the leader had committed when asked, follows it and has a say."""

        def level() -> bool:
            facts = list(self.facts().values())
            if any(f is None for f in facts):
                return False
            known = [f for f in facts if f is not None]
            leaders = [f for f in known if f.role == LEADER]
            return len(leaders) == 1 and all(
                f.applied >= leaders[0].commit and f.term == leaders[0].term and not f.fresh for f in known
            )

        self._wait(level, "all nodes level with the leader", timeout)

    def write(self, *command: str | bytes | int, timeout: float = PATIENCE) -> Reply:
        """Carry out one command on the leader, whoever that is; only for commands that may run twice."""

        def attempt() -> tuple[Reply] | None:
            node = self.leader()
            if node is None:
                return None
            try:
                with node.connect() as client:
                    return (client.call(*command),)
            except ErrorReply as error:
                if error.code in ("NOTLEADER", "CLUSTERDOWN", "TRYAGAIN"):
                    return None
                raise
            except OSError:
                return None

        return self._wait(attempt, f"{command[0]!r} acknowledged", timeout)[0]

    def connect_to_leader(self) -> Client:
        return self.wait_for_leader().connect()

    def start(self) -> None:
        """Start the nodes that do not run; wait until one leads and all follow."""
        for node in self.nodes:
            if node.process() is None:
                node.start()
        self.wait_for_leader()
        self.wait_until_level()

    def kill_all(self) -> None:
        """SIGKILL for all of them, as close together as can be."""
        processes = [process for node in self.nodes if (process := node.process()) is not None]
        for process in processes:
            process.send(signal.SIGKILL)
        for node in self.nodes:
            node.stop(signal.SIGKILL)

    def stop(self) -> None:
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.stop()

    def _wait(self, condition: Callable[[], T | None], what: str, timeout: float) -> T:
        try:
            return wait_for(condition, what, timeout)
        except NeverHappened as error:
            lines = [str(error)]
            for node_id, facts in self.facts().items():
                shown = facts and (facts.role, facts.term, facts.commit, facts.applied)
                lines += [f"--- {node_id}: {shown or 'does not answer'}", self[node_id].log_tail()]
            raise NeverHappened("\n".join(lines)) from None


class ThrowawayCluster(Cluster):
    """A cluster of its own on free ports in a directory of its own, all of it gone at the end.

    `settings` go into every node's file: `{"raft": {"reads": "quorum"}}`. The HTTP ports are off unless they
    say `{"http": {"enabled": True}}`.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        parent: Path | None = None,
        settings: Sections | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ironkv-", dir=parent))
        self._settings = settings or {}
        self._environment = {**surroundings(), **(environment or {})}
        ports = free_ports(3 * size)
        members = [(f"node{i + 1}", ports[3 * i], ports[3 * i + 1]) for i in range(size)]
        http_ports = {members[i][0]: ports[3 * i + 2] for i in range(size)}
        config = self.directory / "config"
        config.mkdir()
        nodes = []
        for node_id, _, _ in members:
            nodes.append(self._node(node_id, node_file(node_id, members, self._settings, http_ports)))
        super().__init__(nodes)

    def _node(self, node_id: str, file: str) -> Node:
        path = self.directory / "config" / f"{node_id}.toml"
        path.write_text(file)
        return Node(Settings.read(path), self.directory, environment=self._environment)

    def newcomer(self, node_id: str, by: Node, otherwise: Mapping[str, TomlValue] | None = None) -> Node:
        """A node that will join through `by` when it is started; not one of `nodes` yet. `otherwise` goes
        into its cluster section."""
        port, cluster_port, http_port = free_ports(3)
        cluster = {
            **self._settings.get("cluster", {}), "enabled": True, "join": by.address, **(otherwise or {})
        }  # fmt: skip
        settings = {**self._settings, "cluster": cluster}
        file = node_file(node_id, [(node_id, port, cluster_port)], settings, {node_id: http_port})
        return self._node(node_id, file)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing of it is to be kept, so nobody waits for a graceful end."""
        for node in self.nodes:
            node.resume()
        self.kill_all()
        shutil.rmtree(self.directory, ignore_errors=True)


def node_file(
    node_id: str,
    members: Sequence[tuple[str, int, int]],
    settings: Sections,
    http_ports: Mapping[str, int] | None = None,
) -> str:
    """A node's TOML file, in a cluster of `members` (id, client port, cluster port) or alone. Without
    `http_ports` it has no HTTP port; with them, if `settings` say so."""
    port, cluster_port = next((p, c) for name, p, c in members if name == node_id)
    sections: dict[str, dict[str, TomlValue]] = {
        "node": {"id": node_id, "data_dir": f"data/{node_id}"},
        "server": {"bind": "127.0.0.1", "port": port},
        "cluster": {"enabled": len(members) > 1, "name": "ironkv-throwaway", "port": cluster_port},
    }
    sections["http"] = {"enabled": False}
    if http_ports is not None:
        sections["http"]["port"] = http_ports[node_id]
    for name, values in settings.items():
        sections.setdefault(name, {}).update(values)
    of_http: Mapping[str, dict[str, TomlValue]] = {
        name: {"http_port": port} for name, port in (http_ports or {}).items()
    }
    peers: list[dict[str, TomlValue]] = [
        {"id": name, "host": "127.0.0.1", "port": p, "cluster_port": c, **of_http.get(name, {})}
        for name, p, c in members
    ]
    lines: list[str] = []
    for name, values in sections.items():
        lines += _toml_table(f"[{name}]", values)
        if name == "cluster" and len(members) > 1:
            for peer in peers:
                lines += _toml_table("[[cluster.nodes]]", peer)
    return "\n".join(lines)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the range the system takes outgoing connections from:
    so a node that is restarted finds its port as it left it."""
    chosen: list[int] = []
    candidates = _shuffled(range(20000, 32000))
    with contextlib.ExitStack() as held:
        while len(chosen) < count:
            probe = held.enter_context(socket.socket())
            port = next(candidates)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                chosen.append(port)
    return chosen


def _shuffled(ports: Iterable[int]) -> Iterator[int]:
    order = list(ports)
    random.SystemRandom().shuffle(order)
    return iter(order)


def _toml_table(heading: str, values: Mapping[str, TomlValue]) -> list[str]:
    return [heading, *(f"{key} = {_toml(value)}" for key, value in values.items()), ""]


def _toml(value: TomlValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def surroundings() -> dict[str, str]:
    """The environment for a throwaway node: the code this tool is from, and no settings of the user's."""
    root = str(Path(__file__).resolve().parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IRONKV_")}
    path = kept.get("PYTHONPATH", "")
    return {**kept, "PYTHONPATH": os.pathsep.join([root, path]) if path else root}

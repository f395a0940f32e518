"""The verbs of start_cluster.sh: start, stop, restart, status, test, logs.

Everything happens in the checkout, unless the environment says otherwise (the tests do):

    IRONKV_START_DIR     where logs, pid files and data go
    IRONKV_START_CONFIG  the directory of the nodes' files; config/ in IRONKV_START_DIR otherwise
    IRONKV_START_GRACE   seconds a node has to stop before it is ended firmly
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ironkv.tools import quick_check
from ironkv.tools.cluster import Cluster
from ironkv.tools.nodes import CANDIDATE, FOLLOWER, LEADER, Facts, Node, Settings
from ironkv.tools.processes import port_holder, port_is_free

ROOT = Path(__file__).resolve().parents[2]
START_PATIENCE = 60.0
STOP_GRACE = float(os.environ.get("IRONKV_START_GRACE", "") or 15)
ROLES = {LEADER: "👑 LEADER", FOLLOWER: "📋 FOLLOWER", CANDIDATE: "🗳️ CANDIDATE"}
# One environment serves all nodes, so these settings would make them collide.
PER_NODE = ("IRONKV_SERVER_PORT", "IRONKV_CLUSTER_PORT", "IRONKV_NODE_ID", "IRONKV_NODE_DATA_DIR")

USAGE = """\
usage: ./start_cluster.sh <command>

  start   [node …]     start the nodes that do not run, wait for a leader, show the status
  stop    [node …]     ask the nodes to stop; be firm with one that has not after 15 seconds
  restart [node …]     stop, then start
  status               what runs, who leads; exit status 0 only if all nodes are up and one leads
  test                 a quick check of the running cluster, with a score
  logs    [node] [-f]  the last lines of the logs; -f goes on as they grow
  help                 this

Nodes are the files config/node*.toml. Logs: ironkv_node1.log …  Data: data/node1 …
IRONKV_LOG=debug and other settings in the environment reach the nodes.
"""


class Refused(Exception):
    """It cannot be done, and the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the status table."""

    node: Node
    pid: int | None
    facts: Facts | None

    @property
    def is_up(self) -> bool:
        return self.facts is not None and self.facts.role in (LEADER, FOLLOWER)


def main(arguments: Sequence[str]) -> int:
    verb, *rest = arguments or ["help"]
    commands: dict[str, Callable[[list[str]], int]] = {
        "start": start,
        "stop": stop,
        "restart": restart,
        "status": status,
        "test": test,
        "logs": logs,
    }
    if verb in ("help", "-h", "--help"):
        print(USAGE, end="")
        return 0
    if verb not in commands:
        print(f"unknown command: {verb}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    try:
        return commands[verb](rest)
    except (Refused, OSError, RuntimeError, tomllib.TOMLDecodeError) as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def start(names: list[str]) -> int:
    with _alone():
        cluster = configured()
        wanted = _chosen(cluster, names)
        _start_nodes(cluster, wanted)
    rows = _look(cluster)
    _print_table(cluster, rows)
    return 0 if _is_whole(rows) else 1


def stop(names: list[str]) -> int:
    with _alone():
        cluster = configured()
        _stop_nodes(_chosen(cluster, names))
    return 0


def restart(names: list[str]) -> int:
    with _alone():
        cluster = configured()
        wanted = _chosen(cluster, names)
        _stop_nodes(wanted)
        _start_nodes(cluster, wanted)
    rows = _look(cluster)
    _print_table(cluster, rows)
    return 0 if _is_whole(rows) else 1


def status(names: list[str]) -> int:
    _no_more(names)
    cluster = configured()
    rows = _look(cluster)
    _print_table(cluster, rows)
    return 0 if _is_whole(rows) else 1


def test(names: list[str]) -> int:
    _no_more(names)
    return quick_check.run(configured())


def logs(arguments: list[str]) -> int:  # noqa: RET503 - exec does not return
    follow = [a for a in arguments if a in ("-f", "--follow")]
    cluster = configured()
    chosen = _chosen(cluster, [a for a in arguments if a not in follow])
    paths = [node.log_path for node in chosen]
    missing = [path for path in paths if not path.exists()]
    if missing and not follow:
        print(f"no log yet: {', '.join(path.name for path in missing)}", file=sys.stderr)
    paths = [path for path in paths if path.exists() or follow]
    if not paths:
        return 1
    sys.stdout.flush()
    lines = "40" if len(paths) == 1 else "20"
    os.execvp("tail", ["tail", "-n", lines, *(["-F"] if follow else []), *map(str, paths)])


# Starting and stopping


def _start_nodes(cluster: Cluster, wanted: Sequence[Node]) -> None:
    absent = [node for node in wanted if node.process() is None]
    for node in wanted:
        if node not in absent:
            print(f"· {node.id} is running already")
    if not absent:
        return
    _check_ports(absent)
    for name in PER_NODE:
        if os.environ.pop(name, None) is not None:
            print(f"· leaving out {name}: it cannot hold for all nodes")
    for node in absent:
        print(f"· starting {node.id} on {node.address}", flush=True)
        node.start()
    _wait_until_whole(cluster, absent)


def _check_ports(nodes: Sequence[Node]) -> None:
    taken = []
    for node in nodes:
        settings = node.settings
        wanted = [(settings.port, "clients"), (settings.cluster_port, "the other nodes")]
        if settings.http_port is not None:
            wanted.append((settings.http_port, "HTTP"))
        for port, purpose in wanted:
            if not port_is_free(settings.host, port):
                taken.append(
                    f"port {port}, which {node.id} needs for {purpose}, is taken by {port_holder(port)}"
                )
    if taken:
        raise Refused("\n  ".join(taken) + "\nNothing was started.")


def _wait_until_whole(cluster: Cluster, started: Sequence[Node]) -> None:
    """Until there is a leader, and all that was started answers and has a say; or one of them has died.

    A new cluster whose nodes have no say yet can spare none: the others would wait for what it might know.
    """
    # A part of the cluster may be stopped on purpose: then a leader is all there is to wait for.
    expected = [node for node in cluster.nodes if node in started or node.process() is not None]
    print("· waiting for a leader", end="", flush=True)
    deadline = time.monotonic() + START_PATIENCE
    try:
        while time.monotonic() < deadline:
            for node in started:
                if node.process() is None:
                    raise Refused(f"{node.id} did not stay up. The end of its log:\n{node.log_tail()}")
            facts = cluster.facts()
            here = [found for node in expected if (found := facts[node.id]) is not None]
            if len(here) == len(expected):
                if cluster.leader() and not any(each.fresh for each in here):
                    return
                if 2 * len(expected) <= len(cluster.nodes):
                    return  # no majority: there cannot be a leader yet
            print(".", end="", flush=True)
            time.sleep(0.1)
    finally:
        print()
    # Not an error by itself: the table that follows shows what is missing, and the exit status says it.
    print(f"✗ no leader within {START_PATIENCE:g} s; see ./start_cluster.sh logs", file=sys.stderr)


def _stop_nodes(nodes: Sequence[Node]) -> None:
    running = [node for node in nodes if node.process() is not None]
    for node in nodes:
        if node not in running:
            node.pid_path.unlink(missing_ok=True)
            print(f"· {node.id} is not running")
    for node in running:
        print(f"· stopping {node.id}", flush=True)
        node.terminate()
    for node in running:
        process = node.process()
        if process is not None and not process.wait_gone(STOP_GRACE):
            print(f"· {node.id} has not stopped within {STOP_GRACE:g} s: ending it firmly")
        node.stop(grace=0)


# Looking


def _look(cluster: Cluster) -> list[Row]:
    facts = cluster.facts()
    rows = []
    for node in cluster.nodes:
        process = node.process()
        rows.append(Row(node, process.pid if process else None, facts[node.id]))
    return rows


def _is_whole(rows: Sequence[Row]) -> bool:
    return all(row.is_up for row in rows) and sum(_role(row) == LEADER for row in rows) == 1


def _role(row: Row) -> str:
    return row.facts.role if row.facts else ""


def _print_table(cluster: Cluster, rows: Sequence[Row]) -> None:
    for row in rows:
        facts = row.facts
        up = row.pid is not None or (facts is not None and facts.role in ROLES)
        cells = [
            _padded(row.node.id, 8),
            _padded("✅ RUNNING" if up else "❌ STOPPED", 11),
            _padded("✅ LISTENING" if facts else "❌ NOT LISTENING" if up else "❌ CLOSED", 14),
            _padded(ROLES.get(facts.role, "❔ UNKNOWN") if facts else "—", 12),
        ]
        if facts and facts.term >= 0:
            cells += [f"term {facts.term}", f"commit {facts.commit}", f"applied {facts.applied}"]
        print(" | ".join(cells).rstrip())
    for row in rows:
        if row.pid is None and row.facts is not None:
            port = row.node.port
            print(f"· {row.node.id} was not started from here: port {port} is served by {port_holder(port)}")
    leaders = [row.node for row in rows if _role(row) == LEADER]
    if _is_whole(rows):
        print(f"✓ the cluster is up: write to {leaders[0].id}, redis-cli -p {leaders[0].port}")
    elif leaders:
        print(f"! {leaders[0].id} leads, and not all nodes are up")
    else:
        print("✗ there is no leader")


def _padded(text: str, width: int) -> str:
    """Filled up to a width in columns, where most emoji take two."""
    columns = sum(0 if c == "\ufe0f" else 2 if unicodedata.east_asian_width(c) == "W" else 1 for c in text)
    columns += text.count("\ufe0f")  # it asks for the wide form of the character before it
    return text + " " * (width - columns)


# Which nodes


def configured() -> Cluster:
    """The nodes this checkout has files for."""
    directory = Path(os.environ.pop("IRONKV_START_DIR", "") or ROOT).resolve()
    os.environ.pop("IRONKV_START_GRACE", None)  # these are ours, the nodes are not to see them
    config = Path(os.environ.pop("IRONKV_START_CONFIG", "") or directory / "config").resolve()
    files = sorted(config.glob("node*.toml"))
    if not files:
        raise Refused(f"there is no node*.toml in {config}")
    installed = Path(sys.executable).with_name("ironkv-server")
    command = (str(installed),) if installed.exists() else (sys.executable, "-m", "ironkv")
    return Cluster([Node(Settings.read(path), directory, command=command) for path in files])


def _chosen(cluster: Cluster, names: Sequence[str]) -> list[Node]:
    known = {node.id: node for node in cluster.nodes}
    for name in names:
        if name not in known:
            raise Refused(f"there is no {name}: the nodes are {', '.join(known)}")
    return [node for node in cluster.nodes if not names or node.id in names]


def _no_more(arguments: Sequence[str]) -> None:
    if arguments:
        raise Refused(f"no argument is expected here: {' '.join(arguments)}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One start or stop at a time; a second one waits and then finds the work done."""
    directory = Path(os.environ.get("IRONKV_START_DIR", "") or ROOT).resolve()
    (directory / "data").mkdir(exist_ok=True)
    with (directory / "data" / "start_cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

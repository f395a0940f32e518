"""The rolling restart of docs/operations.md, carried out as it stands there, under load."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.load import WriteLoad
from ironkv.tools.nodes import Node
from tests.cluster.conftest import CALM

ROOT = Path(__file__).resolve().parents[2]
SSH = """\
#!{python}
# Stands in for `ssh NODE systemctl restart ironkv@NODE`.
import sys
from pathlib import Path
from ironkv.tools.cluster import surroundings, wait_for
from ironkv.tools.nodes import Node, Settings
name, *command = sys.argv[1:]
assert command == ["systemctl", "restart", f"ironkv@{{name}}"], command
directory = Path({directory!r})
node = Node(Settings.read(directory / "config" / f"{{name}}.toml"), directory, environment=surroundings())
assert node.stop(), "it did not run"
node.start()
wait_for(lambda: (facts := node.facts()) is not None and facts.all["loading"] == "0", "it serves")
"""


def procedure() -> str:
    text = (ROOT / "docs" / "operations.md").read_text()
    (block,) = re.findall(r"## Rolling restart.*?```bash\n(.*?)```", text, re.DOTALL)
    return str(block)


def restart_all(cluster: ThrowawayCluster, programs: Path) -> None:
    """Do as the documentation says."""
    programs.mkdir()
    (programs / "ssh").write_text(SSH.format(python=sys.executable, directory=str(cluster.directory)))
    (programs / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.1\n")
    ports = " ".join(f"{node.id}) port={node.port};;" for node in cluster.nodes)
    ctl = shlex.join([sys.executable, "-m", "ironkv.tools.ctl"])
    (programs / "ironkv-ctl").write_text(
        f'#!/bin/sh\ncase "$3" in {ports} esac\nexec {ctl} "$1" --port "$port"\n'
    )
    for each in programs.iterdir():
        each.chmod(0o755)
    before = {node.id: node.process() for node in cluster.nodes}
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euc", procedure()], env=environ, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(node.process() not in (None, before[node.id]) for node in cluster.nodes), (
        "each is another process"
    )


def test_nothing_is_lost_while_all_nodes_are_restarted(cluster: ThrowawayCluster, tmp_path: Path) -> None:
    with WriteLoad(cluster.nodes) as load:
        load.wait_acknowledged(200)
        restart_all(cluster, tmp_path / "programs")
        load.wait_acknowledged(200)
    assert load.unknown == 0, "what was in flight was answered, too"
    cluster.wait_until_level()
    for node in cluster.nodes:
        with node.connect() as client:
            assert load.check(client) == []


class Stayer(threading.Thread):
    """A client that knows one node and counts there; it dials again only when that node was away."""

    def __init__(self, node: Node, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.name, self.done = f"count at {node.id}", 0
        self.errors: list[str] = []
        self._node, self._stop_asked = node, stop

    def run(self) -> None:
        client = redis.Redis(port=self._node.port, retry=Retry(ConstantBackoff(0.02), 0))
        while not self._stop_asked.is_set():
            try:
                client.incr(self.name)
                self.done += 1
            except redis.BusyLoadingError:
                continue
            except redis.ConnectionError:
                time.sleep(0.02)
            except redis.RedisError as error:
                self.errors.append(f"{error!r} {error}")
        client.close()


def test_clients_that_stay_where_they_are_see_no_error(tmp_path: Path) -> None:
    """Relayed writes: leaders come and go behind the node, which is restarted itself as well."""
    settings = {**CALM, "server": {"on_follower_write": "forward"}}
    over = threading.Event()
    with ThrowawayCluster(parent=tmp_path, settings=settings) as cluster:
        cluster.wait_for_leader()
        stayers = [Stayer(node, over) for node in cluster.nodes]
        for each in stayers:
            each.start()
        try:
            for again in (False, True):
                before = [each.done for each in stayers]
                wait_for(
                    lambda before=before: all(
                        each.done > was + 50 for each, was in zip(stayers, before, strict=True)
                    ),
                    "all count",
                )
                if not again:
                    restart_all(cluster, tmp_path / "programs")
        finally:
            over.set()
            for each in stayers:
                each.join()
        with cluster.connect_to_leader() as client:
            for each in stayers:
                assert each.errors == [], each.name
                value = client.call("GET", each.name)
                assert value == b"%d" % each.done, "each was done once, and its reply came"

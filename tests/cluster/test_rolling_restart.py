"""The rolling restart of docs/operations.md, carried out as it stands there, under load."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from ironkv.tools.cluster import ThrowawayCluster
from ironkv.tools.load import WriteLoad

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


def test_nothing_is_lost_while_all_nodes_are_restarted(cluster: ThrowawayCluster, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(SSH.format(python=sys.executable, directory=str(cluster.directory)))
    ports = " ".join(f"{node.id}) port={node.port};;" for node in cluster.nodes)
    ctl = shlex.join([sys.executable, "-m", "ironkv.tools.ctl"])
    (programs / "ironkv-ctl").write_text(
        f'#!/bin/sh\ncase "$3" in {ports} esac\nexec {ctl} "$1" --port "$port"\n'
    )
    for each in programs.iterdir():
        each.chmod(0o755)
    before = {node.id: node.process() for node in cluster.nodes}
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    with WriteLoad(cluster.nodes) as load:
        load.wait_acknowledged(200)
        done = subprocess.run(
            ["bash", "-euc", procedure()],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        load.wait_acknowledged(200)
    assert all(node.process() not in (None, before[node.id]) for node in cluster.nodes), (
        "each is another process"
    )
    assert load.unknown == 0, "what was in flight was answered, too"
    cluster.wait_until_level()
    for node in cluster.nodes:
        with node.connect() as client:
            assert load.check(client) == []

"""What is under deploy/ fits what the node understands, and the tools of its field accept it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ironkv import config
from ironkv.tools.cluster import ThrowawayCluster

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "deploy" / "docker"
UNIT = ROOT / "deploy" / "systemd" / "ironkv@.service"


def image_environment() -> dict[str, str]:
    (words,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    return dict(word.split("=", 1) for word in words.replace("\\\n", " ").split())


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    return found


@pytest.mark.parametrize("name", ["node1", "node2", "node3"])
def test_each_service_of_compose_is_a_node_of_the_cluster(name: str) -> None:
    service = services()[name]
    assert service["command"] == ["--config", "/etc/ironkv/cluster.toml"]
    environment = {**image_environment(), **service["environment"], "IRONKV_SERVER_REQUIREPASS": "secret"}
    settings = config.load(["--config", str(DOCKER / "cluster.toml")], environment)
    assert settings.node.id == name == service["hostname"]
    assert (settings.server.bind, settings.server.port) == ("0.0.0.0", 6379)
    assert (settings.cluster.port, settings.http.port, settings.http.bind) == (6380, 8379, "0.0.0.0")
    assert [(node.id, node.host) for node in settings.cluster.nodes] == [(n, n) for n in services()]
    assert Path(settings.node.data_dir) == Path("/data")
    assert f"{name}:/data" in service["volumes"]
    assert service["read_only"]


def test_the_ports_on_the_host_are_those_of_the_script() -> None:
    published = {name: [port.split(":")[1] for port in each["ports"]] for name, each in services().items()}
    assert published == {"node1": ["6379", "8379"], "node2": ["6381", "8381"], "node3": ["6383", "8383"]}


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_unit_is_understood_and_confined(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("CI"):
            pytest.fail("no systemd-analyze (Debian: apt install systemd)")
        pytest.skip("no systemd-analyze here (Debian: apt install systemd)")
    unit = tmp_path / "ironkv@node1.service"
    unit.write_text(UNIT.read_text().replace("/opt/ironkv/bin/ironkv-server", sys.executable))
    verify = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (verify.returncode, verify.stderr) == (0, "")
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert security.returncode == 0, security.stdout[-300:]


def test_a_service_manager_is_told_when_the_node_serves(tmp_path: Path) -> None:
    """As systemd does it for `Type=notify`."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        with ThrowawayCluster(1, parent=tmp_path, environment={"NOTIFY_SOCKET": str(path)}) as cluster:
            assert manager.recv(100) == b"STATUS=Recovering its state"
            assert manager.recv(100) == b"READY=1\nSTATUS=Ready"
            with cluster.nodes[0].connect() as client:
                assert client.call("PING") == "PONG"
            cluster.nodes[0].terminate()
            assert manager.recv(100) == b"STOPPING=1"

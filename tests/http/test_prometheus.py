"""What is given for Prometheus and Grafana: rules that hold, figures that exist, and a real scrape."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster, free_ports, wait_for
from tests.http.conftest import get

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "ironkv-alerts.yml"
OPERATIONS = DEPLOY.parent / "docs" / "operations.md"
prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None and not os.environ.get("CI"),
    reason="needs prometheus (apt install prometheus)",
)


def named(text: str) -> set[str]:
    return set(re.findall(r"\bironkv_[a-z_]+", text))


def test_every_figure_that_is_named_exists(watched: ThrowawayCluster) -> None:
    leader = watched.wait_for_leader()
    with leader.connect() as client:
        client.pipeline([["SET", "a", "1"], ["NONSENSE"]])
    told = named(get(leader, "/metrics").text)
    dashboard = json.loads((DEPLOY / "grafana" / "ironkv.json").read_text())
    expressions = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert named(expressions)
    assert named(expressions) <= told
    assert named(" ".join(re.findall(r"expr: (.*)", RULES.read_text()))) <= told


def test_every_alert_is_explained() -> None:
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    text = OPERATIONS.read_text()
    assert len(alerts) == len(set(alerts)) >= 10
    for alert in alerts:
        assert f"`{alert}`" in text, alert


@prometheus
def test_the_rules_hold() -> None:
    for command in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "ironkv-alerts.yml"),
        ("test", "rules", "ironkv-alerts-test.yml"),
    ):
        ran = subprocess.run(
            ["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@prometheus
def test_a_real_prometheus_scrapes_all_nodes(watched: ThrowawayCluster, tmp_path: Path) -> None:
    ports = [node.settings.http_port for node in watched.nodes]
    text = (RULES.parent / "prometheus.yml").read_text().replace("10s", "1s")
    text = re.sub(r"targets: .*", f"targets: {json.dumps([f'127.0.0.1:{port}' for port in ports])}", text)
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(RULES, tmp_path)
    (port,) = free_ports(1)
    command = [
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
    ]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:

            def scraped() -> bool:
                try:
                    url = f"http://127.0.0.1:{port}/api/v1/query?query=sum(ironkv_raft_has_leader)"
                    with urllib.request.urlopen(url, timeout=10) as answer:
                        result = json.loads(answer.read())["data"]["result"]
                except OSError:
                    return False
                return bool(result) and result[0]["value"][1] == "3"

            wait_for(scraped, "three nodes that know a leader", pause=0.2)
        finally:
            process.terminate()

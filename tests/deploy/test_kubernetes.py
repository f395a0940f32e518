"""The chart is rendered by Helm, judged by Kubernetes's schemas, and its settings by a node."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ironkv import config
from ironkv.http.access import PROBES
from ironkv.offline import backup
from ironkv.tools.cluster import ThrowawayCluster
from tests.deploy.chart import CHART, PLAIN, helm, objects, plain
from tests.deploy.test_deploy import image_environment

EVERYTHING: dict[str, Any] = {
    "replicas": 5,
    "image": {"repository": "registry.example/ironkv", "tag": "1.2.3", "pullSecrets": [{"name": "pull"}]},
    "settings": {
        "raft": {"election_timeout_ms": 1000},
        "limits": {"maxclients": 20000, "proto_max_bulk_len": "64mb"},
        "server": {"timeout": 300},
    },
    "tls": {
        "enabled": True, "authClients": "optional",
        "certManager": {"enabled": True, "issuerRef": {"name": "ca", "kind": "Issuer"}},
    },
    "persistence": {"storageClass": "fast"},
    "antiAffinity": "preferred",
    "nodeSelector": {"disk": "nvme"},
    "tolerations": [{"key": "db", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "database",
    "podAnnotations": {"example.com/owner": "us"},
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "backup": {"enabled": True, "storageClass": "slow"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}  # fmt: skip
CUSTOM = {"ServiceMonitor", "Certificate"}
"""Kinds that are no part of Kubernetes."""


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == kind]


def one(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (it,) = of_kind(found, kind)
    return it


def test_helm_has_nothing_against_the_chart() -> None:
    told = helm().lint(CHART)
    assert told["errors"] == []
    assert [each for each in told["messages"] if each["severity"] > 1] == []


@pytest.mark.parametrize("version", ["1.25", "1.37"])
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_kubernetes_has_nothing_against_what_it_makes(version: str, values: dict[str, Any]) -> None:
    """The oldest version the chart is for, and the newest there is."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for each in objects(values):
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)
    wrong = one(objects(values), "PodDisruptionBudget")
    wrong["spec"]["maxUnavailible"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_the_plain_manifests_are_the_chart_s() -> None:
    assert PLAIN.read_text() == plain(), "python -m tests.deploy.chart"


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_each_pod_is_a_node_of_the_cluster(values: dict[str, Any], tmp_path: Path) -> None:
    found = objects(values, name="shop", namespace="prod")
    stateful = one(found, "StatefulSet")
    name, (container,) = stateful["metadata"]["name"], stateful["spec"]["template"]["spec"]["containers"]
    assert name == "shop-ironkv"
    toml = tmp_path / "cluster.toml"
    toml.write_text(one(found, "ConfigMap")["data"]["cluster.toml"])
    assert container["args"] == ["--config", "/etc/ironkv/cluster.toml"]
    for number in range(stateful["spec"]["replicas"]):
        pod = f"{name}-{number}"
        given = {**image_environment(), "IRONKV_NODE_ID": pod, "IRONKV_SERVER_REQUIREPASS": "x"}
        settings = config.load(["--config", str(toml)], given)
        assert settings.node.data_dir == "/data"
        assert (settings.server.port, settings.cluster.port, settings.http.port) == (6379, 6380, 8379)
        assert settings.cluster.secret_file == "/etc/ironkv/secret/cluster-secret"
        assert settings.tls.cluster == settings.http.tls == bool(values)
        assert settings.cluster.nodes[number].host == f"{pod}.{name}-nodes.prod.svc"
    if values:
        assert settings.raft.election_timeout_ms == 1000
        assert settings.limits.maxclients == 20000
        assert settings.limits.proto_max_bulk_len == 64 << 20
        assert (settings.server.timeout, settings.server.bind) == (300, "0.0.0.0")
        assert settings.tls.port == 6379


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_parts_fit_each_other(values: dict[str, Any]) -> None:
    found = objects(values)
    stateful = one(found, "StatefulSet")["spec"]
    pod = stateful["template"]
    labels, (container,) = pod["metadata"]["labels"], pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"redis": 6379, "cluster": 6380, "http": 8379}
    services = {each["metadata"]["name"]: each for each in of_kind(found, "Service")}
    headless = services.pop(stateful["serviceName"])
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"], "they meet before they are ready"
    (client,) = services.values()
    for service in (headless, client):
        assert service["spec"]["selector"].items() <= labels.items()
        assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    for selector in (
        stateful["selector"],
        one(found, "PodDisruptionBudget")["spec"]["selector"],
        one(found, "NetworkPolicy")["spec"]["podSelector"],
    ):
        assert selector["matchLabels"].items() <= labels.items()
    assert one(found, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    for kind in ("liveness", "readiness"):
        probe = container[f"{kind}Probe"]["httpGet"]
        assert probe["path"] in PROBES, "they have no token"
        assert probe["scheme"] == ("HTTPS" if values else "HTTP")
    assert pod["spec"]["affinity"]["podAntiAffinity"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claimed = {claim["metadata"]["name"] for claim in stateful["volumeClaimTemplates"]}
    assert mounted == claimed | {volume["name"] for volume in pod["spec"]["volumes"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]


def test_secrets_are_long_random_and_one_s_own() -> None:
    first, second = (one(objects({}), "Secret")["data"] for _ in range(2))
    assert set(first) == {"password", "cluster-secret", "http-token"}
    assert all(len(base64.b64decode(text)) == 32 for text in first.values())
    assert not set(first.values()) & set(second.values())
    given = one(objects({"auth": {"password": "mine"}}), "Secret")["data"]
    assert base64.b64decode(given["password"]) == b"mine"
    assert of_kind(objects({"auth": {"existingSecret": "there"}}), "Secret") == []
    assert of_kind(list(yaml.safe_load_all(PLAIN.read_text())), "Secret") == []


def test_who_monitors_brings_the_token() -> None:
    found = objects(EVERYTHING)
    monitor = one(found, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "ironkv", "key": "http-token"}
    wanted = monitor["spec"]["selector"]["matchLabels"]
    scraped = [
        each for each in of_kind(found, "Service") if wanted.items() <= each["metadata"]["labels"].items()
    ]
    assert [each["metadata"]["name"] for each in scraped] == ["ironkv-nodes"]
    names = one(found, "Certificate")["spec"]["dnsNames"]
    assert "*.ironkv-nodes.ironkv.svc" in names
    assert endpoint["tlsConfig"]["serverName"] in names


def test_the_backup_job_s_command_backs_up(tmp_path: Path) -> None:
    """Run as the job runs it, but for its addresses."""
    job = one(objects({"backup": {"enabled": True}}), "CronJob")["spec"]["jobTemplate"]["spec"]["template"][
        "spec"
    ]
    shell, options, script = job["containers"][0]["command"]
    with ThrowawayCluster(1, parent=tmp_path) as lone:
        node = lone.nodes[0]
        with node.connect() as client:
            client.call("SET", "a", "b")
            client.call("CONFIG", "SET", "requirepass", "secret")
        script = script.replace("/backup/", f"{tmp_path}/").replace("find /backup", f"find {tmp_path}")
        script = script.replace("ironkv.ironkv.svc", f"127.0.0.1 --port {node.port}")
        old, kept = tmp_path / "ironkv-20200101T000000Z.backup", tmp_path / "other"
        for path in (old, kept):
            path.touch()
            os.utime(path, (0, 0))
        environ = {**os.environ, "IRONKV_PASSWORD": "secret"}
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
        done = subprocess.run(
            [shell, options, script], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        (file,) = tmp_path.glob("*.backup")
    assert kept.exists()
    assert backup.main([str(file), "--verify"]) == 0

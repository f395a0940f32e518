"""The Helm chart, rendered by Helm itself as a library.

python -m tests.deploy.chart        writes deploy/kubernetes/ironkv.yaml anew
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
CHART: Final = DEPLOY / "helm" / "ironkv"
PLAIN: Final = DEPLOY / "kubernetes" / "ironkv.yaml"
PLAIN_VALUES: Final = DEPLOY / "kubernetes" / "values.yaml"
HEAD: Final = """\
# Written from deploy/helm/ironkv by `python -m tests.deploy.chart`; values: values.yaml beside this file.
#
#   kubectl create namespace ironkv
#   kubectl -n ironkv create secret generic ironkv --from-literal=password="$(openssl rand -hex 32)" \\
#     --from-literal=cluster-secret="$(openssl rand -hex 32)" \\
#     --from-literal=http-token="$(openssl rand -hex 32)"
#   kubectl apply -f deploy/kubernetes/ironkv.yaml
"""


def helm() -> Any:
    """The library, where there is one: its wheels are for x86-64."""
    if os.environ.get("CI"):
        import helm_python

        return helm_python
    return pytest.importorskip("helm_python", reason="no helm-python-sdk for this machine")


def rendered(values: dict[str, Any], name: str = "ironkv", namespace: str = "ironkv") -> dict[str, str]:
    """By template, what it makes; empty ones and the notes are left out."""
    with helm().Chart.load(CHART) as chart:
        texts: dict[str, str] = chart.render(values, name=name, namespace=namespace)
    return {
        path: text
        for path, text in sorted(texts.items())
        if path.endswith(".yaml") and yaml_of(text) != [None]
    }


def yaml_of(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text)) or [None]


def objects(values: dict[str, Any], **how: str) -> list[dict[str, Any]]:
    """All that it makes, as Kubernetes is given it."""
    return [each for text in rendered(values, **how).values() for each in yaml_of(text)]


def plain() -> str:
    """deploy/kubernetes/ironkv.yaml as it should be."""
    texts = rendered(yaml.safe_load(PLAIN_VALUES.read_text())).values()
    body = "".join(f"---\n{text.strip()}\n" for text in texts)
    lines = [line.rstrip() for line in body.splitlines() if "app.kubernetes.io/managed-by" not in line]
    return HEAD + "\n".join(line for line in lines if "helm.sh/" not in line) + "\n"


if __name__ == "__main__":
    PLAIN.write_text(plain())

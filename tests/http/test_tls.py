"""The HTTP ports of a cluster over TLS: who is believed, and new certificates as it runs."""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node
from tests.cluster.conftest import CALM
from tests.http.conftest import TOKEN
from tests.server.test_tls import Authority


def ask(node: Node, path: str, authority: Authority) -> Any:
    context = ssl.create_default_context(cafile=authority.file)
    context.check_hostname = False
    request = urllib.request.Request(
        f"https://127.0.0.1:{node.settings.http_port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return answer.read().decode()


def test_over_tls_nodes_know_each_other_and_take_new_certificates(tmp_path: Path) -> None:
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    files = old.files("node1", "node2", "node3")  # none of them is for 127.0.0.1
    pem = {"cert_file": files.certificate, "key_file": files.key, "ca_cert_file": files.authority}
    settings = {**CALM, "http": {"enabled": True, "token": TOKEN, "tls": True}, "tls": pem}
    with ThrowawayCluster(parent=tmp_path, settings=settings) as cluster:
        node = cluster.nodes[0]
        assert ask(node, "/livez", old) == "ok"
        told = json.loads(ask(node, "/api/cluster", old))
        assert [others.get("id") for others in told["others"].values()] == ["node2", "node3"]
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(node, "/livez", new)
        with pytest.raises(OSError):  # noqa: PT011  # plain bytes are no TLS: closed, or reset
            urllib.request.urlopen(f"http://127.0.0.1:{node.settings.http_port}/livez", timeout=30)

        fresh = new.files("node1")
        shutil.copy(fresh.certificate, files.certificate)
        process = node.process()
        assert process is not None
        process.send(signal.SIGHUP)  # the key is still the old one: nothing may change
        wait_for(lambda: "stay as they are" in node.log_tail(), "it is refused")
        assert ask(node, "/livez", old) == "ok"
        shutil.copy(fresh.key, files.key)
        process.send(signal.SIGHUP)

        def renewed() -> bool:
            try:
                return str(ask(node, "/livez", new)) == "ok"
            except urllib.error.URLError:
                return False

        wait_for(renewed, "new connections see the new certificate")
        told = json.loads(ask(cluster.nodes[1], "/api/cluster", old))
        assert "certificate" in told["others"]["node1"]["error"], "who cannot be verified is not asked"


def test_without_files_tls_is_refused(tmp_path: Path) -> None:
    cluster = ThrowawayCluster(1, parent=tmp_path, settings={"http": {"enabled": True, "tls": True}})
    try:
        cluster.nodes[0].start()
        wait_for(lambda: cluster.nodes[0].process() is None, "it gives up")
        assert "TLS needs tls.cert_file" in cluster.nodes[0].log_tail()
    finally:
        cluster.close()

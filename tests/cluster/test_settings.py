"""ironkv-server's command line: a wrong setting is refused before anything opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ironkv.tools.client import Client, ErrorReply
from ironkv.tools.cluster import free_ports, node_file, surroundings, wait_for


def run(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ironkv", *arguments],
        cwd=cwd,
        env={**surroundings(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "port", 70_000),
        ("server", "port", "many"),
        ("raft", "election_timeout_ms", -1),
        ("raft", "reads", "guessed"),
        ("raft", "heartbeet_ms", 50),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_opened(
    tmp_path: Path, section: str, key: str, value: str | int
) -> None:
    config = tmp_path / "node1.toml"
    port, cluster_port = free_ports(2)
    config.write_text(node_file("node1", [("node1", port, cluster_port)], {section: {key: value}}))
    done = run("--config", str(config), cwd=tmp_path)
    assert done.returncode not in (0, -15), done
    said = done.stdout + done.stderr
    assert key in said
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()


def test_a_wrong_setting_in_the_environment_is_named(tmp_path: Path) -> None:
    done = run(cwd=tmp_path, environment={"IRONKV_SERVER_PORT": "many"})
    assert done.returncode != 0
    assert "port" in (done.stdout + done.stderr).lower()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("--config", "nowhere.toml", cwd=tmp_path)
    assert done.returncode != 0
    assert "nowhere.toml" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_second_node_on_the_same_data_is_refused(tmp_path: Path) -> None:
    first, second = free_ports(2)
    process = subprocess.Popen(
        [sys.executable, "-m", "ironkv", "--port", str(first), "--data-dir", "data/node1"],
        cwd=tmp_path,
        env=surroundings(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _answers(first), "the first node answers")
        done = run("--port", str(second), "--data-dir", "data/node1", cwd=tmp_path)
        assert done.returncode != 0
        assert "data/node1" in done.stdout + done.stderr
        assert _answers(first)
    finally:
        process.kill()
        process.wait()


def test_flags_alone_start_one_durable_node(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    for wanted in (None, b"kept"):
        process = subprocess.Popen(
            [sys.executable, "-m", "ironkv", "--data-dir", "somewhere"],
            cwd=tmp_path,
            env={**surroundings(), "IRONKV_SERVER_PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: _answers(port, "EXISTS", "key"), "it serves reads")
            with Client("127.0.0.1", port) as client:
                assert client.call("GET", "key") == wanted
                assert client.call("SET", "key", "kept") == "OK"
        finally:
            process.kill()
            process.wait()
    assert (tmp_path / "somewhere").is_dir()


def _answers(port: int, *command: str) -> bool:
    try:
        with Client("127.0.0.1", port) as client:
            client.call(*(command or ("PING",)))
    except (OSError, ErrorReply):
        return False
    return True

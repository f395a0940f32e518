"""start_cluster.sh as a user runs it, in a directory of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster
from ironkv.tools.processes import Process, command_line, port_holder, port_is_free
from tests.cluster.conftest import CALM

SCRIPT = Path(__file__).resolve().parents[2] / "start_cluster.sh"


class Script:
    """The script, pointed at a throwaway directory; `nodes` sees what it started by the same pid files."""

    def __init__(self, cluster: ThrowawayCluster) -> None:
        self.cluster = cluster
        self.nodes = cluster.nodes

    def run(self, *words: str, grace: str = "") -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("IRONKV_")}
        environment["IRONKV_START_DIR"] = str(self.cluster.directory)
        environment["IRONKV_START_GRACE"] = grace
        environment["IRONKV_START_PYTHON"] = sys.executable
        return subprocess.run(
            [str(SCRIPT), *words],
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def pids(self) -> list[int | None]:
        return [process.pid if (process := node.process()) else None for node in self.nodes]


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    cluster = ThrowawayCluster(parent=tmp_path, settings=CALM)
    try:
        yield Script(cluster)
    finally:
        cluster.close()


def test_the_life_of_a_cluster(script: Script) -> None:
    assert script.run("status").returncode == 1
    assert script.run("test").returncode == 1

    started = script.run("start")
    assert started.returncode == 0, started
    assert started.stdout.count("✅ RUNNING") == started.stdout.count("✅ LISTENING") == 3
    assert started.stdout.count("👑 LEADER") == 1
    assert started.stdout.count("📋 FOLLOWER") == 2
    pids = script.pids()
    assert None not in pids

    again = script.run("start")
    assert again.returncode == 0, again
    assert script.pids() == pids, "a second start starts nothing"

    checked = script.run("test")
    assert checked.returncode == 0, checked
    assert "(100 %)" in checked.stdout

    shown = script.run("logs", "node1")
    assert shown.returncode == 0
    assert shown.stdout.strip()

    assert script.run("stop").returncode == 0
    assert script.pids() == [None, None, None]
    stopped = script.run("status")
    assert stopped.returncode == 1
    assert stopped.stdout.count("❌ STOPPED") == 3
    assert script.run("stop").returncode == 0, "nothing to stop is no error"


def test_restart_keeps_the_data(script: Script) -> None:
    assert script.run("start").returncode == 0
    pids = script.pids()
    script.cluster.write("SET", "kept", "yes")
    restarted = script.run("restart")
    assert restarted.returncode == 0, restarted
    assert not set(pids) & set(script.pids())
    assert script.cluster.write("GET", "kept") == b"yes"


def test_status_tells_what_is_missing_and_start_mends_it(script: Script) -> None:
    assert script.run("start").returncode == 0
    script.nodes[2].kill()
    script.cluster.wait_for_leader()
    status = script.run("status")
    assert status.returncode == 1
    assert status.stdout.count("✅ RUNNING") == 2
    assert "node3    | ❌ STOPPED" in status.stdout
    mended = script.run("start")
    assert mended.returncode == 0, mended
    assert mended.stdout.count("is running already") == 2


@pytest.mark.parametrize("which", ["port", "cluster_port"])
def test_a_port_that_is_taken_is_named_with_its_holder(script: Script, which: str) -> None:
    port = getattr(script.nodes[1].settings, which)
    with socket.create_server(("127.0.0.1", port)):
        refused = script.run("start")
    assert refused.returncode == 1
    assert f"port {port}, which node2 needs" in refused.stderr
    assert f"pid {os.getpid()} (" in refused.stderr
    assert script.pids() == [None, None, None], "nothing was started"


def test_a_pid_that_means_another_process_by_now_is_left_alone(script: Script) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        script.nodes[0].pid_path.write_text(f"{bystander.pid}\nan earlier life\n")
        script.nodes[1].pid_path.write_text("nonsense")
        assert script.run("stop").returncode == 0
        assert bystander.poll() is None
        assert not script.nodes[0].pid_path.exists()
        script.nodes[0].pid_path.write_text(f"{bystander.pid}\nan earlier life\n")
        started = script.run("start")
        assert started.returncode == 0, started
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.communicate()


def test_a_node_that_does_not_stop_is_ended_firmly(script: Script) -> None:
    assert script.run("start").returncode == 0
    script.nodes[0].pause()  # SIGTERM stays pending: it cannot end by itself
    stopped = script.run("stop", grace="1")
    assert stopped.returncode == 0
    assert "node1 has not stopped" in stopped.stdout
    assert script.pids() == [None, None, None]


def test_a_node_that_dies_at_once_is_reported_with_its_log(script: Script) -> None:
    config = script.nodes[0].settings.config
    config.write_text(config.read_text().replace("[cluster]", "[cluster]\nnonsense = 1", 1))
    started = script.run("start", "node1")
    assert started.returncode == 1
    assert "did not stay up" in started.stderr
    assert "nonsense" in started.stderr


def test_help_and_mistakes(script: Script) -> None:
    assert "start   [node …]" in script.run("help").stdout
    assert script.run().returncode == 0
    assert script.run("strat").returncode == 2
    unknown = script.run("start", "node9")
    assert unknown.returncode == 1
    assert "the nodes are node1, node2, node3" in unknown.stderr


def test_a_process_is_told_apart_from_a_later_one() -> None:
    process = Process.seen(os.getpid())
    assert process is not None
    assert process.is_alive()
    assert not Process(process.pid, "another life").is_alive()
    assert not Process(process.pid, "another life").send(signal.SIGKILL)
    assert "python" in command_line(os.getpid()).lower()


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    process = Process.seen(child.pid)
    try:
        assert process is None or process.wait_gone(30)
    finally:
        child.wait()


def test_the_holder_of_a_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert not port_is_free("127.0.0.1", port)
        assert f"pid {os.getpid()}" in port_holder(port)
    assert port_is_free("127.0.0.1", port)

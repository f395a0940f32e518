"""CONFIG REWRITE's file: what is set is in it, and everything else is as it was."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ironkv import config
from ironkv.errors import CommandError
from ironkv.node.rewriting import rewrite, rewritten
from ironkv.tools.cluster import ThrowawayCluster

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["default", "node1", "node2", "node3"])
def test_every_setting_that_may_change_finds_its_place(name: str) -> None:
    """All of them in each of our own files: nothing but these lines is another."""
    before = (ROOT / "config" / f"{name}.toml").read_text()
    settings = config.Settings()
    wanted: dict[str, Any] = {}
    for key in sorted(config.LIVE):
        value = settings.value(key)
        wanted[key] = (
            not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}1"
        )
    after = rewritten(before, wanted)
    was, now = tomllib.loads(before), tomllib.loads(after)
    for key, value in wanted.items():
        section, _, setting = key.partition(".")
        assert now[section].pop(setting) == value
        was.get(section, {}).pop(setting, None)
    assert {name: values for name, values in now.items() if values} == {n: v for n, v in was.items() if v}
    comments = [line for line in before.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in after.splitlines() if line.lstrip().startswith("#")] == comments
    new = iter(after.splitlines())
    assert all(line in new for line in before.splitlines() if line in after.splitlines()), "in the same order"
    assert rewritten(after, wanted) == after


def test_comments_beside_a_value_stay() -> None:
    before = '# mine\n[server]\ntimeout = 0   # never\nport = 7000\n\n[[cluster.nodes]]\nid = "a" # one\n'
    after = rewritten(before, {"server.timeout": 60, "limits.maxclients": 5})
    assert after.startswith(
        '# mine\n[server]\ntimeout = 60   # never\nport = 7000\n\n[[cluster.nodes]]\nid = "a" # one\n'
    )
    assert tomllib.loads(after)["limits"] == {"maxclients": 5}
    dotted = rewritten("server.timeout = 1\n", {"server.timeout": 2, "limits.maxclients": 7})
    assert tomllib.loads(dotted) == {"server": {"timeout": 2}, "limits": {"maxclients": 7}}
    inline = rewritten("server = { timeout = 1, port = 7 }\n", {"server.timeout": 2})
    assert tomllib.loads(inline) == {"server": {"timeout": 2, "port": 7}}


def test_the_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    file, link = tmp_path / "real.toml", tmp_path / "link.toml"
    file.write_text("[server]\ntimeout = 0\n")
    file.chmod(0o640)
    link.symlink_to(file)
    rewrite(str(link), {"server.timeout": 5})
    assert link.is_symlink()
    assert tomllib.loads(file.read_text()) == {"server": {"timeout": 5}}
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.toml", "real.toml"]


def test_what_cannot_be_written_is_told_and_nothing_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    with pytest.raises(CommandError, match="ERR Rewriting config file: No such file"):
        rewrite(str(file), {"server.timeout": 5})
    file.write_text("[server\n")
    with pytest.raises(CommandError, match="no valid TOML"):
        rewrite(str(file), {"server.timeout": 5})
    assert file.read_text() == "[server\n"


def test_a_node_starts_again_with_what_was_rewritten(tmp_path: Path) -> None:
    with ThrowawayCluster(1, parent=tmp_path) as cluster:
        node = cluster.nodes[0]
        before = node.settings.config.read_text()
        os.chmod(node.settings.config, 0o600)
        with node.connect() as client:
            assert client.call("CONFIG", "REWRITE") == "OK"
            assert node.settings.config.read_text() == before, "nothing was set"
            client.call("CONFIG", "SET", "timeout", 77, "maxclients", 500, "protected-mode", "no")
            client.call("CONFIG", "SET", "timeout", 0)
            assert client.call("CONFIG", "REWRITE") == "OK"
        text = node.settings.config.read_text()
        assert tomllib.loads(text)["limits"] == {"maxclients": 500}
        node.stop()
        cluster.start()
        with node.connect() as client:
            assert client.call("CONFIG", "GET", "maxclients", "protected-mode", "timeout") == [
                b"maxclients", b"500", b"protected-mode", b"no", b"timeout", b"0"
            ]  # fmt: skip

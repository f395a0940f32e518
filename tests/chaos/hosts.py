"""The nodes of a run: each a real process with a real disk, on a host of its own, in a weather of its own."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ironkv.tools.cluster import wait_for
from ironkv.tools.nodes import Node, Settings
from tests.chaos.network import Network

FIRST: Final = 3
"""So many nodes a cluster begins with."""
HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
TIMEOUT_MS: Final = 300


class Host(Node):
    """A node; `number` names its host."""

    def __init__(self, number: int, network: Network, directory: Path, guide: Guide | None = None) -> None:
        self.number = number
        self._addresses, self._guide = network.addresses, guide
        file = self._file = directory / f"node{number + 1}.toml"
        file.write_text(_settings(number, network.addresses, "0.0.0.0:0" if guide else ""))
        self._weather = directory / f"weather{number + 1}"
        if not self._weather.exists():
            self.set_weather()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LD_PRELOAD": str(directory / "weather.so"),
            "CHAOS_WEATHER": str(self._weather),
        }
        command = (*network.inside(number), sys.executable, "-m", "ironkv")
        super().__init__(Settings.read(file), directory, command=command, environment=environment)

    def set_weather(self, *, clock_ms: int = 0, sync_ms: int = 0, sync_fails: bool = False) -> None:
        """From now on; in place, for the node has the file mapped."""
        content = struct.pack("=qqq", clock_ms * 1_000_000, sync_ms * 1_000, sync_fails)
        handle = os.open(self._weather, os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(handle, content, 0)
        os.close(handle)

    def wipe(self) -> None:
        """Its disk is lost. It must not run."""
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def raft(self, *words: str | int, timeout: float = 40.0) -> object:
        with self.connect(timeout) as client:
            return client.call("RAFT", *words)

    def is_up(self) -> bool:
        return self.process() is not None

    def ensure_up(self) -> None:
        if self.is_up():
            return
        if self._guide is not None and not (self.data_dir / "identity").exists():
            asked = self._guide(self)
            if asked is None:
                return  # nobody is there to take it in: later
            join = f"{self._addresses[asked.number]}:6379"
            self._file.write_text(_settings(self.number, self._addresses, join))
        self.start()


def build_weather(directory: Path) -> None:
    """Compile what is preloaded. Raises CalledProcessError."""
    subprocess.run(
        [
            "gcc",
            "-shared",
            "-fPIC",
            "-O1",
            "-o",
            str(directory / "weather.so"),
            str(HERE / "weather.c"),
            "-ldl",
        ],
        check=True,
        capture_output=True,
    )


def _settings(number: int, addresses: list[str], join: str) -> str:
    members = [number] if join else range(FIRST)
    lines = [
        f'[node]\nid = "node{number + 1}"\ndata_dir = "data/node{number + 1}"',
        f'[server]\nbind = "{addresses[number]}"\nport = 6379\nprotected_mode = false\n'
        f'on_follower_write = "{"forward" if number % 2 else "reject"}"',
        f'[cluster]\nenabled = true\nname = "chaos"\nport = 6380\njoin = "{join}"',
        'secret = "as long as it must be"',
    ]
    lines += [
        f'[[cluster.nodes]]\nid = "node{each + 1}"\nhost = "{addresses[each]}"\n'
        "port = 6379\ncluster_port = 6380"
        for each in members
    ]
    lines += [
        f"[raft]\nelection_timeout_ms = {TIMEOUT_MS}",
        "[http]\nenabled = false",
        "[snapshot]\nentries = 5000\njournal_bytes = 1048576\nkeep_entries = 500\nkeep_bytes = 65536",
    ]
    return "\n".join(lines) + "\n"


Guide = Callable[[Host], Host | None]
"""Finds who is to be asked by one that joins."""


class Hosts:
    """All of a run, those that are no members now as well."""

    def __init__(self, count: int, network: Network, directory: Path) -> None:
        self.network = network
        self.directory = directory
        self.all = [Host(number, network, directory) for number in range(FIRST)]
        self.spare = list(range(FIRST, count))
        """Hosts without a node."""

    @property
    def members(self) -> list[Host]:
        return [host for host in self.all if host.number not in self.spare]

    def leader(self) -> Host | None:
        claims = [
            (facts.term, host.number, host)
            for host in self.members
            if host.is_up() and (facts := host.facts(0.5)) is not None and facts.role == "leader"
        ]
        return max(claims)[2] if claims else None

    def guide(self, newcomer: Host) -> Host | None:
        """Whom it may ask to be taken in: the leader, else anybody who is up."""
        up = [host for host in self.members if host is not newcomer and host.is_up()]
        return self.leader() or next(iter(up), None)

    def wait_for_leader(self, timeout: float = 60.0) -> Host:
        return wait_for(self.leader, "a leader", timeout, 0.05)

    def level(self) -> bool:
        """Whether all members follow one leader and have what it has."""
        for host in self.members:  # one that joins ends when the node it asks is not there
            host.ensure_up()
        facts = [host.facts(1.0) for host in self.members]
        known = [each for each in facts if each is not None]
        leaders = [each for each in known if each.role == "leader"]
        return (
            len(known) == len(facts)
            and len(leaders) == 1
            and all(
                each.applied >= leaders[0].commit and each.term == leaders[0].term and not each.fresh
                for each in known
            )
        )

    def kill_all(self, hosts: list[Host]) -> None:
        processes = [process for host in hosts if (process := host.process()) is not None]
        for process in processes:
            process.send(signal.SIGKILL)
        for host in hosts:
            host.stop(signal.SIGKILL)

    def calm_down(self) -> None:
        """No trouble any more, and every member runs."""
        self.network.heal()
        for host in self.all:
            host.resume()
            host.set_weather()
        for host in self.members:
            host.ensure_up()

    def close(self) -> None:
        for host in self.all:
            host.resume()
        self.kill_all(self.all)

"""Hosts for nodes: network namespaces around a bridge, in one of their own. They go when the run goes.

Needs root and the right to make namespaces; nothing of the machine's own network is touched.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Final, Self

CLONE_NEWNET: Final = 0x40000000
BRIDGE: Final = "10.77.0.1"


class NotAllowed(RuntimeError):
    """Namespaces cannot be made here."""


class Network:
    """`hub` holds the bridge and the clients; every host has a namespace of its own, 10.77.0.2 and on."""

    def __init__(self, hosts: int) -> None:
        self._prefix = f"ironkv{os.getpid()}"
        self.hub = f"{self._prefix}hub"
        self.hosts = [f"{self._prefix}n{number + 1}" for number in range(hosts)]
        self.addresses = [f"10.77.0.{number + 2}" for number in range(hosts)]
        self._made: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._make()
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise NotAllowed(f"network namespaces cannot be made here: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self) -> None:
        self._add(self.hub)
        self._ip(self.hub, "link add bridge type bridge", f"addr add {BRIDGE}/24 dev bridge")
        self._ip(self.hub, "link set bridge up", "link set lo up")
        for number, (host, address) in enumerate(zip(self.hosts, self.addresses, strict=True)):
            self._add(host)
            self._ip(self.hub, f"link add to{number} type veth peer name eth0 netns {host}")
            self._ip(self.hub, f"link set to{number} master bridge up")
            self._ip(host, f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up")

    def _add(self, name: str) -> None:
        _run("ip", "netns", "add", name)
        self._made.append(name)

    def _ip(self, namespace: str, *orders: str) -> None:
        for order in orders:
            _run("ip", "-n", namespace, *order.split())

    def enter(self) -> None:
        """This process, and threads it starts from now on, are in the hub (setns(2))."""
        with Path("/run/netns", self.hub).open("rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise NotAllowed(f"setns: {os.strerror(ctypes.get_errno())}")

    def inside(self, host: int) -> tuple[str, ...]:
        """What to put before a command to run it on that host."""
        return ("ip", "netns", "exec", self.hosts[host])

    # -- trouble: what host `sender` sends to `receiver` is dropped

    def cut(self, sender: int, receiver: int) -> None:
        self._rule(sender, "-A", "-d", self.addresses[receiver])

    def heal(self) -> None:
        for host in range(len(self.hosts)):
            _run(*self.inside(host), "iptables", "-F", "OUTPUT")

    def _rule(self, host: int, what: str, *match: str) -> None:
        _run(*self.inside(host), "iptables", what, "OUTPUT", *match, "-j", "DROP")

    def close(self) -> None:
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        self._made.clear()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)

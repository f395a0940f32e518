"""What metrics, users, rate limits and TLS cost: redis-benchmark with and without, in turns."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ironkv.tools.bench.partners import preload, redis
from ironkv.tools.bench.throughput import Workload, run
from ironkv.tools.cluster import ThrowawayCluster, free_ports
from ironkv.tools.nodes import Node

WORKLOADS: Final = (
    Workload(1, 50, "SET"), Workload(1, 50, "GET"), Workload(16, 50, "SET"), Workload(16, 50, "GET"),
)  # fmt: skip
USER, PASSWORD = "bench", "a password of the bench"
UNREACHED: Final = 1 << 30
"""A rate that is accounted for and never reached."""
TRIES: Final = 3


@dataclass(slots=True)
class Compared:
    """Commands a second, in each round."""

    without: list[float] = field(default_factory=list)
    within: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(b / a for a, b in zip(self.without, self.within, strict=True))

    def told(self) -> str:
        a, b = statistics.median(self.without), statistics.median(self.within)
        return f"{b:,.0f}/s, without {a:,.0f}/s: {self.ratio:.2f}"


Way = tuple[int, Sequence[str]]
"""A port, and options of redis-benchmark."""


def compare(
    without: Way, within: Way, rounds: int, quick: bool, say: Callable[[str], None]
) -> dict[str, Compared]:
    """Both ways in turns, whoever was second goes first the next time."""
    found: dict[str, Compared] = {}
    for turn in range(rounds * TRIES):
        for workload in WORKLOADS:
            compared = found.setdefault(str(workload), Compared())
            for way in (without, within) if turn % 2 else (within, without):
                rate = _rate(way, workload, 0.7 if quick else 1.5)
                (compared.without if way is without else compared.within).append(rate)
    for name, compared in found.items():
        say(f"{name:<14} {compared.told()}")
    return found


def _rate(way: Way, workload: Workload, seconds: float) -> float:
    program = shutil.which("redis-benchmark")
    if program is None:
        raise SystemExit("no redis-benchmark here (Debian: apt install redis-tools)")
    port, options = way
    first = run(program, port, workload, 5_000 * workload.pipeline, options)
    return run(program, port, workload, int(first.per_second * seconds), options).per_second


def guarded(parent: Path, rounds: int, quick: bool, say: Callable[[str], None]) -> dict[str, Compared]:
    """A restricted user, all rate limits, and /metrics read every second; against none of it."""
    say("metrics, ACL and rate limits, against none of them")
    on: dict[str, dict[str, int]] = {
        "http": {"enabled": True},
        "limits": {f"rate_limit_{what}": UNREACHED for what in (
            "address_commands", "address_bytes", "user_commands", "user_bytes",
        )},
    }  # fmt: skip
    with (
        ThrowawayCluster(3, parent=parent) as bare,
        ThrowawayCluster(3, parent=parent, settings=on) as full,
    ):
        ports = [each.wait_for_leader().port for each in (bare, full)]
        for port in ports:
            preload(port)
        full.write("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~key:*", "+@all", "-@dangerous", "+config")
        with _scraped(full.wait_for_leader()):
            within = ports[1], ["--user", USER, "-a", PASSWORD]
            return compare((ports[0], []), within, rounds, quick, say)


@contextlib.contextmanager
def _scraped(node: Node) -> Iterator[None]:
    """As Prometheus does it, only more often."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(1.0):
            with urllib.request.urlopen(
                f"http://127.0.0.1:{node.settings.http_port}/metrics", timeout=10
            ) as a:
                a.read()

    scraping = threading.Thread(target=scrape, daemon=True)
    scraping.start()
    try:
        yield
    finally:
        over.set()
        scraping.join()


def encrypted(
    parent: Path, rounds: int, quick: bool, say: Callable[[str], None]
) -> tuple[dict[str, Compared], dict[str, Compared]]:
    """A port with TLS and one without, of the same lone node; and of redis-server, if its build has TLS."""
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = certified(Path(directory))
        options = ["--tls", "--cacert", certificate]
        port, other = free_ports(2)
        pem = {"cert_file": certificate, "key_file": key, "ca_cert_file": certificate, "auth_clients": "no"}
        with ThrowawayCluster(1, parent=parent, settings={"tls": {"port": port, **pem}}) as lone:
            say("TLS, against plain")
            plain = lone.wait_for_leader().port
            preload(plain)
            mine = compare((plain, []), (port, options), rounds, quick, say)
        say("redis-server's TLS, against plain")
        wanted = ["--tls-port", str(other), "--tls-cert-file", certificate, "--tls-key-file", key]
        wanted += ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
        try:
            with redis(parent, *wanted) as partner:
                preload(partner.port())
                return mine, compare((partner.port(), []), (other, options), rounds, quick, say)
        except AssertionError:
            say("this redis-server has no TLS")
            return mine, {}


def certified(directory: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(certificate), str(key)

"""The HTTP server beside a node that does not answer, and clients that send nothing."""

from __future__ import annotations

import contextlib
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from ironkv.config import HttpSection
from ironkv.http import server
from ironkv.http.server import HttpServer
from ironkv.tools.cluster import free_ports


class Hung:
    """A node whose loop does not come round."""

    silent = 0.0

    def call(self, work: Callable[[], Any]) -> Future[Any]:
        return Future()

    def figures(self) -> dict[str, Any]:
        raise AssertionError("nobody may ask for them on another thread")

    def silent_s(self) -> float:
        return self.silent


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Hung, int]]:
    monkeypatch.setattr(server, "FIRST_S", 0.2)
    monkeypatch.setattr(server, "ANSWER_S", 0.2)
    node = Hung()
    (port,) = free_ports(1)
    serving = HttpServer(HttpSection(port=port), node)
    serving.start()
    yield node, port
    serving.stop()


def status_of(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_figures_that_cannot_be_had_are_not_waited_for(hung: tuple[Hung, int]) -> None:
    _, port = hung
    for path in ("metrics", "status", "readyz", "health"):
        assert status_of(f"http://127.0.0.1:{port}/{path}") == (503, "the node's loop does not answer\n")


def test_a_node_that_hangs_for_good_is_not_live(hung: tuple[Hung, int]) -> None:
    node, port = hung
    node.silent = 29.0  # a long command, perhaps: no reason to lose what is in memory
    assert status_of(f"http://127.0.0.1:{port}/livez") == (200, "ok")
    node.silent = 31.0
    status, text = status_of(f"http://127.0.0.1:{port}/livez")
    assert status == 503
    assert "[-]loop failed: the node's loop has not answered for 31 s" in text


def test_who_does_not_finish_a_request_does_not_keep_its_place(hung: tuple[Hung, int]) -> None:
    _, port = hung
    with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(100) == b""


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:1", 404), ("localhost", 404), ("[::1]:1", 404), ("evil.example", 421), ("", 421)],
)
def test_other_sites_do_not_reach_the_data_through_a_browser(
    hung: tuple[Hung, int], host: str, status: int
) -> None:
    """Whoever owns a name may let it point to 127.0.0.1 (DNS rebinding)."""
    _, port = hung
    with socket.create_connection(("127.0.0.1", port), timeout=30) as browser:
        browser.sendall(b"GET /api/nothing HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode())
        assert browser.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_strangers_see_figures_only_without_a_token() -> None:
    (port,) = free_ports(1)
    serving = HttpServer(HttpSection(port=port, bind="0.0.0.0"), Hung())
    serving.start()
    try:
        assert status_of(f"http://127.0.0.1:{port}/api/keys")[0] == 403
        assert status_of(f"http://127.0.0.1:{port}/livez")[0] == 200
    finally:
        serving.stop()


def test_connections_beyond_the_limit_are_closed_and_the_others_served(
    hung: tuple[Hung, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FIRST_S", 60)
    _, port = hung
    with contextlib.ExitStack() as opened:
        held = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(100)]
        held[0].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held[0].recv(100).startswith(b"HTTP/1.1 200 OK")
        beyond = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        with contextlib.suppress(ConnectionResetError):
            assert beyond.recv(100) == b""

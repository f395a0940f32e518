"""TLS on the client port of a real node, and between nodes; certificates are made here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ironkv import tls
from ironkv.peers.pulse import Pulse
from ironkv.tools.cluster import free_ports
from tests.peers.test_links import PATIENCE_S, End, run, until

PING = b"PING\r\n"


class Authority:
    """One who certifies, and files of what is certified."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._ca = trustme.CA()
        self.file = str(path / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def files(self, *names: str, **options: str) -> tls.Files:
        """For a certificate that is for these names."""
        made = self._ca.issue_cert(*names)
        key, chain = self.path / f"{names[0]}.key", self.path / f"{names[0]}.pem"
        made.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        return tls.Files(str(chain), str(key), self.file, **options)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


# -- a node and its clients


@contextlib.contextmanager
def node(path: Path, files: tls.Files, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """A node that stands alone: (process, plain port, TLS port)."""
    plain, encrypted = free_ports(2)
    environ = {
        "IRONKV_NODE_DATA_DIR": str(path / "data"), "IRONKV_SERVER_PORT": str(plain),
        "IRONKV_TLS_PORT": str(encrypted), "IRONKV_TLS_CERT_FILE": files.certificate,
        "IRONKV_TLS_KEY_FILE": files.key, "IRONKV_TLS_CA_CERT_FILE": files.authority,
        "IRONKV_TLS_AUTH_CLIENTS": files.clients, "IRONKV_HTTP_ENABLED": "false", **settings,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "ironkv"], env={**os.environ, **environ}, stderr=subprocess.PIPE
    )
    try:
        wait_for(lambda: answers(plain))
        yield process, plain, encrypted
    finally:
        process.kill()
        process.communicate()


def wait_for(reached: Callable[[], Any]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def answers(port: int, context: ssl.SSLContext | None = None) -> Any:
    """Whether PING is answered; over TLS, the server's certificate."""
    try:
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
            if context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname="127.0.0.1"))
            sock.sendall(PING)
            if sock.recv(100) != b"+PONG\r\n":
                return None
            return True if context is None else sock.getpeercert()  # type: ignore[attr-defined]
    except OSError:
        return None


def client(authority: Authority, files: tls.Files | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def test_clients_and_certificates(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path / "stranger")
    mine = authority.files("client.example")
    with node(tmp_path, authority.files("127.0.0.1")) as (process, plain, port):
        assert answers(plain)
        assert answers(port, client(authority, mine))
        assert not answers(port), "plain bytes are no TLS"
        assert not answers(port, client(authority)), "a certificate is asked for"
        assert not answers(port, client(authority, stranger.files("client.example")))
        old = client(authority, mine)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert answers(port, old)

        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            client(authority, mine).wrap_socket(raw, server_hostname="127.0.0.1") as kept,
        ):
            kept.sendall(PING)
            assert kept.recv(100) == b"+PONG\r\n"
            before = kept.getpeercert()
            assert configure(plain, "tls.min_version", "TLSv1.3") == b"+OK\r\n"
            wait_for(lambda: not answers(port, old))
            assert configure(plain, "tls-auth-clients", "optional") == b"+OK\r\n"
            wait_for(lambda: answers(port, client(authority)))
            assert not answers(port, client(authority, stranger.files("client.example")))
            assert configure(plain, "tls-auth-clients", "no") == b"+OK\r\n"
            wait_for(lambda: answers(port, client(authority, stranger.files("client.example"))))
            authority.files("127.0.0.1")  # over the files that are there
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: answers(port, client(authority)) not in (None, before))
            kept.sendall(PING)
            assert kept.recv(100) == b"+PONG\r\n", "who is there stays"
        assert configure(plain, "tls-cert-file", "/nowhere").startswith(
            b"-ERR CONFIG SET failed - tls.cert_file"
        )
        assert answers(port, client(authority)), "and nothing has changed"


def configure(port: int, name: str, value: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.sendall(f"CONFIG SET {name} {value}\r\n".encode())
        return sock.recv(1000)


def test_files_that_are_wrong(tmp_path: Path, authority: Authority) -> None:
    good = authority.files("127.0.0.1")
    other = authority.files("other.example")
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for files, complaint in (
        (good._replace(certificate=""), "tls.cert_file"),
        (good._replace(key="/nowhere"), "No such file"),
        (good._replace(key=other.key), "tls.key_file"),
        (good._replace(certificate=str(empty)), "tls.cert_file"),
        (good._replace(authority=str(empty)), "tls.ca_cert_file"),
        (good._replace(authority=""), "whom to believe"),
    ):
        with pytest.raises(tls.TlsError, match=complaint):
            tls.server_context(files)
    tls.server_context(good._replace(authority="", clients="no"))
    with pytest.raises(tls.TlsError):
        tls.client_context(good._replace(authority=""))


def test_whom_a_certificate_is_for() -> None:
    certificate = {
        "subject": ((("commonName", "Node1"),),),
        "subjectAltName": (("DNS", "*.kv.example"), ("IP Address", "10.0.0.1")),
    }
    for name in ("node1", "a.kv.example", "10.0.0.1"):
        assert tls.is_for(certificate, name)
    for name in ("node2", "kv.example", "a.b.kv.example", "10.0.0.2", ""):
        assert not tls.is_for(certificate, name)


# -- between nodes


async def meet(a: End, b: End, certified_a: tls.Files, certified_b: tls.Files) -> None:
    for end, files in ((a, certified_a), (b, certified_b)):
        end.links.dialling_tls = tls.client_context(files)
        await end.links.listen("127.0.0.1", end.port, tls.server_context(files))
        end.links.dial()


async def part(*ends: End) -> None:
    for end in ends:
        await end.links.close()
    await asyncio.sleep(0.05)


def two() -> tuple[End, End]:
    ports = dict(zip("ab", free_ports(2), strict=True))
    return End("a", ports), End("b", ports)


def test_nodes_meet(authority: Authority) -> None:
    async def test() -> None:
        a, b = two()
        await meet(a, b, authority.files("a"), authority.files("b"))
        await until(lambda: a.ups and b.ups, "both are connected")
        a.say("b", 5)
        await until(lambda: b.mail, "mail comes")
        pulses: list[int] = []
        b.links.on_pulse = lambda peer, term: pulses.append(term)
        pulse = Pulse(a.links.introduce, lambda: a.links.peers, lambda: (3, 1.0), after_s=0.05, limit_s=5.0)
        pulse.start()
        await until(lambda: pulses, "the pulse is heard")
        await asyncio.to_thread(pulse.stop)
        await part(a, b)

    run(test)


def test_nodes_whose_certificate_is_another_s(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """A client's certificate, of the same authority, makes nobody a node."""

    async def test() -> None:
        a, b = two()
        await meet(a, b, authority.files("a"), authority.files("client.example"))
        await until(lambda: "its certificate is for client.example, not for b" in caplog.text, "it is told")
        assert not a.ups
        await part(a, b)

    run(test)


async def call(port: int, context: ssl.SSLContext) -> None:
    """With TLS 1.3 who dials hears only when he reads that he is not believed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        await reader.readexactly(1)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError from error
    finally:
        writer.close()


def test_strangers_to_nodes(tmp_path: Path, authority: Authority) -> None:
    async def test() -> None:
        a, b = two()
        stranger = Authority(tmp_path / "stranger")
        await meet(a, b, authority.files("a"), stranger.files("b"))
        for _ in range(3):
            with pytest.raises(OSError):  # noqa: PT011
                await call(a.port, tls.client_context(stranger.files("b")))
        assert not a.ups + b.ups
        await part(a, b)

    run(test)

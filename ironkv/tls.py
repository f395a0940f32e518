"""TLS for the client port, between nodes and for the HTTP port: contexts from files, and ports that take new
certificates while they listen.

A private key that everybody may read is warned of, not refused: secrets of containers often are so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ironkv.errors import IronKVError

log = logging.getLogger(__name__)

VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
CLIENT_CERTIFICATES: Final = {
    "no": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "yes": ssl.CERT_REQUIRED,
}
HANDSHAKE_S: Final = 10.0
BACKLOG: Final = 4096


class TlsError(IronKVError):
    """Files that make no context."""


class Files(NamedTuple):
    """What a context is made of. Names of PEM files."""

    certificate: str
    """With the certificates between it and the authority, if there are any."""
    key: str
    authority: str
    """Whose certificates are believed; may be empty where none is asked for."""
    clients: str = "yes"
    """Whether clients must show a certificate: `yes`, `optional` or `no`."""
    least: str = "TLSv1.2"


Maker = Callable[[Files], ssl.SSLContext]


def server_context(files: Files) -> ssl.SSLContext:
    """For a port. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, files)
    context.verify_mode = CLIENT_CERTIFICATES[files.clients]
    if context.verify_mode is not ssl.CERT_NONE and not files.authority:
        raise TlsError(f"tls.auth_clients is {files.clients!r}, and no tls.ca_cert_file says whom to believe")
    return context


def client_context(files: Files) -> ssl.SSLContext:
    """For dialling another node, which must be certified too. Raises TlsError.

    Whose certificate it is, `names` tells: hosts of nodes may be addresses that no certificate has.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if not files.authority:
        raise TlsError("TLS between nodes needs tls.ca_cert_file")
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: Files) -> None:
    context.minimum_version = VERSIONS[files.least]
    for name, path in (("cert_file", files.certificate), ("key_file", files.key)):
        if not path:
            raise TlsError(f"TLS needs tls.{name}")
    doing = f"tls.cert_file {files.certificate}, tls.key_file {files.key}"
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
        if files.authority:
            doing = f"tls.ca_cert_file {files.authority}"
            context.load_verify_locations(files.authority)
        mode = os.stat(files.key).st_mode
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise TlsError(f"{doing}: {getattr(error, 'strerror', None) or error}") from None
    if mode & 0o007:
        log.warning("tls.key_file %s can be read by everybody on this machine", files.key)


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is here to be asked for its password")


def names(certificate: Any) -> set[str]:
    """Whom a verified certificate (`getpeercert`) is for: names, addresses, and the common name."""
    found = {value.lower() for _, value in certificate.get("subjectAltName", ())}
    for part in certificate.get("subject", ()):
        found |= {value.lower() for name, value in part if name == "commonName"}
    return found


def is_for(certificate: Any, *wanted: str) -> bool:
    """Whether a certificate is for one of these names; `*.` in it stands for one label."""
    known = names(certificate)
    for name in wanted:
        lower = name.lower()
        _, dot, domain = lower.partition(".")
        if lower in known or (dot and f"*.{domain}" in known):
            return True
    return False


class Port:
    """A listening port whose context can be replaced: connections there are keep theirs."""

    def __init__(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._factory = factory
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []

    async def open(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        """Listen on every address of `host`. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            self._bind(found)
        except OSError:
            self.close()
            raise
        await self.renew(context)

    async def adopt(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """Serve on a socket that listens already, and close it at the end."""
        self._sockets.append(sock)
        await self.renew(context)

    def _bind(self, found: list[Any]) -> None:
        for family, kind, proto, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, proto)
            self._sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)

    async def renew(self, context: ssl.SSLContext | None) -> None:
        """Greet whoever comes from now on with another context. Nobody is refused meanwhile."""
        before, self._servers = self._servers, []
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {} if context is None else {"ssl_handshake_timeout": HANDSHAKE_S}
        for sock in self._sockets:
            twin = sock.dup()
            twin.setblocking(False)
            self._servers.append(
                await loop.create_server(self._factory, sock=twin, ssl=context, backlog=BACKLOG, **options)
            )
        for server in before:
            server.close()

    def close(self) -> None:
        """Take nobody any more."""
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        self._servers, self._sockets = [], []

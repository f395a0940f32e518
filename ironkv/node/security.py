"""This node's ports and what guards them: the cluster's secret, certificates, and new ones as it runs."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ironkv import tls
from ironkv.errors import CommandError, Fault
from ironkv.peers.secret import SECRET_LEAST
from ironkv.server.listener import Listener

if TYPE_CHECKING:
    from ironkv.config import ClusterSection, TlsSection
    from ironkv.http.server import HttpServer
    from ironkv.node.node import Node
    from ironkv.peers.links import Links

log = logging.getLogger(__name__)

CERTIFICATES: Final = (
    "tls.cert_file",
    "tls.key_file",
    "tls.ca_cert_file",
    "tls.auth_clients",
    "tls.min_version",
)


def cluster_secret(cluster: ClusterSection) -> bytes:
    """What the nodes of this cluster have in common; empty: anybody may be one. Raises Fault."""
    if not cluster.secret_file:
        return cluster.secret.encode("utf-8", "surrogateescape")
    try:
        secret = Path(cluster.secret_file).read_bytes().strip()
    except OSError as error:
        raise Fault(f"cluster.secret_file {cluster.secret_file}: {error.strerror}") from None
    if len(secret) < SECRET_LEAST:
        raise Fault(
            f"cluster.secret_file {cluster.secret_file}: a secret has at least {SECRET_LEAST} bytes; "
            "`openssl rand -hex 32` makes one"
        )
    return secret


def files(section: TlsSection) -> tls.Files:
    """Those of the client port; `http` may use them, too."""
    return tls.Files(
        section.cert_file, section.key_file, section.ca_cert_file, section.auth_clients, section.min_version
    )


class Security:
    """Opens the ports of a node, and renews their certificates on SIGHUP and CONFIG SET."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._settings = node.settings
        self._plain: Listener | None = None
        self._encrypted: Listener | None = None
        self._links: Links | None = None
        self.http: HttpServer | None = None
        self._renewing: set[asyncio.Task[None]] = set()
        for name in CERTIFICATES:
            node.view.on_setting(name, self.renew)

    async def open_cluster_port(self, links: Links) -> None:
        """Raises OSError, Fault."""
        settings = self._settings
        self._links = links
        accepting, links.dialling_tls = self._of_nodes()
        await links.listen(settings.server.bind, settings.cluster.port, accepting)
        alone = settings.server.bind in ("localhost", "::1") or settings.server.bind.startswith("127.")
        if not links.secret and accepting is None and not alone:
            log.warning(
                "the cluster port %s:%d is open to whoever can reach it: set cluster.secret, or tls.cluster",
                settings.server.bind,
                settings.cluster.port,
            )

    async def open_client_ports(self, plain: Listener) -> None:
        """Raises OSError, Fault."""
        server, section = self._settings.server, self._settings.tls
        context = self._of_clients()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
        self._plain = plain
        if section.port == server.port:
            self._encrypted = plain
            await plain.open(server.bind, server.port, context)
            return
        await plain.open(server.bind, server.port)
        if context is not None:
            self._encrypted = Listener(self._node.dispatch)
            await self._encrypted.open(server.bind, section.port, context)
            log.info("TLS is spoken on %s:%d", server.bind, section.port)

    def stop_accepting(self) -> None:
        """Take no more clients."""
        for listener in (self._plain, self._encrypted):
            if listener is not None:
                listener.stop_accepting()

    # -- contexts

    def _of_clients(self) -> ssl.SSLContext | None:
        if not self._settings.tls.port:
            return None
        return self._checked(tls.server_context)

    def of_http(self) -> ssl.SSLContext | None:
        """Probes and Prometheus have no certificate; a token does for them. Raises Fault."""
        http = self._settings.http
        if not (http.enabled and http.tls):
            return None
        return self._checked(lambda given: tls.server_context(given._replace(clients="no")))

    def _of_nodes(self) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
        """For accepting and for dialling; nodes are always certified on both sides."""
        if not self._settings.tls.cluster:
            return None, None
        return (
            self._checked(lambda given: tls.server_context(given._replace(clients="yes"))),
            self._checked(tls.client_context),
        )

    def _checked(self, make: tls.Maker) -> ssl.SSLContext:
        try:
            return make(files(self._settings.tls))
        except tls.TlsError as error:
            raise Fault(str(error)) from None

    # -- new certificates

    def _on_hangup(self) -> None:
        try:
            self.renew()
        except CommandError as error:
            log.error("SIGHUP: the certificates stay as they are: %s", error)

    def renew(self) -> None:
        """Read the files again, for connections to come. Raises CommandError: nothing has changed then."""
        try:
            client, (accepting, dialling) = self._of_clients(), self._of_nodes()
            of_http = self.of_http()
        except Fault as fault:
            raise CommandError(f"ERR CONFIG SET failed - {fault}") from None
        if self.http is not None and of_http is not None:
            self.http.renew(of_http)
        task = asyncio.get_running_loop().create_task(self._renew(client, accepting, dialling))
        self._renewing.add(task)
        task.add_done_callback(self._renewing.discard)

    async def _renew(
        self,
        client: ssl.SSLContext | None,
        accepting: ssl.SSLContext | None,
        dialling: ssl.SSLContext | None,
    ) -> None:
        if self._encrypted is not None and client is not None:
            await self._encrypted.renew(client)
        if self._links is not None and accepting is not None:
            await self._links.renew(accepting, dialling)
        if client is not None or accepting is not None:
            log.info("certificates were read again: new connections use them")

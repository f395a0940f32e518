"""How a tool gets into a node: address, password and TLS, in the words of redis-cli's options."""

from __future__ import annotations

import argparse
import getpass
import os
import ssl
from dataclasses import dataclass, replace
from typing import Final

from ironkv import tls
from ironkv.tools.client import Client, ErrorReply, mapped, maps

PASSWORDS: Final = ("IRONKV_PASSWORD", "REDISCLI_AUTH")
"""Variables of the environment that may hold the password; the first that is set counts."""
DEFAULTS: Final[dict[str, object]] = {
    "host": "127.0.0.1", "port": 6379, "user": "", "password": None, "askpass": False, "tls": False,
    "sni": "", "cacert": None, "cacertdir": None, "insecure": False, "cert": None, "key": None,
}  # fmt: skip


class Unreachable(OSError):
    """A node that does not let us in; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Access:
    """A node to ask first, and what lets us into all of its cluster."""

    host: str = "127.0.0.1"
    port: int = 6379
    user: str = ""
    password: str | None = None
    context: ssl.SSLContext | None = None
    sni: str = ""
    name: str = ""
    """Whose address it is, if that is known: its certificate may be for that, too."""

    def to_leader(self) -> Access | None:
        """Where the leader is, as this node knows it. Raises Unreachable, ErrorReply."""
        with self.connect() as client:
            leader = mapped(client.call("RAFT", "STATUS"))["leader"]
            members = maps(client.call("RAFT", "MEMBERS"))
        for each in members:
            if each["id"] == leader:
                return replace(self, host=each["host"], port=each["port"], name=leader)
        return None

    def connect(self, host: str = "", port: int = 0, name: str = "", timeout: float = 10.0) -> Client:
        """A connection that has authenticated, to this node or to another of its cluster, whose certificate
        may be for its `name` as well as for its host. Raises Unreachable."""
        host, port = host or self.host, port or self.port
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        client: Client | None = None
        try:
            client = Client(host, port, timeout, self.context, self.sni)
            self._check(client, host, name or self.name)
            self._authenticate(client)
        except (OSError, ErrorReply) as error:
            if client is not None:
                client.close()
            raise Unreachable(f"{where}: {getattr(error, 'strerror', None) or error}") from None
        return client

    def _check(self, client: Client, host: str, name: str) -> None:
        if self.context is None or self.context.verify_mode is ssl.CERT_NONE:
            return
        assert isinstance(client.socket, ssl.SSLSocket)
        wanted = [each for each in (self.sni or host, name) if each]
        if not tls.is_for(client.socket.getpeercert(), *wanted):
            raise ssl.SSLCertVerificationError(f"its certificate is not for {' or '.join(wanted)}")

    def _authenticate(self, client: Client) -> None:
        if self.password is None:
            return
        try:
            client.call("AUTH", *([self.user] if self.user else []), self.password)
        except ErrorReply as error:
            if error.code != "ERR":  # "ERR AUTH …: no password is set": then none is needed, either
                raise


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options for a tool; the same parser or one above it may have them too."""

    def option(*names: str, **how: object) -> None:
        parser.add_argument(*names, default=argparse.SUPPRESS, **how)  # type: ignore[arg-type]

    option("--host", help="the node's address (127.0.0.1)")
    option("-p", "--port", type=int, help="its client port (6379)")
    option("--user", help="the user to authenticate as (default)")
    option("-a", "--password", "--pass", help=f"its password; better in {' or '.join(PASSWORDS)}")
    option("--askpass", action="store_true", help="ask for the password")
    option("--tls", action="store_true", help="speak TLS")
    option("--sni", metavar="NAME", help="the name that the certificates are for (the host)")
    option("--cacert", metavar="FILE", help="the authorities to believe (those of this system)")
    option("--cacertdir", metavar="DIR", help="the same, as a directory")
    option("--insecure", action="store_true", help="believe any certificate")
    option("--cert", metavar="FILE", help="the certificate to show")
    option("--key", metavar="FILE", help="its key")


def access(options: argparse.Namespace) -> Access:
    """What the options say. Raises OSError for files that cannot be used."""
    given = {**DEFAULTS, **vars(options)}
    password = given["password"]
    if password is None:
        password = next((os.environ[name] for name in PASSWORDS if os.environ.get(name)), None)
    if given["askpass"]:
        password = getpass.getpass("Password: ")
    context = None
    if given["tls"]:
        context = ssl.create_default_context(cafile=given["cacert"], capath=given["cacertdir"])
        context.check_hostname = False  # `Access` does, and nodes may be certified by their names
        if given["insecure"]:
            context.verify_mode = ssl.CERT_NONE
        if given["cert"]:
            context.load_cert_chain(given["cert"], given["key"])
    return Access(given["host"], given["port"], given["user"], password, context, given["sni"])

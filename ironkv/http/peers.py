"""What the other nodes say at their HTTP ports, for the console."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

PEER_S: Final = 1.0
"""How long another node may take to answer."""
PEER_BYTES: Final = 8 << 20


class Peers:
    """Asks with this node's own token, which all nodes have in common."""

    def __init__(self, token: str, authority: str | None = None) -> None:
        """`authority`: speak TLS, and believe what this file certifies; empty: what this system believes."""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._context = None if authority is None else ssl.create_default_context(cafile=authority or None)
        self._session: aiohttp.ClientSession | None = None
        self._certified: dict[str, str] = {}
        """By node: the name that its certificate was for, last time."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, node: str, host: str, port: int) -> Mapping[str, Any]:
        """What another node says, or `{"error": why it says nothing}`."""
        try:
            if self._context is None:
                return await self._get(host, port)
            return await self._get_certified(node, host, port)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return {"error": str(error) or "no answer"}

    async def _get_certified(self, node: str, host: str, port: int) -> Mapping[str, Any]:
        """Nodes are certified by their host or by their id, and the token is for nobody else."""
        refused: aiohttp.ClientConnectorCertificateError | None = None
        for name in dict.fromkeys([self._certified.get(node, host), host, node]):
            try:
                found = await self._get(host, port, name)
            except aiohttp.ClientConnectorCertificateError as error:
                refused = error
            else:
                self._certified[node] = name
                return found
        assert refused is not None
        raise refused

    async def _get(self, host: str, port: int, name: str | None = None) -> Mapping[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=PEER_S), trust_env=False, auto_decompress=False
            )
        where = f"[{host}]" if ":" in host else host
        scheme = "http" if self._context is None else "https"
        async with self._session.get(
            f"{scheme}://{where}:{port}/api/node",
            headers=self._headers,
            allow_redirects=False,
            ssl=self._context or True,
            server_hostname=name,
        ) as answer:
            if answer.status != 200:
                return {"error": f"its HTTP port answers {answer.status}"}
            body = await answer.content.read(PEER_BYTES)
            while not answer.content.at_eof() and len(body) < PEER_BYTES:
                body += await answer.content.read(PEER_BYTES - len(body))
            return dict(json.loads(body))

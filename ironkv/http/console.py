"""The console: a page, and the data it fetches. All of it reads, but for changing the cluster's members.

A browser asks one node; that node asks the others, at the HTTP ports that the cluster's settings name, with
its own token. So a page needs no other origin, and sees what the node sees.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web

from ironkv.http.peers import Peers

if TYPE_CHECKING:
    from ironkv.config import HttpSection
    from ironkv.http.source import Source

T = TypeVar("T")
Ask = Callable[[Callable[[], T]], Awaitable[T]]

ORDER_S: Final = 45.0
"""How long a change of members may take; the node gives up before."""
CHANGES: Final = {
    "add": ("id", "host", "port", "cluster_port"),
    "promote": ("id",),
    "remove": ("id",),
    "transfer": ("id",),
}
TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Console:
    """Routes for the page and its data. `ask` has something done on the node's loop."""

    def __init__(self, settings: HttpSection, source: Source, ask: Any, peers: Peers) -> None:
        self._token = settings.token
        self._source = source
        self._ask = ask
        self._peers = peers
        self._page = {each.name: each.read_bytes() for each in (files("ironkv.http") / "page").iterdir()}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._index),
            web.get("/console/{name}", self._file),
            web.get("/api/node", self._node),
            web.get("/api/cluster", self._cluster),
            web.get("/api/keys", self._keys),
            web.get("/api/key", self._key),
            web.post("/api/members/{change}", self._change),
        ]

    async def close(self) -> None:
        await self._peers.close()

    # -- the page

    async def _index(self, request: web.Request) -> web.Response:
        return self._part("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        return self._part(request.match_info["name"])

    def _part(self, name: str) -> web.Response:
        body = self._page.get(name)
        if body is None:
            raise web.HTTPNotFound(text="there is no such page\n")
        kind = TYPES.get(name.rpartition(".")[2], "text/plain")
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    # -- the nodes

    async def _node(self, request: web.Request) -> web.Response:
        return _json(await self._ask(self._source.seen))

    async def _cluster(self, request: web.Request) -> web.Response:
        """What this node knows of itself, and the others say of themselves."""
        mine = await self._ask(self._source.seen)
        others = [each for each in mine["nodes"] if each["id"] != mine["id"]]
        told = await asyncio.gather(
            *(self._peers.ask(each["id"], each["host"], each["http_port"]) for each in others)
        )
        seen = {each["id"]: what for each, what in zip(others, told, strict=True)}
        return _json({"me": mine["id"], "node": mine, "others": seen, "may_change": bool(self._token)})

    # -- keys

    async def _keys(self, request: web.Request) -> web.Response:
        database, query = _database(request), request.query
        cursor = _number(query.get("cursor", "0"), (1 << 64) - 1)
        pattern = (query.get("match") or "*").encode()
        following, keys = await self._ask(lambda: self._source.scan(database, cursor, pattern))
        return _json({"cursor": str(following), "keys": keys})

    async def _key(self, request: web.Request) -> web.Response:
        database = _database(request)
        try:
            key = base64.b64decode(request.query.get("key", ""), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise web.HTTPBadRequest(text="key: its bytes in base64url\n") from None
        found = await self._ask(lambda: self._source.describe(database, key))
        if found is None:
            raise web.HTTPNotFound(text="there is no such key (any more)\n")
        return _json(found)

    # -- changing something

    async def _change(self, request: web.Request) -> web.Response:
        """Change who belongs to the cluster, or who leads it. A token must be set: a page could make a
        browser send this."""
        if not self._token:
            raise web.HTTPForbidden(text="set http.token to change anything from here\n")
        change = request.match_info["change"]
        if change not in CHANGES:
            raise web.HTTPNotFound(text=f"there is: {', '.join(CHANGES)}\n")
        words = [request.query.get(name, "").strip() for name in CHANGES[change]]
        if not all(words):
            raise web.HTTPBadRequest(text=f"this needs {', '.join(CHANGES[change])}\n")
        under_way = await self._ask(lambda: self._source.order([change, *words]))
        try:
            refused = await asyncio.wait_for(asyncio.wrap_future(under_way), ORDER_S)
        except TimeoutError:
            raise web.HTTPGatewayTimeout(text="it is not known yet what became of it\n") from None
        if refused:
            raise web.HTTPConflict(text=f"{refused}\n")
        return _json({"done": [change, *words]})


def _database(request: web.Request) -> int:
    return _number(request.query.get("db", "0"), 15)


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > most:
        raise web.HTTPBadRequest(text=f"a number up to {most} is needed\n")
    return int(text)


def _json(data: object) -> web.Response:
    """Bytes become {"text": …, "b64": …}: keys and values need not be text."""
    return web.json_response(data, dumps=_dumps, headers={"Cache-Control": "no-store"})


def _dumps(data: object) -> str:
    return json.dumps(data, default=_shown, separators=(",", ":"))


def _shown(data: object) -> object:
    if isinstance(data, bytes):
        return {"text": printable(data), "b64": base64.urlsafe_b64encode(data).decode()}
    raise TypeError(f"{type(data).__name__} cannot be shown")


def printable(data: bytes) -> str:
    """Bytes as text if they are text, else with escapes as redis-cli has them."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1").encode("unicode_escape").decode("ascii")
    return "".join(each if each.isprintable() or each == "\n" else f"\\x{ord(each):02x}" for each in text)

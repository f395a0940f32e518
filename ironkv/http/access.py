"""Who may ask what."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

if TYPE_CHECKING:
    from ironkv.config import HttpSection

PROBES: Final = frozenset({"/livez", "/readyz"})
"""Whoever starts and watches nodes asks these, and they tell next to nothing."""
PAGE: Final = ("/console/",)
"""The page itself holds no data: it asks for the token and fetches them."""


def guard(settings: HttpSection) -> Middleware:
    """A middleware that asks for the token, if there is one; without, strangers get figures only."""
    token = settings.token.encode()
    exposed = not _is_loopback(settings.bind)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if path in PROBES or path == "/" or path.startswith(PAGE):
            return await handler(request)
        if token:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, b"Bearer " + token):
                raise web.HTTPUnauthorized(
                    text="this needs the token of the setting http.token\n",
                    headers={"WWW-Authenticate": 'Bearer realm="ironkv"'},
                )
        elif path.startswith("/api/"):
            _refuse_strangers(request, exposed)
        return await handler(request)

    return check


def _refuse_strangers(request: web.Request, exposed: bool) -> None:
    """Without a token keys are shown on this machine only, and not to other sites' pages in its browser."""
    if exposed:
        raise web.HTTPForbidden(
            text="the console shows data only with http.token set, or with http.bind a loopback address\n"
        )
    host = request.url.host or ""
    # A name that a page's owner lets point to 127.0.0.1 would make this server part of his site.
    if host != "localhost" and not _is_address(host):
        raise web.HTTPMisdirectedRequest(text="without http.token, ask by address or as localhost\n")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(bind: str) -> bool:
    return bind == "localhost" or (_is_address(bind) and ip_address(bind).is_loopback)

"""What every request passes first: its host, its size, who asks, and whether a change comes from this page."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.page.sessions import PageSessions
from edge_runtime.supervision.host_header import is_own_host, own_names
from latentline.errors import ConfigError

_BODY_BYTES = 1 << 20  # of a request; the largest is a label with a brushed region
_BODY_SECONDS = 15.0  # until a body must be here
_OPEN = ("/login", "/static/")
_READING = ("GET", "HEAD")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class PageGuard:
    """ASGI middleware around the page. A request that passes has its session in `request.state.session`.

    names   by which the page may be asked, besides addresses and the machine's own
    cookie  name of the cookie with the session's token
    """

    def __init__(self, app: ASGIApp, sessions: PageSessions, names: Iterable[str], cookie: str) -> None:
        self._app, self._sessions, self._names, self._cookie = app, sessions, own_names(names), cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send_safely)
        else:
            within = _BODY_SECONDS if request.method not in _READING else None
            await self._app(scope, _limited(receive, within), send_safely)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that must not pass; None: it may."""
        if not all(is_own_host(host, self._names) for host in request.headers.getlist("host")):
            return _sentence(421, "this name is not one of the station's; add it to page.names")
        if not request.headers.get("content-length", "0").isdecimal() or _length(request.headers) > _BODY_BYTES:
            return _sentence(413, "the request is too large")
        changes = request.method not in _READING
        if changes and not _from_this_page(request):
            return _sentence(403, "the request comes from another web site, so it is refused")
        path = request.url.path
        try:
            session = self._sessions.find(request.cookies.get(self._cookie, ""))
        except ConfigError as error:
            return _sentence(503, str(error))
        request.scope.setdefault("state", {})["session"] = session
        if path.startswith(_OPEN):
            return None
        if session is None:
            page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
            return RedirectResponse("/login", 303) if page else _sentence(401, "log in first")
        if changes and not hmac.compare_digest(request.headers.get("x-csrf-token", "").encode(), session.csrf.encode()):
            return _sentence(403, "the request lacks the token of this session, so it is refused; load the page again")
        return None


def _sentence(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)


def _length(headers: Headers) -> int:
    return int(headers.get("content-length", "0")[:12])


def _from_this_page(request: Request) -> bool:
    """Whether a browser says that its own page asks. What is no browser says nothing, and has no cookie either."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _limited(receive: Receive, seconds: float | None) -> Receive:
    """`receive`, but a body that is longer or comes later than it may ends as if the client had gone."""
    left = _BODY_BYTES
    deadline = None if seconds is None else time.monotonic() + seconds

    async def limited() -> Message:
        nonlocal left
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            message: dict[str, Any] = dict(await asyncio.wait_for(receive(), remaining))
        except asyncio.TimeoutError:
            return {"type": "http.disconnect"}
        left -= len(message.get("body", b""))
        return message if left >= 0 else {"type": "http.disconnect"}

    return limited

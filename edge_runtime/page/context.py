"""What the views of the page share."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from edge_runtime.commands.actions import Result
from edge_runtime.commands.local_request import LocalRequest
from edge_runtime.page.audit import AuditLog
from edge_runtime.page.live import LiveFeed
from edge_runtime.page.login_limit import LoginLimit
from edge_runtime.page.sessions import PageSession, PageSessions
from edge_runtime.page.settings import PageSection
from edge_runtime.page.station_view import StationView
from edge_runtime.page.users import UserFile
from latentline.errors import LatentlineError


class PageContext:
    """Settings, station and the page's own parts. closing: set when the page ends."""

    def __init__(self, settings: PageSection, station: StationView, feed: LiveFeed) -> None:
        self.settings, self.station, self.feed = settings, station, feed
        self.users = UserFile(users_path(settings, station.beside))
        self.audit = AuditLog(audit_path(settings, station.beside))
        self.sessions = PageSessions(self.users, settings.session_hours)
        self.limit = LoginLimit()
        self.login_lock = threading.Lock()  # one password at a time is hashed
        self.closing = threading.Event()
        self.news = asyncio.Event()  # for whoever watches live; replaced with each piece of news
        self._loop: asyncio.AbstractEventLoop | None = None
        self._templates = Environment(
            loader=PackageLoader("edge_runtime.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    @property
    def cookie(self) -> str:
        """Name of the session's cookie: browsers do not tell the ports of a machine apart."""
        return f"latentline_{self.settings.port}"

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop that serves; from now on the feed's news reach it."""
        self._loop = loop
        self.feed.changed = self._changed

    def page(self, name: str, request: Request, status: int = 200, **values: Any) -> HTMLResponse:
        """Render the template `name`.html; every value is escaped."""
        session = request.state.session
        text = self._templates.get_template(f"{name}.html").render(
            station=self.station.name, view=name, session=session, **values
        )
        return HTMLResponse(text, status)

    async def ask(self, local: LocalRequest, seconds: float) -> Result:
        """Have the station's thread carry out a request. Raises LatentlineError, also when it takes too long."""
        self.station.ask(local)
        return await _outcome(local.outcome, seconds)

    def _changed(self) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        try:
            self._loop.call_soon_threadsafe(self._spread)
        except RuntimeError:  # closed since
            return

    def _spread(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


def users_path(settings: PageSection, spool: Path) -> Path:
    """The file of users."""
    return settings.users or spool.with_suffix(".users.json")


def audit_path(settings: PageSection, spool: Path) -> Path:
    """The file of the audit log."""
    return settings.audit or spool.with_suffix(".audit.jsonl")


def session_of(request: Request) -> PageSession:
    """The session of a request that the guard let in."""
    session: PageSession = request.state.session
    return session


def refusal(sentence: str, status: int) -> JSONResponse:
    """An answer that says why nothing has changed."""
    return JSONResponse({"error": sentence}, status)


async def _outcome(future: Future[Result], seconds: float) -> Result:
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
    except asyncio.TimeoutError:
        raise LatentlineError(
            f"the station has not answered within {seconds:g} s; look at Health, then load the page again"
        ) from None

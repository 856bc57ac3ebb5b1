"""The page's addresses, behind the guard."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from edge_runtime.page.context import PageContext, refusal
from edge_runtime.page.guard import PageGuard
from edge_runtime.page.health_view import health_routes
from edge_runtime.page.live_view import live_routes
from edge_runtime.page.login_view import login_routes
from edge_runtime.page.model_view import model_routes
from edge_runtime.page.review_view import review_routes
from edge_runtime.page.threshold_view import threshold_routes
from latentline.errors import LatentlineError

_STATIC = Path(__file__).parent / "static"


def build_app(context: PageContext) -> ASGIApp:
    """The page as an ASGI application."""
    settings = context.settings
    app = Starlette(
        routes=[
            Route("/", lambda request: RedirectResponse("/live", 303)),
            *login_routes(context),
            *live_routes(context),
            *review_routes(context),
            *health_routes(context),
            *threshold_routes(context),
            *model_routes(context),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        exception_handlers={LatentlineError: _refused},
    )
    return PageGuard(app, context.sessions, (settings.host, *settings.names), context.cookie)


async def _refused(request: Request, error: Exception) -> Response:
    return refusal(str(error), 409)

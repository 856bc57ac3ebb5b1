"""The live view: state and newest frames, sent to the browser as they come."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edge_runtime.page.context import PageContext, refusal
from edge_runtime.page.live import ShownFrame
from edge_runtime.supervision.snapshot import Snapshot
from latentline.errors import ConfigError

_FASTEST = 0.25  # seconds between two messages to one browser
_SLOWEST = 2.0  # seconds; without a message a browser cannot tell a quiet line from a dead one
_SLOW_SECONDS = 10.0  # a browser that takes no message for so long is dropped
_OLD_SECONDS = 5.0  # a state that is older is said to be old


def live_routes(context: PageContext) -> list[Route]:
    """/live, /events, and the pictures: /live/frame/CAMERA?n=NUMBER, and its map /live/heat/CAMERA?n=NUMBER."""

    async def live(request: Request) -> Response:
        return context.page("live", request)

    async def events(request: Request) -> Response:
        if context.feed.viewers >= context.settings.viewers:
            return refusal(
                f"{context.settings.viewers} browsers watch already, as many as page.viewers allows; close one", 503
            )
        return (
            Response() if request.method == "HEAD" else _EventStream(context, request.cookies.get(context.cookie, ""))
        )

    async def picture(request: Request) -> Response:
        kept = context.feed.shown.get(request.path_params["camera"], ())
        number = request.query_params.get("n")
        shown = next((frame for frame in kept if number in (None, str(frame.number))), None)
        if shown is None:
            return refusal("this camera has shown no such frame, or newer ones since", 404)
        if request.path_params["kind"] == "heat":
            return Response(shown.heat, media_type="image/png")
        return Response(shown.picture, media_type="image/jpeg")

    return [
        Route("/live", live),
        Route("/events", events),
        Route("/live/{kind}/{camera}", picture),
    ]


class _EventStream(Response):
    """Server-sent events: always the newest state, so a slow browser misses some and nothing piles up."""

    def __init__(self, context: PageContext, token: str) -> None:
        self._context, self._token = context, token
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the browser goes, is too slow or not logged in any more, or the page ends. Watching is use."""
        feed = self._context.feed
        feed.viewers += 1
        gone = asyncio.create_task(_gone(receive))
        try:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while not (gone.done() or self._context.closing.is_set()) and self._logged_in():
                news = self._context.news
                body = b"data: " + json.dumps(live_state(self._context)).encode() + b"\n\n"
                await asyncio.wait_for(
                    send({"type": "http.response.body", "body": body, "more_body": True}), _SLOW_SECONDS
                )
                await asyncio.sleep(_FASTEST)
                await _any(gone, news)
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.TimeoutError:
            return  # uvicorn cuts the connection
        finally:
            feed.viewers -= 1
            gone.cancel()

    def _logged_in(self) -> bool:
        try:
            return self._context.sessions.find(self._token) is not None
        except ConfigError:  # the file of users cannot be read now
            return False


async def _any(gone: asyncio.Task[None], news: asyncio.Event) -> None:
    """Wait for news or for the end of the browser, _SLOWEST seconds at most."""
    waiting = asyncio.create_task(news.wait())
    await asyncio.wait({gone, waiting}, timeout=_SLOWEST, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def live_state(context: PageContext) -> dict[str, Any]:
    """What the live view shows, as JSON."""
    station, feed = context.station, context.feed
    at, snapshot = feed.state or (time.monotonic(), None)
    age = time.monotonic() - at
    state: dict[str, Any] = {
        "station": station.name,
        "state": station.health.state,
        "faults": [sentence for _, sentence in sorted(station.health.faults.items())],
        "old": round(age) if snapshot is None or age > _OLD_SECONDS else None,
        "cameras": _cameras(snapshot, feed.tallies, feed.shown),
    }
    if snapshot is not None:
        state |= {
            "paused": snapshot.paused,
            "p50": snapshot.inspect_ms_p50,
            "p99": snapshot.inspect_ms_p99,
            "model": snapshot.model_name,
            "threshold": snapshot.threshold,
            "connected": snapshot.connected,
        }
    return state


def _cameras(
    snapshot: Snapshot | None,
    tallies: Mapping[str, tuple[int, int, float]],
    shown: Mapping[str, tuple[ShownFrame, ...]],
) -> dict[str, Any]:
    cameras: dict[str, Any] = {}
    for name, (ok, abnormal, rate) in tallies.items():
        report = None if snapshot is None else snapshot.cameras.get(name)
        frame = next(iter(shown.get(name, ())), None)
        cameras[name] = {
            "ok": ok,
            "abnormal": abnormal,
            "rate": rate,
            "state": "starting" if report is None else report.state,
            "reason": None if report is None else report.reason,
            "late": None if report is None else report.lateness_seconds,
            "frame": None if frame is None else _frame(frame),
        }
    return cameras


def _frame(frame: ShownFrame) -> dict[str, Any]:
    return {
        "number": frame.number,
        "abnormal": frame.abnormal,
        "score": frame.score,
        "threshold": frame.threshold,
        "at": frame.captured_at,
        "source": frame.source,
        "size": frame.size,
        "boxes": frame.boxes,
        "region": frame.region,
        "ms": frame.milliseconds,
    }

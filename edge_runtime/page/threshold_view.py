"""The threshold view: what each threshold would do, and the way to change it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Literal

from pydantic import ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.commands.local_request import LocalRequest
from edge_runtime.commands.request import CommandError, ThresholdRequest
from edge_runtime.page.chances import ScoreEvidence
from edge_runtime.page.changes import carry_out, require_engineer
from edge_runtime.page.context import PageContext, refusal, session_of
from edge_runtime.page.requests import read_json
from edge_runtime.page.station_view import StationView
from latentline.base.strict_yaml import StrictModel

_MOST_LABELLED = 1000  # pictures of each label
_SECONDS = 15.0  # for the station's thread, which may be at a frame


class NewThreshold(StrictModel):
    """What an engineer asks for. seen: the threshold that their page showed."""

    model_config = ConfigDict(strict=False)

    value: float
    seen: float


def threshold_routes(context: PageContext) -> list[Route]:
    """/threshold: the page, its numbers, those of one threshold, and a change."""

    async def view(request: Request) -> Response:
        return context.page("threshold", request, bounds=context.station.commands.threshold)

    async def numbers(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_numbers, context))

    async def chances(request: Request) -> Response:
        try:
            value = float(request.query_params["value"])
        except (KeyError, ValueError):
            return refusal("give a number", 400)
        if not math.isfinite(value):
            return refusal("give a finite number", 400)
        return JSONResponse(asdict((await run_in_threadpool(_evidence, context)).at(value)))

    async def change(request: Request) -> Response:
        require_engineer(request)
        asked = await read_json(request, NewThreshold)
        present = context.station.threshold()
        if not math.isclose(asked.seen, present, rel_tol=1e-9, abs_tol=1e-12):
            raise CommandError(f"somebody has changed the threshold to {present:.4g} meanwhile; load the page again")
        local = LocalRequest(ThresholdRequest(value=asked.value), session_of(request).user.name)
        return JSONResponse(dict(await carry_out(context, local, _SECONDS, present, asked.value)))

    return [
        Route("/threshold", view, methods=["GET"]),
        Route("/threshold", change, methods=["POST"]),
        Route("/threshold/numbers", numbers),
        Route("/threshold/chances", chances),
    ]


def _numbers(context: PageContext) -> dict[str, Any]:
    station = context.station
    baseline, threshold, bounds = station.baseline(), station.threshold(), station.commands.threshold
    evidence = _evidence(context)
    low, high = evidence.limits(threshold)
    return {
        "threshold": threshold,
        "bounds": None if bounds is None else [bounds.minimum, bounds.maximum],
        "counts": {
            "held_out": len(evidence.held_out),
            "newest": len(evidence.newest),
            "good": len(evidence.good),
            "defects": len(evidence.defects),
        },
        "promised": None if baseline is None else baseline.false_alarm_rate,
        "histogram": evidence.histogram(low, high),
        "curve": [asdict(chances) for chances in evidence.curve(low, high)],
    }


def _evidence(context: PageContext) -> ScoreEvidence:
    station = context.station
    baseline = station.baseline()
    held_out = [] if baseline is None else baseline.scores.tolist()
    return ScoreEvidence(
        held_out, list(station.latest.scores), _labelled(station, "good"), _labelled(station, "defect")
    )


def _labelled(station: StationView, label: Literal["good", "defect"]) -> list[float]:
    """Scores that the running model gave to the newest pictures with this label; those of another say nothing of it."""
    if station.archive is None:
        return []
    model = station.identity().sha256
    page = ArchiveReader(station.archive).frames(FrameQuery(label=label), "newest", _MOST_LABELLED)
    return [frame.verdict.score for frame in page.frames if frame.verdict.model == model]

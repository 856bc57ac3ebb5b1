"""The model view: the running package and its card, the candidates, promote and revert."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_runtime.commands.local_request import LocalRequest
from edge_runtime.commands.request import ModelRequest, RevertRequest
from edge_runtime.page.changes import carry_out, require_engineer
from edge_runtime.page.context import PageContext, session_of
from edge_runtime.page.kept_comparison import read_comparisons
from edge_runtime.page.package_card import PackageCard, read_card, read_cards
from edge_runtime.page.requests import read_json
from latentline.base.counted import counted

_SECONDS = 180.0  # to load a package, test it and wait for the frames in work


def model_routes(context: PageContext) -> list[Route]:
    """/model: the page, a switch to another package, and back to the one before."""

    async def view(request: Request) -> Response:
        return context.page("model", request, **await run_in_threadpool(_values, context))

    async def promote(request: Request) -> Response:
        require_engineer(request)
        asked = await read_json(request, ModelRequest)
        local = LocalRequest(asked, session_of(request).user.name)
        old = {"sha256": context.station.identity().sha256}
        return JSONResponse(
            dict(await carry_out(context, local, _SECONDS, old, {"name": asked.name, "sha256": asked.sha256}))
        )

    async def revert(request: Request) -> Response:
        require_engineer(request)
        asked = await read_json(request, RevertRequest)
        local = LocalRequest(asked, session_of(request).user.name)
        old, new = {"sha256": context.station.identity().sha256}, {"sha256": asked.sha256}
        return JSONResponse(dict(await carry_out(context, local, _SECONDS, old, new)))

    return [
        Route("/model", view, methods=["GET"]),
        Route("/model", promote, methods=["POST"]),
        Route("/model/revert", revert, methods=["POST"]),
    ]


def _values(context: PageContext) -> dict[str, Any]:
    identity, folder = context.station.identity(), context.station.commands.models
    cards = [] if folder is None else read_cards(folder)
    running = next((card for card in cards if card.sha256 == identity.sha256), None)
    if running is None:
        configured = read_card(context.station.model)
        running = configured if configured.sha256 == identity.sha256 else None
    newest = context.feed.state
    return {
        "identity": identity,
        "threshold": context.station.threshold(),
        "running": None if running is None else running.manifest,
        "facts": {} if running is None or running.manifest is None else _facts(running),
        "folder": folder,
        "candidates": [card for card in cards if card.sha256 != identity.sha256],
        "comparisons": {} if folder is None else read_comparisons(folder),
        "shadow": None if newest is None else newest[1].shadow,
        "before": context.station.before(),
    }


def _facts(card: PackageCard) -> dict[str, str]:
    """What the card says, by name."""
    manifest = card.manifest
    assert manifest is not None
    calibration, coverage = manifest.calibration, manifest.coverage
    facts = {
        "Method": manifest.method,
        "Made": f"{manifest.created:%Y-%m-%d %H:%M} UTC, latentline {manifest.code_version}",
        "Tiles": f"{manifest.tile_size} px, {'grey' if manifest.channels == 1 else 'colour'}",
        "Search": counted(manifest.search.iterations, "step") if manifest.search.iterations else "none",
        "Score": ", ".join(f"{c.name} × {c.weight:.3g}" for c in calibration.components),
        "Calibrated on": counted(
            calibration.scored_normals + calibration.standardised_normals, "held-out normal image"
        ),
        "Promise": f"at most {calibration.false_alarm_rate:.1%} false alarms",
    }
    if calibration.promise is not None:
        facts["Promise"] = calibration.promise.sentence
    if (validation := calibration.validation) is not None:
        known = f"{validation.normals} normal and {counted(validation.abnormals, 'abnormal image')}"
        made = f", {validation.synthetic} of them made from normal ones" if validation.synthetic else ""
        facts["Weights chosen on"] = f"{known}{made}; image AUROC there {validation.given_auroc:.3f}"
    if coverage is not None:
        facts["Coverage"] = (
            f"{coverage.explained:.1%} of held-out tiles explained; principal components {coverage.pca:.1%}"
        )
    if manifest.trunk is not None:
        facts["Trunk"] = "a pretrained network beside the search"
    return facts

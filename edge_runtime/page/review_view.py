"""The review: pictures of the archive, and what people say about them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_runtime.archive.label import FrameLabel, parse_label
from edge_runtime.archive.label_log import LabelChange
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader
from edge_runtime.archive.record import ArchivedFrame
from edge_runtime.page.archive_pictures import ArchivePictures
from edge_runtime.page.context import PageContext, refusal, session_of
from edge_runtime.page.requests import read_json
from edge_runtime.page.review_query import ReviewFilter, read_filter
from latentline.base.strict_yaml import StrictModel
from latentline.errors import ArchiveError

_ANSWERS = 1000  # of label requests, remembered
_PAGE = 60  # pictures of a list
_CACHED = {"Cache-Control": "private, max-age=86400, immutable"}  # a picture of an id never changes


class LabelRequest(StrictModel):
    """A label for some pictures. key: made by the browser, which sends the request again until it has the answer."""

    key: str = Field(default="", max_length=64)
    pictures: tuple[str, ...] = Field(min_length=1, max_length=500)
    label: dict[str, Any]


class UndoRequest(StrictModel):
    """The user's own last label of this picture is taken back. key: as for a label."""

    key: str = Field(default="", max_length=64)
    picture: str


def review_routes(context: PageContext) -> list[Route]:
    """/review and below: the page; lists, pictures and labels only where the station has an archive."""
    folder = context.station.archive

    async def view(request: Request) -> Response:
        return context.page("review", request, archive=folder)

    if folder is None:
        return [Route("/review", view)]
    review = _Review(context, ArchiveReader(folder), ArchiveLabels(folder))
    return [
        Route("/review", view),
        Route("/review/list", review.list_),
        Route("/review/facets", review.facets),
        Route("/review/about/{id}", review.about),
        Route("/review/label", review.label, methods=["POST"]),
        Route("/review/undo", review.undo, methods=["POST"]),
        *(Route(f"/review/{name}/{{id}}", review.picture(name)) for name in ("frame", "thumb", "heat", "nearest")),
    ]


class _Review:
    def __init__(self, context: PageContext, reader: ArchiveReader, labels: ArchiveLabels) -> None:
        self._context, self._reader, self._labels = context, reader, labels
        self._pictures = ArchivePictures(reader)
        self._answers: OrderedDict[tuple[str, str], list[dict[str, Any]]] = OrderedDict()  # by user and key

    async def list_(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._list, read_filter(request.query_params)))

    async def facets(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(lambda: {k: dict(v) for k, v in self._reader.facets().items()}))

    async def about(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._about, request.path_params["id"]))

    def picture(self, name: str) -> Callable[[Request], Any]:
        make: Callable[[str], bytes] = getattr(self._pictures, name)
        kind = "image/png" if name == "heat" else "image/jpeg"

        async def show(request: Request) -> Response:
            try:
                content = await run_in_threadpool(make, request.path_params["id"])
            except ArchiveError as error:
                return refusal(str(error), 404)
            return Response(content, media_type=kind, headers=_CACHED)

        return show

    async def label(self, request: Request) -> Response:
        asked = await read_json(request, LabelRequest)
        label = parse_label(asked.label)
        who = session_of(request).user.name
        return await self._once(who, asked.key, lambda: self._label(asked.pictures, label, who))

    async def undo(self, request: Request) -> Response:
        asked = await read_json(request, UndoRequest)
        who = session_of(request).user.name
        return await self._once(who, asked.key, lambda: self._undo(asked.picture, who))

    async def _once(self, who: str, key: str, change: Callable[[], list[dict[str, Any]]]) -> Response:
        """Change, unless the same request was carried out and its answer was lost: it is answered again."""
        changes = self._answers.get((who, key)) if key else None
        if changes is None:
            changes = await run_in_threadpool(change)
            if key:
                self._answers[who, key] = changes
            while len(self._answers) > _ANSWERS:
                self._answers.popitem(last=False)
        return JSONResponse({"changes": changes})

    def _list(self, wanted: ReviewFilter) -> dict[str, Any]:
        page = self._reader.frames(wanted.query(), wanted.order, _PAGE, wanted.offset)
        return {"total": page.total, "limit": _PAGE, "frames": [_summary(frame) for frame in page.frames]}

    def _about(self, frame_id: str) -> dict[str, Any]:
        frame = self._reader.frame(frame_id)
        verdict = frame.verdict
        said = [
            {"who": change.entry.who, "at": change.entry.at, "label": _plain(change.entry.label)}
            for change in self._labels.history(frame_id)
        ]
        return {
            **_summary(frame),
            "source": verdict.source,
            "size": [verdict.width, verdict.height],
            "boxes": [defect["bbox"] for defect in verdict.defects],
            "components": dict(verdict.components),
            "model": verdict.model_name,
            "nearest": self._reader.nearest_path(frame_id).exists(),
            "mask": None if frame.label is None or frame.label.mask is None else frame.label.mask.model_dump(),
            "said": said,
        }

    def _label(self, pictures: tuple[str, ...], label: FrameLabel, who: str) -> list[dict[str, Any]]:
        # A line before: a label must not be missing in the audit log because the disk filled up in between.
        self._context.audit.add(who, "label asked", pictures=list(pictures), new=_plain(label))
        return self._noted(who, self._labels.set(pictures, label, who))

    def _undo(self, picture: str, who: str) -> list[dict[str, Any]]:
        self._context.audit.add(who, "label undo asked", pictures=[picture])
        change = self._labels.undo(picture, who)
        if change is None:
            raise ArchiveError(f"{who} has said nothing about this picture, so there is nothing to undo")
        return self._noted(who, [change])

    def _noted(self, who: str, changes: list[LabelChange]) -> list[dict[str, Any]]:
        told = [{"picture": c.entry.frame, "old": _plain(c.old), "new": _plain(c.new)} for c in changes]
        self._context.audit.add(who, "label changed", changes=told)
        return told


def _summary(frame: ArchivedFrame) -> dict[str, Any]:
    verdict = frame.verdict
    return {
        "id": verdict.id,
        "at": verdict.captured_at,
        "camera": verdict.camera,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "abnormal": verdict.abnormal,
        "why": verdict.why,
        "label": _plain(frame.label),
        "disputed": frame.disputed,
    }


def _plain(label: FrameLabel | None) -> dict[str, Any] | None:
    """A label without its drawing."""
    if label is None:
        return None
    return {"verdict": label.verdict, "kind": label.kind, "place": label.mask is not None}

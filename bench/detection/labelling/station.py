"""What happens at a station: a model judges frames, the archive keeps them, a person labels what the queue shows."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from bench.detection.labelling.stream import GOOD, LabelStream, StreamFrame
from edge_runtime.archive.label import FrameLabel, LabelMask
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.archive.settings import ArchiveSection, ArchiveShares
from edge_runtime.archive.writer import ArchiveWriter
from edge_runtime.cameras.base import Frame
from latentline.errors import ArchiveError
from latentline.model import Model

_START = datetime(2026, 1, 1, tzinfo=timezone.utc)
_ANY_WIDTH = 1e6  # so far below the threshold a frame is still kept: all are
_MOST_WAITING = 16  # frames that the archive has not written yet
_SECONDS = 60.0


class Said(NamedTuple):
    """What the model says of a frame."""

    score: float
    abnormal: bool


def judge(model: Model, stream: LabelStream, frames: Sequence[StreamFrame]) -> dict[str, Said]:
    """What the model says of each frame, by its name."""
    results = ((f.name, model.inspect(stream.read(f.name))) for f in tqdm(frames, desc="judged", unit="img"))
    return {name: Said(result.score, result.is_abnormal) for name, result in results}


def judge_and_archive(
    model: Model, stream: LabelStream, frames: Sequence[StreamFrame], archive: Path
) -> dict[str, Said]:
    """The same of frames that a station sees, each part in a minute of its own, and keeps in a new archive.

    Raises ArchiveError when the archive cannot keep them all.
    """
    shares = ArchiveShares(width=_ANY_WIDTH)
    writer = ArchiveWriter(ArchiveSection(path=archive, shares=shares, min_free_mib=0), lambda code, sentence: None)
    writer.thread.start()
    parts = {part: number for number, part in enumerate(dict.fromkeys(frame.part for frame in frames))}
    said: dict[str, Said] = {}
    for number, frame in enumerate(tqdm(frames, desc="judged and archived", unit="img")):
        picture = stream.read(frame.name)
        result = model.inspect(picture)
        said[frame.name] = Said(result.score, result.is_abnormal)
        image = picture if picture.ndim == 3 else picture[..., None]
        at = _START + timedelta(minutes=parts[frame.part], milliseconds=number % 10_000)
        writer.offer(Frame(image, at, "line", frame.name, number), result, model.identity, None)
        while writer.numbers.waiting > _MOST_WAITING and not writer.numbers.dropped:
            time.sleep(0.01)
    writer.close(_SECONDS)
    if writer.numbers.written < len(frames):
        raise ArchiveError(f"{archive}: {len(frames) - writer.numbers.written} frames were not kept; use an empty disk")
    return said


def label_next(archive: Path, stream: LabelStream, truth: Mapping[str, StreamFrame], count: int) -> None:
    """Label the next `count` pictures of the review queue as what they are; defects with their masks."""
    labels = ArchiveLabels(archive)
    for shown in ArchiveReader(archive).frames(FrameQuery(open=True), "queue", count).frames:
        verdict = shown.verdict
        frame, mask = truth[verdict.source], stream.mask(verdict.source, (verdict.height, verdict.width))
        label = FrameLabel(verdict="good")
        if frame.kind != GOOD:
            place = None if mask is None or not mask.any() else LabelMask(png=_png(mask))
            label = FrameLabel(verdict="defect", kind=frame.kind, mask=place)
        labels.set([verdict.id], label, "operator")


def _png(mask: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()).decode()

"""Inspected frames for tests of the archive."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np

from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.archive.writer import ArchiveWriter
from edge_runtime.cameras.base import Frame
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity
from latentline.vision.bit_depth import UInt8
from tests.edge_runtime.fakes import FakeInspector
from tests.waiting import wait_until

START = datetime(2026, 11, 28, 10, tzinfo=timezone.utc)


def picture(number: int, height: int = 48, width: int = 64, channels: int = 1) -> UInt8:
    """Noise, other for each number."""
    return np.random.default_rng(number).integers(0, 256, (height, width, channels), np.uint8)


def frame(number: int, image: UInt8 | None = None, days: float = 0.0) -> Frame:
    """A frame `number` seconds after a start, and `days` later."""
    at = START + timedelta(days=days, seconds=number)
    return Frame(picture(number) if image is None else image, at, "top", f"{number}.png", number)


def inspected(image: UInt8, score: float) -> InspectionResult:
    """An inspection with this score; the threshold is 100."""
    return FakeInspector().inspect(np.full_like(image, min(score, 255)))


def offer(writer: ArchiveWriter, number: int, score: float = 200.0, days: float = 0.0) -> Frame:
    """Offer frame `number` to the archive, and return it."""
    made = frame(number, days=days)
    event = f"event-{number}" if score > 100 else None
    writer.offer(made, inspected(made.picture, score), FakeInspector.identity, event)
    return made


def settled(writer: ArchiveWriter, frames: int) -> None:
    """Wait until so many frames were written or dropped."""
    wait_until(lambda: writer.numbers.written + sum(writer.numbers.dropped.values()) >= frames, f"{frames} frames")


def write_all(settings: ArchiveSection, *offers: tuple[int, float]) -> dict[str, str | None]:
    """Archive frames of these numbers and scores, and end; the faults that were reported last, by code."""
    faults: dict[str, str | None] = {}
    writer = ArchiveWriter(settings, faults.__setitem__)
    writer.thread.start()
    for number, score in offers:
        offer(writer, number, score)
    writer.close(10)
    return faults


IDENTITY: ModelIdentity = FakeInspector.identity

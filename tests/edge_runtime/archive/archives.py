"""Archives for tests: an index with made-up verdicts, without pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edge_runtime.archive.index import INDEX_NAME, add_frames, create_index, open_index
from edge_runtime.archive.record import ArchivedVerdict


def verdict(
    number: int, score: float = 1.0, camera: str = "top", day: int = 1, threshold: float = 3.0
) -> ArchivedVerdict:
    """A verdict about a frame of 64 x 48 px; `number` tells frames apart."""
    clock = f"{number // 3_600_000 % 24:02}{number // 60_000 % 60:02}{number // 1000 % 60:02}{number % 1000:03}"
    at = f"2026-11-{day:02}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}.{clock[6:]}Z"
    abnormal = score > threshold
    return ArchivedVerdict(
        id=f"202611{day:02}T{clock}Z-{camera}-{number:012x}",
        event_id=f"event-{day}-{camera}-{number}" if abnormal else None,
        captured_at=at,
        camera=camera,
        source=f"{number}.png",
        score=score,
        threshold=threshold,
        abnormal=abnormal,
        components={"residual": score},
        model="ab" * 32,
        model_name="demo",
        defects=({"bbox": [1, 2, 3, 4], "area_px": 12, "peak": 5.0, "mean": 4.0, "polygon": [], "source": "map"},)
        if abnormal
        else (),
        width=64,
        height=48,
        channels=1,
        pixels=f"{number:064x}",
        why="abnormal" if abnormal else "normal",
        suffix=".png",
        picture_sha256="00" * 32,
        picture_bytes=1000,
        size=1500,
    )


def archive_of(folder: Path, verdicts: Iterable[ArchivedVerdict]) -> Path:
    """An archive in `folder` whose index has these verdicts."""
    folder.mkdir(parents=True, exist_ok=True)
    create_index(folder / INDEX_NAME)
    with open_index(folder / INDEX_NAME) as database:
        database.execute("BEGIN")
        with database:
            add_frames(database, list(verdicts))
    return folder

"""Questions to an archive: lists of pictures, one picture with its files, counts, scores."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge_runtime.archive.index import reading
from edge_runtime.archive.label_log import label_of, standing_entries
from edge_runtime.archive.record import ArchivedFrame, ArchivedVerdict, day_of, is_frame_id
from latentline.errors import ArchiveError

Order = Literal["queue", "newest", "score"]
LabelFilter = Literal["none", "good", "defect", "skip", "any"]
_ORDERS = {
    "queue": "queue, margin, number",
    "newest": "captured_at DESC, number DESC",
    "score": "score DESC, number DESC",
}
_INDEXES = {"queue": "frame_queue", "newest": "frame_time", "score": "frame_score"}
_MOST = 10_000  # pictures on a page


@dataclass(frozen=True)
class FrameQuery:
    """Which pictures are meant. What is None does not matter.

    day        UTC, such as 2026-11-28
    abnormal   what the station said
    label      none: without a label; any: with one
    wrong      verdict and label contradict each other: a false alarm, or missed
    disputed   people disagree about it
    open       it is in the review queue: without a label, or disputed
    scores     smallest and largest score
    """

    camera: str | None = None
    day: str | None = None
    abnormal: bool | None = None
    label: LabelFilter | None = None
    kind: str | None = None
    wrong: bool = False
    disputed: bool = False
    open: bool = False
    scores: tuple[float, float] | None = None

    def condition(self) -> tuple[str, list[Any]]:
        """As SQL, with its values."""
        terms, values = ["1"], list[Any]()
        for column, value in (("camera", self.camera), ("day", self.day), ("kind", self.kind)):
            if value is not None:
                terms.append(f"{column} = ?")
                values.append(value)
        if self.abnormal is not None:
            terms.append("abnormal = ?")
            values.append(int(self.abnormal))
        if self.label == "any":
            terms.append("label <> ''")
        elif self.label is not None:
            terms.append("label = ?")
            values.append("" if self.label == "none" else self.label)
        if self.wrong:
            terms.append("(abnormal = 1 AND label = 'good' OR abnormal = 0 AND label = 'defect')")
        if self.disputed:
            terms.append("queue = 0")
        if self.open:
            terms.append("queue IN (0, 1)")
        if self.scores is not None:
            terms.append("score BETWEEN ? AND ?")
            values += self.scores
        return " AND ".join(terms), values


@dataclass(frozen=True)
class FramePage:
    """One page of a list. total: how many pictures there are on all pages."""

    total: int
    frames: tuple[ArchivedFrame, ...]


class ArchiveReader:
    """Reads the archive in `folder`, while a station writes to it or not. Any thread and process may call.

    Each call opens the index anew, so that one which was made again is found. The calls raise ArchiveError: there is
    no archive, or its index is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def frames(self, query: FrameQuery, order: Order = "queue", limit: int = 50, offset: int = 0) -> FramePage:
        """Pictures that `query` means.

        order  queue: what people disagree about first, then the nearest to the threshold; newest: by time; score: the
               highest first
        limit  at most 10,000
        """
        condition, values = query.condition()
        source = f"frame INDEXED BY {_INDEXES[order]}" if query.kind is None else "frame"
        chosen = f"SELECT number FROM {source} WHERE {condition} ORDER BY {_ORDERS[order]} LIMIT ? OFFSET ?"
        with reading(self.folder) as database:
            (total,) = database.execute(f"SELECT COUNT(*) FROM frame WHERE {condition}", values).fetchone()
            numbers = database.execute(chosen, [*values, min(max(limit, 0), _MOST), max(offset, 0)]).fetchall()
            frames = tuple(frame for (number,) in numbers if (frame := _frame(database, "f.number", number)))
        return FramePage(total, frames)

    def frame(self, frame_id: str) -> ArchivedFrame:
        """One picture by its id. Raises ArchiveError when the archive does not have it (any more)."""
        return self._found("f.id", frame_id)

    def of_event(self, event_id: str) -> ArchivedFrame:
        """The picture of an event. Raises ArchiveError when the archive does not have it (any more)."""
        return self._found("f.event_id", event_id)

    def _found(self, column: str, wanted: str) -> ArchivedFrame:
        with reading(self.folder) as database:
            found = _frame(database, column, wanted)
        if found is None:
            raise unknown_frame(wanted)
        return found

    def picture_path(self, frame: ArchivedFrame) -> Path:
        """The file of the picture, PNG or JPEG."""
        return self.folder / frame.verdict.day / f"{frame.verdict.id}{frame.verdict.suffix}"

    def map_path(self, frame_id: str) -> Path:
        """The file of the anomaly map: a grey PNG, smaller than the picture, as `MAP_FULL_SCALE` says.

        Raises ArchiveError for what is not the id of a picture.
        """
        return self._beside(frame_id, ".map.png")

    def nearest_path(self, frame_id: str) -> Path:
        """The file of the nearest normal picture, a small JPEG. Raises ArchiveError as `map_path`."""
        return self._beside(frame_id, ".normal.jpg")

    def facets(self) -> Mapping[str, Mapping[str, int]]:
        """How many pictures there are by camera, day, label ('' for none), and kind of defect."""
        with reading(self.folder) as database:
            rows = {
                name: database.execute(f"SELECT {name}, COUNT(*) FROM frame WHERE {name} IS NOT NULL GROUP BY {name}")
                for name in ("camera", "day", "label", "kind")
            }
            return {name: {str(value): count for value, count in found} for name, found in rows.items()}

    def scores(self, query: FrameQuery) -> list[float]:
        """The scores of the pictures that `query` means, ascending. Mind that not all normal frames are archived."""
        condition, values = query.condition()
        with reading(self.folder) as database:
            rows = database.execute(f"SELECT score FROM frame WHERE {condition} ORDER BY score", values)
            return [score for (score,) in rows]

    def total_bytes(self) -> int:
        """The size of all files of the pictures."""
        with reading(self.folder) as database:
            return int(database.execute("SELECT COALESCE(SUM(size), 0) FROM frame").fetchone()[0])

    def _beside(self, frame_id: str, ending: str) -> Path:
        if not is_frame_id(frame_id):
            raise unknown_frame(frame_id)
        return self.folder / day_of(frame_id) / f"{frame_id}{ending}"


def unknown_frame(name: str) -> ArchiveError:
    """The error about a picture that the archive does not have."""
    return ArchiveError(f"the picture {name:.100} is not in the archive (any more); load the list again")


def _frame(database: sqlite3.Connection, column: str, value: object) -> ArchivedFrame | None:
    row = database.execute(
        f"SELECT content, label, queue, id FROM frame f JOIN detail d ON d.number = f.number WHERE {column} = ?",
        (value,),
    ).fetchone()
    if row is None:
        return None
    content, label, queue, frame_id = row
    labelled = label_of(standing_entries(database, frame_id)) if label else None
    try:
        return ArchivedFrame(ArchivedVerdict.from_json(content), labelled, queue == 0)
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"the entry of {frame_id} is not what was written: {error}") from None

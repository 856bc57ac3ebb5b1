"""Pictures of which two models say different things, drawn as both see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from latentline.base.atomic import write_bytes
from latentline.errors import ImageError
from latentline.evidence.comparison import ChangedPicture, label_text
from latentline.inspection.panels import draw_panel
from latentline.inspection.result import InspectionResult
from latentline.vision.images import read_image

UInt8 = npt.NDArray[np.uint8]
Inspect = Callable[[Path], InspectionResult]
_CELL, _COLUMNS, _CAPTION = 200, 6, 34  # px of the contact sheet
_WIDEST = 2400  # px of a drawn picture
_GREY, _WHITE = (60, 60, 60), (235, 235, 235)


@dataclass(frozen=True)
class DrawnChange:
    """A changed picture and its drawing. file: its name in the report's folder; None: it could not be drawn again."""

    changed: ChangedPicture
    file: str | None
    thumbnail: UInt8 | None


def draw_changes(changed: Iterable[ChangedPicture], folder: Path, old: Inspect, new: Inspect) -> Iterator[DrawnChange]:
    """Draw each picture with both models' results, one above the other, as 001.jpg … in `folder`."""
    for number, change in enumerate(changed, 1):
        path = change.picture.file.path
        try:
            frame = read_image(path)
            rows = [draw_panel(frame, inspect(path)) for inspect in (old, new)]
        except ImageError:
            yield DrawnChange(change, None, None)
            continue
        width = max(row.shape[1] for row in rows)
        drawn = np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])
        name = f"{number:03d}.jpg"
        write_bytes(folder / name, cv2.imencode(".jpg", _fitting(drawn, _WIDEST))[1].tobytes())
        yield DrawnChange(change, f"{folder.name}/{name}", _thumbnail(frame))


def save_contact_sheet(path: Path, drawn: Sequence[DrawnChange]) -> None:
    """All changed pictures, small, on one PNG: what changed above each, its label and number below."""
    cells = [_cell(number, change) for number, change in enumerate(drawn, 1)]
    empty = np.full((_CELL + 2 * _CAPTION, _CELL, 3), 24, np.uint8)
    cells += [empty] * (-len(cells) % _COLUMNS or (_COLUMNS if not cells else 0))
    rows = [np.hstack(cells[i : i + _COLUMNS]) for i in range(0, len(cells), _COLUMNS)]
    write_bytes(path, cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def _cell(number: int, drawn: DrawnChange) -> UInt8:
    cell = np.full((_CELL + 2 * _CAPTION, _CELL, 3), 24, np.uint8)
    inside = cell[_CAPTION : _CAPTION + _CELL]
    if drawn.thumbnail is None:
        inside[:] = _GREY
    else:
        height, width = drawn.thumbnail.shape[:2]
        inside[:height, :width] = drawn.thumbnail
    picture = drawn.changed.picture
    for y, text in (
        (22, drawn.changed.what),
        (_CAPTION + _CELL + 22, f"{number}: {label_text(picture.label, picture.kind)}"),
    ):
        ascii_text = text.encode("ascii", "replace").decode()[:24]
        cv2.putText(cell, ascii_text, (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _WHITE, 1, cv2.LINE_AA)
    return cell


def _thumbnail(frame: UInt8) -> UInt8:
    colour = np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), np.uint8) if frame.ndim == 2 else frame
    scale = (_CELL - 4) / max(colour.shape[:2])
    size = max(1, round(colour.shape[1] * scale)), max(1, round(colour.shape[0] * scale))
    return np.asarray(
        cv2.resize(colour, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST), np.uint8
    )


def _fitting(image: UInt8, width: int) -> UInt8:
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

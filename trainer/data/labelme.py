"""Masks that were drawn in LabelMe: a JSON with polygons, rectangles and circles, beside the picture as a rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError
from latentline.vision.picture_header import FILE_LIMIT, PIXEL_LIMIT

Mask = npt.NDArray[np.bool_]
SUFFIX = ".json"
BACKGROUND = "_background_"  # LabelMe's own word for what is none of the classes
FEWEST_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2}
_FAR = 1 << 15  # px: a corner that lies further outside is moved here, since OpenCV draws no further
_ADVICE = "draw it again in LabelMe, or remove the file"


def labelme_files(folder: Path) -> list[Path]:
    """The JSON files in `folder`, sorted by name: what LabelMe may have written."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == SUFFIX and path.is_file())


def is_labelme(path: Path) -> bool:
    """Whether a JSON file has shapes, as LabelMe writes them: beside pictures there may be others."""
    try:
        return path.stat().st_size <= FILE_LIMIT and b'"shapes"' in path.read_bytes()
    except OSError:
        return True  # whoever reads it says what is wrong


def read_labelme(path: Path) -> Mask:
    """The mask at `path`, bool [H, W], True within any shape and on its edge, whatever its label but `_background_`.

    H and W are those that the file gives for its picture. No shapes are an empty mask. Raises ImageError.
    """
    content = _content(path)
    height, width = (_side(path, content, key) for key in ("imageHeight", "imageWidth"))
    if height * width > PIXEL_LIMIT:
        raise ImageError(f"{path}: gives its picture {width} x {height} px, which no camera has; {_ADVICE}")
    shapes = content.get("shapes")
    if not isinstance(shapes, list):
        raise ImageError(f"{path}: has no list of shapes; {_ADVICE}")
    drawn = np.zeros((height, width), np.uint8)
    for number, shape in enumerate(shapes, start=1):
        _draw(drawn, shape, f"{path}: shape {number}")
    return np.asarray(drawn != 0)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise ImageError(f"{path}: is broken JSON in line {error.lineno} ({error.msg}); {_ADVICE}") from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise ImageError(f"{path}: is no JSON; {_ADVICE}") from None
    if not isinstance(content, dict):
        raise ImageError(f"{path}: is not a file of LabelMe; {_ADVICE}")
    return content


def _side(path: Path, content: dict[str, Any], key: str) -> int:
    side = content.get(key)
    if not isinstance(side, int) or isinstance(side, bool) or side < 1:
        raise ImageError(f"{path}: {key} is not the size of a picture in pixels; {_ADVICE}")
    return side


def _draw(drawn: npt.NDArray[np.uint8], shape: Any, place: str) -> None:
    """Draw one shape as 1. Raises ImageError, which begins with `place`."""
    if not isinstance(shape, dict):
        raise ImageError(f"{place} is not a shape of LabelMe; {_ADVICE}")
    kind = shape.get("shape_type") or "polygon"  # the first versions had nothing else
    if not isinstance(kind, str) or kind not in FEWEST_POINTS:
        raise ImageError(f"{place} is of type {kind!r}, which is not read; draw it as polygon, rectangle or circle")
    points = _points(shape.get("points"))
    if points is None or len(points) < FEWEST_POINTS[kind]:
        raise ImageError(f"{place} needs {FEWEST_POINTS[kind]} points or more, each two numbers; {_ADVICE}")
    if shape.get("label") == BACKGROUND:
        return
    if kind == "circle":
        radius = min(float(np.hypot(*(points[1] - points[0]))), _FAR)
        cv2.circle(drawn, _pixel(points[0]), round(radius), 1, cv2.FILLED)
        return
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    cv2.fillPoly(drawn, [np.array([_pixel(point) for point in points], np.int32)], (1,))


def _points(given: Any) -> npt.NDArray[np.float64] | None:
    """The points (x, y) of a shape, within what OpenCV can draw; None: they are no points."""
    try:
        points = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        return None
    return np.clip(points, -_FAR, _FAR - 1)


def _pixel(point: npt.NDArray[np.float64]) -> tuple[int, int]:
    """The pixel in which a point lies: LabelMe counts from the upper left corner of the first pixel."""
    x, y = np.floor(point)
    return int(x), int(y)

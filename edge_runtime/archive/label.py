"""What a person says about an archived picture: good, or defect with its kind and place."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field, StringConstraints, field_validator, model_validator

from latentline.base.strict_yaml import StrictModel, parse
from latentline.errors import ArchiveError, ConfigError

_KIND = re.compile(r"\w(?:[\w .-]{0,62}\w)?")
# names of folders that the trainer takes for normal images or masks
_RESERVED = frozenset({"good", "ok", "normal", "ground_truth", "masks", "thumbs", "thumbnails"})
_RESERVED_ENDS = ("_masks", "_mask", "_ground_truth", "_gt")
_MOST_SHAPES = 1000
_MOST_POINTS = 10_000  # of one shape
_MOST_CHARACTERS = 8 << 20  # of a PNG in base64
_FAR = 100_000  # px, beyond any frame

Verdict = Literal["good", "defect", "skip"]
_Coordinate = Annotated[float, Field(ge=-_FAR, le=_FAR)]
_Point = tuple[_Coordinate, _Coordinate]
_Size = Annotated[float, Field(gt=0, le=_FAR)]


class BrushStroke(StrictModel):
    """One stroke of a round brush."""

    radius: float = Field(gt=0, le=2000)
    """Of the brush. [px]"""

    points: tuple[_Point, ...] = Field(min_length=1, max_length=_MOST_POINTS)
    """Where it went, as (x, y). [px]"""


class LabelMask(StrictModel):
    """Where a defect is, in pixels of the frame as the camera gave it. What any part covers is marked."""

    boxes: tuple[tuple[_Coordinate, _Coordinate, _Size, _Size], ...] = Field(default=(), max_length=_MOST_SHAPES)
    """Boxes (x, y, width, height)."""

    polygons: tuple[Annotated[tuple[_Point, ...], Field(min_length=3, max_length=_MOST_POINTS)], ...] = Field(
        default=(), max_length=_MOST_SHAPES
    )
    """Outlines of (x, y) corners."""

    strokes: tuple[BrushStroke, ...] = Field(default=(), max_length=_MOST_SHAPES)
    """Brush strokes."""

    png: Annotated[str, StringConstraints(max_length=_MOST_CHARACTERS)] | None = None
    """A PNG of the frame's size in base64; what is not black is marked."""

    def drawn(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """The mask of a frame of this size, bool [height, width]. Raises ArchiveError where `png` has another size."""
        mask = np.zeros((height, width), np.uint8)
        for x, y, across, down in self.boxes:
            left, top = max(0, int(np.floor(x))), max(0, int(np.floor(y)))
            right, bottom = int(np.ceil(x + across)), int(np.ceil(y + down))
            mask[top : max(top, bottom), left : max(left, right)] = 1
        for polygon in self.polygons:
            cv2.fillPoly(mask, [_corners(polygon)], 1)
        for stroke in self.strokes:
            points, thickness = _corners(stroke.points), max(1, round(2 * stroke.radius))
            cv2.polylines(mask, [points], False, 1, thickness)
            for x, y in (points[0], points[-1]):
                cv2.circle(mask, (int(x), int(y)), max(1, round(stroke.radius)), 1, -1)
        if self.png is not None:
            mask |= _decoded(self.png, height, width)
        return np.asarray(mask > 0)


class FrameLabel(StrictModel):
    """What a person says about one picture."""

    verdict: Verdict
    """`good`; `defect`; or `skip`: the picture does not tell, or is of no use."""

    kind: str | None = None
    """Of a defect: a word of the user's, such as `scratch`."""

    mask: LabelMask | None = None
    """Of a defect: where it is. Unset: somewhere in the picture."""

    @field_validator("kind")
    @classmethod
    def _is_a_folder_name(cls, kind: str | None) -> str | None:
        if kind is None:
            return None
        name = " ".join(kind.split())
        small = name.casefold()
        if not _KIND.fullmatch(name):
            raise ValueError("a kind of defect is a name of up to 64 letters, digits, blanks and `_ . -`")
        if small in _RESERVED or small.endswith(_RESERVED_ENDS):
            raise ValueError("this name has a meaning in a data set; choose another kind of defect")
        return name

    @model_validator(mode="after")
    def _only_defects_have_a_place(self) -> FrameLabel:
        if self.verdict != "defect" and (self.kind is not None or self.mask is not None):
            raise ValueError("only a defect has a kind and a mask")
        return self


def parse_label(content: Any) -> FrameLabel:
    """`content`, decoded JSON from outside, as a label. Raises ArchiveError that says what is wrong."""
    if not isinstance(content, dict):
        raise ArchiveError("a label is a JSON object with a verdict: good, defect or skip")
    try:
        return parse(content, FrameLabel, "the label")
    except ConfigError as error:
        raise ArchiveError(str(error)) from None


def _corners(points: tuple[_Point, ...]) -> npt.NDArray[np.int32]:
    return np.asarray(np.rint(np.asarray(points, np.float64)), np.int32)


def _decoded(png: str, height: int, width: int) -> npt.NDArray[np.uint8]:
    try:
        content = base64.b64decode(png, validate=True)
        if not content.startswith(b"\x89PNG") or _png_size(content) != (width, height):
            raise ArchiveError(f"the mask is not a PNG of the picture's size, {width} x {height} px; draw it again")
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    except (binascii.Error, ValueError, cv2.error):
        image = None
    if image is None:
        raise ArchiveError("the mask's PNG cannot be decoded; draw it again")
    return np.asarray(image > 0, np.uint8)


def _png_size(content: bytes) -> tuple[int, int]:
    """Width and height that a PNG declares, before it is decoded."""
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")

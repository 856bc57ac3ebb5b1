"""The region of interest: the part of each frame that shows the product, and all that a model sees."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt
from pydantic import Field, model_validator

from latentline.base.strict_yaml import StrictModel
from latentline.errors import ImageError

Box = tuple[int, int, int, int]  # x, y, width, height in pixels
SMALLEST_SIDE = 8  # px of a frame, or of the region in it
_ROUNDING = 1e-9  # by which a sum such as 0.7 + 0.3 may exceed 1


class RegionOfInterest(StrictModel):
    """The part of each image that is inspected. Fractions of the image, so that the region stays in its place when the
    camera gives more or fewer pixels."""

    left: float = Field(default=0.0, ge=0, lt=1)
    """Where the region begins, from the left edge of the image, as a fraction of its width."""

    top: float = Field(default=0.0, ge=0, lt=1)
    """Where the region begins, from the upper edge of the image, as a fraction of its height."""

    width: float = Field(default=1.0, gt=0, le=1)
    """Width of the region, as a fraction of the image's; `left` and `width` together are 1 at most."""

    height: float = Field(default=1.0, gt=0, le=1)
    """Height of the region, as a fraction of the image's; `top` and `height` together are 1 at most."""

    @model_validator(mode="after")
    def _inside(self) -> RegionOfInterest:
        for start, length in (("left", "width"), ("top", "height")):
            end = getattr(self, start) + getattr(self, length)
            if end > 1 + _ROUNDING:
                raise ValueError(
                    f"{start} and {length} are {end:g} together, so the region leaves the image; lower one"
                )
        return self

    def box(self, shape: tuple[int, ...]) -> Box:
        """Where the region lies in an image of `shape` (height, width, …), rounded to whole pixels.

        Raises ImageError when a side of it has fewer than 8 px.
        """
        height, width = shape[:2]
        left, right = round(self.left * width), round((self.left + self.width) * width)
        top, bottom = round(self.top * height), round((self.top + self.height) * height)
        if min(right - left, bottom - top) < SMALLEST_SIDE:
            raise ImageError(
                f"the region of interest of a frame of {width} x {height} px has {right - left} x {bottom - top} px, "
                "too few to inspect"
            )
        return left, top, right - left, bottom - top

    def __str__(self) -> str:
        edges = (self.left, self.left + self.width, self.top, self.top + self.height)
        return "{:.3g} to {:.3g} of the width, {:.3g} to {:.3g} of the height".format(*edges)

    def cut(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The region of an image or mask [H, W] or [H, W, C]: a view of it. Raises ImageError as `box`."""
        return cut(image, self.box(image.shape))

    def frame_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of a frame whose region has `size` (width, height), or a pixel or two more."""
        return math.ceil((size[0] + 1) / self.width), math.ceil((size[1] + 1) / self.height)


def cut(image: npt.NDArray[Any], box: Box) -> npt.NDArray[Any]:
    """What lies in `box` of an image [H, W] or [H, W, C]: a view of it."""
    x, y, width, height = box
    return image[y : y + height, x : x + width]

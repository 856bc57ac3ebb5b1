"""The first look: D sees a whole frame in one pass, and says which tiles are searched for it.

The search costs far more than a look, and most tiles are plainly normal. So only the most suspicious ones are searched,
always as many: a frame's work is fixed. D's convolutions run over the frame instead of over tiles, and its dense layer
becomes one more of them, so that no pixel is looked at twice. D then sees no edges of tiles, and says something else of
a place than of a tile; only a frame of one tile has the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt

from latentline.vision.tiles import TilePlan, pad_to

Float = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
UInt8 = npt.NDArray[np.uint8]
STEPS = 4  # D ends with 4 x 4 positions: a tile is four steps from one verdict to the next


def look_shape(height: int, width: int, tile_size: int) -> tuple[int, int]:
    """Height and width of the frame that D looks at: whole steps, and at least a tile."""
    step = tile_size // STEPS
    rows, columns = (max(tile_size, -(-length // step) * step) for length in (height, width))
    return rows, columns


def look_frame(prepared: UInt8, tile_size: int) -> UInt8:
    """The prepared frame [h, w, C] as D looks at it: continued mirrored to `look_shape`."""
    height, width, _ = prepared.shape
    return pad_to(prepared, *look_shape(height, width, tile_size))


@dataclass(frozen=True)
class FirstLook:
    """D's outputs over one frame, without mirror images.

    logit         [rows, columns] for each window of a tile's size, a step apart; larger is more normal
    patch_logits  [h, w] of the patch head, for each patch of the `look_frame`; None without one
    """

    logit: Float
    patch_logits: Float | None = None

    def of_tiles(self, plan: TilePlan) -> Float:
        """The logit of each tile of the plan, [N]: linear between the windows around its corner."""
        step = plan.size // STEPS
        corners = np.array(plan.corners)
        (top, left), (down, across) = (corners // step).T, (corners % step / np.float32(step)).T.astype(np.float32)
        bottom, right = np.minimum(top + 1, len(self.logit) - 1), np.minimum(left + 1, self.logit.shape[1] - 1)
        upper = self.logit[top, left] * (1 - across) + self.logit[top, right] * across
        lower = self.logit[bottom, left] * (1 - across) + self.logit[bottom, right] * across
        return np.asarray(upper * (1 - down) + lower * down, np.float32)

    def most_suspicious(self, plan: TilePlan, count: int) -> Indices:
        """The `count` tiles of the plan that look least normal, as `least_normal`."""
        return least_normal(self.of_tiles(plan), count)

    def patch_map(self, plan: TilePlan, shape: tuple[int, ...]) -> Float | None:
        """`patch_map` of the patch logits, for a prepared frame of this shape [h, w]; None without a patch head."""
        return None if self.patch_logits is None else patch_map(self.patch_logits, plan.size, shape)


def patch_map(patch_logits: Float, tile_size: int, shape: tuple[int, ...]) -> Float:
    """Minus the patch logits of a `look_frame`, spread over the prepared frame of this shape [h, w]."""
    height, width = look_shape(shape[0], shape[1], tile_size)
    enlarged = cv2.resize(-patch_logits, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.float32)[: shape[0], : shape[1]]


def least_normal(logit: Float, count: int) -> Indices:
    """Which are the `count` smallest of the logits [N], all where there are no more: ascending. Ties: the first."""
    return np.sort(np.argsort(logit, kind="stable")[:count])


@runtime_checkable
class LookingSearcher(Protocol):
    """A `Searcher` that can look first."""

    def look(self, prepared: UInt8) -> FirstLook:
        """Look at a prepared frame uint8 [h, w, C]. Raises PackageError for a model that brings no first look."""
        ...

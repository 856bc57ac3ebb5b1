"""A frame cut into tiles, and the same frame after its search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from latentline.search.searcher import Searcher, SearchResult
from latentline.vision.preprocessing import to_model_range
from latentline.vision.ssim import ssim_map
from latentline.vision.tiles import TilePlan

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
MapKind = Literal["residual", "l1", "l2", "ssim", "probability"]


@dataclass(frozen=True)
class TiledFrame:
    """A frame that is prepared and cut into tiles.

    prepared      uint8 [h, w, C]
    plan          where the N tiles lie
    tiles         uint8 [N, S, S, C]
    milliseconds  the time that preparing and cutting took
    """

    prepared: UInt8
    plan: TilePlan
    tiles: UInt8
    milliseconds: float


def search_frames(searcher: Searcher, frames: Sequence[TiledFrame]) -> list[SearchedFrame]:
    """Search the tiles of several frames as one batch. Each frame is charged the time of its own tiles."""
    start = perf_counter()
    result = searcher.search(np.concatenate([frame.tiles for frame in frames]))
    per_tile = 1e3 * (perf_counter() - start) / len(result.z)
    searched, first = [], 0
    for frame in frames:
        last = first + len(frame.tiles)
        times = {"preprocess": frame.milliseconds, "search": per_tile * len(frame.tiles)}
        searched.append(SearchedFrame(frame.prepared, frame.plan, frame.tiles, result.tiles(first, last), times))
        first = last
    return searched


@dataclass(frozen=True)
class SearchedFrame:
    """A tiled frame with the result of its search.

    prepared, plan, tiles  as in `TiledFrame`
    result                 of the N tiles
    milliseconds           time of each stage: preprocess, search
    """

    prepared: UInt8
    plan: TilePlan
    tiles: UInt8
    result: SearchResult
    milliseconds: dict[str, float]

    def difference(self, kind: MapKind) -> Float:
        """How frame and reconstruction differ, [N, C, S, S].

        residual     x − G(ẑ), signed
        l1           |x − G(ẑ)|
        l2           (x − G(ẑ))²
        ssim         1 − SSIM of 11 px windows
        probability  −log p(x | z); raises ValueError for a model without a variance of each pixel
        """
        if kind == "probability":
            if self.result.negative_log_likelihood is None:
                raise ValueError("map probability needs a model that gives the variance of each pixel")
            return self.result.negative_log_likelihood
        x = to_model_range(self.tiles)
        if kind == "ssim":
            return 1 - ssim_map(x, self.result.reconstruction)
        residual = x - self.result.reconstruction
        if kind == "l1":
            return np.asarray(np.abs(residual), np.float32)
        return np.square(residual) if kind == "l2" else residual

    def patch_map(self) -> Float | None:
        """Minus the patch head's logits, [h, w] of the prepared frame; None without a patch head."""
        if self.result.patch_logits is None:
            return None
        return spread_over_frame(-self.result.patch_logits, self.plan, self.prepared.shape)

    def blend(self, tiles: Float) -> Float:
        """Tiles [N, S, S, ...] -> [h, w, ...] of the prepared frame."""
        height, width = self.prepared.shape[:2]
        return self.plan.blend(tiles)[:height, :width]


def spread_over_frame(patches: Float, plan: TilePlan, shape: tuple[int, ...]) -> Float:
    """One number for each patch of each tile [N, h, w] -> [H, W] of a prepared frame with this shape."""
    size = (plan.size, plan.size)
    tiles = np.stack([cv2.resize(tile, size, interpolation=cv2.INTER_LINEAR) for tile in patches])
    return plan.blend(tiles)[: shape[0], : shape[1]]

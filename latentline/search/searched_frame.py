"""A frame cut into tiles, and the same frame after its search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import BackendError
from latentline.search.first_look import FirstLook, Indices, LookingSearcher
from latentline.search.regions import Box, regions
from latentline.search.searcher import Searcher, SearchResult
from latentline.vision.preprocessing import to_model_range
from latentline.vision.ssim import ssim_map
from latentline.vision.tiles import TilePlan

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
MapKind = Literal["residual", "l1", "l2", "ssim", "probability"]


@dataclass(frozen=True)
class TiledFrame:
    """A prepared frame and its tiles.

    prepared      uint8 [h, w, C]
    plan          where the N tiles lie
    milliseconds  the time that preparing took
    most          the most tiles that are searched, after a first look at the frame; None: all are, without one
    """

    prepared: UInt8
    plan: TilePlan
    milliseconds: float
    most: int | None = None

    @cached_property
    def tiles(self) -> UInt8:
        """All tiles, uint8 [N, S, S, C]."""
        return self.plan.cut(self.prepared)


def search_frames(searcher: Searcher, frames: Sequence[TiledFrame]) -> list[SearchedFrame]:
    """Search the tiles of several frames as one batch. Each frame is charged the time of its own tiles.

    Raises BackendError and PackageError where not all tiles are to be searched, and this searcher cannot look first.
    """
    looks = [_look(searcher, frame) for frame in frames]
    chosen = [
        None if look is None or frame.most is None else look.most_suspicious(frame.plan, frame.most)
        for frame, (look, _) in zip(frames, looks, strict=True)
    ]
    some = [frame.plan.cut(frame.prepared, indices) for frame, indices in zip(frames, chosen, strict=True)]
    start = perf_counter()
    result = searcher.search(np.concatenate(some))
    per_tile = 1e3 * (perf_counter() - start) / len(result.z)
    searched, first = [], 0
    for frame, (look, took), indices, tiles in zip(frames, looks, chosen, some, strict=True):
        last = first + len(tiles)
        times = {"preprocess": frame.milliseconds, **took, "search": per_tile * len(tiles)}
        found = result.tiles(first, last)
        searched.append(SearchedFrame(frame.prepared, frame.plan, tiles, found, times, look, indices))
        first = last
    return searched


def _look(searcher: Searcher, frame: TiledFrame) -> tuple[FirstLook | None, dict[str, float]]:
    """The first look at a frame and its time; None where all tiles are searched without one."""
    if frame.most is None:
        return None, {}
    if not isinstance(searcher, LookingSearcher):
        raise BackendError(f"searcher {searcher.name} cannot look at a frame before it searches; set search.tiles: all")
    start = perf_counter()
    look = searcher.look(frame.prepared)
    return look, {"look": 1e3 * (perf_counter() - start)}


@dataclass(frozen=True)
class SearchedFrame:
    """A tiled frame with the result of its search.

    prepared, plan  as in `TiledFrame`
    tiles           uint8 [K, S, S, C] that were searched
    result          of these K tiles
    milliseconds    time of each stage: preprocess, look where there was one, search
    look            at the frame; None: there was none
    chosen          [K] which tiles of the plan were searched; None: all
    """

    prepared: UInt8
    plan: TilePlan
    tiles: UInt8
    result: SearchResult
    milliseconds: dict[str, float]
    look: FirstLook | None = None
    chosen: Indices | None = None

    def difference(self, kind: MapKind) -> Float:
        """How the searched tiles and their reconstructions differ, [K, C, S, S].

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
        """Minus the patch head's logits, [h, w] of the prepared frame; None without a patch head.

        They are those of the first look where there was one.
        """
        if self.look is not None:
            return self.look.patch_map(self.plan, self.prepared.shape)
        logits = self.result.patch_logits
        return None if logits is None else spread_over_frame(-logits, self.plan, self.prepared.shape)

    def blend(self, tiles: Float) -> Float:
        """Searched tiles [K, S, S, ...] -> [h, w, ...] of the prepared frame; where none was searched, 0."""
        height, width = self.prepared.shape[:2]
        return self.plan.blend(tiles, self.chosen)[:height, :width]

    def regions(self, reach: int) -> list[Box]:
        """Boxes of the prepared frame that hold all searched tiles with `reach` px around them; all: the frame."""
        height, width = self.prepared.shape[:2]
        if self.chosen is None:
            return [(0, height, 0, width)]
        corners = [self.plan.corners[i] for i in self.chosen]
        return regions(corners, self.plan.size, reach, (height, width))

    def searched_share(self) -> Float | None:
        """Which share of each pixel comes from searched tiles, [h, w] in [0, 1]; None: all of all."""
        return None if self.chosen is None else self.blend(np.ones(self.tiles.shape[:3], np.float32))


def spread_over_frame(patches: Float, plan: TilePlan, shape: tuple[int, ...]) -> Float:
    """One number for each patch of each tile [N, h, w] -> [H, W] of a prepared frame with this shape."""
    down, across = (_enlarging(count, plan.size) for count in patches.shape[1:])
    return plan.blend(down @ patches @ across.T)[: shape[0], : shape[1]]


def _enlarging(count: int, size: int) -> Float:
    """The matrix [size, count] that enlarges `count` values to `size` by linear interpolation."""
    enlarged = cv2.resize(np.eye(count, dtype=np.float32), (count, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.float32).reshape(size, count)

"""What a search leaves to judge a frame by: maps of what is unexplained, and the raw score components."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from latentline.preprocessing import Preprocessing, to_model_range
from latentline.searcher import Searcher, SearchResult, TileScores
from latentline.ssim import ssim_map
from latentline.tiles import TilePlan

MapKind = Literal["residual", "l1", "l2", "ssim", "probability"]
Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

LOCAL = "d_local"
TILES_TOGETHER = 32  # in one search; more do not make it faster on a CPU


@dataclass(frozen=True)
class Viewer:
    """How frames become tiles.

    tile_size in px; overlap of neighbouring tiles as a fraction of the tile.
    """

    preprocessing: Preprocessing
    tile_size: int
    overlap: float

    def view(self, frame: UInt8) -> View:
        """Prepare and tile one frame [H, W] or [H, W, C]. Raises ImageError when it is no usable picture."""
        start = perf_counter()
        prepared = self.preprocessing.apply(frame)
        plan = TilePlan.cover(prepared.shape[0], prepared.shape[1], self.tile_size, self.overlap)
        return View(prepared, plan, plan.cut(prepared), 1e3 * (perf_counter() - start))

    def search(self, searcher: Searcher, frame: UInt8) -> Evidence:
        """View and search one frame. Raises ImageError."""
        return search_together(searcher, [self.view(frame)])[0]

    def search_each(self, searcher: Searcher, frames: Iterable[UInt8]) -> Iterator[tuple[UInt8, Evidence]]:
        """(frame, evidence) of each, small frames searched together: much faster than one by one."""
        waiting: list[tuple[UInt8, View]] = []
        for frame in frames:
            waiting.append((frame, self.view(frame)))
            if sum(len(view.tiles) for _, view in waiting) >= TILES_TOGETHER:
                yield from _searched(searcher, waiting)
                waiting = []
        yield from _searched(searcher, waiting)


@dataclass(frozen=True)
class View:
    """One frame as the model sees it: prepared [h, w, C], its plan, tiles [N, S, S, C]; the time that took, in ms."""

    prepared: UInt8
    plan: TilePlan
    tiles: UInt8
    milliseconds: float


def search_together(searcher: Searcher, views: Sequence[View]) -> list[Evidence]:
    """Search the tiles of several frames as one batch; each frame's share of the time is that of its tiles."""
    start = perf_counter()
    result = searcher.search(np.concatenate([view.tiles for view in views]))
    each = 1e3 * (perf_counter() - start) / len(result.z)
    found, first = [], 0
    for view in views:
        last = first + len(view.tiles)
        times = {"preprocess": view.milliseconds, "search": each * len(view.tiles)}
        found.append(Evidence(view.prepared, view.plan, view.tiles, result.tiles(first, last), times))
        first = last
    return found


def _searched(searcher: Searcher, waiting: Sequence[tuple[UInt8, View]]) -> Iterator[tuple[UInt8, Evidence]]:
    if waiting:
        found = search_together(searcher, [view for _, view in waiting])
        yield from zip((frame for frame, _ in waiting), found, strict=True)


@dataclass(frozen=True)
class Evidence:
    """One searched frame: as prepared [h, w, C], its plan, tiles [N, S, S, C], the search's result; times in ms."""

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
        probability  −log p(x | z); raises ValueError where the searcher gives none
        """
        if kind == "probability":
            if self.result.surprise is None:
                raise ValueError("a map of the reconstruction probability needs a searcher that gives one")
            return self.result.surprise
        x = to_model_range(self.tiles)
        if kind == "ssim":
            return 1 - ssim_map(x, self.result.reconstruction)
        residual = x - self.result.reconstruction
        if kind == "l1":
            return np.asarray(np.abs(residual), np.float32)
        return np.square(residual) if kind == "l2" else residual

    def doubt(self) -> Float | None:
        """−logits of the patch head, [h, w] of the prepared frame; None without one."""
        if self.result.local is None:
            return None
        return spread_over_frame(-self.result.local, self.plan, self.prepared.shape)

    def blend(self, tiles: Float) -> Float:
        """Tiles [N, S, S, ...] -> [h, w, ...] of the prepared frame."""
        height, width = self.prepared.shape[:2]
        return self.plan.blend(tiles)[:height, :width]


@dataclass(frozen=True)
class PixelStatistics:
    """How the difference of normal frames and their reconstructions behaves.

    mean, std  [C, S, S]: per pixel of a tile
    scales     standard deviations in px of the pooling Gaussians; 0: not pooled
    pooled_std  [len(scales)]: root mean square of the pooled, standardised difference of normal frames
    kind       which difference: `Evidence.difference`
    local      mean and standard deviation of `Evidence.doubt` of normal frames; None: it has no part in the map
    """

    mean: Float
    std: Float
    scales: tuple[float, ...]
    pooled_std: Float
    kind: MapKind = "residual"
    local: tuple[float, float] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The component that each map gives."""
        pooled = tuple(f"{self.kind}_{scale:g}px" for scale in self.scales)
        return pooled if self.local is None else (*pooled, LOCAL)

    def maps(self, evidence: Evidence) -> Float:
        """Anomaly maps [len(names), h, w] of the prepared frame, at least 0, in standard deviations of normal frames.

        The difference is standardised per tile pixel, blended, and pooled by a Gaussian, so that noise cancels and what
        is coherent does not. Over the channels the root mean square of a signed residual is taken, and the mean of the
        other kinds: there only more than usual is abnormal. So it is of the patch head's doubt.
        """
        return np.maximum(self.planes(evidence), 0)

    def planes(self, evidence: Evidence) -> Float:
        """`maps` before what is less than usual is cut off."""
        standardised = (evidence.difference(self.kind) - self.mean) / self.std
        blended = evidence.blend(standardised.transpose(0, 2, 3, 1))
        pooled = [pool(blended, scale) / std for scale, std in zip(self.scales, self.pooled_std, strict=True)]
        signed = self.kind == "residual"
        planes = [np.sqrt(np.square(p).mean(axis=2)) if signed else p.mean(axis=2) for p in pooled]
        if self.local is not None:
            doubt = evidence.doubt()
            if doubt is None:
                raise ValueError("a map with the patch head's verdict needs a searcher that gives it")
            planes.append(self.verdict(doubt))
        return np.stack(planes)

    def verdict(self, doubt: Float) -> Float:
        """`Evidence.doubt` in standard deviations of normal frames."""
        assert self.local is not None
        mean, std = self.local
        return np.asarray((doubt - mean) / std, np.float32)

    def peaks(self, maps: Float) -> dict[str, float]:
        """Raw component of each map: its largest value, as a logarithm where that has no bound."""
        largest = dict(zip(self.names, (float(plane.max()) for plane in maps), strict=True))
        floor = 1e-6 if self.kind == "residual" else 1.0  # a one-sided map may be 0 everywhere
        return {name: peak if name == LOCAL else float(np.log(peak + floor)) for name, peak in largest.items()}

    def only(self, names: Collection[str]) -> PixelStatistics:
        """Without the maps that are not in `names`."""
        kept = [i for i, name in enumerate(self.names) if name in names and name != LOCAL]
        return replace(
            self,
            scales=tuple(self.scales[i] for i in kept),
            pooled_std=self.pooled_std[kept],
            local=self.local if LOCAL in names else None,
        )


def spread_over_frame(patches: Float, plan: TilePlan, shape: tuple[int, ...]) -> Float:
    """A number for each patch of each tile [N, h, w] -> [H, W] of a prepared frame of that shape."""
    size = (plan.size, plan.size)
    tiles = np.stack([cv2.resize(tile, size, interpolation=cv2.INTER_LINEAR) for tile in patches])
    return plan.blend(tiles)[: shape[0], : shape[1]]


def pool(image: Float, scale: float) -> Float:
    """Gaussian of `scale` px standard deviation over [H, W, C]; 0 leaves it as it is."""
    if not scale:
        return image
    blurred = cv2.GaussianBlur(image, (0, 0), scale, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, dtype=np.float32).reshape(image.shape)


def tile_components(result: TileScores) -> dict[str, Float]:
    """Raw components of each tile, [N], of what the method has; larger is more abnormal.

    feature           log Σ|f(x) − f(G(ẑ))|
    d_reconstruction  −logit D(G(ẑ)); d_frame  −logit D(x): the discriminator's verdicts before they saturate
    loss              L'(ẑ), the paper's score
    divergence        log KL(q(z|x) ‖ N(0, 1))
    """
    values = {
        "feature": _log(result.feature_residual),
        "d_reconstruction": _negative(result.logit_reconstruction),
        "d_frame": _negative(result.logit_frame),
        "loss": result.loss,
        "divergence": _log(result.divergence),
    }
    return {name: value for name, value in values.items() if value is not None}


def frame_components(result: TileScores, maps: Float, statistics: PixelStatistics) -> dict[str, float]:
    """Raw components of a frame: the worst tile of each, and the peak of each of its `maps`."""
    worst = {name: float(tiles.max()) for name, tiles in tile_components(result).items()}
    return {**worst, **statistics.peaks(maps)}


def _log(values: Float | None) -> Float | None:
    return None if values is None else np.log(values + np.float32(1e-6))


def _negative(values: Float | None) -> Float | None:
    return None if values is None else -values

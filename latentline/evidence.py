"""What a search leaves to judge a frame by: the residual map at several scales, and the raw score components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from latentline.preprocessing import Preprocessing, to_model_range
from latentline.searcher import Searcher, SearchResult, TileScores
from latentline.tiles import TilePlan

MapKind = Literal["residual", "l2", "ssim", "probability"]
Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Viewer:
    """How frames become tiles.

    tile_size in px; overlap of neighbouring tiles as a fraction of the tile.
    """

    preprocessing: Preprocessing
    tile_size: int
    overlap: float

    def search(self, searcher: Searcher, frame: UInt8) -> Evidence:
        """Prepare, tile and search one frame [H, W] or [H, W, C]. Raises ImageError when it is no usable picture."""
        start = perf_counter()
        prepared = self.preprocessing.apply(frame)
        plan = TilePlan.cover(prepared.shape[0], prepared.shape[1], self.tile_size, self.overlap)
        tiles = plan.cut(prepared)
        ready = perf_counter()
        result = searcher.search(tiles)
        times = {"preprocess": 1e3 * (ready - start), "search": 1e3 * (perf_counter() - ready)}
        return Evidence(prepared, plan, tiles, result, times)


@dataclass(frozen=True)
class Evidence:
    """One searched frame: as prepared [h, w, C], its plan, tiles [N, S, S, C], the search's result; times in ms."""

    prepared: UInt8
    plan: TilePlan
    tiles: UInt8
    result: SearchResult
    milliseconds: dict[str, float]

    @property
    def residual(self) -> Float:
        """x − G(ẑ), signed, [N, C, S, S]."""
        return to_model_range(self.tiles) - self.result.reconstruction


@dataclass(frozen=True)
class PixelStatistics:
    """How the residual of normal frames behaves.

    mean, std  [C, S, S]: per pixel of a tile
    scales     standard deviations in px of the pooling Gaussians
    pooled_std  [len(scales)]: standard deviation of the pooled, standardised residual of normal frames
    """

    mean: Float
    std: Float
    scales: tuple[float, ...]
    pooled_std: Float

    def maps(self, evidence: Evidence) -> Float:
        """Anomaly maps [scales, h, w] of the prepared frame, in standard deviations of normal frames.

        The signed residual is standardised per tile pixel, blended, pooled by a Gaussian (so that noise cancels and a
        coherent difference does not), and its root mean square over the channels taken.
        """
        standardised = (evidence.residual - self.mean) / self.std
        height, width = evidence.prepared.shape[:2]
        blended = evidence.plan.blend(standardised.transpose(0, 2, 3, 1))[:height, :width]
        pooled = (pool(blended, scale) / std for scale, std in zip(self.scales, self.pooled_std, strict=True))
        return np.stack([np.sqrt(np.square(p).mean(axis=2)) for p in pooled])


def pool(image: Float, scale: float) -> Float:
    """Gaussian of `scale` px standard deviation over [H, W, C]."""
    blurred = cv2.GaussianBlur(image, (0, 0), scale, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, dtype=np.float32).reshape(image.shape)


def tile_components(result: TileScores) -> dict[str, Float]:
    """Raw components of each tile, [N]; larger is more abnormal.

    feature           log Σ|f(x) − f(G(ẑ))|
    d_reconstruction  −logit D(G(ẑ)); d_frame  −logit D(x): the discriminator's verdicts before they saturate
    loss              L'(ẑ), the paper's score
    """
    return {
        "feature": np.log(result.feature_residual + np.float32(1e-6)),
        "d_reconstruction": -result.logit_reconstruction,
        "d_frame": -result.logit_frame,
        "loss": result.loss,
    }


def frame_components(result: TileScores, maps: Float, scales: Sequence[float]) -> dict[str, float]:
    """Raw components of a frame: the worst tile of each, and per scale the log of the largest value of the map."""
    values = {name: float(tiles.max()) for name, tiles in tile_components(result).items()}
    for scale, plane in zip(scales, maps, strict=True):
        values[residual_name(scale)] = float(np.log(plane.max() + 1e-6))
    return values


def residual_name(scale: float) -> str:
    """Name of the residual component pooled at `scale` px."""
    return f"residual_{scale:g}px"

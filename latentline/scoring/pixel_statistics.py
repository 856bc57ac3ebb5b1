"""Statistics of the difference between normal frames and their reconstructions, at each pixel of a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from latentline.scoring.maps import PixelStatistics, pool
from latentline.search.searched_frame import MapKind, SearchedFrame

Float = npt.NDArray[np.float32]

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0)  # px
COARSE = ("_8px", "_16px")  # no weight unless validation images ask for one: these scales cost a station the most time
PIXEL_SMOOTHING = 2.0  # px; a few dozen frames are too few for statistics of each pixel alone
EDGE = 2  # px
BLIND = 1e6  # model range; residuals are below 2


def pixel_statistics(searched: Sequence[SearchedFrame], scales: tuple[float, ...], kind: MapKind) -> PixelStatistics:
    """Statistics of the difference at each tile pixel, and of its pooled maps."""
    differences = np.concatenate([e.difference(kind) for e in searched])  # [N, C, S, S]
    mean = _smooth(differences.mean(axis=0))
    variance = _smooth(np.square(differences - mean).mean(axis=0))
    std = _ignore_edge(np.sqrt(variance) + np.float32(1e-3))
    unscaled = PixelStatistics(mean, std, scales, np.ones(len(scales), np.float32), kind, _patch_statistics(searched))
    squares = np.stack([_mean_square(unscaled.planes(e), e) for e in searched])
    rms = np.sqrt(squares.mean(axis=0))[: len(scales)].astype(np.float32) + np.float32(1e-6)
    return replace(unscaled, pooled_std=rms)


def _mean_square(planes: Float, searched: SearchedFrame) -> Float:
    """Of each plane [N, h, w] where something was searched, [N]."""
    squares, share = np.square(planes), searched.searched_share()
    return np.asarray(squares.mean(axis=(1, 2)) if share is None else squares[:, share > 0].mean(axis=1))


def _ignore_edge(std: Float) -> Float:
    """Standard deviations [C, S, S] that ignore a tile's outermost pixels.

    Those are reconstructed worst. Inside a frame a neighbouring tile covers them; at the border of the frame none does,
    and the false alarms there cost more than two pixels are worth (magnetic tile, on the images that it was chosen on:
    AUROC of the 1 px map 0.82 instead of 0.76).
    """
    blind = np.full_like(std, BLIND)
    blind[:, EDGE:-EDGE, EDGE:-EDGE] = std[:, EDGE:-EDGE, EDGE:-EDGE]
    return blind


def _patch_statistics(searched: Sequence[SearchedFrame]) -> tuple[float, float] | None:
    patch_maps = [patch_map.ravel() for patch_map in (e.patch_map() for e in searched) if patch_map is not None]
    if not patch_maps:
        return None
    values = np.concatenate(patch_maps)
    return float(values.mean()), float(values.std()) + 1e-6


def _smooth(planes: Float) -> Float:
    return np.ascontiguousarray(pool(planes.transpose(1, 2, 0).astype(np.float32), PIXEL_SMOOTHING).transpose(2, 0, 1))

"""Patches of normal images span a subspace; how far a patch lies outside of it is its anomaly. No network, seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latentline.scoring.maps import pool

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class PatchPca:
    """Probabilistic PCA of patches (Tipping & Bishop 1999).

    The distance of a patch is its Mahalanobis distance in the subspace that explains the fraction `explained` of the
    variance, plus its squared distance from the subspace over the mean variance outside. The map is the mean distance
    of all patches that cover a pixel, smoothed; the score is the maximum of the map.

    patch      px
    stride     px between the patches of an image that is scored
    explained  fraction of the variance of normal patches
    sampled    patches to learn from, drawn with `seed`
    smoothing  px
    """

    name = "patch PCA"
    raw = False
    spared_seconds = 0.0

    def __init__(
        self,
        patch: int = 16,
        stride: int = 4,
        explained: float = 0.95,
        sampled: int = 60000,
        smoothing: float = 2.0,
        seed: int = 0,
    ) -> None:
        self._patch, self._stride, self._explained = patch, stride, explained
        self._sampled, self._smoothing, self._seed = sampled, smoothing, seed

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Mean, principal directions and variances of the patches."""
        rng = np.random.default_rng(self._seed)
        count = max(1, self._sampled // len(normal))
        sampled = np.concatenate([self._sample(image, count, rng) for image in normal]).astype(np.float64)
        self._mean = sampled.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov((sampled - self._mean).T))
        variances, directions = np.maximum(variances[::-1], 0), directions[:, ::-1]
        kept = 1 + int(np.searchsorted(np.cumsum(variances) / variances.sum(), self._explained))
        outside = max(float(variances[kept:].mean()) if kept < len(variances) else 0.0, 1e-6)
        # distance² = Σ inside z²/variance + (|p|² − Σ inside z²)/outside
        self._directions = directions[:, :kept].astype(np.float32)
        self._gain = (1 / np.maximum(variances[:kept], 1e-6) - 1 / outside).astype(np.float32)
        self._outside = np.float32(outside)

    def score(self, image: UInt8) -> tuple[float, Float]:
        """As `Baseline.score`."""
        view = _windows(image, self._patch)
        ys, xs = (_starts(length, self._stride) for length in view.shape[:2])
        patches = view[np.ix_(ys, xs)].reshape(len(ys) * len(xs), -1).astype(np.float32) - self._mean.astype(np.float32)
        inside = np.square(patches @ self._directions)
        distances = inside @ self._gain + np.square(patches).sum(axis=1) / self._outside
        mean_distances = self._mean_over_pixels(distances.reshape(len(ys), len(xs)), ys, xs, image.shape[:2])
        anomaly_map = pool(mean_distances[:, :, None], self._smoothing)[:, :, 0]
        return float(anomaly_map.max()), anomaly_map

    def _sample(self, image: UInt8, count: int, rng: np.random.Generator) -> UInt8:
        view = _windows(image, self._patch)
        picked: UInt8 = view[rng.integers(view.shape[0], size=count), rng.integers(view.shape[1], size=count)]
        return picked.reshape(count, -1)

    def _mean_over_pixels(
        self, distances: Float, ys: npt.NDArray[np.intp], xs: npt.NDArray[np.intp], shape: tuple[int, ...]
    ) -> Float:
        """Mean of the distances of all patches that cover a pixel, [h, w]."""
        total, covered = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for dy in range(self._patch):
            for dx in range(self._patch):
                place = np.ix_(ys + dy, xs + dx)
                total[place] += distances
                covered[place] += 1
        # stride <= patch, so every pixel is covered
        mean: Float = np.maximum(total / covered, 0)
        return mean


def _windows(image: UInt8, size: int) -> UInt8:
    """Every patch of an image [h, w, C], as a view [h - size + 1, w - size + 1, C, size, size]."""
    return np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))


def _starts(count: int, stride: int) -> npt.NDArray[np.intp]:
    """Every stride-th of `count` positions, and the last."""
    return np.unique(np.r_[np.arange(0, count, stride), count - 1])

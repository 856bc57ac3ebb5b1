"""A linear discriminant in closed form: which direction leads from normal patches to those in masks of defects?"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from bench.baselines.grid_maps import grid_map, mean_of_largest
from bench.baselines.trunk import TrunkFeatures, on_grid
from latentline.errors import ConfigError

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
INSIDE = 0.25  # a patch whose mask covers more than this is abnormal; of a smaller defect, half its largest cover


class LinearVerdict:
    """w·(f − μ₀) of each patch, w = Σ⁻¹(μ₊ − μ₀), in standard deviations of normal patches.

    μ₀ and Σ are those of `sampled` patches of each normal image, drawn by seed; μ₊ is the mean over the known-abnormal
    images of their mean patch inside the mask. Levels of strides 4, 8, 16 and 16. The score is the mean of the
    `largest` verdicts.

    known      known-abnormal frames with their masks [H, W]
    grid       patches a side
    shrinkage  fraction of the mean variance that is added to the diagonal of Σ
    Raises ConfigError when no abnormal image is known.
    """

    name = "linear verdict"
    raw = True

    def __init__(
        self,
        features: TrunkFeatures,
        known: Sequence[tuple[UInt8, Mask]],
        grid: int = 28,
        shrinkage: float = 0.01,
        sampled: int = 100,
        largest: int = 7,
        seed: int = 0,
    ) -> None:
        if not known:
            raise ConfigError(
                "the linear verdict needs known-abnormal images with masks; name some in the data section"
            )
        self._features, self._known, self._grid, self._shrinkage = features, known, grid, shrinkage
        self._sampled, self._largest, self._rng = sampled, largest, np.random.default_rng(seed)

    @property
    def spared_seconds(self) -> float:
        """As `Baseline.spared_seconds`."""
        return self._features.spared_seconds

    def fit(self, normal: Sequence[UInt8]) -> None:
        """The direction, and the mean of normal patches."""
        drawn = [self._rng.permutation(self._patches(frame))[: self._sampled] for frame in normal]
        patches = np.concatenate(drawn).astype(np.float64)
        abnormal = [self._patches(frame)[covered(mask, self._grid)].mean(axis=0) for frame, mask in self._known]
        self._mean = patches.mean(axis=0).astype(np.float32)
        self._direction = discriminant(patches, np.mean(abnormal, axis=0, dtype=np.float64), self._shrinkage)

    def score(self, image: UInt8) -> tuple[float, Float]:
        """As `Baseline.score`; the map has negative values, too."""
        verdicts = (self._patches(image) - self._mean) @ self._direction
        return mean_of_largest(verdicts, self._largest), grid_map(verdicts)

    def _patches(self, frame: UInt8) -> Float:
        return on_grid(self._features.levels(frame)[:4], self._grid)


def discriminant(normal: npt.NDArray[np.float64], abnormal: npt.NDArray[np.float64], shrinkage: float) -> Float:
    """Σ⁻¹(μ₊ − μ₀) [d], scaled so that normal patches [n, d] have standard deviation 1 along it.

    abnormal  μ₊ [d]
    """
    covariance = np.cov(normal.T)
    shrunk = covariance + shrinkage * covariance.diagonal().mean() * np.eye(len(covariance))
    direction = np.linalg.solve(shrunk, abnormal - normal.mean(axis=0))
    scaled: Float = (direction / np.sqrt(direction @ covariance @ direction)).astype(np.float32)
    return scaled


def covered(mask: Mask, grid: int) -> Mask:
    """Which patches [grid * grid] a mask [H, W] covers enough to call them abnormal; at least one."""
    cover = cv2.resize(mask.astype(np.float32), (grid, grid), interpolation=cv2.INTER_AREA)
    return np.asarray(cover.ravel() > min(INSIDE, float(cover.max()) / 2))

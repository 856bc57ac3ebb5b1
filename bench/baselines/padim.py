"""PaDiM (Defard et al. 2021): at each place of the image, normal features have a Gaussian of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bench.baselines.grid_maps import grid_map, mean_of_largest
from bench.baselines.trunk import TrunkFeatures, on_grid

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class Padim:
    """Mahalanobis distance of each patch of a grid to the normal patches in its place.

    Patches are seen through `dimensions` of their channels, drawn by seed. A covariance gets the fraction `shrinkage`
    of its mean variance on the diagonal. The score is the mean of the largest distances.

    grid     patches a side
    levels   of the network, as indices of its BLOCKS
    largest  fraction of the distances
    """

    raw = True

    def __init__(
        self,
        features: TrunkFeatures,
        grid: int,
        levels: Sequence[int],
        dimensions: int = 160,
        shrinkage: float = 0.02,
        largest: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.name = f"PaDiM, {grid} x {grid}"
        self._features, self._grid, self._levels, self._shrinkage = features, grid, levels, shrinkage
        self._largest = max(1, round(largest * grid * grid))
        self._dimensions, self._rng = dimensions, np.random.default_rng(seed)

    @property
    def spared_seconds(self) -> float:
        """As `Baseline.spared_seconds`."""
        return self._features.spared_seconds

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Mean and covariance of each place."""
        channels = self._all_channels(normal[0]).shape[1]
        self._picked = np.sort(self._rng.permutation(channels)[: self._dimensions])
        places = np.stack([self.patches(frame) for frame in normal], axis=1)  # [places, images, dimensions]
        self._mean = places.mean(axis=1)
        self._whitening = np.stack([self._whitening_of(patches) for patches in places])

    def score(self, image: UInt8) -> tuple[float, Float]:
        """As `Baseline.score`."""
        distances = self.distances(image)
        return mean_of_largest(distances, self._largest), grid_map(distances)

    def distances(self, frame: UInt8) -> Float:
        """Mahalanobis distance of each patch, [grid * grid]."""
        centred = self.patches(frame) - self._mean
        distances: Float = np.linalg.norm(np.matmul(self._whitening, centred[:, :, None])[:, :, 0], axis=1)
        return distances

    def patches(self, frame: UInt8) -> Float:
        """The picked channels of each patch, [grid * grid, dimensions]."""
        return self._all_channels(frame)[:, self._picked]

    def _all_channels(self, frame: UInt8) -> Float:
        levels = self._features.levels(frame)
        return on_grid([levels[index] for index in self._levels], self._grid)

    def _whitening_of(self, patches: Float) -> Float:
        """W with WᵀW the inverse of the covariance of patches [images, dimensions]."""
        centred = patches.astype(np.float64) - patches.mean(axis=0, dtype=np.float64)
        covariance = centred.T @ centred / max(1, len(patches) - 1)
        shrunk = covariance + (self._shrinkage * covariance.diagonal().mean() + 1e-9) * np.eye(len(covariance))
        return np.linalg.inv(np.linalg.cholesky(shrunk)).astype(np.float32)

"""PaDiM at a frame's own scale: nothing is squeezed, and one Gaussian stands for all places, as in a texture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.baselines.grid_maps import mean_of_largest
from bench.baselines.trunk import Size, compiled_levels, network_input, on_grid

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
LEVELS = (1, 2, 3, 4)  # of BLOCKS
STRIDE, WHOLE = 16, 32  # px: one patch; the network halves an image five times


class FullScalePadim:
    """Mahalanobis distance of each patch of 16 x 16 px to the normal patches of all places.

    Frames go through the network as they are, scaled up to whole multiples of 32 px. Of the channels 160 are drawn by
    seed; the covariance gets 0.02 of its mean variance on the diagonal, and the score is the mean of the largest
    twentieth of the distances, all as in `Padim`.

    threads  of the CPU
    Raises BackendError when the network's wheels are not installed.
    """

    name = "PaDiM, own scale"

    def __init__(self, threads: int, dimensions: int = 160, shrinkage: float = 0.02, seed: int = 0) -> None:
        self._threads, self._dimensions, self._shrinkage = threads, dimensions, shrinkage
        self._rng = np.random.default_rng(seed)
        self._networks: dict[Size, Any] = {}

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Mean and covariance of the patches of all images."""
        channels = self._all_channels(normal[0]).shape[1]
        self._picked = np.sort(self._rng.permutation(channels)[: self._dimensions])
        patches = np.concatenate([self.patches(frame) for frame in normal]).astype(np.float64)
        self._mean = patches.mean(axis=0).astype(np.float32)
        covariance = np.cov(patches, rowvar=False)
        shrunk = covariance + (self._shrinkage * covariance.diagonal().mean() + 1e-9) * np.eye(len(covariance))
        self._whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).astype(np.float32)

    def score(self, frame: UInt8) -> float:
        """The mean of the largest twentieth of the distances."""
        distances = self.distances(frame)
        return mean_of_largest(distances, max(1, round(0.05 * len(distances))))

    def distances(self, frame: UInt8) -> Float:
        """Mahalanobis distance of each patch, row by row."""
        centred = self.patches(frame) - self._mean
        distances: Float = np.linalg.norm(centred @ self._whitening.T, axis=1)
        return distances

    def patches(self, frame: UInt8) -> Float:
        """The picked channels of each patch, row by row, [patches, dimensions]."""
        return self._all_channels(frame)[:, self._picked]

    def _all_channels(self, frame: UInt8) -> Float:
        height, width = (WHOLE * -(-side // WHOLE) for side in frame.shape[:2])
        size = height, width
        if size not in self._networks:
            self._networks[size] = compiled_levels(size, self._threads)
        levels = [level[0] for level in self._networks[size](network_input(frame, size)).values()]
        return on_grid([levels[index] for index in LEVELS], (height // STRIDE, width // STRIDE))

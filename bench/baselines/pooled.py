"""The prepared input itself, pooled at several scales: the model's own statistic without any reconstruction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from baselines.base import rms
from latentline.calibrate import COARSE, EDGE, SCALES
from latentline.evidence import pool
from latentline.preprocessing import to_model_range

FINE = tuple(scale for scale in SCALES if not f"_{scale:g}px".endswith(COARSE))
Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class PooledInput:
    """How far an image departs from its own mean after Gaussian pooling; its edge is left out, as a model's is.

    score  mean over the scales of the standardised logarithm of the largest value of each map
    map    the largest over the scales, each in root mean squares of normal images
    """

    name = "pooled input"

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Mean and standard deviation of each scale's statistic; root mean square of each scale's map."""
        peaks = np.array([self._peaks(self._maps(image)) for image in normal])
        self._mean, self._std = peaks.mean(axis=0), peaks.std(axis=0) + 1e-6
        self._rms = [rms(self._maps(image)[i] for image in normal) for i in range(len(FINE))]

    def score(self, prepared: UInt8) -> tuple[float, Float]:
        """As `Baseline.score`."""
        maps = self._maps(prepared)
        standardised = (self._peaks(maps) - self._mean) / self._std
        scaled = np.stack([plane / np.float32(r) for plane, r in zip(maps, self._rms, strict=True)])
        return float(standardised.mean()), scaled.max(axis=0)

    def _maps(self, image: UInt8) -> list[Float]:
        """|pooled deviation from the image's mean| of each scale, [h, w], root mean square over the channels."""
        x = to_model_range(image[None])[0].transpose(1, 2, 0)
        inner = np.zeros_like(x)
        inner[EDGE:-EDGE, EDGE:-EDGE] = (x - x.mean(axis=(0, 1)))[EDGE:-EDGE, EDGE:-EDGE]
        return [np.sqrt(np.square(pool(inner, scale)).mean(axis=2)) for scale in FINE]

    def _peaks(self, maps: list[Float]) -> npt.NDArray[np.float64]:
        return np.log(np.array([plane.max() for plane in maps], dtype=np.float64) + 1e-6)

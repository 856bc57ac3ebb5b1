"""From one value for each patch of a grid to an anomaly map and a score."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from bench.baselines.trunk import SIZE

Float = npt.NDArray[np.float32]
SMOOTHING = 4.0  # px of 224, in PaDiM and PatchCore alike


def grid_map(values: Float) -> Float:
    """The map [224, 224] of values [grid * grid]: scaled up bilinearly, then smoothed."""
    side = math.isqrt(len(values))
    scaled = cv2.resize(values.reshape(side, side), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(scaled, (0, 0), SMOOTHING), np.float32)


def mean_of_largest(values: Float, count: int) -> float:
    """The mean of the `count` largest values."""
    return float(np.sort(values)[-count:].mean())

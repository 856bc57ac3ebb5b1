"""The contract of a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class Baseline(Protocol):
    """Scores prepared images uint8 [h, w, C] of any size."""

    name: str

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Learn from normal images, prepared as the model's training images are."""
        ...

    def score(self, prepared: UInt8) -> tuple[float, Float]:
        """Anomaly score, and the anomaly map float32 [h, w], not negative; larger is more abnormal."""
        ...

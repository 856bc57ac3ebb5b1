"""The contract of a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


class Baseline(Protocol):
    """Scores images uint8 [h, w] or [h, w, C] of any size.

    name  in tables
    raw   whether it takes frames as the camera gave them; otherwise they are prepared as the model's are, [h, w, C]
    """

    name: str
    raw: bool

    @property
    def spared_seconds(self) -> float:
        """Seconds that kept results of other baselines have spared it so far; a station would spend them."""
        ...

    def fit(self, normal: Sequence[UInt8]) -> None:
        """Learn from normal images."""
        ...

    def score(self, image: UInt8) -> tuple[float, Float]:
        """Anomaly score, and the anomaly map float32 [h, w] at any scale; larger is more abnormal."""
        ...

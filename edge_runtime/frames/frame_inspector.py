"""What a station asks of an opened model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.inspection.result import InspectionResult
from latentline.package.baseline import NormalBaseline
from latentline.package.identity import ModelIdentity


class FrameInspector(Protocol):
    """Judges frames of any size and channel count, in the order in which they were begun."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model judges."""
        ...

    @property
    def baseline(self) -> NormalBaseline | None:
        """What the line looked like at the calibration; None where nobody knows."""
        ...

    @property
    def ahead(self) -> int:
        """How many frames may be begun before the first of them is finished."""
        ...

    def begin(self, image: npt.NDArray[np.uint8], /) -> Callable[[], InspectionResult]:
        """Begin uint8 [H, W, C]; what is returned finishes it. Both raise ImageError: this picture cannot be used."""
        ...

    def close(self) -> None:
        """Release the backend."""
        ...

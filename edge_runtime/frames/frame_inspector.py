"""What a station needs of an opened model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.inspection.result import InspectionResult
from latentline.package.baseline import NormalBaseline
from latentline.package.identity import ModelIdentity


class FrameInspector(Protocol):
    """Inspects frames of any size and channel count, in the order of `begin`."""

    @property
    def identity(self) -> ModelIdentity:
        """The model in use."""
        ...

    @property
    def baseline(self) -> NormalBaseline | None:
        """Scores and brightness of normal frames at calibration; None if unknown."""
        ...

    @property
    def ahead(self) -> int:
        """How many frames may be in work at once."""
        ...

    def begin(self, image: npt.NDArray[np.uint8], /) -> Callable[[], InspectionResult]:
        """Start on a frame, uint8 [H, W, C], and return what finishes it. Both raise ImageError if it is unusable."""
        ...

    def close(self) -> None:
        """Release the backend."""
        ...

"""The contract of a reconstructor: a frame in, the nearest normal image and the anomaly map out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.search.first_look import Indices
from latentline.vision.tiles import TilePlan

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ReconstructedFrame:
    """One frame with its reconstruction, in pixels of the prepared frame (h x w).

    prepared        uint8 [h, w, C]: what the model saw
    plan            where the N tiles lay
    anomaly_map     float32 [h, w]: standard deviations of normal frames, the largest over the maps
    reconstruction  uint8 [h, w, C]: the nearest normal image
    values          raw score components of the frame (`latentline.scoring.components.frame_components`)
    tile_values     raw components of each searched tile [K] (`latentline.scoring.components.tile_components`)
    milliseconds    time of each stage
    searched        [K] which tiles of the plan were searched; None: all
    """

    prepared: UInt8
    plan: TilePlan
    anomaly_map: Float
    reconstruction: UInt8
    values: dict[str, float]
    tile_values: dict[str, Float]
    milliseconds: dict[str, float]
    searched: Indices | None = None

    @property
    def searched_tiles(self) -> list[int]:
        """Which tiles of the plan were searched."""
        return list(range(len(self.plan.corners))) if self.searched is None else self.searched.tolist()


class Reconstructor(Protocol):
    """Finds the nearest normal image of frames of any size. Frames finish in the order in which they began.

    ahead  how many frames may begin before the first of them finishes
    """

    name: str
    ahead: int

    def begin(self, frame: UInt8) -> Callable[[], ReconstructedFrame]:
        """Begin a frame uint8 [H, W] or [H, W, C]; call what is returned to finish it. Raises ImageError."""
        ...

    def close(self) -> None:
        """Release the backend. Call nothing else afterwards."""
        ...

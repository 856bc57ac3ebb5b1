"""The contract of an reconstructor: a camera's frame in, what the nearest normal image leaves unexplained out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.vision.tiles import TilePlan

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ReconstructedFrame:
    """One frame, searched and compared, in pixels of the prepared frame (h x w).

    prepared        uint8 [h, w, C]: what the model saw
    plan            where the N tiles lay
    anomaly_map     float32 [h, w]: standard deviations of normal frames, the largest over the maps
    reconstruction  uint8 [h, w, C]: the nearest normal image
    values          raw score components of the frame (`latentline.scoring.maps.frame_components`)
    tile_values     raw components of each tile [N] (`latentline.scoring.maps.tile_components`)
    milliseconds    time of each stage
    """

    prepared: UInt8
    plan: TilePlan
    anomaly_map: Float
    reconstruction: UInt8
    values: dict[str, float]
    tile_values: dict[str, Float]
    milliseconds: dict[str, float]


class Reconstructor(Protocol):
    """Explains frames of any size by the nearest normal image, in the order in which they were begun.

    ahead  how many frames may be begun before the first of them is finished
    """

    name: str
    ahead: int

    def begin(self, frame: UInt8) -> Callable[[], ReconstructedFrame]:
        """Begin uint8 [H, W] or [H, W, C]; what is returned finishes it. Raises ImageError: no usable picture."""
        ...

    def close(self) -> None:
        """Release the backend; afterwards nothing else may be called."""
        ...

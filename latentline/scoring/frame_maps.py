"""Maps of a whole frame that no search gives, as a trunk's: raw, in standard deviations of normal frames, as values.

Calibration standardises them and weighs them like every other component.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
RawMaps = Mapping[str, Float]

LARGEST_SHARE = 0.05  # of a map's positions; their mean is steadier than the largest one alone


class FrameMaps(Protocol):
    """Gives the maps of a frame."""

    def raw_maps(self, frame: UInt8) -> RawMaps:
        """Maps [h, w] of a frame by name, of any size; larger is more abnormal. [1, 1]: one number for the frame."""
        ...


@dataclass(frozen=True)
class MapScales:
    """The mean and the standard deviation of each map on normal frames, by name."""

    scales: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, frames: Sequence[RawMaps]) -> MapScales:
        """The scales that the maps of these normal frames have, over all frames and positions."""
        together = {name: np.concatenate([maps[name].ravel() for maps in frames]) for name in frames[0]}
        return cls({name: (float(v.mean()), float(v.std()) + 1e-6) for name, v in together.items()})

    def only(self, names: Collection[str]) -> MapScales:
        """These scales for the maps in `names` alone."""
        return MapScales({name: scale for name, scale in self.scales.items() if name in names})

    def standardised(self, raw: RawMaps) -> dict[str, Float]:
        """The maps in standard deviations of normal frames."""
        return {name: np.asarray((raw[name] - mean) / std, np.float32) for name, (mean, std) in self.scales.items()}

    def values(self, raw: RawMaps) -> dict[str, float]:
        """Raw component of each map: the mean of its largest twentieth, in standard deviations of normal frames."""
        return {name: largest(plane) for name, plane in self.standardised(raw).items()}

    def peak(self, raw: RawMaps) -> float:
        """The largest value that `plane` can have, at least 0."""
        planes = [plane for plane in self.standardised(raw).values() if plane.size > 1]
        return max((float(plane.max()) for plane in planes), default=0.0)

    def plane(self, raw: RawMaps, shape: tuple[int, int]) -> Float:
        """The largest of the maps, at least 0, scaled to [h, w] = `shape`. A map of one number shows no place."""
        joined = np.zeros(shape, np.float32)
        for plane in self.standardised(raw).values():
            if plane.size > 1:
                scaled = cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
                joined = np.maximum(joined, scaled)
        return joined


def largest(plane: Float) -> float:
    """The mean of the largest twentieth of a map, at least of one value."""
    count = max(1, round(LARGEST_SHARE * plane.size))
    return float(np.sort(plane, axis=None)[-count:].mean())

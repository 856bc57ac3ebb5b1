"""Inspect one frame: reconstruct it, score what differs, find defects."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError
from latentline.inspection.frame_part import FramePart
from latentline.inspection.reconstructor import ReconstructedFrame, Reconstructor
from latentline.inspection.result import InspectionResult
from latentline.scoring.calibration import Calibration
from latentline.vision.bit_depth import BitDepth, Image, to_8_bit
from latentline.vision.region import RegionOfInterest

UInt8 = npt.NDArray[np.uint8]
Pixel = TypeVar("Pixel", np.uint8, np.float32)


class Inspector:
    """A reconstructor and what calibration fixed: scores frames and finds their defects.

    bit_depth  of uint16 frames; auto: 16
    region     the part of each frame that is inspected; None: all of it, or the frames are cut already, as those that a
               training's source gives
    """

    def __init__(
        self,
        reconstructor: Reconstructor,
        calibration: Calibration,
        bit_depth: BitDepth = "auto",
        region: RegionOfInterest | None = None,
    ) -> None:
        self.reconstructor, self.calibration = reconstructor, calibration
        self._bit_depth, self._region = bit_depth, region

    @property
    def ahead(self) -> int:
        """How many frames may begin before the first of them finishes."""
        return self.reconstructor.ahead

    def inspect(self, frame: Image, /) -> InspectionResult:
        """Inspect a frame uint8 or uint16 [H, W] or [H, W, C] of any size, channels in BGR order.

        Raises ImageError, also for a uint16 frame with grey levels beyond the model's bit depth.
        """
        return self.begin(frame)()

    def begin(self, frame: Image, /) -> Callable[[], InspectionResult]:
        """Begin a frame; call what is returned to finish it. Frames finish in the order in which they began.

        At most `ahead` frames may be in work. Raises ImageError.
        """
        picture = to_8_bit(frame, self._bit_depth)
        part = None if self._region is None else _part(picture, self._region)
        finish = self.reconstructor.begin(picture if part is None else part.picture)
        return lambda: self._scored(finish(), (frame.shape[1], frame.shape[0]), part)

    def _scored(self, seen: ReconstructedFrame, size: tuple[int, int], part: FramePart | None) -> InspectionResult:
        start = perf_counter()
        if part is not None:
            size = part.box[2:]
            _check_large_enough(seen, size)
        anomaly_map = _resized(seen.anomaly_map, size)
        score, standardised = self.calibration.score(seen.values)
        times = dict(seen.milliseconds)
        result = InspectionResult(
            score,
            self.calibration.threshold,
            standardised,
            (),
            anomaly_map,
            _resized(seen.reconstruction, size),
            _resized(seen.prepared, size),
            len(seen.searched_tiles),
            times,
            seen.values,
            self._worst_tile(seen, anomaly_map.shape),
        )
        result = result if part is None else part.in_frame(result)
        result = result.at_threshold(self.calibration.threshold, self.calibration.map_threshold)
        times["score"] = 1e3 * (perf_counter() - start)
        return result

    def close(self) -> None:
        """Release the reconstructor."""
        self.reconstructor.close()

    def _worst_tile(self, seen: ReconstructedFrame, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Box in frame px (x, y, width, height) of the tile with the largest weighted components."""
        raw = seen.tile_values
        votes = [c.weight * (raw[c.name] - c.mean) / c.std for c in self.calibration.components if c.name in raw]
        worst = int(np.argmax(np.sum(votes, axis=0))) if votes else 0
        y, x = seen.plan.corners[seen.searched_tiles[worst]]
        height, width = seen.prepared.shape[:2]
        down, across = shape[0] / height, shape[1] / width
        left, top = round(x * across), round(y * down)
        right = min(shape[1], round((x + seen.plan.size) * across))
        bottom = min(shape[0], round((y + seen.plan.size) * down))
        return left, top, right - left, bottom - top


def _part(picture: UInt8, region: RegionOfInterest) -> FramePart | None:
    """The region of a picture; None of what is none, which the reconstructor refuses."""
    if not isinstance(picture, np.ndarray) or picture.ndim not in (2, 3):
        return None
    return FramePart(picture, region.box(picture.shape))


def _check_large_enough(seen: ReconstructedFrame, size: tuple[int, int]) -> None:
    """Raise ImageError for a region of `size` (width, height) that a tile covers with room to spare."""
    height, width = seen.prepared.shape[:2]
    if min(height, width) < seen.plan.size:
        scaled = "" if (width, height) == size else f", which the model sees as {width} x {height} px"
        raise ImageError(
            f"the region of interest of this frame has {size[0]} x {size[1]} px{scaled}, less than a tile of "
            f"{seen.plan.size} px; give frames of the size that the model was trained on"
        )


def _resized(image: npt.NDArray[Pixel], size: tuple[int, int]) -> npt.NDArray[Pixel]:
    """To `size` (width, height), keeping a channel axis."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    resized: npt.NDArray[Pixel] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return resized.reshape(*resized.shape[:2], *image.shape[2:])

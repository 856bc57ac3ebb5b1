"""The demo's camera, whose light drifts: the lamp fades, and unevenly, and mid-greys darken more than white."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.detection.labelling.stream import GOOD, Mask, StreamFrame, UInt8
from edge_runtime.tools.demo.camera import FRAMES_PER_PASS, PanningCamera, Truth

FADED = 0.10  # of the light, in the middle of the frame, at the end of the stream
UNEVEN = 0.05  # more of it at the left edge, and less at the right one
GAMMA = 1.10  # of the grey levels, at the end
_PASSES = 80  # each along a wall of its own
_SECONDS = 3600.0  # longer than it takes to see them all


class DriftingDemo:
    """Frames of the demo's camera in the order of time; one pass along a wall is a part.

    Frames in which a defect hardly shows, which are neither normal nor abnormal, are left out.
    """

    def __init__(self, seed: int = 0, passes: int = _PASSES) -> None:
        camera = PanningCamera("drifting", _SECONDS, seed)
        camera.open()
        total, frames = passes * FRAMES_PER_PASS, list[StreamFrame]()
        self._pictures: dict[str, UInt8] = {}
        self._masks: dict[str, Mask] = {}
        for number in range(total):
            frame = camera.read()
            assert frame is not None
            truth = camera.truths.pop(number)
            if truth.clear:
                name = f"{number:04}"
                frames.append(StreamFrame(name, _kind(truth), f"pass {number // FRAMES_PER_PASS}"))
                self._pictures[name] = drifted(frame.picture[..., 0], number / (total - 1))
                self._masks[name] = truth.mask
        camera.close()
        self.frames: Sequence[StreamFrame] = frames

    def read(self, name: str) -> UInt8:
        """One frame, uint8 [H, W]."""
        return self._pictures[name]

    def mask(self, name: str, shape: tuple[int, int]) -> Mask:
        """Its painted pixels."""
        assert self._masks[name].shape == shape
        return self._masks[name]


def drifted(picture: UInt8, time: float) -> UInt8:
    """The picture [H, W] in the light of a time between 0, as it was, and 1."""
    across = FADED + UNEVEN * np.linspace(1, -1, picture.shape[1])
    levels = 255 * (np.arange(256) / 255) ** (1 + (GAMMA - 1) * time)
    light = levels.astype(np.float32)[picture] * (1 - time * across).astype(np.float32)
    return np.rint(light).astype(np.uint8)


def _kind(truth: Truth) -> str:
    """Of the largest defect in view."""
    if not truth.abnormal:
        return GOOD
    return max(truth.defects, key=lambda defect: int(defect.mask.sum())).kind

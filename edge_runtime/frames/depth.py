"""Frames of more than eight bits: scaled to the eight that a model sees, and said once for each camera."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edge_runtime.cameras.base import Frame
from latentline.errors import BitDepthError
from latentline.vision.bit_depth import BitDepth, UInt8, to_8_bit

_log = logging.getLogger(__name__)


class FrameDepth:
    """Scales frames; says once how it understands those of a camera.

    fault  called with ("camera.ID.bit_depth", sentence) while a camera gives frames of another depth than the model's,
           and with None when that is over
    """

    def __init__(self, fault: Callable[[str, str | None], None]) -> None:
        self._fault = fault
        self._said: set[tuple[str, str]] = set()
        self._wrong: dict[str, str] = {}  # the first sentence, by camera

    def scaled(self, frame: Frame, model: BitDepth) -> Frame:
        """The frame with its image as uint8. Raises BitDepthError, naming both depths, when that is not possible."""
        code = f"camera.{frame.camera}.bit_depth"
        if frame.image.dtype == np.uint16:
            self._say(frame, model)
        try:
            image = eight_bits(frame, model)
        except BitDepthError as error:
            sentence = self._wrong.setdefault(frame.camera, f"camera {frame.camera}: {frame.source}: {error}")
            self._fault(code, sentence)
            raise
        if self._wrong.pop(frame.camera, None) is not None:
            self._fault(code, None)
        return replace(frame, image=image)

    def _say(self, frame: Frame, model: BitDepth) -> None:
        sentence = depth_sentence(frame, model)
        if (frame.camera, sentence) not in self._said:
            self._said.add((frame.camera, sentence))
            _log.info("camera %s gives frames of %s", frame.camera, sentence)


def eight_bits(frame: Frame, model: BitDepth) -> UInt8:
    """The image of a frame as uint8, by the depth of its camera, else by that of the model. Raises BitDepthError."""
    if frame.bit_depth is not None:
        return to_8_bit(frame.image, frame.bit_depth)
    return to_8_bit(frame.image, model, frame.claimed)


def depth_sentence(frame: Frame, model: BitDepth) -> str:
    """How the grey levels of a 16-bit frame are understood."""
    if frame.bit_depth is not None:
        return f"16 bits, of which {frame.bit_depth} count, as its bit_depth says"
    if model == "auto":
        return "16 bits, of which the upper eight count, because the model package does not say how many bits count"
    return f"16 bits, of which {model} count, as the model package says"

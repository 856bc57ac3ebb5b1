"""The contract of a feature extractor: a whole frame in, what a frozen, pretrained network sees in it out."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
_TO_GREY = {3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}


class FeatureExtractor(Protocol):
    """Gives the features of frames of any size. Deterministic, with fixed work for each frame."""

    name: str

    def features(self, frame: UInt8) -> Float:
        """Features [C, h, w] of a frame uint8 [H, W] or [H, W, channels], channels in BGR order."""
        ...

    def close(self) -> None:
        """Release the network. Call nothing else afterwards."""
        ...


class TestedExtractor(FeatureExtractor, Protocol):
    """An extractor that was opened from a package, with its test."""

    def self_test(self) -> float:
        """Relative error of the features of the package's test. Raises VerificationError when it is too large."""
        ...


def trunk_picture(frame: UInt8, height: int, width: int, channels: int) -> Float:
    """The input of a trunk, float32 [1, channels, height, width] in 0 … 255: the raw frame, resized as a whole.

    channels  3: RGB, a grey frame three times; 1: grey, a colour frame made grey
    """
    given = 1 if frame.ndim == 2 else frame.shape[2]
    image = frame.reshape(*frame.shape[:2]) if given == 1 else frame
    shrinks = height < frame.shape[0]
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if channels == 3:
        image = cv2.cvtColor(image, _TO_RGB[given])
    elif given != 1:
        image = cv2.cvtColor(image, _TO_GREY[given])
    planes = image.reshape(height, width, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(planes[None], dtype=np.float32)

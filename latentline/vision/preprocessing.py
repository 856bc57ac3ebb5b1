"""From a camera's frame to what the model sees: channels, scale, normalisation. Uint8 in, uint8 out.

The same code runs in training, calibration and on the station; its settings travel in the model package. The result is
uint8 so that a tile costs a byte a pixel on its way to the searcher, which maps it to [-1, 1] (`to_model_range`).
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from latentline.base.strict_yaml import StrictModel
from latentline.errors import ImageError
from latentline.vision.bit_depth import BitDepth
from latentline.vision.region import SMALLEST_SIDE, RegionOfInterest

UInt8 = npt.NDArray[np.uint8]
LOG_OFFSET = 8.0  # grey levels; keeps the logarithm of black finite, a quotient by black too, and their noise small
BLURRED_HEIGHT = 64  # px
_CONVERSIONS = {  # channels given, channels of the model
    (1, 3): cv2.COLOR_GRAY2BGR,
    (3, 1): cv2.COLOR_BGR2GRAY,
    (4, 1): cv2.COLOR_BGRA2GRAY,
    (4, 3): cv2.COLOR_BGRA2BGR,
}


class Preprocessing(StrictModel):
    """How frames are prepared for the model: channels, scale and normalisation. The training file sets it and the model
    package carries it, so that the station prepares frames in the same way."""

    channels: Literal[1, 3] = 1
    """1 for grey frames, 3 for BGR; frames of the camera are converted."""

    bit_depth: BitDepth = "auto"
    """Bits of the grey levels in 16-bit pictures, 8 to 16: 12 for a camera of 12 bits. `auto` lets `fit` look at all
    images but those of the test, say what it found and record it, so that evaluation and station scale alike. Formats
    that define their white (PGM, JPEG 2000, TIFF and GenICam with 10, 12 or 14 bits) are scaled by it. [bits]"""

    height: int | None = Field(default=None, ge=16, le=4096)
    """Frames, or the region of them that is inspected, are scaled to this height, with their aspect ratio kept. Unset:
    they keep their size, unless that is more than 150 tiles an image: then `fit` chooses a height, says so and records
    it. [px]"""

    region: RegionOfInterest | None = None
    """The part of each image that shows the product. Training, calibration, test and station see nothing else, and what
    is outside costs nothing. Unset: the whole image."""

    normalise: Literal["none", "per_image", "flat_field", "destripe"] = "none"
    """`none` keeps the grey levels. `per_image` subtracts the frame's mean and divides by its standard deviation.
    `flat_field` divides the frame by its own wide blur, which removes uneven illumination and whatever else is as wide.
    `destripe` takes the logarithm and subtracts its blur along the columns, which removes vertical stripes and
    illumination."""

    contrast: float = Field(default=3.0, gt=0)
    """Distance from mid-grey to white after `normalise`: in standard deviations (`per_image`), in relative brightness
    (`flat_field`, where 1 is twice as bright as the surroundings) or in log units (`destripe`)."""

    def apply(self, frame: UInt8) -> UInt8:
        """Prepare a frame uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (BGR order); gives uint8 [h, w, channels].

        A frame of a model with a region is that region already: the source of a training and the inspector of a station
        cut it, as they see to the bit depth. Raises ImageError when the frame is not such an array or too small.
        """
        height, width, _ = self.prepared_shape(frame)
        image = self._channels(frame)
        if image.shape[:2] != (height, width):
            shrinks = height < image.shape[0]
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        image = image.reshape(height, width, self.channels)
        if self.normalise == "none":
            return image
        if self.normalise == "per_image":
            values = image.astype(np.float32)
            spread = float(values.std()) + 1.0
            return _to_uint8((values - values.mean(axis=(0, 1))) / (spread * self.contrast))
        flattened = _flat_field(image) if self.normalise == "flat_field" else _destripe(image)
        return _to_uint8(flattened / self.contrast)

    def prepared_shape(self, frame: UInt8) -> tuple[int, int, int]:
        """Shape (h, w, channels) that `apply` gives for this frame. Raises ImageError as `apply` does."""
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim not in (2, 3):
            kind = f"{getattr(frame, 'dtype', type(frame).__name__)} {getattr(frame, 'shape', '')}".strip()
            raise ImageError(f"a frame must be a picture of uint8 or uint16, [H, W] or [H, W, channels], not {kind}")
        height, width = frame.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            raise ImageError(f"a frame of {width} x {height} px is too small to inspect")
        given = 1 if frame.ndim == 2 else frame.shape[2]
        if given != self.channels and (given, self.channels) not in _CONVERSIONS:
            raise ImageError(f"a frame has {given} channels; 1, 3 or 4 can be used")
        if self.height is not None and height != self.height:
            height, width = self.height, max(SMALLEST_SIDE, round(width * self.height / height))
        return height, width, self.channels

    @model_serializer(mode="wrap")
    def _without_unset_region(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a region nothing is written of it: packages are as before, and older stations read them."""
        content: dict[str, Any] = dump(self)
        if self.region is None:
            content.pop("region", None)
        return content

    def _channels(self, frame: UInt8) -> UInt8:
        given = 1 if frame.ndim == 2 else frame.shape[2]
        if given == self.channels:
            return np.ascontiguousarray(frame)
        converted: UInt8 = cv2.cvtColor(frame, _CONVERSIONS[given, self.channels])
        return converted


def to_model_range(tiles: UInt8) -> npt.NDArray[np.float32]:
    """uint8 [N, H, W, C] -> float32 [N, C, H, W] in [-1, 1], contiguous."""
    scaled: npt.NDArray[np.float32] = np.ascontiguousarray(tiles.transpose(0, 3, 1, 2), dtype=np.float32)
    scaled /= np.float32(127.5)
    scaled -= np.float32(1)
    return scaled


def to_picture(images: npt.NDArray[np.float32]) -> UInt8:
    """float32 [..., C, H, W] in [-1, 1] -> uint8 [..., H, W, C]."""
    return _to_uint8(np.moveaxis(images, -3, -1))


def _to_uint8(values: npt.NDArray[np.float32]) -> UInt8:
    """[-1, 1] -> 0..255, rounded and clipped."""
    return np.asarray(np.clip(np.rint((values + 1) * 127.5), 0, 255), dtype=np.uint8)


def _flat_field(image: UInt8) -> npt.NDArray[np.float32]:
    """Image over its blur with a Gaussian of height / 6, minus 1. Blurred small: such a blur has no fine detail."""
    height, width = image.shape[:2]
    values = image.astype(np.float32) + LOG_OFFSET
    factor = max(1, height // BLURRED_HEIGHT)
    small = cv2.resize(values, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), small.shape[0] / 6, borderType=cv2.BORDER_REFLECT)
    field = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR).reshape(values.shape)
    quotient: npt.NDArray[np.float32] = values / field - 1
    return quotient


def _destripe(image: UInt8) -> npt.NDArray[np.float32]:
    """Log image minus its blur with a tall Gaussian (height / 6 by 1 px): what differs from its own column stays."""
    values = np.log(image.astype(np.float32) + LOG_OFFSET)
    blurred = cv2.GaussianBlur(
        values, ksize=(0, 0), sigmaX=1.0, sigmaY=image.shape[0] / 6, borderType=cv2.BORDER_REFLECT
    )
    difference: npt.NDArray[np.float32] = values - blurred.reshape(values.shape)
    return difference

"""Grey levels of more than eight bits: how many bits they have, and what of them a model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from latentline.errors import BitDepthError, ImageError

BitDepth = Literal["auto"] | Annotated[int, Field(ge=8, le=16)]
UInt8 = npt.NDArray[np.uint8]
UInt16 = npt.NDArray[np.uint16]
Image = UInt8 | UInt16


@dataclass(frozen=True, eq=False)
class RawPicture:
    """A picture as its file has it.

    image    uint8 or uint16, [H, W] (grey) or [H, W, 3] (BGR); uint16 where the file does not define what white is
    claimed  bits of its 16 that a remark in the file names (sBIT of a PNG, MaxSampleValue of a TIFF); None: it has none
    defined  bits that the format defines, and by which a uint8 image was scaled
    """

    image: Image
    claimed: int | None = None
    defined: int = 8


def to_8_bit(image: Image, bit_depth: BitDepth, claimed: int | None = None) -> UInt8:
    """The upper eight of `bit_depth` bits of a uint16 image; any other array as it is.

    bit_depth  auto: of a model older than this setting, which knows 16 bits alone
    claimed    bits that the image says of itself; None: it says nothing
    Raises BitDepthError, naming both depths, when a grey level needs more bits, or the image claims another depth.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint16:
        return image  # type: ignore[return-value]  # preprocessing refuses other types, with a sentence
    if bit_depth == "auto":
        return (image >> 8).astype(np.uint8)
    peak = int(image.max(initial=0))
    needed = peak.bit_length()
    if needed > bit_depth:
        raise BitDepthError(f"grey level {peak} needs {needed} bits, and bit_depth is {bit_depth}; {_ADVICE}")
    if claimed is not None and claimed != bit_depth and needed <= claimed:
        raise BitDepthError(f"the file says that it has {claimed} bits, and bit_depth is {bit_depth}; {_ADVICE}")
    return (image >> (bit_depth - 8)).astype(np.uint8)


def from_white(image: Image, white: int) -> UInt8:
    """Grey levels 0 … `white` as 0 … 255. Raises ImageError when one is above white."""
    peak = int(image.max(initial=0))
    if peak > white:
        raise ImageError(f"grey level {peak} is above {white}, which the file calls white; write the file again")
    if white < 256:
        return np.asarray(image.astype(np.uint16) * 255 // white, dtype=np.uint8)
    return np.asarray(image.astype(np.uint32) * 256 // (white + 1), dtype=np.uint8)


_ADVICE = "correct preprocessing.bit_depth of the training, or bit_depth of the camera"

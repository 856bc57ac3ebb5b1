"""A frame of any size from an image of another, to time an inspection."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]


def laid_frame(image: UInt8, size: tuple[int, int], shift: int) -> UInt8:
    """A frame of `size` (width, height) laid of an image and its mirror images, at their own scale.

    It begins `shift` px further to the right and below.
    """
    height, width = image.shape[:2]
    across = np.arange(shift, shift + size[0]) % (2 * width)
    down = np.arange(shift, shift + size[1]) % (2 * height)
    across = np.where(across < width, across, 2 * width - 1 - across)
    down = np.where(down < height, down, 2 * height - 1 - down)
    return np.ascontiguousarray(image[np.ix_(down, across)])

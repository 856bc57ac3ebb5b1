"""The EXIF orientation of pictures: how a viewer, and `read_image`, turn what a file stores."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Mask = npt.NDArray[np.bool_]
ORIENTATION = 0x0112
FIRST_SIDEWAYS = 5  # of 1 … 8: these exchange width and height


def orientation_of(path: Path) -> int:
    """1 … 8, where 1 is upright as stored; 1 also for a file without an orientation, or one that cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                found = image.getexif().get(ORIENTATION, 1)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def stored_size(path: Path) -> tuple[int, int] | None:
    """(height, width) of a picture as its file stores it; None where that cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                return image.height, image.width
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None


def turned(mask: Mask, orientation: int) -> Mask:
    """A mask [H, W] as stored, made upright by an orientation 1 … 8."""
    if orientation >= FIRST_SIDEWAYS:
        mask = mask.T
    down, right = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return np.ascontiguousarray(mask[::down, ::right])

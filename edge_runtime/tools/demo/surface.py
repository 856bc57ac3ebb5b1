"""The photographed surface of the demo: a brick pavement (scikit-image's CC0 `brick`), cut into three strips.

The strips do not overlap. One trained the shipped model, one calibrated it, and the simulated camera sees the third.
The vertical joints stand upright near column 220 and lean more the further away they are. So the strip that calibrates
is an outer one, like the camera's: what is new to the model there is as new as what the camera shows it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import LatentlineError

UInt8 = npt.NDArray[np.uint8]
FRAME = 112  # px, both sides
CALIBRATION_COLUMNS = slice(0, 128)
TRAIN_COLUMNS = slice(128, 320)
CAMERA_COLUMNS = slice(320, 512)


def load_surface() -> UInt8:
    """The photograph, grey uint8 [512, 512]. Raises LatentlineError without scikit-image."""
    try:
        from skimage import data
    except ImportError:
        raise LatentlineError(
            "the demo needs scikit-image for its photograph; install the extra (in a clone: pip install '.[demo]')"
        ) from None
    return np.asarray(data.brick(), dtype=np.uint8)


def lean(piece: UInt8, slope: float) -> UInt8:
    """A piece [H, W] of surface as a camera further left or right sees it: vertical joints lean by `slope` px a row.

    It loses the columns that lean out of it, on both sides.
    """
    height, width = piece.shape
    middle = (height - 1) / 2
    lost = math.ceil(abs(slope) * middle)
    matrix = np.array([[1, slope, -slope * middle], [0, 1, 0]])
    leaning = cv2.warpAffine(piece, matrix, (width, height), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(leaning[:, lost : width - lost])


def expose(surface: UInt8, rng: np.random.Generator) -> UInt8:
    """One exposure of a piece of surface: random brightness within 4 %, sensor noise of 2 grey levels."""
    values = surface * rng.uniform(0.96, 1.04) + rng.normal(0, 2.0, surface.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)

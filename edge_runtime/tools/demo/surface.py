"""The photographed surface of the demo: a brick pavement (scikit-image's CC0 `brick`), cut into three strips.

The strips do not overlap. One trained the shipped model, one calibrated it, and the simulated camera sees the third.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from latentline.errors import LatentlineError

UInt8 = npt.NDArray[np.uint8]
FRAME = 112  # px, both sides
TRAIN_COLUMNS = slice(0, 208)
CALIBRATION_COLUMNS = slice(208, 320)
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


def expose(surface: UInt8, rng: np.random.Generator) -> UInt8:
    """One exposure of a piece of surface: random brightness within 4 %, sensor noise of 2 grey levels."""
    values = surface * rng.uniform(0.96, 1.04) + rng.normal(0, 2.0, surface.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)

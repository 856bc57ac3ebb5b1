"""A camera that gives the same picture again and again: it froze, though its frames keep coming."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edge_runtime.cameras.base import Frame
from latentline.vision.bit_depth import Image

_ROWS = 64  # of a frame that are compared; noise changes each of them in every picture that a sensor takes
_FEWEST = 3  # equal frames


class StillPicture:
    """Of the camera `name`; used by one thread.

    seconds  for which all frames must be equal
    """

    def __init__(self, name: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._seconds, self._clock = name, seconds, clock
        self._rows: Image | None = None
        self._since = 0.0
        self._count = 0

    def trouble(self, frame: Frame) -> str | None:
        """The sentence while `frame`, the newest one, is the same as all others for longer than `seconds`."""
        image = frame.image
        rows = image[:: -(-image.shape[0] // _ROWS)]
        if self._rows is None or rows.dtype != self._rows.dtype or not np.array_equal(rows, self._rows):
            self._rows, self._since, self._count = rows.copy(), self._clock(), 0
        self._count += 1
        if self._count < _FEWEST or self._clock() - self._since <= self._seconds:
            return None
        return (
            f"camera {self._name} has given the same picture for more than {self._seconds:g} s; is it frozen, dark or "
            "covered?"
        )

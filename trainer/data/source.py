"""The contract of a data source: who trains, who calibrates, who tests, and the images by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trainer.data.split import Split

UInt8 = npt.NDArray[np.uint8]


class ImageSource(Protocol):
    """Images by name. Names stand in checkpoints: the same configuration gives the same names.

    place  what a message calls this source: its folder
    """

    place: str

    def split(self, seed: int) -> Split:
        """Share the names out. Raises DatasetError when a side stays empty."""
        ...

    def read(self, name: str) -> UInt8:
        """One image, uint8 [H, W] or [H, W, 3]. Raises ImageError."""
        ...

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Ground truth of an image of `shape` (height, width), True where abnormal; None when there is none.

        Raises DatasetError when the mask does not fit.
        """
        ...

    def groups(self) -> Mapping[str, str]:
        """Image name -> group: images of one part. A name that is absent is a group of its own."""
        ...

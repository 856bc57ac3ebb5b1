"""The contract of a data source: images by name, their masks and groups, and their split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.vision.bit_depth import BitDepth
from trainer.data.mask_counts import MaskFiles
from trainer.data.split import Split

UInt8 = npt.NDArray[np.uint8]


class ImageSource(Protocol):
    """Images by name. Checkpoints hold the names: the same configuration must give the same names.

    place  the folder of the source, for messages
    """

    place: str

    @property
    def mask_files(self) -> MaskFiles | None:
        """How many mask files there are; None: the masks of this source are no files."""
        ...

    def split(self, seed: int) -> Split:
        """Choose the images of each side. Raises DatasetError when a side stays empty."""
        ...

    def read(self, name: str) -> UInt8:
        """One image, uint8 [H, W] or [H, W, 3]. Raises ImageError."""
        ...

    def file(self, name: str) -> Path | None:
        """The picture that an image is read from; None: it comes from no picture, and has 8 bits."""
        ...

    def at_depth(self, bit_depth: BitDepth) -> ImageSource:
        """The same source, with `bit_depth` for 16-bit pictures."""
        ...

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Ground truth of an image of `shape` (height, width), True where abnormal; None where there is none.

        Raises DatasetError when the mask has another size.
        """
        ...

    def groups(self) -> Mapping[str, str]:
        """Image name -> group, the part that it shows. An image without an entry is a group of its own."""
        ...

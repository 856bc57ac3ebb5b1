"""A source whose images are cut to the region of interest, so that all that reads it sees nothing else."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.base.counted import counted
from latentline.errors import DatasetError, ImageError
from latentline.vision.bit_depth import BitDepth
from latentline.vision.region import RegionOfInterest
from trainer.data.loading import SECONDS_BEFORE_PROGRESS
from trainer.data.mask_counts import MaskFiles
from trainer.data.source import ImageSource
from trainer.data.split import Split

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
log = logging.getLogger(__name__)


class RegionSource:
    """`ImageSource` around another one, `whole`: its images and masks, cut to `region`.

    An abnormal image whose mask lies outside of the region is left out: what is left of it is normal.
    """

    def __init__(self, whole: ImageSource, region: RegionOfInterest) -> None:
        self.whole, self.region, self.place = whole, region, whole.place
        self._shapes: dict[str, tuple[int, int]] = {}  # of whole images that were read

    @property
    def mask_files(self) -> MaskFiles | None:
        """As that of the whole images."""
        return self.whole.mask_files

    def split(self, seed: int) -> Split:
        """As that of the whole images, without abnormal images whose defects are outside; the log counts them."""
        split = self.whole.split(seed)
        tested = tuple(name for names in split.test_abnormal.values() for name in names)
        outside = self._outside((*split.known_abnormal, *split.validation_abnormal, *tested))

        def inside(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in names if name not in outside)

        kinds = {kind: inside(names) for kind, names in split.test_abnormal.items()}
        return replace(
            split,
            known_abnormal=inside(split.known_abnormal),
            validation_abnormal=inside(split.validation_abnormal),
            test_abnormal={kind: names for kind, names in kinds.items() if names},
        )

    def read(self, name: str) -> UInt8:
        """The region of an image, uint8 [h, w] or [h, w, 3]. Raises ImageError, also when it is too small."""
        image = self.whole.read(name)
        self._shapes[name] = (image.shape[0], image.shape[1])
        try:
            return np.ascontiguousarray(self.region.cut(image))
        except ImageError as error:
            raise ImageError(f"{self.place}/{name}: {error}") from None

    def file(self, name: str) -> Path | None:
        """The picture that an image is read from."""
        return self.whole.file(name)

    def at_depth(self, bit_depth: BitDepth) -> RegionSource:
        """The same source, with `bit_depth` for 16-bit pictures."""
        return RegionSource(self.whole.at_depth(bit_depth), self.region)

    def mask(self, name: str, shape: tuple[int, int]) -> Mask | None:
        """Ground truth within the region, of `shape` (height, width); None where there is none."""
        mask = self.whole.mask(name, self.whole_shape(name))
        return None if mask is None else self.region.cut(mask)

    def groups(self) -> Mapping[str, str]:
        """As those of the whole images."""
        return self.whole.groups()

    def whole_shape(self, name: str) -> tuple[int, int]:
        """Height and width of a whole image. Raises ImageError."""
        if name not in self._shapes:
            self._shapes[name] = self.whole.read(name).shape[:2]
        return self._shapes[name]

    def _outside(self, names: Sequence[str]) -> frozenset[str]:
        """Those of the abnormal images whose masks mark something, and nothing of it within the region."""
        files = self.mask_files
        if files is not None and not files.matched:
            if names:
                log.info(
                    "preprocessing.region: %s within the region; leave out what is not",
                    counted(
                        len(names),
                        "abnormal image has no mask, so nobody knows whether its defect is",
                        "abnormal images have no masks, so nobody knows whether their defects are",
                    ),
                )
            return frozenset()
        looked = tqdm(names, unit="img", desc="looking for defects in the region", delay=SECONDS_BEFORE_PROGRESS)
        outside = [name for name in looked if self._is_outside(name)]
        if outside:
            images = counted(len(names), "abnormal image")
            log.warning(
                "%s: %s left out, for nothing is masked within preprocessing.region, the first: %s",
                self.place,
                counted(len(outside), f"of {images} is", f"of {images} are"),
                outside[0],
            )
        return frozenset(outside)

    def _is_outside(self, name: str) -> bool:
        try:
            mask = self.whole.mask(name, self.whole_shape(name))
            return mask is not None and bool(mask.any()) and not self.region.cut(mask).any()
        except (ImageError, DatasetError):  # whoever uses the image says what is wrong with it
            return False

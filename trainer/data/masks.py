"""The masks of a folder's images: found, read, laid on their images, and counted."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.base.counted import counted
from latentline.errors import DatasetError
from trainer.data.labelme import SUFFIX, read_labelme
from trainer.data.mask_counts import MaskFiles
from trainer.data.mask_files import MaskFinder
from trainer.data.mask_pixels import read_mask
from trainer.data.orientation import FIRST_SIDEWAYS, orientation_of, stored_size, turned

Mask = npt.NDArray[np.bool_]
TIFF = (".tif", ".tiff")
log = logging.getLogger(__name__)


@dataclass
class FolderMasks:
    """Masks of the abnormal images `images`, most of them in the folder `root`."""

    root: Path
    images: tuple[Path, ...]
    _said: set[str] = field(default_factory=set)

    @cached_property
    def files(self) -> MaskFiles:
        """How many mask files there are. Those that belong to no abnormal image are counted in a warning."""
        matched = {mask for image in self.images for mask in self._finder.of(image)}
        found = self._finder.files(self.images, self.root)
        stray = [_below(self.root, path) for path in sorted(found - matched)]
        if stray and matched:
            log.warning(
                "%s: %s not used, the first: %s",
                self.root,
                counted(
                    len(stray),
                    "mask belongs to no abnormal image, or may belong to several, and is",
                    "masks belong to no abnormal image, or may belong to several, and are",
                ),
                stray[0],
            )
        return MaskFiles(len(found), len(matched), stray[0] if stray else None)

    def of(self, image: Path, shape: tuple[int, int]) -> Mask | None:
        """The mask of an image of `shape` (height, width), all its files together; None where it has none.

        Raises DatasetError when a file has another size, and ImageError when it cannot be read.
        """
        masks = [self._laid_on(image, path, shape) for path in self._finder.of(image)]
        return np.logical_or.reduce(masks) if masks else None

    @cached_property
    def _finder(self) -> MaskFinder:
        return MaskFinder(tuple(sorted({image.parent for image in self.images})))

    def _laid_on(self, image: Path, path: Path, shape: tuple[int, int]) -> Mask:
        """The mask at `path`, upright as `read_image` reads its image."""
        stored = read_labelme(path) if path.suffix.lower() == SUFFIX else read_mask(path)
        own, of_image = _orientation_left(path), orientation_of(image)
        upright = turned(stored, own)
        if of_image != 1 and own == 1:
            with_image = turned(stored, of_image)
            fits = (upright.shape == shape, with_image.shape == shape)
            if fits == (False, True) or (all(fits) and self._drawn_on_stored):
                self._say(
                    "masks of images with an EXIF orientation fit these as stored, and are turned as it says", path
                )
                return with_image
            if fits == (True, False):
                self._say("masks of images with an EXIF orientation fit these upright, and stay as they are", path)
            elif all(fits):
                self._say("masks of images with an EXIF orientation are taken as drawn on the upright images", path)
        if upright.shape == shape:
            return upright
        if stored.shape == shape:
            self._say("the EXIF orientation of masks that are upright without it is ignored", path)
            return stored
        height, width = upright.shape
        raise DatasetError(
            f"{path}: the mask has {width} x {height} px, its image {shape[1]} x {shape[0]}; "
            "a mask must have the size of its image"
        )

    @cached_property
    def _drawn_on_stored(self) -> bool:
        """Whether the masks that can tell, those of images turned sideways, were drawn on images as stored."""
        for image in self.images:
            if image.suffix.lower() in TIFF or orientation_of(image) < FIRST_SIDEWAYS:
                continue
            size = stored_size(image)
            if size is None or size[0] == size[1]:
                continue
            if any(_orientation_left(path) == 1 and stored_size(path) == size for path in self._finder.of(image)):
                return True
        return False

    def _say(self, sentence: str, path: Path) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.info("%s; the first: %s", sentence, path)


def _below(root: Path, path: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _orientation_left(path: Path) -> int:
    """The orientation that `read_mask` leaves to its caller: OpenCV turns every TIFF that it decodes."""
    return 1 if path.suffix.lower() in TIFF else orientation_of(path)

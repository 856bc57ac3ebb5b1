"""How many masks a data set has, how many belong to an image, and how many say something: counted, and put in words."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.base.counted import counted

HALF = 0.5
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskFiles:
    """Mask files of a data set, and how many of them belong to an abnormal image.

    stray  one that belongs to none, relative to `data.root`; None: there is no such file
    """

    found: int
    matched: int
    stray: str | None


@dataclass
class MaskCounts:
    """Counts the masks of some images.

    images  seen so far; `masked` of them have a mask, of which `empty` mark nothing, `large` more than half of their
            image, and `full` of these all of it
    """

    images: int = 0
    masked: int = 0
    empty: int = 0
    large: int = 0
    full: int = 0

    def add(self, mask: npt.NDArray[np.bool_] | None) -> None:
        """Count one image; None where it has no mask."""
        self.images += 1
        if mask is None:
            return
        share = float(mask.mean())
        self.masked += 1
        self.empty += share == 0
        self.large += share > HALF
        self.full += share == 1

    @property
    def used(self) -> int:
        """Masks that mark something."""
        return self.masked - self.empty

    def say(self, kind: str, files: MaskFiles | None, place: str) -> None:
        """Log the counts, and a warning where the masks cannot be right.

        kind   of each of the images, such as "abnormal test image"
        files  None: the source has no mask files
        place  of the source
        """
        told = f"of {counted(self.images, kind)} {counted(self.masked, 'has', 'have')} a mask, "
        told += f"and {counted(self.used, 'of these is used', 'of these are used')}"
        if not self.images:
            told = f"0 are used, for there is no {kind}"
        elif files is not None and not self.masked:
            told += "; where masks are looked for: docs/training.md, Masks"
        elif self.empty:
            told += f", for {counted(self.empty, 'is empty', 'are empty')}"
        if files is not None:
            told = f"{counted(files.found, 'file')} found, {files.matched} matched to images; {told}"
        log.info("masks: %s", told)
        if fault := self.fault(files):
            log.warning("%s: %s", place, fault)

    def fault(self, files: MaskFiles | None) -> str | None:
        """A sentence where no mask matches an image, or those of the counted images cannot be right; else None."""
        if files is not None and files.found and not files.matched:
            return (
                f"none of {counted(files.found, 'mask')}, such as {files.stray}, belongs to an image, so nobody uses "
                "them; name a mask as its image, with or without _mask, in ground_truth/<defect>"
            )
        if self.masked and not self.used:
            masks = "the only mask is" if self.masked == 1 else f"all {self.masked} masks are"
            return f"{masks} empty, so nothing is marked; a pixel other than 0 is abnormal"
        if self.full and self.full == self.used:
            masks = "the only mask is" if self.full == 1 else f"all {self.full} masks are"
            return (
                f"{masks} abnormal over the whole image, which says nothing about where; "
                "0 is normal and any other value abnormal: write them so"
            )
        if self.used and self.large > HALF * self.used:
            masks = counted(self.large, f"of {counted(self.used, 'mask')} marks", f"of {self.used} masks mark")
            return (
                f"{masks} more than half of the image; "
                "if that is inverted, invert it: 0 is normal and any other value abnormal"
            )
        return None

"""Images in the folders of MVTec AD: train/good, test/good, test/<defect>, ground_truth/<defect>.

As in MVTec LOCO, validation/good may hold the normal images for calibration. `good` may be `ok` or `normal`, in any
case, as BTAD and others have it.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.base.counted import counted
from latentline.errors import DatasetError
from latentline.vision.bit_depth import BitDepth
from latentline.vision.images import read_image, unread_pictures
from trainer.data.folder_names import (
    MASK_FOLDERS,
    folders_in,
    holds_masks,
    image_files,
    images_and_masks,
    is_good,
)
from trainer.data.masks import FolderMasks

UInt8 = npt.NDArray[np.uint8]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFolder:
    """Image names: sorted POSIX paths relative to `root`. Its 16-bit pictures have `bit_depth`."""

    root: Path
    train_good: tuple[str, ...]
    validation_good: tuple[str, ...]
    test_good: tuple[str, ...]
    test_abnormal: dict[str, tuple[str, ...]]
    bit_depth: BitDepth = "auto"

    @classmethod
    def scan(cls, root: Path) -> ImageFolder:
        """List the images, and say what beside them is taken for masks or may be.

        Raises DatasetError when the folder or its normal images are missing.
        """
        if not root.is_dir():
            raise DatasetError(f"{root}: there is no such folder; give the root of train/good and test/…")
        train = _good(root, "train")
        if not train:
            raise DatasetError(f"{root}: no images in train/good; {_instead(root)}")
        kinds = [kind for kind in folders_in(root / "test") if not is_good(kind.name) and not holds_masks(kind)]
        abnormal = {kind.name: _names(root, kind) for kind in kinds}
        return cls(
            root,
            train,
            _good(root, "validation"),
            _good(root, "test"),
            {kind: names for kind, names in abnormal.items() if names},
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All images."""
        abnormal = (name for names in self.test_abnormal.values() for name in names)
        return (*self.train_good, *self.validation_good, *self.test_good, *abnormal)

    @cached_property
    def masks(self) -> FolderMasks:
        """The masks of the abnormal images."""
        return FolderMasks(self.root, self.abnormal)

    @property
    def abnormal(self) -> tuple[Path, ...]:
        """The abnormal images."""
        return tuple(self.root / name for names in self.test_abnormal.values() for name in names)

    def read(self, name: str) -> UInt8:
        """One image, uint8 [H, W] or [H, W, 3]. Raises ImageError."""
        return read_image(self.root / name, self.bit_depth)

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Ground truth of an image of `shape` (height, width), True where abnormal; None where there is no mask file.

        Raises DatasetError when the mask has another size, and ImageError when it cannot be read.
        """
        return self.masks.of(self.root / name, shape)


def _instead(root: Path) -> str:
    """What to do without normal images: give the folder above or below that has them, or put some there."""
    near = (*list(root.parents)[:2], *folders_in(root))
    meant = next((place for place in near if any(is_good(side.name) for side in folders_in(place / "train"))), None)
    return "put normal images (png, jpg, bmp, tif) there" if meant is None else f"give {meant}, which has this folder"


def _good(root: Path, side: str) -> tuple[str, ...]:
    """The normal images of `train`, `validation` or `test`."""
    return tuple(name for folder in folders_in(root / side) if is_good(folder.name) for name in _names(root, folder))


def _names(root: Path, folder: Path) -> tuple[str, ...]:
    images, masks = images_and_masks(folder)
    if masks:
        place = masks[0].relative_to(root).as_posix()
        taken = counted(
            len(masks),
            "file is taken for a mask of the image beside it",
            "files are taken for masks of the images beside them",
        )
        log.info("%s: %s, such as %s", root, taken, place)
    unread = [path for path in folders_in(folder) if path.name.casefold() not in MASK_FOLDERS and image_files(path)]
    if unread:
        log.warning(
            "%s: images in %s inside are not read, such as those in %s; move them up",
            folder,
            counted(len(unread), "folder"),
            unread[0].name,
        )
    if others := unread_pictures(folder):
        log.warning(
            "%s: %s of a kind that is not read, such as %s; save as png",
            folder,
            counted(len(others), "file is", "files are"),
            others[0].name,
        )
    stems = Counter(path.stem for path in images)
    twice = [path for path in images if stems[path.stem] > 1]
    if twice:
        log.warning(
            "%s: %d images have the name of another up to its suffix, such as %s and %s, and all count as images; if "
            "some are masks of the others, move these to ground_truth/%s",
            folder,
            len(twice),
            twice[0].name,
            twice[1].name,
            folder.name,
        )
    return tuple(path.relative_to(root).as_posix() for path in images)

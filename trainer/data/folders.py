"""A folder of images in the layout of MVTec: train/good, test/good, test/<defect>, ground_truth/<defect>.

As in MVTec LOCO, validation/good may hold the normal images for calibration.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.errors import DatasetError, ImageError
from latentline.images import list_images, read_image

UInt8 = npt.NDArray[np.uint8]
BAD_FILES_ALLOWED = 0.1


@dataclass(frozen=True)
class ImageFolder:
    """Names relative to `root`, POSIX style, sorted."""

    root: Path
    train_good: tuple[str, ...]
    validation_good: tuple[str, ...]
    test_good: tuple[str, ...]
    test_abnormal: dict[str, tuple[str, ...]]

    @classmethod
    def scan(cls, root: Path) -> ImageFolder:
        """List the images. Raises DatasetError when the folder or its normal images are missing."""
        if not root.is_dir():
            raise DatasetError(f"{root}: there is no such folder; give the root of train/good and test/…")
        train = _names(root, root / "train" / "good")
        if not train:
            raise DatasetError(f"{root}: no images in train/good; put normal images (png, jpg, bmp, tif) there")
        test = root / "test"
        defects = sorted(p.name for p in test.iterdir() if p.is_dir()) if test.is_dir() else []
        abnormal = {d: _names(root, test / d) for d in defects if d != "good"}
        return cls(
            root,
            train,
            _names(root, root / "validation" / "good"),
            _names(root, test / "good"),
            {d: n for d, n in abnormal.items() if n},
        )

    def groups(self, table: str | None) -> dict[str, str]:
        """Image name -> group, from the CSV `table`; an image without a row is a group of its own."""
        if table is None:
            return {}
        path = self.root / table
        try:
            with path.open(newline="", encoding="utf-8") as file:
                return {row["file"]: row["tile_group"] for row in csv.DictReader(file)}
        except (OSError, KeyError, UnicodeDecodeError):
            raise DatasetError(f"{path}: expected a CSV with the columns file and tile_group") from None

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Ground truth of an image of `shape` (height, width): True where abnormal; None when there is no mask file.

        Raises DatasetError when the mask has another size.
        """
        _, defect, file = name.split("/", 2)
        path = self.root / "ground_truth" / defect / f"{Path(file).stem}_mask.png"
        if not path.is_file():
            return None
        mask = read_image(path)
        mask = mask if mask.ndim == 2 else mask.max(axis=2)
        if mask.shape != shape:
            raise DatasetError(
                f"{path}: the mask has {mask.shape[1]} x {mask.shape[0]} px, its image {shape[1]} x {shape[0]}; "
                "a mask must have the size of its image"
            )
        return np.asarray(mask > 127)


@dataclass(frozen=True)
class Loaded:
    """Images that could be read, and one sentence for each that could not."""

    images: dict[str, UInt8]
    bad: tuple[str, ...]


def load(root: Path, names: tuple[str, ...]) -> Loaded:
    """Read `names`. A broken file is skipped and named; more than a tenth broken raises DatasetError."""
    images: dict[str, UInt8] = {}
    bad: list[str] = []
    for name in names:
        try:
            images[name] = read_image(root / name)
        except ImageError as error:
            bad.append(str(error))
    if len(bad) > BAD_FILES_ALLOWED * len(names):
        raise DatasetError(
            f"{root}: {len(bad)} of {len(names)} images cannot be used, the first: {bad[0]}; mend or remove them"
        )
    return Loaded(images, tuple(bad))


def _names(root: Path, folder: Path) -> tuple[str, ...]:
    return tuple(p.relative_to(root).as_posix() for p in list_images(folder)) if folder.is_dir() else ()

"""A user's own copy of Caltech-256: some categories are normal, the clutter category is abnormal. No download."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.base.counted import counted
from latentline.errors import DatasetError
from latentline.vision.bit_depth import BitDepth
from latentline.vision.images import list_images, read_image
from trainer.data.mask_counts import MaskFiles
from trainer.data.settings import CaltechData
from trainer.data.split import Split, shuffled, split_known_abnormal, take

UInt8 = npt.NDArray[np.uint8]
CATEGORY = re.compile(r"\d{3}\.(?P<name>.+)")
CLUTTER = "clutter"


class CaltechSource:
    """Names such as "001.ak47/001_0001.jpg"."""

    mask_files: MaskFiles | None = None

    def __init__(self, config: CaltechData) -> None:
        self.place = str(config.root)
        self._config = config
        self._bit_depth: BitDepth = "auto"
        if not config.root.is_dir():
            raise DatasetError(f"{config.root}: there is no such folder; give the folder of 001.ak47 … 257.clutter")
        matches = [CATEGORY.fullmatch(path.name) for path in sorted(config.root.iterdir()) if path.is_dir()]
        categories = [match for match in matches if match]
        clutter = [match.string for match in categories if match["name"] == CLUTTER]
        ordinary = [match.string for match in categories if match["name"] != CLUTTER]
        if not clutter or len(ordinary) < config.normal_categories:
            raise DatasetError(
                f"{config.root}: holds {len(clutter)} clutter categories and {len(ordinary)} others; needed are 1 and "
                f"{config.normal_categories}; give the folder of 001.ak47 … 257.clutter"
            )
        chosen = shuffled(ordinary, np.random.default_rng(config.seed))[: config.normal_categories]
        self.normal = {category: self._names(category) for category in sorted(chosen)}
        self._clutter = self._names(clutter[0])

    def read(self, name: str) -> UInt8:
        """One image, uint8 [H, W] where it is grey, else [H, W, 3]. Raises ImageError."""
        return read_image(self.file(name), self._bit_depth)

    def file(self, name: str) -> Path:
        """The picture of this name."""
        return self._config.root / name

    def at_depth(self, bit_depth: BitDepth) -> CaltechSource:
        """The same source, with `bit_depth` for 16-bit pictures."""
        other = copy.copy(self)
        other._bit_depth = bit_depth
        return other

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """None: clutter is abnormal as a whole."""
        return None

    def groups(self) -> Mapping[str, str]:
        """Every image is a group of its own."""
        return {}

    def split(self, seed: int) -> Split:
        """Split each normal category in the same proportions. Raises DatasetError when there are too few images."""
        config, rng = self._config, np.random.default_rng(seed)
        train: list[str] = []
        held_out: list[str] = []
        test: list[str] = []
        for category, names in self.normal.items():
            tested, others = take(names, 1 - config.train_fraction, {}, rng)
            calibrating, training = take(others, config.held_out_fraction, {}, rng)
            if not (tested and calibrating and training):
                raise DatasetError(
                    f"{self.place}: {category} has {counted(len(names), 'image')}, too few to split; copy "
                    "Caltech-256 again"
                )
            train, held_out, test = [*train, *training], [*held_out, *calibrating], [*test, *tested]
        if not self._clutter:
            raise DatasetError(f"{self.place}: the clutter category has no images; copy Caltech-256 again")
        known, abnormal = take(self._clutter, config.known_abnormal_fraction, {}, rng)
        if not config.known_abnormal_fraction:
            known, abnormal = (), self._clutter
        trained, validation = split_known_abnormal(known, {}, rng)
        return Split(
            tuple(sorted(train)), tuple(sorted(held_out)), trained, validation, tuple(sorted(test)), {CLUTTER: abnormal}
        )

    def _names(self, category: str) -> tuple[str, ...]:
        return tuple(f"{category}/{path.name}" for path in list_images(self._config.root / category))

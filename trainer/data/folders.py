"""Images in folders, split as the settings say: whole parts on one side, known-abnormal images out of the test."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.base.counted import counted
from latentline.errors import DatasetError
from latentline.vision.bit_depth import BitDepth
from trainer.data.added import AddedImages, read_added, with_added
from trainer.data.folder_names import is_mask_by_place
from trainer.data.group_table import read_group_table
from trainer.data.image_folder import ImageFolder
from trainer.data.known_places import copies, known_images
from trainer.data.mask_counts import MaskFiles
from trainer.data.masks import FolderMasks
from trainer.data.settings import FolderData
from trainer.data.split import Split, at_most, first_parts, shuffled, split_known_abnormal, take

FEWEST_HELD_OUT = 30  # 10 to standardise the score and to compare searches with, 20 for a threshold at 5 %
FEWEST_TRAINING = 10  # so many must be left to train: fewer teach nothing, and a shortage is said instead
log = logging.getLogger(__name__)


class FolderSource:
    """A folder of images, split as a `FolderData` says."""

    def __init__(self, config: FolderData) -> None:
        self.place = str(config.root)
        self._config, self._folder = config, ImageFolder.scan(config.root)

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """One image, uint8 [H, W] or [H, W, 3]. Raises ImageError."""
        return self._folder.read(name)

    @property
    def mask_files(self) -> MaskFiles:
        """How many mask files the folder has."""
        return self._masks.files

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Ground truth of an image of `shape` (height, width), True where abnormal; None where there is no mask file.

        Raises DatasetError when the mask has another size, and ImageError when it cannot be read.
        """
        return self._masks.of(self._folder.root / name, shape)

    def file(self, name: str) -> Path:
        """The picture of this name."""
        return self._folder.root / name

    def at_depth(self, bit_depth: BitDepth) -> FolderSource:
        """The same source, with `bit_depth` for 16-bit pictures."""
        other = copy.copy(self)
        other._folder = replace(self._folder, bit_depth=bit_depth)
        return other

    def groups(self) -> Mapping[str, str]:
        """Image name -> group, from the CSV; an image without a row is a group of its own. Raises DatasetError."""
        return self._groups

    @cached_property
    def added(self) -> AddedImages:
        """The labelled images. Raises DatasetError."""
        joined = AddedImages()
        for folder in self._config.added:
            joined = joined.joined(read_added(folder))
        return joined

    @cached_property
    def _groups(self) -> Mapping[str, str]:
        return {**self._own_groups(), **self.added.groups}

    def _own_groups(self) -> Mapping[str, str]:
        config = self._config
        if config.groups is None:
            return {}
        names = {*self._folder.names, *self._named_known}
        return read_group_table(config.root / config.groups, config.root, names)

    @cached_property
    def _masks(self) -> FolderMasks:
        root = self._folder.root
        named = (root / name for name in (*self._named_known, *self.added.defects))
        return FolderMasks(root, tuple(dict.fromkeys([*self._folder.abnormal, *named])))

    @property
    def _named_known(self) -> tuple[str, ...]:
        place = self._config.known_abnormal
        try:
            return () if place is None else known_images(place, self._folder.root)
        except DatasetError:  # `split` says so; an evaluation can do without the list of its training
            return ()

    def split(self, seed: int) -> Split:
        """Choose held-out normal and known-abnormal images, by whole groups or, `split_by` image, one by one.

        The test set does not depend on the contamination, nor on the limit of known-abnormal images. Raises
        DatasetError when a side stays empty, a listed image does not exist, or there are too few images to contaminate
        with.
        """
        split = self._own_split(seed)
        for number, folder in enumerate(self._config.added, 1):
            split = with_added(split, read_added(folder), self, self._config.held_out_fraction, seed + number)
        return split

    def _own_split(self, seed: int) -> Split:
        """The split of the folder itself."""
        rng = np.random.default_rng(seed)
        groups = self.groups() if self._config.split_by == "part" else {}
        good, test_good = self._good(seed)
        train, held_out = self._normals(good, groups, rng)
        known = self._known(groups, rng)
        limit = self._config.known_abnormal_limit
        used = known if limit is None else first_parts(known, limit, groups, np.random.default_rng(seed))
        trained, validation = split_known_abnormal(used, groups, rng)
        if self._config.contamination:
            # first those that would train as known abnormal: then both kinds of run differ in their labels alone
            order = shuffled(trained, rng) + shuffled(validation, rng)
            train = tuple(sorted(train + self._contaminants(order, len(train), groups)))
            trained = validation = ()
        tested = (*self._folder.test_good, *(n for names in self._folder.test_abnormal.values() for n in names))
        elsewhere = [name for name in known if name not in tested]
        known_groups = {groups.get(name, name) for name in (*known, *copies(elsewhere, tested, self._folder.root))}

        def unknown(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in names if groups.get(name, name) not in known_groups)

        abnormal = {defect: unknown(names) for defect, names in self._folder.test_abnormal.items()}
        return Split(
            train,
            held_out,
            trained,
            validation,
            unknown(test_good),
            {defect: names for defect, names in abnormal.items() if names},
        )

    def _good(self, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Normal images as (not tested, tested): as the folders have them or, `split_by` image, shuffled."""
        good, test_good = self._folder.train_good, self._folder.test_good
        if self._config.split_by == "part":
            return good, test_good
        order = shuffled(good + test_good, np.random.default_rng(seed))
        return tuple(sorted(order[len(test_good) :])), tuple(sorted(order[: len(test_good)]))

    def _normals(
        self, good: tuple[str, ...], groups: Mapping[str, str], rng: np.random.Generator
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Normal images `good` as (training, held out)."""
        if self._folder.validation_good:
            return good, self._folder.validation_good
        enough = FEWEST_HELD_OUT / len(good) if len(good) >= FEWEST_HELD_OUT + FEWEST_TRAINING else 0.0
        held_out, train = take(good, max(enough, self._config.held_out_fraction), groups, rng)
        if not held_out:
            raise DatasetError(
                f"{self.place}: {counted(len(good), 'normal image')} of a single part: too few to hold any out; "
                "add images of other parts"
            )
        return train, held_out

    def _known(self, groups: Mapping[str, str], rng: np.random.Generator) -> tuple[str, ...]:
        """The known-abnormal images; those of one defect folder do not depend on the other folders chosen."""
        config, abnormal = self._config, self._folder.test_abnormal
        types = config.known_abnormal_types or tuple(abnormal)
        for name in types:
            if name not in abnormal and config.known_abnormal is None:
                raise DatasetError(
                    f"{self.place}: known_abnormal_types names '{name}', but test/{name} has no images; correct it"
                )
        if config.known_abnormal is not None:
            return self._listed(config.known_abnormal, types)
        if not config.known_abnormal_fraction:
            return ()
        chosen = {d: take(names, config.known_abnormal_fraction, groups, rng)[0] for d, names in abnormal.items()}
        return tuple(name for defect in abnormal if defect in types for name in chosen[defect])

    def _listed(self, place: Path | tuple[Path, ...], types: tuple[str, ...]) -> tuple[str, ...]:
        """The images that the user names. Raises DatasetError for normal ones and masks, and for none of the types."""
        found = known_images(place, self._folder.root)
        normal = {*self._folder.train_good, *self._folder.validation_good, *self._folder.test_good}
        if wrong := [name for name in found if name in normal]:
            raise DatasetError(f"{self.place}: '{wrong[0]}' is a normal image; take it out of data.known_abnormal")
        if wrong := [name for name in found if is_mask_by_place(name)]:
            raise DatasetError(f"{self.place}: '{wrong[0]}' is a mask; name the images in data.known_abnormal")
        if not self._config.known_abnormal_types:
            return found
        chosen = tuple(name for name in found if Path(name).parent.name in types)
        if not chosen:
            raise DatasetError(
                f"{self.place}: no image of data.known_abnormal is in a folder of known_abnormal_types "
                f"({', '.join(types)}); correct either"
            )
        return chosen

    def _contaminants(self, names: list[str], train: int, groups: Mapping[str, str]) -> tuple[str, ...]:
        needed = round(self._config.contamination * train)
        if len(names) < needed:
            raise DatasetError(
                f"{self.place}: {self._config.contamination:.1%} of {train} training images are {needed} contaminating "
                f"ones, but the known-abnormal choice holds {len(names)}; choose more, or lower data.contamination"
            )
        return at_most(names, needed, groups)

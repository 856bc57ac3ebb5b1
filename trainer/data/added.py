"""Labelled images of a station that join a data set, in the folders that `latentline-edge labels export` writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.errors import DatasetError
from latentline.vision.content import pixel_hash
from trainer.data.folder_names import folders_in, holds_masks, images_and_masks, is_good
from trainer.data.loading import SECONDS_BEFORE_PROGRESS, read_each
from trainer.data.source import ImageSource
from trainer.data.split import Split, split_known_abnormal, take

Box = tuple[int, int, int, int]
_PROVENANCE, _GROUPS = "provenance.json", "groups.csv"


@dataclass(frozen=True)
class AddedImages:
    """Images by absolute name.

    good     labelled good; defects: labelled as defects
    random   those of `good` that the station kept by chance: they show the line as it is, others are the difficult ones
    boxes    where the station saw defects (x, y, width, height), in a picture labelled good; they are false alarms
    groups   name -> group
    """

    good: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    random: frozenset[str] = frozenset()
    boxes: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def joined(self, other: AddedImages) -> AddedImages:
        """With those of another folder."""
        return AddedImages(
            self.good + other.good,
            self.defects + other.defects,
            self.random | other.random,
            {**self.boxes, **other.boxes},
            {**self.groups, **other.groups},
        )


def read_added(folder: Path) -> AddedImages:
    """The images of a folder. Raises DatasetError where there are none, or its tables cannot be read."""
    good = [path for side in folders_in(folder / "train") if is_good(side.name) for path in images_and_masks(side)[0]]
    kinds = [kind for kind in folders_in(folder / "test") if not is_good(kind.name) and not holds_masks(kind)]
    defects = [path for kind in kinds for path in images_and_masks(kind)[0]]
    if not good and not defects:
        raise DatasetError(
            f"{folder}: no images in train/good or test/KIND; give a folder that `latentline-edge labels export` wrote"
        )
    told = _provenance(folder)
    names = {path.relative_to(folder).as_posix(): path.as_posix() for path in (*good, *defects)}
    about = {names[str(one["file"])]: one for one in told if one.get("file") in names}
    return AddedImages(
        tuple(path.as_posix() for path in good),
        tuple(path.as_posix() for path in defects),
        frozenset(name for name, one in about.items() if one.get("why") == "normal"),
        {name: tuple(map(tuple, one["boxes"])) for name, one in about.items() if one.get("boxes")},
        _groups(folder, names),
    )


def _provenance(folder: Path) -> list[dict[str, Any]]:
    """What is told of each image; nothing of a folder that a person made."""
    path = folder / _PROVENANCE
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["images"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DatasetError(f"{path}: cannot be read; export the labels again") from None


def _groups(folder: Path, names: Mapping[str, str]) -> dict[str, str]:
    path = folder / _GROUPS
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["file"] in names]
            return {names[row["file"]]: f"label {row['tile_group']}" for row in rows}
    except (OSError, ValueError, KeyError):
        raise DatasetError(f"{path}: cannot be read; export the labels again") from None


def with_added(split: Split, added: AddedImages, source: ImageSource, fraction: float, seed: int) -> Split:
    """`split` with the labelled images of one folder; no content is on two sides.

    Images that people labelled because they were difficult train; those that the station kept by chance are like any
    normal image, and a `fraction` of their groups calibrates. What a model before this one may have trained on never
    calibrates: an image that is in `split` already keeps to its side, unless its label says that it is of the other
    kind, or it is a test image; then it trains by its label.

    source  reads the images of all of them. Raises DatasetError when many cannot be read
    """
    sides = _Sides(split, source)
    known = sides.contents(sides.names)
    known_before: set[str] = set()
    good, defects = sides.contents(added.good), sides.contents(added.defects)
    for content, name in list(good.items()):
        side = sides.side(known.get(content))
        if content in defects or side in ("train", "held_out"):
            del good[content]
        elif side is not None:
            sides.remove(known[content])
            known_before.add(name)
    for content in list(defects):
        side = sides.side(known.get(content))
        if side in ("known_abnormal", "validation_abnormal"):
            del defects[content]
        elif side is not None:
            sides.remove(known[content])
    return _dealt(sides.split, added, tuple(good.values()), tuple(defects.values()), known_before, fraction, seed)


def _dealt(
    split: Split,
    added: AddedImages,
    good: tuple[str, ...],
    defects: tuple[str, ...],
    known_before: set[str],
    fraction: float,
    seed: int,
) -> Split:
    """Deal the new images to the sides, by whole groups."""
    groups = added.groups

    def of(names: Iterable[str]) -> set[str]:
        return {groups.get(name, name) for name in names}

    training = of(n for n in (*good, *defects) if n not in added.random or n in known_before)
    training |= of((*split.train, *split.known_abnormal))
    kept = tuple(n for n in split.held_out if groups.get(n, n) not in training)
    free = [n for n in good if groups.get(n, n) not in training]
    with_held = [n for n in free if groups.get(n, n) in of(kept)]
    others = [n for n in free if n not in with_held]
    rng = np.random.default_rng(seed)
    calibrating = {*with_held, *(take(others, fraction, groups, rng)[0] if others else ())}
    shown, validation = split_known_abnormal(defects, groups, rng) if defects else ((), ())
    return replace(
        split,
        train=(*split.train, *(n for n in good if n not in calibrating)),
        held_out=(*kept, *sorted(calibrating)),
        known_abnormal=(*split.known_abnormal, *shown),
        validation_abnormal=(*split.validation_abnormal, *validation),
    )


class _Sides:
    """A split from which images are taken."""

    def __init__(self, split: Split, source: ImageSource) -> None:
        self.split, self._source = split, source

    def contents(self, names: Sequence[str]) -> dict[str, str]:
        """Name by content; of several images of one content the last."""
        images = read_each(self._source, names, [])
        progress = tqdm(images, total=len(names), unit="img", delay=SECONDS_BEFORE_PROGRESS, desc="known images")
        return {pixel_hash(image): name for name, image in progress}

    @property
    def names(self) -> tuple[str, ...]:
        """All images."""
        return tuple(name for names in self._by_side().values() for name in names)

    def _by_side(self) -> dict[str, tuple[str, ...]]:
        split = self.split
        return {
            "train": split.train,
            "held_out": split.held_out,
            "known_abnormal": split.known_abnormal,
            "validation_abnormal": split.validation_abnormal,
            "test": (*split.test_good, *(n for names in split.test_abnormal.values() for n in names)),
        }

    def side(self, name: str | None) -> str | None:
        """The side that an image is on; None: on none."""
        return next((side for side, names in self._by_side().items() if name in names), None)

    def remove(self, name: str | None) -> None:
        """Take an image from its side."""

        def without(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(other for other in names if other != name)

        split = self.split
        abnormal = {kind: without(names) for kind, names in split.test_abnormal.items()}
        self.split = Split(
            without(split.train),
            without(split.held_out),
            without(split.known_abnormal),
            without(split.validation_abnormal),
            without(split.test_good),
            {kind: names for kind, names in abnormal.items() if names},
        )


def boxes_mask(boxes: Sequence[Box], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The boxes as a mask bool [height, width]."""
    mask = np.zeros(shape, np.bool_)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = True
    return mask

"""A small image folder for comparing methods, from images that the user's own test never shows.

Its normal images are the user's training and held-out ones, split anew; its abnormal ones are known-abnormal images,
and normal ones with made defects of kinds that no training makes. All are written as PNG, so that a user can look at
what the choice rests on.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.base.atomic import write_bytes, write_text
from latentline.base.counted import counted
from latentline.base.strict_yaml import StrictModel
from latentline.errors import DatasetError
from trainer.config import TrainConfig
from trainer.data.loading import read_each
from trainer.data.source import ImageSource
from trainer.data.split import at_most, shuffled, take
from trainer.data.unseen import synthesise_unseen
from trainer.evaluation.made_defects import with_made_defect

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

FEWEST_NORMALS = 40
FEWEST_PARTS = 3  # one to train on, one to calibrate with, one to test
KEPT_SHARE = 0.2  # of the normal images, for the calibration, and as many for the test
FEWEST_KEPT = 12  # images: 8 standardise the score, and 4 are for the threshold
MOST_TEST, MOST_CALIBRATION, MOST_TRAINING, MOST_KNOWN = 60, 80, 600, 120  # images
MADE_OF_AN_IMAGE = 2  # made defects, each on a copy of its own
SIZES = (0.03, 0.12)  # of a made defect, of the shorter side of the image, where no mask says how large defects are
SQUARE = 4.0  # sides of a defect in the square that it is made in
GROUPS, KNOWN = "groups.csv", "known.txt"
log = logging.getLogger(__name__)


class Counts(StrictModel):
    """Images on each side of an image set: to train on, to calibrate with, and tested normal, known-abnormal and made
    abnormal ones."""

    train: int
    calibration: int
    normal: int
    known_trained: int
    known_tested: int
    made: int

    @property
    def sentence(self) -> str:
        """The counts in words."""
        known = "no known-abnormal image"
        if self.known_tested:
            known = f"{counted(self.known_tested, 'known-abnormal image')} that no method trained on"
        return (
            f"Each method trained on {self.train} normal and {counted(self.known_trained, 'known-abnormal image')} "
            f"and was calibrated with {self.calibration} normal ones; compared are {self.normal} other normal images, "
            f"{known}, and {self.made} images with made defects. None of your test images was used."
        )


@dataclass
class _Writer:
    root: Path
    rows: list[tuple[str, str]] = field(default_factory=list)

    def add(self, folder: str, frame: UInt8, part: str, mask: Mask | None = None) -> str:
        """Write one image, and its mask; give its name."""
        name = f"{folder}/{len(self.rows):05d}.png"
        self._png(name, frame)
        if mask is not None:
            kind, file = PurePosixPath(name).parts[1:]
            self._png(f"ground_truth/{kind}/{PurePosixPath(file).stem}_mask.png", mask.astype(np.uint8) * 255)
        self.rows.append((name, part))
        return name

    def _png(self, name: str, image: UInt8) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, cv2.imencode(".png", image, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes())

    def groups(self) -> str:
        """The CSV of parts."""
        text = io.StringIO()
        csv.writer(text).writerows([("file", "tile_group"), *self.rows])
        return text.getvalue()


def write_image_set(source: ImageSource, config: TrainConfig, root: Path) -> Counts:
    """Write the images into the new folder `root`, by whole parts and seeded, with `GROUPS` and the list `KNOWN`.

    Raises DatasetError when there are fewer than 40 normal images, or normal images of fewer than 3 parts.
    """
    rng = np.random.default_rng(config.schedule.seed)
    split, groups = source.split(config.schedule.seed), source.groups()
    train, calibration, test = _normals(source.place, (*split.train, *split.held_out), groups, rng)
    known = shuffled((*split.known_abnormal, *split.validation_abnormal), rng)
    trained, tested = take(at_most(known, MOST_KNOWN, groups), 0.5, groups, rng)
    writer = _Writer(root)
    total = len(train) + len(calibration) + len(test) + len(trained) + len(tested)
    with tqdm(total=total, unit="img", desc="images to compare methods on", delay=2) as bar:
        for folder, names in (("train/good", train), ("validation/good", calibration)):
            for name, frame in _readable(source, names):
                writer.add(folder, frame, groups.get(name, name))
                bar.update()
        shown: list[str] = []
        extents: list[float] = []
        for name, frame in _readable(source, (*trained, *tested)):
            mask = source.mask(name, (frame.shape[0], frame.shape[1]))
            if mask is not None and mask.any():
                extents.append(float(np.sqrt(mask.sum()) / min(mask.shape)))
            written = writer.add(f"test/{_kind(name)}", frame, groups.get(name, name), mask)
            shown += [written] if name in trained else []
            bar.update()
        made = 0
        for name, frame in _readable(source, test):
            part = groups.get(name, name)
            writer.add("test/good", frame, part)
            for _ in range(MADE_OF_AN_IMAGE):
                share = float(rng.choice(extents)) if extents else float(np.exp(rng.uniform(*np.log(SIZES))))
                side = round(SQUARE * share * min(frame.shape[:2]))
                changed, mask = with_made_defect(frame, [frame], side, rng, synthesise_unseen)
                writer.add("test/made", changed, part, mask)
                made += 1
            bar.update()
    write_text(root / GROUPS, writer.groups())
    write_text(root / KNOWN, "".join(f"{name}\n" for name in shown))
    return Counts(
        train=len(train),
        calibration=len(calibration),
        normal=len(test),
        known_trained=len(trained),
        known_tested=len(tested),
        made=made,
    )


def _readable(source: ImageSource, names: Sequence[str]) -> Iterator[tuple[str, UInt8]]:
    """The images by name; those that are broken are named in the log. Raises DatasetError when too many are."""
    skipped: list[str] = []
    yield from read_each(source, names, skipped)
    for sentence in skipped:
        log.warning("skipped: %s", sentence)


def _normals(
    place: str, names: Sequence[str], groups: Mapping[str, str], rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Normal images as (training, calibration, test)."""
    parts = len({groups.get(name, name) for name in names})
    if len(names) < FEWEST_NORMALS or parts < FEWEST_PARTS:
        raise DatasetError(
            f"{place}: comparing methods needs {FEWEST_NORMALS} normal images of {FEWEST_PARTS} parts, and has "
            f"{len(names)} of {parts}; add normal images, or train a method of your choice with `latentline-train fit`"
        )
    kept = max(FEWEST_KEPT, KEPT_SHARE * len(names))
    test, others = take(names, min(kept, MOST_TEST) / len(names), groups, rng)
    calibration, train = take(others, min(kept, MOST_CALIBRATION) / len(others), groups, rng)
    return at_most(shuffled(train, rng), MOST_TRAINING, groups), calibration, test


def _kind(name: str) -> str:
    """The kind of a known-abnormal image: its folder under test/, else `known`."""
    parts = PurePosixPath(name).parts
    return parts[1] if len(parts) > 2 and parts[0] == "test" else "known"

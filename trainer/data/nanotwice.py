"""NanoTWICE (Carrera et al. 2017): train on five normal images, score the pixels of forty others.

Five images are too few to hold one out. The left of each image trains; the right, cut into pieces, calibrates. Training
did not see the pieces, but they show the same samples. So the false-alarm rate is promised for other places of these
five samples, not for other samples. The figures of the benchmark, over pixels, do not depend on it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.errors import DatasetError, ImageError
from latentline.vision.bit_depth import BitDepth
from trainer.data.image_folder import ImageFolder
from trainer.data.mask_counts import MaskFiles
from trainer.data.settings import NanoTwiceData
from trainer.data.split import Split, split_known_abnormal, take

UInt8 = npt.NDArray[np.uint8]
PIECE = 128  # px, the smallest side of a held-out piece where the image is large enough
CROP = re.compile(r"(?P<file>.+)@(?P<x>\d+),(?P<y>\d+),(?P<width>\d+),(?P<height>\d+)")


class NanoTwiceSource:
    """Whole images by name, and crops of them as "train/good/ITIA1101.png@x,y,width,height" in px."""

    def __init__(self, config: NanoTwiceData) -> None:
        self.place = str(config.root)
        self._config, self._folder = config, ImageFolder.scan(config.root)
        self._normal = self._folder.train_good + self._folder.test_good  # the paper trains on all five

    def read(self, name: str) -> UInt8:
        """An image or a crop of one, uint8 [H, W]. Raises ImageError."""
        crop = CROP.fullmatch(name)
        if crop is None:
            return self._folder.read(name)
        image = self._folder.read(crop["file"])
        x, y, width, height = (int(crop[key]) for key in ("x", "y", "width", "height"))
        cut = image[y : y + height, x : x + width]
        if cut.shape[:2] != (height, width) or not cut.size:
            raise ImageError(f"{self.place}/{name}: the image has only {image.shape[1]} x {image.shape[0]} px")
        return np.ascontiguousarray(cut)

    def file(self, name: str) -> Path:
        """The picture that an image or a crop is in."""
        crop = CROP.fullmatch(name)
        return self._folder.root / (name if crop is None else crop["file"])

    def at_depth(self, bit_depth: BitDepth) -> NanoTwiceSource:
        """The same source, with `bit_depth` for 16-bit pictures."""
        other = copy.copy(self)
        other._folder = replace(self._folder, bit_depth=bit_depth)
        return other

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Ground truth of an abnormal image; None for a normal one."""
        return None if CROP.fullmatch(name) else self._folder.mask(name, shape)

    @property
    def mask_files(self) -> MaskFiles:
        """How many mask files the folder has."""
        return self._folder.masks.files

    def groups(self) -> Mapping[str, str]:
        """All crops of one image are one group."""
        return {crop: crop.partition("@")[0] for name in self._normal for crop in self._crops(name)}

    def split(self, seed: int) -> Split:
        """The left of each normal image trains, pieces of the right are held out; no normal image is left for the test.

        Raises DatasetError when there is no abnormal image to test.
        """
        rng = np.random.default_rng(seed)
        crops = [self._crops(name) for name in self._normal]
        abnormal = self._folder.test_abnormal
        if not abnormal:
            raise DatasetError(f"{self.place}: no images in test/defect; put the abnormal images of NanoTWICE there")
        known: tuple[str, ...] = ()
        if self._config.known_abnormal_fraction:
            shared = {d: take(names, self._config.known_abnormal_fraction, {}, rng) for d, names in abnormal.items()}
            known = tuple(name for chosen, _ in shared.values() for name in chosen)
            abnormal = {defect: others for defect, (_, others) in shared.items()}
        trained, validation = split_known_abnormal(known, {}, rng)
        train = tuple(left for left, *_ in crops)
        held_out = tuple(sorted(piece for _, *pieces in crops for piece in pieces))
        return Split(train, held_out, trained, validation, (), abnormal)

    def _crops(self, name: str) -> list[str]:
        """The crop of an image that trains, then the pieces that are held out."""
        height, width = self._folder.read(name).shape[:2]
        left = round(width * (1 - self._config.held_out_fraction))
        rows, columns = _edges(0, height), _edges(left, width)
        pieces = [
            f"{name}@{x},{y},{right - x},{bottom - y}" for y, bottom in pairwise(rows) for x, right in pairwise(columns)
        ]
        return [f"{name}@0,0,{left},{height}", *pieces]


def _edges(start: int, end: int) -> list[int]:
    """The edges between about equal pieces of at least PIECE px."""
    return [int(v) for v in np.linspace(start, end, 1 + max(1, (end - start) // PIECE))]

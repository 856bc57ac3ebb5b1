"""NanoTWICE (Carrera et al. 2017): five normal images train, the pixels of forty others are scored.

Five images leave none to hold out. Of each, the left part trains and the right part, in pieces, calibrates: the pieces
were not trained on, but they show the very samples that were. So the promise of the threshold is about other places of
these five samples, not about other samples; what the benchmark judges, pixel metrics, does not depend on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from latentline.errors import DatasetError, ImageError
from trainer.data.folders import ImageFolder
from trainer.data.settings import NanoTwiceData
from trainer.data.split import Split, share_known, take

UInt8 = npt.NDArray[np.uint8]
PIECE = 128  # px, the least side of a held-out piece where the image allows it
PART = re.compile(r"(?P<file>.+)@(?P<x>\d+),(?P<y>\d+),(?P<width>\d+),(?P<height>\d+)")


class NanoTwiceSource:
    """Names of whole images, and of parts as "train/good/ITIA1101.png@x,y,width,height" in px."""

    def __init__(self, config: NanoTwiceData) -> None:
        self.place = str(config.root)
        self._config, self._folder = config, ImageFolder.scan(config.root)
        self._normal = self._folder.train_good + self._folder.test_good  # the paper trains on all five

    def read(self, name: str) -> UInt8:
        """An image or a part of one, uint8 [H, W]. Raises ImageError."""
        part = PART.fullmatch(name)
        if part is None:
            return self._folder.read(name)
        image = self._folder.read(part["file"])
        x, y, width, height = (int(part[key]) for key in ("x", "y", "width", "height"))
        cut = image[y : y + height, x : x + width]
        if cut.shape[:2] != (height, width) or not cut.size:
            raise ImageError(f"{self.place}/{name}: the image has only {image.shape[1]} x {image.shape[0]} px")
        return np.ascontiguousarray(cut)

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Ground truth of a defect image; None of a normal one."""
        return None if PART.fullmatch(name) else self._folder.mask(name, shape)

    def groups(self) -> Mapping[str, str]:
        """The parts of one image are one group."""
        return {part: part.partition("@")[0] for name in self._normal for part in self._parts(name)}

    def split(self, seed: int) -> Split:
        """Left parts train, pieces of the right parts are held out; there is no normal test image.

        Raises DatasetError when there is no defect image to test.
        """
        rng = np.random.default_rng(seed)
        parts = [self._parts(name) for name in self._normal]
        abnormal = self._folder.test_abnormal
        if not abnormal:
            raise DatasetError(f"{self.place}: no images in test/defect; put the abnormal images of NanoTWICE there")
        known: tuple[str, ...] = ()
        if self._config.known_abnormal_fraction:
            shared = {d: take(names, self._config.known_abnormal_fraction, {}, rng) for d, names in abnormal.items()}
            known = tuple(name for chosen, _ in shared.values() for name in chosen)
            abnormal = {defect: rest for defect, (_, rest) in shared.items()}
        trained, validation = share_known(known, {}, rng)
        train = tuple(part[0] for part in parts)
        held_out = tuple(sorted(piece for part in parts for piece in part[1:]))
        return Split(train, held_out, trained, validation, (), abnormal)

    def _parts(self, name: str) -> list[str]:
        """The part of an image that trains, then the pieces that are held out."""
        height, width = self._folder.read(name).shape[:2]
        left = round(width * (1 - self._config.held_out_fraction))
        rows, columns = _edges(0, height), _edges(left, width)
        pieces = [
            f"{name}@{x},{y},{right - x},{bottom - y}" for y, bottom in pairwise(rows) for x, right in pairwise(columns)
        ]
        return [f"{name}@0,0,{left},{height}", *pieces]


def _edges(start: int, end: int) -> list[int]:
    """Where pieces of at least PIECE px, all about equal, begin and end."""
    return [int(v) for v in np.linspace(start, end, 1 + max(1, (end - start) // PIECE))]

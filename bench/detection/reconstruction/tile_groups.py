"""Tiles of one kind of image, with the pixels that count: all of a normal tile, the masked ones of a defect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.vision.tiles import TilePlan
from trainer.config import TrainConfig
from trainer.data.crops import prepare_mask
from trainer.data.loading import read_each
from trainer.data.source import ImageSource

UInt8 = npt.NDArray[np.uint8]
MOST_TILES = 256  # of a group, about; 10 steps of search on them take a few seconds on one thread
FEWEST_PER_IMAGE = 4


@dataclass(frozen=True)
class TileGroup:
    """N tiles of several images.

    tiles   uint8 [N, S, S, C]
    counts  bool [N, S, S]: pixels that count; each tile has some
    images  [N] number of the image that each tile shows
    """

    tiles: UInt8
    counts: npt.NDArray[np.bool_]
    images: npt.NDArray[np.int64]


def cut_normal(source: ImageSource, names: Sequence[str], config: TrainConfig) -> TileGroup | None:
    """Tiles of normal images; all pixels count. None where no image can be read."""
    return _cut(source, names, config, masked=False)


def cut_defects(source: ImageSource, names: Sequence[str], config: TrainConfig) -> TileGroup | None:
    """Tiles that a defect's mask reaches; its pixels count. None where no image has a mask.

    Raises DatasetError when a mask has another size than its image.
    """
    return _cut(source, names, config, masked=True)


def _cut(source: ImageSource, names: Sequence[str], config: TrainConfig, *, masked: bool) -> TileGroup | None:
    """At most about MOST_TILES tiles, equally many of each image, from where an inspection cuts them."""
    rng = np.random.default_rng(config.schedule.seed)
    most = max(FEWEST_PER_IMAGE, math.ceil(MOST_TILES / max(1, len(names))))
    tiles, counts, images = list[UInt8](), list[npt.NDArray[np.bool_]](), list[int]()
    for number, (name, frame) in enumerate(read_each(source, names, [])):
        prepared = config.preprocessing.apply(frame)
        plan = TilePlan.cover(prepared.shape[0], prepared.shape[1], config.network.resolution, config.search.overlap)
        mask = np.ones(prepared.shape[:2], np.bool_)
        if masked:
            given = source.mask(name, (frame.shape[0], frame.shape[1]))
            mask = np.zeros_like(mask) if given is None else prepare_mask(given, prepared)
        cut, reached = plan.cut(prepared), plan.cut(mask.astype(np.uint8)[..., None])[..., 0].astype(np.bool_)
        some = np.flatnonzero(reached.any(axis=(1, 2)))
        for index in rng.permutation(some)[:most]:
            tiles.append(cut[index])
            counts.append(reached[index])
            images.append(number)
    return TileGroup(np.stack(tiles), np.stack(counts), np.array(images)) if tiles else None

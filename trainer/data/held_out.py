"""What calibration is given of a split: held-out normal frames, and known-abnormal ones kept from training."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.scoring.calibrate import PartLabels, split_held_out
from trainer.data.loading import load
from trainer.data.source import ImageSource
from trainer.data.split import Split

UInt8 = npt.NDArray[np.uint8]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """Frames to standardise the score with, other frames to set the thresholds with, and abnormal ones to weight it.

    parts  which part each standardising and each abnormal frame shows; None: each a part of its own
    """

    standardising: list[UInt8]
    scored: list[UInt8]
    abnormal: list[UInt8]
    parts: PartLabels = (None, None)


def read_held_out(source: ImageSource, split: Split, seed: int) -> HeldOut:
    """Read held-out images, the normal ones shared out by whole groups; names what it skips.

    Raises DatasetError when too many are broken.
    """
    standardising, scored = split_held_out(split.held_out, source.groups(), seed)
    normal, abnormal = load(source, (*standardising, *scored)), load(source, split.validation_abnormal)
    for sentence in normal.bad + abnormal.bad:
        log.warning("skipped: %s", sentence)
    images, groups = normal.images, source.groups()
    kept = [name for name in standardising if name in images]
    return HeldOut(
        [images[name] for name in kept],
        [images[name] for name in scored if name in images],
        list(abnormal.images.values()),
        ([groups.get(name, name) for name in kept], [groups.get(name, name) for name in abnormal.images]),
    )

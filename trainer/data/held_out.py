"""The frames of a split for calibration: held-out normal ones, and known-abnormal ones kept from training."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from latentline.scoring.compared_frames import PartLabels
from latentline.scoring.held_out import split_held_out
from trainer.data.loading import load
from trainer.data.source import ImageSource
from trainer.data.split import Split

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """Frames for the calibration, each for one purpose.

    standardising  normal, for means and standard deviations
    scored         normal, for the thresholds
    abnormal       for the weights of the score
    parts          the part that each standardising and each abnormal frame shows; None: each one a part of its own
    masks          of each abnormal frame [H, W]; None where there is none
    scored_parts   the part that each scored frame shows; None: each one a part of its own
    """

    standardising: list[UInt8]
    scored: list[UInt8]
    abnormal: list[UInt8]
    parts: PartLabels = (None, None)
    masks: list[Mask | None] = field(default_factory=list)
    scored_parts: list[str] | None = None


def read_held_out(source: ImageSource, split: Split, seed: int) -> HeldOut:
    """Read the held-out images, the normal ones split by whole groups; log those that are skipped.

    Raises DatasetError when too many are broken, or a mask has another size.
    """
    standardising, scored = split_held_out(split.held_out, source.groups(), seed)
    normal, abnormal = load(source, (*standardising, *scored)), load(source, split.validation_abnormal)
    for sentence in normal.skipped + abnormal.skipped:
        log.warning("skipped: %s", sentence)
    images, groups = normal.images, source.groups()
    kept, behind = ([name for name in names if name in images] for names in (standardising, scored))
    return HeldOut(
        [images[name] for name in kept],
        [images[name] for name in behind],
        list(abnormal.images.values()),
        ([groups.get(name, name) for name in kept], [groups.get(name, name) for name in abnormal.images]),
        [source.mask(name, (image.shape[0], image.shape[1])) for name, image in abnormal.images.items()],
        [groups.get(name, name) for name in behind],
    )

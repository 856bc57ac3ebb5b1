"""The held-out normal frames of a split, read for calibration."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.calibrate import share_out
from trainer.data.folders import ImageFolder, load

UInt8 = npt.NDArray[np.uint8]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """Frames to standardise the score with, and other frames to set the thresholds with."""

    standardising: list[UInt8]
    scored: list[UInt8]


def read_held_out(folder: ImageFolder, names: Sequence[str], groups: str | None, seed: int) -> HeldOut:
    """Read held-out images, shared out by whole groups; names what it skips.

    Raises DatasetError when too many are broken.
    """
    standardising, scored = share_out(names, folder.groups(groups), seed)
    loaded = load(folder.root, (*standardising, *scored))
    for sentence in loaded.bad:
        log.warning("skipped: %s", sentence)
    images = loaded.images
    return HeldOut(
        [images[name] for name in standardising if name in images], [images[name] for name in scored if name in images]
    )

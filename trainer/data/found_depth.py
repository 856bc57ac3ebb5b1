"""The bit depth of a set of pictures, for `preprocessing.bit_depth: auto`: from what their files say and hold.

All images of a training count, so that neither a dark one nor the order changes the depth. A picture with more than
eight bits whose format does not define white is read whole; of all others the header is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from latentline.base.counted import counted
from latentline.errors import DatasetError, ImageError
from latentline.vision.images import holds_16_bits, read_raw
from latentline.vision.preprocessing import Preprocessing
from trainer.data.loading import MAX_UNREADABLE_SHARE, SECONDS_BEFORE_PROGRESS
from trainer.data.source import ImageSource
from trainer.data.split import Split

DEPTHS = (8, 10, 12, 14, 16)  # of cameras
MIX_RATIO = 3.0  # between brightest levels, and between means, of two kinds of pictures; 4 is two bits
FAR_RATIO = 8.0  # between brightest levels, whatever the means
DARKEST = 64  # brightest grey level of a picture that is no black frame
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeepPicture:
    """A picture with 16-bit samples: its brightest and mean grey level, and the bits that it claims to have."""

    name: str
    peak: int
    mean: float
    claimed: int | None


def with_bit_depth(
    preprocessing: Preprocessing, source: ImageSource, split: Split
) -> tuple[Preprocessing, ImageSource]:
    """The preprocessing with a number as bit depth, and the source at that depth; a line in the log says what it is.

    No test image counts. Raises DatasetError for a set with a mix of depths.
    """
    if preprocessing.bit_depth != "auto":
        return preprocessing, source
    names = (*split.train, *split.held_out, *split.known_abnormal, *split.validation_abnormal)
    paths = dict.fromkeys(path for name in names if (path := source.file(name)) is not None)
    deep, defined = deep_pictures(list(paths))
    found = max(bit_depth_of(deep, source.place), defined) if deep else defined
    if paths:
        _say(found, deep, len(paths))
    return preprocessing.model_copy(update={"bit_depth": found}), source.at_depth(found)


def deep_pictures(paths: Sequence[Path]) -> tuple[list[DeepPicture], int]:
    """Those of the pictures whose files leave open how many of 16 bits count, and the most bits that another defines.

    Broken ones are left to the loading.
    """
    found, defined = [], 8
    for path in tqdm(paths, unit="img", desc="looking for the bit depth", delay=SECONDS_BEFORE_PROGRESS):
        try:
            if not holds_16_bits(path):
                continue
            raw = read_raw(path)
        except ImageError:
            continue
        if raw.image.dtype == np.uint16:
            found.append(DeepPicture(str(path), int(raw.image.max()), float(raw.image.mean()), raw.claimed))
        defined = max(defined, raw.defined)
    return found, defined


def bit_depth_of(pictures: Sequence[DeepPicture], place: str) -> int:
    """The bit depth of the set: what its files claim if they hold no more, else the least that a camera has.

    Raises DatasetError, naming both depths, when there are two kinds of pictures.
    """
    peak = max(picture.peak for picture in pictures)
    claims = {p.claimed: p for p in pictures if p.claimed is not None and p.peak < 1 << p.claimed}
    if len(claims) > 1 and peak < 1 << max(claims):
        (low, first), *_, (high, last) = sorted(claims.items())
        raise _mixed(place, f"{first.name} says that it has {low} bits, and {last.name} {high}")
    found = max(next(depth for depth in DEPTHS if peak < 1 << depth), *claims, 0)
    if all(p.claimed == found for p in pictures):
        return found
    by_peak = sorted(pictures, key=lambda picture: picture.peak)
    of_all = f"of {len(by_peak)} pictures of 16 bits"
    for count, (dark, bright) in enumerate(pairwise(by_peak), start=1):
        if not _two_kinds(by_peak[:count], by_peak[count:]):
            continue
        what = (
            f"{counted(count, f'{of_all} reaches', f'{of_all} reach')} grey level {dark.peak} at most "
            f"({dark.peak.bit_length()} bits), such as {dark.name}, and the others {bright.peak} or more "
            f"({bright.peak.bit_length()} bits), such as {bright.name}"
        )
        if count > max(1, MAX_UNREADABLE_SHARE * len(by_peak)):
            raise _mixed(place, what)
        log.warning("%s: %s; the first kind is taken for dark, not for pictures of fewer bits", place, what)
    return found


def _two_kinds(dark: Sequence[DeepPicture], bright: Sequence[DeepPicture]) -> bool:
    """Whether brightest levels and means are as far apart as those of two depths. A highlight changes no mean."""
    ratio = bright[0].peak / max(1, dark[-1].peak)
    if dark[-1].peak < DARKEST or ratio < MIX_RATIO:
        return False
    if ratio >= FAR_RATIO:
        return True
    means = [float(np.median([picture.mean for picture in group])) for group in (dark, bright)]
    return means[1] >= MIX_RATIO * means[0]


def _mixed(place: str, what: str) -> DatasetError:
    return DatasetError(f"{place}: {what}; use pictures of one depth, or give preprocessing.bit_depth")


def _say(found: int, deep: Sequence[DeepPicture], total: int) -> None:
    if not deep:
        log.info("preprocessing.bit_depth: %d, because the files define it, and none has more", found)
        return
    rest = counted(total - len(deep), "other defines its depth itself", "others define their depth themselves")
    others = f"; {rest}" if total > len(deep) else ""
    brightest = max(deep, key=lambda picture: picture.peak)
    why = f"the brightest grey level of {counted(len(deep), 'picture')} of 16 bits is {brightest.peak}"
    if all(picture.claimed == found for picture in deep):
        why = counted(len(deep), "picture of 16 bits says so", "pictures of 16 bits say so")
    log.info("preprocessing.bit_depth: %d, because %s%s; give a number if the camera has more bits", found, why, others)

"""What `fit` finds before it trains: sizes of images and defects, and the height that follows from them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.mask_counts import MaskCounts
from trainer.data.source import ImageSource
from trainer.data.split import Split, shuffled
from trainer.search_cost import MANY_TILES, mean_tiles

UInt8 = npt.NDArray[np.uint8]
SAMPLED = 24  # normal images
SAMPLED_KNOWN = 60  # known-abnormal images
DEFECT_SIDE = 6  # px that the smallest known defect keeps
STEP = 16  # px of height
COLOURED = 24  # grey levels between the channels of a pixel that has a colour; a grey JPEG has a few
COLOURED_SHARE = 0.01  # of the pixels of a picture in colour
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Survey:
    """A sample of a training's images; no test image is among them.

    frames   normal images as they are, at least one
    masks    of the known-abnormal images in the sample
    defect   side of the smallest known defect [px of the image] and the height of its image; None without masks
    """

    frames: list[UInt8]
    masks: MaskCounts
    defect: tuple[float, int] | None

    @property
    def sizes(self) -> str:
        """The sizes of the sample, in words."""
        counted = Counter(f"{frame.shape[1]} x {frame.shape[0]} px" for frame in self.frames)
        if len(counted) == 1:
            return f"{next(iter(counted))}"
        by_area = sorted(self.frames, key=lambda frame: frame.shape[0] * frame.shape[1])
        small, large = (f"{frame.shape[1]} x {frame.shape[0]}" for frame in (by_area[0], by_area[-1]))
        return f"{small} to {large} px"

    @property
    def coloured(self) -> int:
        """How many of the normal images are pictures in colour, not grey ones in the format of colour."""
        return sum(map(_has_colour, self.frames))


def take_survey(source: ImageSource, split: Split, seed: int) -> Survey | None:
    """Look at a seeded sample of the images; None where no normal one can be read."""
    rng = np.random.default_rng(seed)
    frames = [frame for _, frame in _readable(source, shuffled(split.train, rng)[:SAMPLED])]
    masks, smallest = MaskCounts(), None
    for name, frame in _readable(source, shuffled((*split.known_abnormal, *split.validation_abnormal), rng)):
        mask = source.mask(name, (frame.shape[0], frame.shape[1]))
        masks.add(mask)
        if mask is not None and mask.any():
            found = (_side(mask), frame.shape[0])
            if smallest is None or found[0] / found[1] < smallest[0] / smallest[1]:
                smallest = found
        if masks.images == SAMPLED_KNOWN:
            break
    return Survey(frames, masks, smallest) if frames else None


def with_height(config: TrainConfig, found: Survey) -> TrainConfig:
    """The configuration with a height, where it names none and the images at their own size have too many tiles.

    The height is the largest that leaves MANY_TILES, or a larger one at which the smallest known defect keeps
    DEFECT_SIDE px. A line in the log says so.
    """
    own = mean_tiles(tiler_of(config), found.frames)
    if config.preprocessing.height is not None or config.keeps_size or own <= MANY_TILES:
        return config
    top = int(np.median([frame.shape[0] for frame in found.frames]))
    heights = range(top // STEP * STEP, STEP, -STEP)
    fitting = (h for h in heights if mean_tiles(tiler_of(_at(config, h)), found.frames) <= MANY_TILES)
    height, why = next(fitting, STEP), f"so that an image has at most {MANY_TILES} tiles, not {own:.0f}"
    if found.defect is not None:
        side, of = found.defect
        needed = int(np.ceil(DEFECT_SIDE * of / side / STEP)) * STEP
        if needed > height:
            height, why = min(top, needed), f"at which the smallest known defect keeps {DEFECT_SIDE} px"
    log.info("preprocessing.height: %d px, %s; give a height to have another", height, why)
    return _at(config, height)


def tiler_of(config: TrainConfig) -> FrameTiler:
    """How the configuration cuts frames."""
    return FrameTiler(config.preprocessing, config.network.resolution, config.search.overlap)


def _at(config: TrainConfig, height: int) -> TrainConfig:
    preprocessing = config.preprocessing.model_copy(update={"height": height})
    return config.model_copy(update={"preprocessing": preprocessing})


def _has_colour(frame: UInt8) -> bool:
    if frame.ndim == 2 or frame.shape[2] < 3:
        return False
    some = frame[::4, ::4, :3].astype(np.int16)
    return bool((np.ptp(some, axis=2) > COLOURED).mean() > COLOURED_SHARE)


def _side(mask: npt.NDArray[np.bool_]) -> float:
    """The side of a square as large as the largest region of the mask."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return float(np.sqrt(stats[1:, cv2.CC_STAT_AREA].max()))


def _readable(source: ImageSource, names: Sequence[str]) -> Iterator[tuple[str, UInt8]]:
    for name in names:
        try:
            yield name, source.read(name)
        except ImageError:
            continue  # loading names and counts them

"""What it costs to search an image on this machine: said before the hours of it begin."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from latentline.base.counted import counted
from latentline.base.durations import duration
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler

UInt8 = npt.NDArray[np.uint8]
MEASURED_TILES = 16
LONG_SECONDS = 900.0
MANY_TILES = 150  # an image: 12 x 12 tiles of 64 px, overlapping by half, are an image of 416 px
ADVICE = (
    "scale the images down (preprocessing.height), enlarge the tiles (network.resolution), let them overlap less "
    "(search.overlap) or search only the most suspicious (search.tiles)"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchCost:
    """Tiles of an image, as the mean over some images, and seconds of a tile."""

    tiles: float
    seconds_per_tile: float

    @property
    def seconds(self) -> float:
        """The time that an image takes."""
        return self.tiles * self.seconds_per_tile


def mean_tiles(tiler: FrameTiler, frames: Sequence[UInt8]) -> float:
    """How many tiles of these frames are searched, as a mean; a first look at the others costs little beside that."""
    return float(np.mean([tiler.count(frame) for frame in frames]))


def measure_cost(searcher: Searcher, tiler: FrameTiler, frames: Sequence[UInt8]) -> SearchCost:
    """Search some tiles of the first frame twice, and time the second search."""
    tiles = tiler.tile(frames[0]).tiles[:MEASURED_TILES]
    searcher.search(tiles)  # a backend prepares itself for this many
    start = perf_counter()
    searcher.search(tiles)
    return SearchCost(mean_tiles(tiler, frames), (perf_counter() - start) / len(tiles))


def say_cost(cost: SearchCost, iterations: int, on: str, calibrated: int, trained: bool) -> None:
    """Log what an image costs, and a calibration with `calibrated` images; warn where that is long.

    on       what was measured, in words
    trained  whether another scale needs another training
    """
    whole = cost.seconds * calibrated
    log.info(
        "%s an image; %s an image with n = %d, so that searching %s to calibrate takes about %s (measured on %s)",
        counted(round(cost.tiles), "tile"),
        duration(cost.seconds),
        iterations,
        counted(calibrated, "image"),
        duration(whole),
        on,
    )
    if cost.tiles > MANY_TILES or whole > LONG_SECONDS:
        log.warning(
            "%s calibration and every inspection slow (%s an image): %s%s",
            counted(round(cost.tiles), "tile an image makes", "tiles an image make"),
            duration(cost.seconds),
            ADVICE,
            ", and train again" if trained else "",
        )

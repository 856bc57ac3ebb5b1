"""`search.tiles: auto`: search only the tiles that D finds most suspicious, where that detects as well as all of them.

Judged as `latentline-export tune` judges: by the whole score and its map on the held-out frames that fix the weights.
Few tiles are taken where image AUROC and pixel AUROC together lose at most 0.01.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from latentline.base.counted import counted
from latentline.scoring.frame_maps import FrameMaps
from latentline.search.first_look import LookingSearcher
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.count_look_misses import MANY_MISSES, count_look_misses
from trainer.evaluation.judged_score import WeighingFrames, judge_score, weighing_frames
from trainer.evaluation.search_rule import image_auroc_of
from trainer.search_cost import mean_tiles
from trainer.settings.search import Tiles

FEWEST_NORMALS = 10  # images that standardise
TRIED = (8, 32)  # tiles of a frame
LOSS = 0.01  # of image AUROC and pixel AUROC together
LARGER = 2  # times as many tiles has a frame where a first look at all of them is worth its time
log = logging.getLogger(__name__)


def with_chosen_tiles(
    config: TrainConfig, searcher: Searcher, tiler: FrameTiler, held_out: HeldOut, beside: FrameMaps | None = None
) -> TrainConfig:
    """The configuration with the number of searched tiles that `auto` finds, and a line in the log; a given one stays.

    tiler   of all tiles
    beside  maps of whole frames that join those of the search
    It is `all` where frames are small, where held-out images are too few to tell, where no discriminator can look, and
    with the paper's score. Raises CheckpointError for a broken model.
    """
    if config.search.tiles != "auto":
        return config
    can_look = config.method.has_discriminator and isinstance(searcher, LookingSearcher)
    enough = len(held_out.standardising) >= FEWEST_NORMALS
    if not can_look or not enough or config.search.score == "paper":
        return _with(config, "all")
    tiles = mean_tiles(tiler, held_out.standardising)
    frames: WeighingFrames | None = None
    whole: _Detects | None = None
    for most in TRIED:
        some = replace(tiler, most=most)
        if tiles < LARGER * most:
            break
        misses = count_look_misses(searcher, some, config, held_out)
        if misses is None or misses.rate > MANY_MISSES:
            continue
        frames = frames or weighing_frames(held_out, config, tiler)
        whole = whole or _judge(searcher, tiler, config, frames, beside)
        found = _judge(searcher, some, config, frames, beside)
        good = found.merit >= whole.merit - LOSS
        told = f"with {most} {found}, with all {whole} (image and pixel AUROC on held-out images)"
        log.info("search.tiles: %s of about %.0f tiles; %s", most if good else "more", tiles, told)
        if good:
            return _with(config, most)
    return _with(config, "all")


def _with(config: TrainConfig, tiles: Tiles) -> TrainConfig:
    return config.model_copy(update={"search": config.search.model_copy(update={"tiles": tiles})})


@dataclass(frozen=True)
class _Detects:
    """Image AUROC of the score, and pixel AUROC of the map where pixels are known."""

    image: float
    pixel: float | None

    @property
    def merit(self) -> float:
        """By which numbers of tiles are compared, as kinds of maps are."""
        return self.image + (self.pixel or 0.0)

    def __str__(self) -> str:
        return f"{self.image:.3f}/{'–' if self.pixel is None else f'{self.pixel:.3f}'}"


def _judge(
    searcher: Searcher, tiler: FrameTiler, config: TrainConfig, frames: WeighingFrames, beside: FrameMaps | None
) -> _Detects:
    what = "all tiles" if tiler.most is None else counted(tiler.most, "tile")
    with tqdm(total=len(frames.masks), unit="img", desc=f"comparing, {what}", delay=2) as bar:
        judged = judge_score(searcher, tiler, config.search.map_kind, frames, beside, bar.update)
    labels, curves = frames.labels, judged.pixels
    image = float(image_auroc_of(judged.scores, labels)(np.ones((1, len(labels.parts))))[0])
    return _Detects(image, None if curves is None else float(curves.auroc(np.ones((1, int(labels.counted.sum()))))[0]))

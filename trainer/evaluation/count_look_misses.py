"""Count the validation defects that the first look misses: no searched tile shows a pixel of them."""

from __future__ import annotations

import logging
from itertools import cycle, islice

import numpy as np
import numpy.typing as npt

from latentline.scoring.look_misses import LookMisses
from latentline.search.first_look import LookingSearcher
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from latentline.vision.tiles import TilePlan
from trainer.config import TrainConfig
from trainer.data.crops import prepare_mask
from trainer.data.held_out import HeldOut
from trainer.data.unseen import synthesise_unseen
from trainer.evaluation.calibrate_held_out import SYNTHETIC
from trainer.evaluation.made_defects import make_synthetic_abnormal
from trainer.evaluation.validation_frames import FEWEST_PARTS

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
MANY_MISSES = 0.25  # of the validation defects; 8 of 25 tiles miss 2 to 10 % where nothing is lost (fabric, grid)
log = logging.getLogger(__name__)


def count_look_misses(
    searcher: Searcher, tiler: FrameTiler, config: TrainConfig, held_out: HeldOut
) -> LookMisses | None:
    """What the first look misses; None where all tiles are searched, or no mask has a pixel.

    Known defects count where at least 10 have a mask, else made ones on the frames that standardise the score.
    """
    if tiler.most is None or not isinstance(searcher, LookingSearcher):
        return None
    pairs = zip(held_out.abnormal, held_out.masks or [None] * len(held_out.abnormal), strict=True)
    defects = [(frame, mask) for frame, mask in pairs if mask is not None and mask.any()]
    synthetic = len(defects) < FEWEST_PARTS
    if synthetic:
        sources = list(islice(cycle(held_out.standardising), SYNTHETIC))
        defects = make_synthetic_abnormal(sources, tiler, config.schedule.seed, synthesise_unseen)
    seen = [found for found in (_seen(searcher, tiler, *defect) for defect in defects) if found is not None]
    if not seen:
        return None
    return LookMisses(tiles=tiler.most, defects=len(seen), missed=seen.count(False), synthetic=synthetic)


def say_look_misses(misses: LookMisses | None) -> None:
    """Log what the first look misses, and warn where that is much; None says nothing."""
    if misses is None:
        return
    log.info("first look: %s", misses.sentence)
    if misses.rate > MANY_MISSES:
        log.warning(
            "first look: D does not choose the tiles with defects here; search more tiles (search.tiles), or all"
        )


def _seen(searcher: LookingSearcher, tiler: FrameTiler, frame: UInt8, mask: Mask) -> bool | None:
    """Whether a tile that would be searched has a pixel of the defect; None where the prepared frame has none."""
    assert tiler.most is not None
    tiled = tiler.tile(frame)
    prepared = prepare_mask(mask, tiled.prepared)
    holds = np.array([_holds(prepared, tiled.plan, corner) for corner in tiled.plan.corners])
    if not holds.any():
        return None
    return bool(holds[searcher.look(tiled.prepared).most_suspicious(tiled.plan, tiler.most)].any())


def _holds(mask: Mask, plan: TilePlan, corner: tuple[int, int]) -> bool:
    y, x = corner
    return bool(mask[y : y + plan.size, x : x + plan.size].any())

"""Calibrate a searcher on the held-out frames of a split: for evaluation and for export alike.

The weights of the score need abnormal frames that were not trained on. Where the split has too few, synthetic ones are
made from the standardising frames, with kinds of defects that no training is shown: a discriminator that was trained on
the usual kinds finds all of those, and would get all weight. How much more it finds of the usual kinds says how far to
trust it. The frames behind the thresholds are not used for that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.base.counted import counted
from latentline.errors import DatasetError
from latentline.scoring.calibrate import Calibrated, calibrate, with_thresholds
from latentline.scoring.held_out import too_few_normals
from latentline.scoring.thresholds import Tail
from latentline.scoring.weights import FEWEST_ABNORMAL
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.data.unseen import synthesise_unseen
from trainer.evaluation.made_defects import MIN_REAL_ABNORMAL, make_synthetic_abnormal
from trainer.methods import NoisyAnoGan
from trainer.search_cost import measure_cost, say_cost
from trainer.trunk.fit import FittedTrunk

log = logging.getLogger(__name__)
UInt8 = npt.NDArray[np.uint8]
SYNTHETIC = 40


def calibrate_held_out(
    searcher: Searcher,
    tiler: FrameTiler,
    config: TrainConfig,
    held_out: HeldOut,
    false_alarm_rate: float,
    tail: Tail = "exact",
    trunk: FittedTrunk | None = None,
) -> Calibrated:
    """Calibrate, with a progress bar, on the map of the configuration, with the maps of `trunk` where there is one.

    `tail` is what the thresholds assume.

    Raises DatasetError, before any search, when normal frames are too few, CheckpointError for a broken model, and
    ValueError while `search.map` is `auto`.
    """
    check_enough(held_out, false_alarm_rate, tail)
    made = make_synthetic_abnormal(synthetic_sources(config, held_out), tiler, config.schedule.seed, synthesise_unseen)
    synthetic, shown = [frame for frame, _ in made], shown_defects(config, held_out, tiler)
    if synthetic and held_out.abnormal:
        log.info("weights: %s", _few_abnormal(held_out))
    calibrated = calibrate(
        searcher,
        tiler,
        with_progress(held_out.standardising, "standardising"),
        with_progress(held_out.scored, "threshold"),
        false_alarm_rate,
        map=config.search.map_kind,
        score=config.search.score,
        parts=held_out.parts,
        scored_parts=held_out.scored_parts,
        tail=tail,
        beside=None if trunk is None else trunk.maps,
        validation=with_progress(held_out.abnormal, "known-abnormal images"),
        synthetic=with_progress(synthetic, "synthetic abnormal images"),
        shown=with_progress(shown, "synthetic abnormal images, as trained on"),
    )
    if trunk is not None and not calibrated.map_scales.scales:
        log.warning("trunk: it has no weight in the score, because no validation image shows that it helps")
    return calibrated


def rescore_held_out(
    searcher: Searcher,
    tiler: FrameTiler,
    calibrated: Calibrated,
    held_out: HeldOut,
    false_alarm_rate: float,
    tail: Tail = "exact",
    trunk: FittedTrunk | None = None,
) -> Calibrated:
    """The same score, with thresholds for this searcher, rate and tail.

    Raises DatasetError when normal frames are too few.
    """
    check_enough(held_out, false_alarm_rate, tail)
    scored = with_progress(held_out.scored, "threshold")
    return with_thresholds(
        searcher,
        tiler,
        calibrated,
        scored,
        false_alarm_rate,
        held_out.scored_parts,
        tail,
        None if trunk is None else trunk.maps,
    )


def check_enough(held_out: HeldOut, false_alarm_rate: float, tail: Tail = "exact") -> None:
    """Raise DatasetError when there are too few normal frames, or parts, to calibrate with."""
    parts = len(set(held_out.parts[0] or ()))
    if held_out.parts[0] and not held_out.scored and parts < len(held_out.standardising):
        raise DatasetError(
            f"the {len(held_out.standardising)} held-out normal images show {counted(parts, 'part')}: "
            "all of them standardise the score, and none is left for the threshold; hold out images of more parts, or "
            "correct data.groups"
        )
    if reason := too_few_normals(len(held_out.standardising), len(held_out.scored), false_alarm_rate, tail):
        raise DatasetError(reason)


def say_search_cost(
    searcher: Searcher, tiler: FrameTiler, config: TrainConfig, held_out: HeldOut, iterations: int
) -> None:
    """Log the time of an image and of the calibration, as measured on a few tiles; warn where it is long."""
    frames = [*held_out.standardising, *held_out.scored]
    cost = measure_cost(searcher, tiler, frames)
    calibrated = len(frames) + len(held_out.abnormal) + _made(config, held_out)
    say_cost(cost, iterations, f"a few tiles, searcher {searcher.name}", calibrated, trained=True)


def synthetic_sources(config: TrainConfig, held_out: HeldOut) -> list[UInt8]:
    """The normal frames that get a made defect; none where known-abnormal images are enough, or nothing is weighed."""
    enough = len(held_out.abnormal) >= MIN_REAL_ABNORMAL and _abnormal_parts(held_out) >= FEWEST_ABNORMAL
    if config.search.score != "calibrated" or enough:
        return []
    return list(islice(cycle(held_out.standardising), SYNTHETIC))


def shown_defects(config: TrainConfig, held_out: HeldOut, tiler: FrameTiler) -> list[UInt8]:
    """The same frames with the kinds of made defects that a discriminator was trained on; none where it was not."""
    sources = synthetic_sources(config, held_out) if _trained_on_made(config) else []
    return [frame for frame, _ in make_synthetic_abnormal(sources, tiler, config.schedule.seed)]


def _trained_on_made(config: TrainConfig) -> bool:
    return isinstance(config.method, NoisyAnoGan) and config.method.synthetic_fraction > 0


def _made(config: TrainConfig, held_out: HeldOut) -> int:
    """How many frames with made defects a calibration searches."""
    return len(synthetic_sources(config, held_out)) * (2 if _trained_on_made(config) else 1)


def _abnormal_parts(held_out: HeldOut) -> int:
    return len(held_out.abnormal if held_out.parts[1] is None else set(held_out.parts[1]))


def _few_abnormal(held_out: HeldOut) -> str:
    """What becomes of too few known-abnormal images, in words."""
    images, parts = len(held_out.abnormal), _abnormal_parts(held_out)
    shown = f"{counted(images, 'known-abnormal image')} of {counted(parts, 'part')}"
    if parts < FEWEST_ABNORMAL:
        return f"{shown} alone would be no basis for weights, so {SYNTHETIC} made defects join them"
    return f"{shown} and {SYNTHETIC} made defects count the same"


def with_progress(frames: Sequence[UInt8], what: str) -> Iterator[UInt8]:
    """The frames, with a progress bar where there are any."""
    if frames:
        yield from tqdm(frames, unit="img", desc=f"calibration, {what}")

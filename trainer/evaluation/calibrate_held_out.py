"""Calibrate a searcher on the held-out frames of a split: for evaluation and for export alike.

The weights of the score need abnormal frames that were not trained on. Where the split has too few, synthetic ones are
made from the standardising frames, unless the model was trained on synthetic defects. The frames behind the thresholds
are not used for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.errors import DatasetError
from latentline.scoring.calibrate import COARSE, SCALES, Calibrated, calibrate, too_few_normals, with_thresholds
from latentline.scoring.maps import PATCH
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.made_defects import MIN_REAL_ABNORMAL, make_synthetic_abnormal
from trainer.methods import NoisyAnoGan
from trainer.search_cost import measure_cost, say_cost

UInt8 = npt.NDArray[np.uint8]
MAX_SYNTHETIC = 40


def calibrate_held_out(
    searcher: Searcher, tiler: FrameTiler, config: TrainConfig, held_out: HeldOut, false_alarm_rate: float
) -> Calibrated:
    """Calibrate, with a progress bar, on the map of the configuration.

    Raises DatasetError, before any search, when normal frames are too few, CheckpointError for a broken model, and
    ValueError while `search.map` is `auto`.
    """
    check_enough(held_out, false_alarm_rate)
    search = config.search
    sources = _synthetic_sources(config, held_out)
    synthetic = [frame for frame, _ in make_synthetic_abnormal(sources, tiler, config.schedule.seed)]
    return calibrate(
        searcher,
        tiler,
        _with_progress(held_out.standardising, "standardising"),
        _with_progress(held_out.scored, "threshold"),
        false_alarm_rate,
        map=search.map_kind,
        score=search.score,
        weights=prior_weights(config),
        parts=held_out.parts,
        validation=_with_progress(held_out.abnormal, "known-abnormal images"),
        synthetic=_with_progress(synthetic, "synthetic abnormal images"),
    )


def rescore_held_out(
    searcher: Searcher, tiler: FrameTiler, calibrated: Calibrated, held_out: HeldOut, false_alarm_rate: float
) -> Calibrated:
    """The same score, with thresholds for this searcher and rate.

    Raises DatasetError when normal frames are too few.
    """
    check_enough(held_out, false_alarm_rate)
    scored = _with_progress(held_out.scored, "threshold")
    return with_thresholds(searcher, tiler, calibrated.calibration, calibrated.statistics, scored, false_alarm_rate)


def check_enough(held_out: HeldOut, false_alarm_rate: float) -> None:
    """Raise DatasetError when there are too few normal frames to calibrate with."""
    if reason := too_few_normals(len(held_out.standardising), len(held_out.scored), false_alarm_rate):
        raise DatasetError(reason)


def say_search_cost(
    searcher: Searcher, tiler: FrameTiler, config: TrainConfig, held_out: HeldOut, iterations: int
) -> None:
    """Log the time of an image and of the calibration, as measured on a few tiles; warn where it is long."""
    frames = [*held_out.standardising, *held_out.scored]
    cost = measure_cost(searcher, tiler, frames)
    calibrated = len(frames) + len(held_out.abnormal) + len(_synthetic_sources(config, held_out))
    say_cost(cost, iterations, f"a few tiles, searcher {searcher.name}", calibrated, trained=True)


def prior_weights(config: TrainConfig) -> dict[str, float] | None:
    """Weights of the components before abnormal frames adjust them; None: all equal.

    A fine-tuned discriminator has learnt what abnormal frames look like: its verdict on the frame weighs as much as all
    maps together. Its logit for reconstructions weighs nothing: fine-tuning showed it none.
    """
    if not config.schedule.discriminator_images:
        return None
    fine = [f"{config.search.map_kind}_{scale:g}px" for scale in SCALES if not f"_{scale:g}px".endswith(COARSE)]
    discriminator = (
        ["d_frame", PATCH] if isinstance(config.method, NoisyAnoGan) and config.method.patch_head else ["d_frame"]
    )
    return {name: 1 / len(family) for family in (fine, discriminator) for name in family}


def _synthetic_sources(config: TrainConfig, held_out: HeldOut) -> list[UInt8]:
    """The normal frames that get a synthetic defect; none where these would be of no use."""
    enough = len(held_out.abnormal) >= MIN_REAL_ABNORMAL
    if config.search.score != "calibrated" or enough or _trained_on_synthetic(config):
        return []
    return held_out.standardising[:MAX_SYNTHETIC]


def _trained_on_synthetic(config: TrainConfig) -> bool:
    """Whether the model was trained on synthetic defects: then they are useless for its calibration."""
    return isinstance(config.method, NoisyAnoGan) and config.method.synthetic_fraction > 0


def _with_progress(frames: Sequence[UInt8], what: str) -> Iterator[UInt8]:
    if frames:
        yield from tqdm(frames, unit="img", desc=f"calibration, {what}")

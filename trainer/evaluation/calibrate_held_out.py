"""Calibrate a searcher on the held-out frames of a split: for evaluation and for export alike.

The weights of the score need abnormal frames that were not trained on. Where the split has too few, synthetic ones are
made from the standardising frames, unless the model was trained on synthetic defects. The frames behind the thresholds
are not used for that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.errors import DatasetError
from latentline.scoring.calibrate import COARSE, SCALES, Calibrated, calibrate, too_few_normals
from latentline.scoring.maps import PATCH
from latentline.scoring.weights import FEWEST_ABNORMAL
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.made_defects import MIN_REAL_ABNORMAL, make_synthetic_abnormal
from trainer.methods import NoisyAnoGan
from trainer.trunk.fit import FittedTrunk

UInt8 = npt.NDArray[np.uint8]
MAX_SYNTHETIC = 40
log = logging.getLogger(__name__)


def calibrate_held_out(
    searcher: Searcher,
    tiler: FrameTiler,
    config: TrainConfig,
    held_out: HeldOut,
    false_alarm_rate: float,
    trunk: FittedTrunk | None = None,
) -> Calibrated:
    """Calibrate, with a progress bar, on the map of the configuration, with the maps of `trunk` where there is one.

    Raises DatasetError, before any search, when normal frames are too few, CheckpointError for a broken model, and
    ValueError while `search.map` is `auto`.
    """
    check_enough(held_out, false_alarm_rate)
    search = config.search
    synthetic: list[UInt8] = []
    too_few_real = len(held_out.abnormal) < MIN_REAL_ABNORMAL
    if search.score == "calibrated" and too_few_real and not _trained_on_synthetic(config):
        normal = held_out.standardising[:MAX_SYNTHETIC]
        synthetic = [frame for frame, _ in make_synthetic_abnormal(normal, tiler, config.schedule.seed)]
    calibrated = calibrate(
        searcher,
        tiler,
        _with_progress(held_out.standardising, "standardising"),
        _with_progress(held_out.scored, "threshold"),
        false_alarm_rate,
        map=search.map_kind,
        score=search.score,
        weights=prior_weights(config, () if trunk is None else trunk.maps.statistics.names),
        parts=held_out.parts,
        beside=None if trunk is None else trunk.maps,
        validation=_with_progress(held_out.abnormal, "known-abnormal images"),
        synthetic=_with_progress(synthetic, "synthetic abnormal images"),
    )
    if trunk is not None and not calibrated.map_scales.scales:
        log.warning(
            "trunk: it has no weight in the score: no validation images show that it helps; that takes known-abnormal "
            "images of at least %d parts kept from training, or synthetic ones that training did not see",
            FEWEST_ABNORMAL,
        )
    return calibrated


def check_enough(held_out: HeldOut, false_alarm_rate: float) -> None:
    """Raise DatasetError when there are too few normal frames to calibrate with."""
    if reason := too_few_normals(len(held_out.standardising), len(held_out.scored), false_alarm_rate):
        raise DatasetError(reason)


def prior_weights(config: TrainConfig, trunk: Sequence[str] = ()) -> dict[str, float] | None:
    """Weights of the components before abnormal frames adjust them; None: all equal.

    trunk  names of the trunk's components

    A fine-tuned discriminator has learnt what abnormal frames look like: its verdict on the frame weighs as much as all
    maps together, and so does the trunk. Its logit for reconstructions weighs nothing: fine-tuning showed it none.
    """
    if not config.schedule.discriminator_images:
        return None
    fine = [f"{config.search.map_kind}_{scale:g}px" for scale in SCALES if not f"_{scale:g}px".endswith(COARSE)]
    discriminator = (
        ["d_frame", PATCH] if isinstance(config.method, NoisyAnoGan) and config.method.patch_head else ["d_frame"]
    )
    return {name: 1 / len(family) for family in (fine, discriminator, trunk) for name in family}


def _trained_on_synthetic(config: TrainConfig) -> bool:
    """Whether the model was trained on synthetic defects: then they are useless for its calibration."""
    return isinstance(config.method, NoisyAnoGan) and config.method.synthetic_fraction > 0


def _with_progress(frames: Sequence[UInt8], what: str) -> Iterator[UInt8]:
    if frames:
        yield from tqdm(frames, unit="img", desc=f"calibration, {what}")

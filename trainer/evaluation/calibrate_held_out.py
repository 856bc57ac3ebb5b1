"""Calibrate a searcher on the held-out frames of a split: for evaluation and for export alike.

The weights of the score need abnormal frames that were not trained on. Where the split has too few, synthetic ones are
made from the standardising frames, unless the model was trained on synthetic defects. The frames behind the thresholds
are not used for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.errors import DatasetError
from latentline.scoring.calibrate import COARSE, SCALES, Calibrated, calibrate, too_few_normals
from latentline.scoring.maps import PATCH
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.data.synthetic import synthesise
from trainer.methods import NoisyAnoGan

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
# Below this number synthetic frames join the real ones. On magnetic tile they raise the test AUROC with 3 to 12 real
# ones (from 0.72 to 0.75 with 12), and change nothing with 30.
MIN_REAL_ABNORMAL = 30
MAX_SYNTHETIC = 40
DONORS = 3  # other frames from which a synthetic defect may be pasted


def calibrate_held_out(
    searcher: Searcher, tiler: FrameTiler, config: TrainConfig, held_out: HeldOut, false_alarm_rate: float
) -> Calibrated:
    """Calibrate, with a progress bar. Raises DatasetError, before any search, when normal frames are too few."""
    check_enough(held_out, false_alarm_rate)
    search = config.search
    synthetic: list[UInt8] = []
    too_few_real = len(held_out.abnormal) < MIN_REAL_ABNORMAL
    if search.score == "calibrated" and too_few_real and not _trained_on_synthetic(config):
        normal = held_out.standardising[:MAX_SYNTHETIC]
        synthetic = [frame for frame, _ in make_synthetic_abnormal(normal, tiler, config.schedule.seed)]
    return calibrate(
        searcher,
        tiler,
        _with_progress(held_out.standardising, "standardising"),
        _with_progress(held_out.scored, "threshold"),
        false_alarm_rate,
        map=search.map,
        score=search.score,
        weights=prior_weights(config),
        parts=held_out.parts,
        validation=_with_progress(held_out.abnormal, "known-abnormal images"),
        synthetic=_with_progress(synthetic, "synthetic abnormal images"),
    )


def check_enough(held_out: HeldOut, false_alarm_rate: float) -> None:
    """Raise DatasetError when there are too few normal frames to calibrate with."""
    if reason := too_few_normals(len(held_out.standardising), len(held_out.scored), false_alarm_rate):
        raise DatasetError(reason)


def prior_weights(config: TrainConfig) -> dict[str, float] | None:
    """Weights of the components before abnormal frames adjust them; None: all equal.

    A fine-tuned discriminator has learnt what abnormal frames look like: its verdict on the frame weighs as much as all
    maps together. Its logit for reconstructions weighs nothing: fine-tuning showed it none.
    """
    if not config.schedule.discriminator_images:
        return None
    fine = [f"{config.search.map}_{scale:g}px" for scale in SCALES if not f"_{scale:g}px".endswith(COARSE)]
    discriminator = (
        ["d_frame", PATCH] if isinstance(config.method, NoisyAnoGan) and config.method.patch_head else ["d_frame"]
    )
    return {name: 1 / len(family) for family in (fine, discriminator) for name in family}


def _trained_on_synthetic(config: TrainConfig) -> bool:
    """Whether the model was trained on synthetic defects: then they are useless for its calibration."""
    return isinstance(config.method, NoisyAnoGan) and config.method.synthetic_fraction > 0


def make_synthetic_abnormal(frames: Sequence[UInt8], tiler: FrameTiler, seed: int) -> list[tuple[UInt8, Mask]]:
    """Each normal frame [H, W] or [H, W, C] with one synthetic defect, in a square about as large as a tile.

    With each comes its mask [H, W].
    """
    rng = np.random.default_rng(seed)
    return [_with_synthetic_defect(frame, frames, tiler, rng) for frame in frames]


def _with_synthetic_defect(
    frame: UInt8, frames: Sequence[UInt8], tiler: FrameTiler, rng: np.random.Generator
) -> tuple[UInt8, Mask]:
    candidates = [other for other in frames if other.shape[2:] == frame.shape[2:]]
    donors = [candidates[i] for i in rng.integers(len(candidates), size=DONORS)]
    scale = frame.shape[0] / tiler.preprocessing.apply(frame).shape[0]
    side = max(2, min(round(tiler.tile_size * scale), *frame.shape[:2]))
    (y, x), patch = _square(frame, side, rng)
    others = [cv2.resize(_square(donor, side, rng)[1], (side, side)).reshape(patch.shape) for donor in donors]
    abnormal, changed = (of_all[0] for of_all in synthesise(np.stack([patch, *others]), rng))
    result, mask = frame.copy(), np.zeros(frame.shape[:2], np.bool_)
    result[y : y + side, x : x + side] = abnormal.reshape(result[y : y + side, x : x + side].shape)
    mask[y : y + side, x : x + side] = changed
    return result, mask


def _square(frame: UInt8, side: int, rng: np.random.Generator) -> tuple[tuple[int, int], UInt8]:
    """The corner (y, x) of a random square of at most `side` px, and its pixels [side, side, C]."""
    side = min(side, *frame.shape[:2])
    y, x = (int(rng.integers(length - side + 1)) for length in frame.shape[:2])
    cut = frame[y : y + side, x : x + side]
    return (y, x), np.ascontiguousarray(cut.reshape(side, side, -1))


def _with_progress(frames: Sequence[UInt8], what: str) -> Iterator[UInt8]:
    if frames:
        yield from tqdm(frames, unit="img", desc=f"calibration, {what}")

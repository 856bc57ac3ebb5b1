"""Calibrate a searcher on what a training's split kept for it: the one way, for evaluation and for export.

The weights of the score need abnormal frames that nothing was trained on. Where the split kept too few, more are made
of the standardising frames, unless the model was trained on such. The frames behind the thresholds have no part in it.
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
# With fewer real ones, made ones stand beside them. On magnetic tile they raise the AUROC on unseen images with 3 to 12
# real ones (0.72 to 0.75 with 12), and change nothing with 30.
ENOUGH_ABNORMAL = 30
MOST_SYNTHETIC = 40
DONORS = 3  # other frames that a made defect may be pasted from


def calibrate_held_out(
    searcher: Searcher, tiler: FrameTiler, config: TrainConfig, held_out: HeldOut, false_alarm_rate: float
) -> Calibrated:
    """Calibrate with progress. Raises DatasetError when normal frames are too few, before any is searched."""
    if reason := too_few_normals(len(held_out.standardising), len(held_out.scored), false_alarm_rate):
        raise DatasetError(reason)
    search = config.search
    wanted = search.score == "calibrated" and len(held_out.abnormal) < ENOUGH_ABNORMAL and not _knows_made(config)
    made = make_abnormal(held_out.standardising[:MOST_SYNTHETIC], tiler, config.schedule.seed) if wanted else []
    return calibrate(
        searcher,
        tiler,
        _shown(held_out.standardising, "standardising"),
        _shown(held_out.scored, "threshold"),
        false_alarm_rate,
        map=search.map,
        score=search.score,
        weights=weights_before(config),
        parts=held_out.parts,
        validation=_shown(held_out.abnormal, "known-abnormal images"),
        synthetic=_shown(made, "made abnormal images"),
    )


def weights_before(config: TrainConfig) -> dict[str, float] | None:
    """Weights of the components before any abnormal frame is seen; None: all alike.

    A discriminator that went on alone was taught what an abnormal frame is: its verdict on the frame weighs as much as
    all maps together, and what it says of reconstructions, which it has not seen since, nothing.
    """
    if not config.schedule.discriminator_images:
        return None
    fine = [f"{config.search.map}_{scale:g}px" for scale in SCALES if not f"_{scale:g}px".endswith(COARSE)]
    verdicts = (
        ["d_frame", PATCH] if isinstance(config.method, NoisyAnoGan) and config.method.patch_head else ["d_frame"]
    )
    return {name: 1 / len(family) for family in (fine, verdicts) for name in family}


def _knows_made(config: TrainConfig) -> bool:
    """Whether made defects were trained on: of such a model they say nothing."""
    return isinstance(config.method, NoisyAnoGan) and config.method.synthetic > 0


def make_abnormal(frames: Sequence[UInt8], tiler: FrameTiler, seed: int) -> list[UInt8]:
    """Each normal frame [H, W] or [H, W, C] with one made defect, in a square about as large as a tile."""
    rng = np.random.default_rng(seed)
    return [_damaged(frame, frames, tiler, rng) for frame in frames]


def _damaged(frame: UInt8, frames: Sequence[UInt8], tiler: FrameTiler, rng: np.random.Generator) -> UInt8:
    alike = [other for other in frames if other.shape[2:] == frame.shape[2:]]
    donors = [alike[i] for i in rng.integers(len(alike), size=DONORS)]
    scale = frame.shape[0] / tiler.preprocessing.apply(frame).shape[0]
    side = max(2, min(round(tiler.tile_size * scale), *frame.shape[:2]))
    (y, x), patch = _square(frame, side, rng)
    others = [cv2.resize(_square(donor, side, rng)[1], (side, side)).reshape(patch.shape) for donor in donors]
    made = synthesise(np.stack([patch, *others]), rng)[0][0]
    damaged: UInt8 = frame.copy()
    damaged[y : y + side, x : x + side] = made.reshape(damaged[y : y + side, x : x + side].shape)
    return damaged


def _square(frame: UInt8, side: int, rng: np.random.Generator) -> tuple[tuple[int, int], UInt8]:
    """A random square of at most `side` px, [side, side, C], and its corner (y, x)."""
    side = min(side, *frame.shape[:2])
    y, x = (int(rng.integers(length - side + 1)) for length in frame.shape[:2])
    cut = frame[y : y + side, x : x + side]
    return (y, x), np.ascontiguousarray(cut.reshape(side, side, -1))


def _shown(frames: Sequence[UInt8], what: str) -> Iterator[UInt8]:
    if frames:
        yield from tqdm(frames, unit="img", desc=f"calibration, {what}")

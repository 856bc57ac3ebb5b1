"""Normal frames with one synthetic defect each, with its mask: abnormal frames for those who have too few real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from latentline.search.tiler import FrameTiler
from trainer.data.synthetic import synthesise

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Synthesis = Callable[[UInt8, np.random.Generator], tuple[UInt8, npt.NDArray[np.bool_]]]
# Below this number synthetic frames join the real ones. On magnetic tile they raise the test AUROC with 3 to 12 real
# ones (from 0.72 to 0.75 with 12), and change nothing with 30.
MIN_REAL_ABNORMAL = 30
DONORS = 3  # other frames from which a synthetic defect may be pasted


def make_synthetic_abnormal(
    frames: Sequence[UInt8], tiler: FrameTiler, seed: int, make: Synthesis = synthesise
) -> list[tuple[UInt8, Mask]]:
    """Each normal frame [H, W] or [H, W, C] with one synthetic defect, in a square about as large as a tile.

    With each comes its mask [H, W].

    make  puts a defect on each of some squares [N, S, S, C], and gives these and masks [N, S, S]
    """
    rng = np.random.default_rng(seed)
    scales = (frame.shape[0] / tiler.preprocessing.apply(frame).shape[0] for frame in frames)
    sides = (round(tiler.tile_size * scale) for scale in scales)
    return [with_made_defect(frame, frames, side, rng, make) for frame, side in zip(frames, sides, strict=True)]


def with_made_defect(
    frame: UInt8, others: Sequence[UInt8], side: int, rng: np.random.Generator, make: Synthesis
) -> tuple[UInt8, Mask]:
    """A normal frame [H, W] or [H, W, C] with one defect in a random square of `side` px, and its mask [H, W].

    others  normal frames from which `make` may paste; at least one has the channels of `frame`
    """
    candidates = [other for other in others if other.shape[2:] == frame.shape[2:]]
    donors = [candidates[i] for i in rng.integers(len(candidates), size=DONORS)]
    side = max(2, min(side, *frame.shape[:2]))
    (y, x), patch = _square(frame, side, rng)
    others = [cv2.resize(_square(donor, side, rng)[1], (side, side)).reshape(patch.shape) for donor in donors]
    abnormal, changed = (of_all[0] for of_all in make(np.stack([patch, *others]), rng))
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

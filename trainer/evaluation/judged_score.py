"""What the whole score of a searcher tells about the held-out frames that fix its weights.

`judged_maps` looks at the maps alone. Here everything counts that a station's score has: D's verdict on a frame depends
on how the tiles lie, and the weights decide how much each component counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from latentline.scoring.calibrate import Calibrated, weigh
from latentline.scoring.frame_maps import FrameMaps
from latentline.scoring.maps import PATCH, PixelStatistics
from latentline.scoring.pixel_statistics import COARSE
from latentline.search.searched_frame import MapKind
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from trainer.config import TrainConfig
from trainer.data.crops import prepare_mask
from trainer.data.held_out import HeldOut
from trainer.data.unseen import synthesise_unseen
from trainer.evaluation.calibrate_held_out import shown_defects, synthetic_sources
from trainer.evaluation.made_defects import make_synthetic_abnormal
from trainer.evaluation.pixel_metrics import PixelCounts, PixelCurves
from trainer.evaluation.search_rule import FrameLabels

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WeighingFrames:
    """The N held-out frames that fix the weights of a score: normal, known-abnormal, then made from normal ones.

    shown  made from normal frames as well, with the kinds of defects that a discriminator was trained on; they are not
           among the N
    masks  [h, w] of each prepared frame; None where nobody knows
    """

    held_out: HeldOut
    made: list[UInt8]
    shown: list[UInt8]
    masks: list[Mask | None]

    @property
    def labels(self) -> FrameLabels:
        """What the frames are. A made one shows the part of the frame that it was made from."""
        held_out, made = self.held_out, len(self.made)
        normals, abnormals = len(held_out.standardising), len(held_out.abnormal)
        normal = _named(held_out.parts[0], normals, "normal")
        abnormal = _named(held_out.parts[1], abnormals, "abnormal")
        return FrameLabels(
            abnormal=np.arange(len(self.masks)) >= normals,
            parts=(*normal, *abnormal, *(normal[i % normals] for i in range(made))),
            counted=np.array([mask is not None for mask in self.masks]),
            synthetic=not abnormals,
        )


@dataclass(frozen=True)
class JudgedScore:
    """A score without thresholds, and what it tells about the N weighing frames.

    scores  [N] larger is more abnormal; each by weights that were found without its part
    pixels  histograms of the fine maps of the frames whose pixels are known; None: no figure of pixels
    """

    calibrated: Calibrated
    scores: npt.NDArray[np.float64]
    pixels: PixelCurves | None


def weighing_frames(held_out: HeldOut, config: TrainConfig, tiler: FrameTiler) -> WeighingFrames:
    """The frames that `calibrate_held_out` weighs by, with their masks. The tiler's overlap has no say in them."""
    made = make_synthetic_abnormal(synthetic_sources(config, held_out), tiler, config.schedule.seed, synthesise_unseen)
    given = held_out.masks or [None] * len(held_out.abnormal)
    known = [mask if mask is not None and mask.any() else None for mask in given]
    pairs: Iterator[tuple[UInt8, Mask | None]] = chain(
        ((frame, np.zeros(frame.shape[:2], np.bool_)) for frame in held_out.standardising),
        zip(held_out.abnormal, known, strict=True),
        made,
    )
    masks = [_prepared(frame, mask, tiler.preprocessing) for frame, mask in pairs]
    shown = shown_defects(config, held_out, tiler)
    return WeighingFrames(held_out, [frame for frame, _ in made], shown, masks)


def judge_score(
    searcher: Searcher,
    tiler: FrameTiler,
    map: MapKind,
    frames: WeighingFrames,
    beside: FrameMaps | None = None,
    advance: Callable[[], object] = lambda: None,
) -> JudgedScore:
    """Weigh the components on the frames, and score each frame by what the others say.

    beside   maps of whole frames that join those of the search
    advance  is told of each frame
    Raises CheckpointError for a broken model.
    """
    pixels, masks = PixelCounts(), iter(frames.masks)

    def watch(statistics: PixelStatistics, maps: Float) -> None:
        fine = [i for i, name in enumerate(statistics.names) if name != PATCH and not name.endswith(COARSE)]
        mask = next(masks)
        if mask is not None:
            pixels.add(maps[fine].max(axis=0), mask)
        advance()

    held_out = frames.held_out
    weighed = weigh(
        searcher,
        tiler,
        held_out.standardising,
        map=map,
        validation=held_out.abnormal,
        synthetic=frames.made,
        shown=frames.shown,
        parts=held_out.parts,
        beside=beside,
        watch=watch,
    )
    assert weighed.compared is not None
    return JudgedScore(weighed.calibrated, weighed.compared.scores(), pixels.curves() if pixels.complete else None)


def _named(given: Sequence[str] | None, count: int, what: str) -> list[str]:
    return [f"{what} {i}" for i in range(count)] if given is None else list(given)


def _prepared(frame: UInt8, mask: Mask | None, preprocessing: Preprocessing) -> Mask | None:
    return None if mask is None else prepare_mask(mask, preprocessing.apply(frame))

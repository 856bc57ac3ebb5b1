"""The rule of `search.iterations: auto`: the shortest search that is not worse than the best beyond noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.scoring.search_choice import Gain, SearchCandidate, SearchChoice, SearchTrial
from trainer.evaluation.intervals import Estimate, Weights, estimate, resample
from trainer.evaluation.metrics import weighted_auroc
from trainer.evaluation.pixel_metrics import PixelCurves

Figure = Callable[[Weights], Weights]
DIGITS = 6  # of figures: what is left of them is rounding


@dataclass(frozen=True)
class JudgedSearch:
    """A candidate on the N validation frames.

    scores        [N] larger is more abnormal
    pixels        histograms of the maps of the frames whose pixels are known; None: no figure of pixels
    milliseconds  a tile
    """

    candidate: SearchCandidate
    scores: npt.NDArray[np.float64]
    pixels: PixelCurves | None
    milliseconds: float


@dataclass(frozen=True)
class FrameLabels:
    """What the N validation frames are.

    abnormal   [N]
    parts      the part that each shows
    counted    [N] frames in the histograms of pixels, in their order
    synthetic  whether the abnormal frames were made from normal ones
    """

    abnormal: npt.NDArray[np.bool_]
    parts: tuple[str, ...]
    counted: npt.NDArray[np.bool_]
    synthetic: bool


def choose(measured: Sequence[JudgedSearch], frames: FrameLabels, seed: int) -> SearchChoice:
    """The first of `measured`, the shortest search first, that is worse than the best in neither figure.

    Worse: the 95 % interval of the difference in image AUROC, or in pixel AUROC, lies above 0 (bootstrap over parts,
    paired: both searches draw the same frames). Where every search is worse in one of the two, image AUROC decides.
    """
    images = PairedFigures([image_auroc_of(m.scores, frames) for m in measured], resampled(frames, seed))
    pixel_auroc = [m.pixels.auroc for m in measured if m.pixels is not None]
    pixels = PairedFigures(pixel_auroc, resampled(frames, seed, frames.counted)) if pixel_auroc else None
    good = [i for i in range(len(measured)) if not images.is_worse(i)]
    best = [i for i in good if pixels is None or not pixels.is_worse(i)] or good
    trials = tuple(
        SearchTrial(
            candidate=m.candidate,
            image_auroc=round(images.values[i], DIGITS),
            pixel_auroc=None if pixels is None else round(pixels.values[i], DIGITS),
            milliseconds=round(m.milliseconds, DIGITS),
            image_gain=images.gain(i, 0),
            pixel_gain=None if pixels is None else pixels.gain(i, 0),
        )
        for i, m in enumerate(measured)
    )
    abnormal = int(frames.abnormal.sum())
    return SearchChoice(
        chosen=measured[best[0]].candidate,
        trials=trials,
        normals=len(frames.abnormal) - abnormal,
        abnormals=0 if frames.synthetic else abnormal,
        synthetic=abnormal if frames.synthetic else 0,
    )


class PairedFigures:
    """One figure of every candidate, and resamples of the frames, [resamples, frames], that all of them share.

    values  of each candidate
    best    index of the largest
    """

    def __init__(self, figures: Sequence[Figure], resamples: npt.NDArray[np.uint16]) -> None:
        self._figures, self._resamples = figures, resamples
        self.values = [float(figure(np.ones((1, resamples.shape[1])))[0]) for figure in figures]
        self.best = int(np.argmax(self.values))

    def is_worse(self, index: int) -> bool:
        """Whether candidate `index` is worse than the best one beyond noise."""
        return self.gain(self.best, index).low > 0

    def interval(self, index: int) -> Estimate:
        """The figure of candidate `index`."""
        found = estimate(self.values[index], self._figures[index], self._resamples)
        return Estimate.model_validate({name: round(value, DIGITS) for name, value in found})

    def gain(self, index: int, over: int) -> Gain:
        """What candidate `index` gains over the candidate `over`."""
        ours, theirs = self._figures[index], self._figures[over]
        difference = self.values[index] - self.values[over]
        found = estimate(difference, lambda weights: ours(weights) - theirs(weights), self._resamples)
        return Gain.model_validate({name: round(value, DIGITS) for name, value in found})


def image_auroc_of(scores: npt.NDArray[np.float64], frames: FrameLabels) -> Figure:
    """Image AUROC of scores [N] of the frames, as a function of resamples."""
    return lambda weights: weighted_auroc(scores, frames.abnormal, weights)


def resampled(frames: FrameLabels, seed: int, kept: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.uint16]:
    """How often each frame is drawn, [resamples, frames]; kept: of these frames alone."""
    indices = np.arange(len(frames.parts)) if kept is None else np.flatnonzero(kept)
    kinds = ["abnormal" if frames.abnormal[i] else "normal" for i in indices]
    return resample(kinds, [frames.parts[i] for i in indices], seed)

"""Figures of an evaluation with their intervals: over images, and over pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from trainer.evaluation.intervals import Estimate, Weights, estimate, resample
from trainer.evaluation.metrics import image_auroc, weighted_auroc
from trainer.evaluation.pixel_metrics import PixelCurves
from trainer.evaluation.report import GOOD, ImageScore

Float = npt.NDArray[np.float64]
PixelStatistic = Callable[[PixelCurves, Weights | None], Weights]


@dataclass(frozen=True)
class ImageFigures:
    """Scores of images [N], whether each is abnormal, their kinds and groups, and the resamples of all figures."""

    scores: Float
    abnormal: npt.NDArray[np.bool_]
    kinds: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]
    weights: npt.NDArray[np.uint16]

    @classmethod
    def of(cls, images: Mapping[str, ImageScore]) -> ImageFigures:
        """The figures of test images, by name."""
        kinds, groups = [i.kind for i in images.values()], [i.group for i in images.values()]
        scores = np.array([i.score for i in images.values()], dtype=np.float64)
        return cls(scores, np.array(kinds) != GOOD, np.array(kinds), np.array(groups), resample(kinds, groups))

    def auroc(self, values: Float, defect: str | None = None) -> Estimate:
        """Image AUROC of values [N]: of one kind of defect, or of all."""
        kept = np.ones(len(values), np.bool_) if defect is None else (self.kinds == GOOD) | (self.kinds == defect)
        value = image_auroc(values[kept & ~self.abnormal], values[kept & self.abnormal])
        return self.estimate(value, weighted_auroc, values, kept)

    def estimate(
        self,
        value: float,
        statistic: Callable[[Float, npt.NDArray[np.bool_], Weights], Weights],
        values: Float,
        kept: npt.NDArray[np.bool_] | None = None,
    ) -> Estimate:
        """`value`, with an interval when both classes have at least two parts."""
        kept = np.ones(len(values), np.bool_) if kept is None else kept
        parts = [len(set(self.groups[kept & side])) for side in (self.abnormal, ~self.abnormal)]
        if min(parts) < 2:
            return Estimate(value=value)
        return estimate(value, partial(statistic, values[kept], self.abnormal[kept]), self.weights[:, kept])


@dataclass(frozen=True)
class PixelFigures:
    """Pixel curves of images, and their kinds and groups.

    whole  the curves of all images; None where there is no normal or no abnormal pixel
    """

    whole: PixelCurves | None
    kinds: list[str]
    groups: list[str]

    def estimate(self, statistic: PixelStatistic) -> Estimate | None:
        """A figure over all images."""
        return None if self.whole is None else self._of(self.whole, range(len(self.kinds)), statistic)

    def by_defect(self, statistic: PixelStatistic) -> dict[str, Estimate]:
        """A figure for each kind of defect: over its images and the normal ones."""
        if self.whole is None:
            return {}
        figures = {}
        for defect in sorted(set(self.kinds) - {GOOD}):
            kept = [index for index, kind in enumerate(self.kinds) if kind in (GOOD, defect)]
            curves = self.whole.select(kept)
            if curves.normal.sum():
                figures[defect] = self._of(curves, kept, statistic)
        return figures

    def _of(self, curves: PixelCurves, kept: Sequence[int], statistic: PixelStatistic) -> Estimate:
        value = float(statistic(curves, None)[0])
        kinds, groups = [self.kinds[i] for i in kept], [self.groups[i] for i in kept]
        if len({group for group, kind in zip(groups, kinds, strict=True) if kind != GOOD}) < 2:
            return Estimate(value=value)
        return estimate(value, partial(statistic, curves), resample(kinds, groups))

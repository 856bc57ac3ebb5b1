"""The frames that fix the weights of a score: normal and abnormal ones, as standardised components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.scoring.calibration import Component, Validation
from latentline.scoring.pixel_statistics import COARSE
from latentline.scoring.weights import FEWEST_ABNORMAL, choose_weights, unseen_scores

Values = Mapping[str, float]
PartLabels = tuple[Sequence[str] | None, Sequence[str] | None]

SMALLEST_STD = 0.2
PAPER = "loss"


@dataclass(frozen=True)
class ComparedFrames:
    """The components of the frames that fix the weights.

    mean, std  of each component's raw value on normal frames
    given      the weight of each where there are no abnormal frames
    values     [frames, K] standardised, of normal, abnormal and made frames
    parts      that the normal and the abnormal frames show
    shown      [frames, K] of made frames with the kinds of defects that training is shown
    """

    mean: Values
    std: Values
    given: Values
    values: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]
    parts: PartLabels
    shown: npt.NDArray[np.float64]

    def weighted(self) -> tuple[tuple[Component, ...], Validation | None]:
        """The components with a weight, and the evidence for it."""
        weights, why = choose_weights(self.given, *self.values, self.parts, self.shown)
        found = (Component(name=n, mean=self.mean[n], std=self.std[n], weight=w) for n, w in weights.items())
        return tuple(found), why

    def scores(self) -> npt.NDArray[np.float64]:
        """The score of each frame [N] with weights that were found without its part: normal, abnormal, made."""
        return np.concatenate(unseen_scores(self.given, *self.values, self.parts, self.shown))


def compared_frames(
    normal: Sequence[Values],
    real: Sequence[Values],
    synthetic: Sequence[Values],
    wanted: Values | None,
    parts: PartLabels,
    unproven: frozenset[str],
    shown: Sequence[Values] = (),
) -> ComparedFrames:
    """The components, standardised on the normal frames, and the weights that they have without abnormal ones.

    Raw values are logarithms and logits. A component whose standard deviation is below 0.2 hardly ever changes by a
    fifth of itself; standardised by that, it would outvote all others with changes of no consequence.

    synthetic, shown  frame i was made from normal frame i, beginning again after the last: with defects of kinds that
                      no training is shown, and of those that it is shown
    unproven  components that have no weight where abnormal frames are too few to weigh them by
    """
    names = [name for name in normal[0] if name != PAPER]
    mean, std = ({n: float(f([v[n] for v in normal])) for n in names} for f in (np.mean, np.std))
    std = {name: max(value, SMALLEST_STD) for name, value in std.items()}
    low, high, made, seen = (
        np.array([[(v[n] - mean[n]) / std[n] for n in names] for v in some], np.float64).reshape(-1, len(names))
        for some in (normal, real, synthetic, shown)
    )
    given = {name: 0.0 if name.endswith(COARSE) else 1.0 for name in names}
    if wanted is not None:
        given = {name: wanted.get(name, 0.0) for name in names}
    if len(set(parts[1] or range(len(real)))) + len(made) < FEWEST_ABNORMAL:
        given = {name: 0.0 if name in unproven else weight for name, weight in given.items()}
    return ComparedFrames(mean, std, given, (low, high, made), parts, seen)

"""Fit a Gaussian to a trunk's features of normal images, and choose its kind by images that it was not fitted to.

All parts at one place, in one pose: then each position has a mean of its own. Otherwise one mean is the better model.
The kind and the shrinkage with the largest likelihood of held-out normal patches are taken, parts kept whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from latentline.base.strict_yaml import StrictModel
from latentline.errors import DatasetError
from latentline.trunk.statistics import CELL, TrunkStatistics

Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
GaussianKind = Literal["cells", "positions", "shared"]

KINDS: tuple[GaussianKind, ...] = ("cells", "positions", "shared")
FEWEST_NORMALS = 10
HELD_OUT_SHARE = 0.2
POOLED = (0.2, 0.5, 0.8)  # share of the covariance of all positions in that of a cell
RIDGES = (0.003, 0.03, 0.3)  # in units of the mean variance


class GaussianTrial(StrictModel):
    """One kind of Gaussian with the shrinkage that suits it best.

    kind        cells: a mean for each position, a covariance for each 2 x 2 of them; positions: a mean for each
                position, one covariance; shared: one mean and one covariance
    pooled      share of the covariance of all positions in that of a cell; 1 where there is only one
    ridge       added to every variance, in units of their mean
    likelihood  mean log-likelihood of a held-out normal patch, for each channel
    """

    kind: GaussianKind
    pooled: float = Field(gt=0, le=1)
    ridge: float = Field(gt=0)
    likelihood: float


class GaussianChoice(StrictModel):
    """The kinds that were tried, the chosen one first, and the numbers of normal images: fitted to, and judged on."""

    trials: tuple[GaussianTrial, ...] = Field(min_length=1)
    fitted: int = Field(gt=0)
    judged: int = Field(gt=0)

    @property
    def sentence(self) -> str:
        """The kinds with their likelihoods, the best first."""
        tried = ", ".join(f"{trial.kind} {trial.likelihood:.3f}" for trial in self.trials)
        return f"{tried} (log-likelihood of a patch for each channel, on {self.judged} other normal images)"


@dataclass(frozen=True)
class _Moments:
    """Means [C, h, w] and [C], covariances [cells, C, C], [C, C] around each position's mean, and [C, C] around one."""

    mean: Float64
    shared_mean: Float64
    cells: Float64
    pooled: Float64
    shared: Float64


@dataclass(frozen=True)
class FittedGaussian:
    """A Gaussian of all normal images, and the same kind without those that chose it.

    judging  not fitted to the images of `judged`
    judged   [N] bool
    choice   why it is of this kind
    """

    statistics: TrunkStatistics
    judging: TrunkStatistics
    judged: npt.NDArray[np.bool_]
    choice: GaussianChoice


def fit_gaussian(features: Float, parts: Sequence[str], seed: int) -> FittedGaussian:
    """The Gaussian of normal features [N, C, h, w]; h and w are even.

    parts  the part that each image shows
    Raises DatasetError when there are fewer than 10 images, or all show one part.
    """
    judged = _judged(parts, seed)
    fitted = _moments(features[~judged])
    trials = []
    for kind in KINDS:
        shares = POOLED if kind == "cells" else (1.0,)
        tried = (_trial(fitted, features[judged], kind, *pair) for pair in itertools.product(shares, RIDGES))
        trials.append(max(tried, key=lambda trial: trial.likelihood))
    trials.sort(key=lambda trial: -trial.likelihood)
    choice = GaussianChoice(trials=tuple(trials), fitted=int((~judged).sum()), judged=int(judged.sum()))
    best = choice.trials[0]
    whole, without = (_statistics(m, best.kind, best.pooled, best.ridge) for m in (_moments(features), fitted))
    return FittedGaussian(whole, without, judged, choice)


def _judged(parts: Sequence[str], seed: int) -> npt.NDArray[np.bool_]:
    """[N]: which images are held out from the fit that decides, those of a fifth of the parts."""
    names = sorted(set(parts))
    if len(parts) < FEWEST_NORMALS or len(names) < 2:
        raise DatasetError(
            f"a trunk needs at least {FEWEST_NORMALS} normal training images of two parts, and there are {len(parts)} "
            f"of {len(names)}; add images or set trunk.network to none"
        )
    count = max(1, round(HELD_OUT_SHARE * len(names)))
    held = {names[i] for i in np.random.default_rng(seed).permutation(len(names))[:count]}
    return np.array([part in held for part in parts])


def _moments(features: Float) -> _Moments:
    channels, height, width = features.shape[1:]
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean.astype(np.float32)
    cells = []
    for y, x in itertools.product(range(0, height, CELL), range(0, width, CELL)):
        rows = centred[:, :, y : y + CELL, x : x + CELL].transpose(0, 2, 3, 1).reshape(-1, channels)
        cells.append((rows.T @ rows / len(rows)).astype(np.float64))
    pooled = np.mean(cells, axis=0)
    shared_mean = mean.mean(axis=(1, 2))
    between = (mean - shared_mean[:, None, None]).reshape(channels, -1)
    return _Moments(mean, shared_mean, np.stack(cells), pooled, pooled + between @ between.T / (height * width))


def _statistics(moments: _Moments, kind: GaussianKind, pooled: float, ridge: float) -> TrunkStatistics:
    whole = moments.shared if kind == "shared" else moments.pooled
    covariance = (1 - pooled) * moments.cells + pooled * whole if kind == "cells" else whole[None]
    channels = len(whole)
    covariance = covariance + ridge * max(float(np.diagonal(whole).mean()), 1e-12) * np.eye(channels)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    mean = moments.shared_mean[:, None, None] if kind == "shared" else moments.mean
    return TrunkStatistics(mean.astype(np.float32), np.tril(whitening).astype(np.float32))


def _trial(moments: _Moments, others: Float, kind: GaussianKind, pooled: float, ridge: float) -> GaussianTrial:
    statistics = _statistics(moments, kind, pooled, ridge)
    squares = float(np.mean([np.square(statistics.whitened(f)).mean() for f in others]))
    logs = np.log(np.diagonal(statistics.whitening, axis1=1, axis2=2).astype(np.float64))
    likelihood = float(logs.mean()) - 0.5 * squares
    return GaussianTrial(kind=kind, pooled=pooled, ridge=ridge, likelihood=likelihood)

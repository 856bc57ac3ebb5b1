"""What held-out normal images fix: the scale of every score component, the thresholds and the promise behind them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pydantic import Field

from latentline.base.strict_yaml import StrictModel
from latentline.errors import DatasetError

FALSE_ALARM_RATE = 0.05  # promised where nothing else is asked for


class Component(StrictModel):
    """One score component: standardised as (value − mean) / std on held-out normals, then weighted."""

    name: str
    mean: float
    std: float = Field(gt=0)
    weight: float = Field(ge=0)


class Validation(StrictModel):
    """What the weights of the components were fixed on, and what they are worth there.

    normals, abnormals, synthetic  images: normal, really abnormal, and abnormal ones made from normal frames
    component_auroc     of each component alone
    given_auroc         of the score with the weights that components have before any image is seen
    fitted_auroc        of the score with fitted weights, each image scored by weights fitted without it; None: too few
                        abnormal images to fit any
    dropped             components that got no weight
    """

    normals: int = Field(gt=0)
    abnormals: int = Field(ge=0)
    synthetic: int = Field(ge=0)
    component_auroc: dict[str, float]
    given_auroc: float
    fitted_auroc: float | None
    dropped: tuple[str, ...]


class Calibration(StrictModel):
    """Scalars of the calibration, stored in the manifest. The paper's score is the one component `loss`, unscaled.

    components         the score is Σ weight · (value − mean) / std
    threshold          a frame whose score is above it is abnormal
    map_threshold      pixels of the anomaly map above it belong to a defect
    false_alarm_rate   promised: P(score of a new normal frame > threshold) is at most this
    scored_normals     frames the thresholds were taken from (the promise needs them exchangeable with new frames)
    standardised_normals  other frames, from which means, standard deviations and pixel statistics were taken
    validation         why the weights are what they are; None where no abnormal image was given
    """

    components: tuple[Component, ...]
    threshold: float
    map_threshold: float
    false_alarm_rate: float = Field(gt=0, lt=1)
    scored_normals: int = Field(gt=0)
    standardised_normals: int = Field(gt=0)
    validation: Validation | None = None

    def score(self, values: dict[str, float]) -> tuple[float, dict[str, float]]:
        """Score of a frame from its raw component values, and the standardised components."""
        parts = {c.name: (values[c.name] - c.mean) / c.std for c in self.components}
        return sum(c.weight * parts[c.name] for c in self.components), parts


def conformal_threshold(normal_scores: npt.NDArray[np.float64], false_alarm_rate: float) -> float:
    """Threshold t with P(score of a new exchangeable normal > t) <= false_alarm_rate, exact for finite n.

    t is the k-th smallest of n scores, k = ceil((n + 1)(1 − α)) (split conformal prediction; Vovk et al. 2005). Raises
    DatasetError when n is too small to promise α.
    """
    n = len(normal_scores)
    if reason := too_few(n, false_alarm_rate):
        raise DatasetError(reason)
    k = math.ceil((n + 1) * (1 - false_alarm_rate) - 1e-9)
    return float(np.sort(normal_scores)[max(k, 1) - 1])


def too_few(scored: int, false_alarm_rate: float) -> str | None:
    """Why so many normal frames cannot promise the rate, and what to do; None where they can."""
    needed = math.ceil(1 / false_alarm_rate - 1e-9) - 1
    if scored >= needed:
        return None
    return (
        f"a false-alarm rate of {false_alarm_rate:g} needs at least {needed} held-out normal images to set the "
        f"threshold, and there are {scored}; hold out more images or allow a rate of {1 / (scored + 1):.3g}"
    )

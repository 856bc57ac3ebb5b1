"""A calibration: the scale of each score component, the thresholds, and the promise behind them."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import Field

from latentline.base.strict_yaml import StrictModel
from latentline.scoring.thresholds import Promise

FALSE_ALARM_RATE = 0.05  # the default promise


class Component(StrictModel):
    """One score component: standardised as (value − mean) / std of held-out normal frames, then weighted."""

    name: str
    mean: float
    std: float = Field(gt=0)
    weight: float = Field(ge=0)


class Validation(StrictModel):
    """The images that fixed the weights of the components, and the image AUROC on them.

    normals, abnormals, synthetic  numbers of images: normal, abnormal, and abnormal ones made from normal frames
    component_auroc     of each component alone
    given_auroc         of the score with the weights that it would have without these images
    fitted_auroc        of the score with fitted weights, each image scored by weights fitted without its part; None:
                        too few abnormal images to fit weights
    dropped             components without a weight
    """

    normals: int = Field(gt=0)
    abnormals: int = Field(ge=0)
    synthetic: int = Field(ge=0)
    component_auroc: dict[str, float]
    given_auroc: float
    fitted_auroc: float | None
    dropped: tuple[str, ...]


class Calibration(StrictModel):
    """The scalars of a calibration, kept in the manifest. The paper's score is the single component `loss`, unscaled.

    components         the score is Σ weight · (value − mean) / std
    threshold          a frame whose score is above it is abnormal
    map_threshold      pixels of the anomaly map above it belong to a defect
    false_alarm_rate   the promise: P(score of a new normal frame > threshold) is at most this
    scored_normals     normal frames behind the thresholds; the promise needs them exchangeable with new frames
    promise            over what the promise holds, and with which tail; None: written before there was a choice
    standardised_normals  other normal frames, behind means, standard deviations and pixel statistics
    validation         evidence for the weights; None: no abnormal image was given
    """

    components: tuple[Component, ...]
    threshold: float
    map_threshold: float
    false_alarm_rate: float = Field(gt=0, lt=1)
    scored_normals: int = Field(gt=0)
    standardised_normals: int = Field(gt=0)
    validation: Validation | None = None
    promise: Promise | None = None

    def among(self, names: Collection[str]) -> Calibration:
        """This calibration with the components in `names` alone: for another score, of which it promises nothing."""
        return self.model_copy(update={"components": tuple(c for c in self.components if c.name in names)})

    def score(self, values: dict[str, float]) -> tuple[float, dict[str, float]]:
        """The score of a frame from its raw components, and the standardised components."""
        standardised = {c.name: (values[c.name] - c.mean) / c.std for c in self.components}
        return sum(c.weight * standardised[c.name] for c in self.components), standardised

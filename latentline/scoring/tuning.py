"""How a package was tuned to a budget of milliseconds: in the manifest, for people and for the station's file."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from latentline.base.counted import counted
from latentline.base.strict_yaml import StrictModel
from latentline.scoring.search_choice import Gain
from latentline.scoring.validation_counts import ValidationCounts

Start = Literal["encoder", "random"]
Device = Literal["cpu", "tensorrt"]
CpuPrecision = Literal["float32", "bfloat16"]
Outcome = Literal["chosen", "slower", "worse", "over the budget"]


class RangedFigure(StrictModel):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class TunedSetting(StrictModel):
    """One way of inspecting a frame.

    overlap     of neighbouring tiles, as a fraction of the tile
    iterations  steps of the search
    init        where it starts, as in `SearchSettings`
    tiles       of a frame that are searched, after a first look at all; all: without one
    """

    overlap: float = Field(ge=0, lt=0.9)
    iterations: int = Field(ge=0)
    init: Start
    tiles: int | Literal["all"] = "all"

    def __str__(self) -> str:
        start = ", random start" if self.init == "random" else ""
        tiles = "" if self.tiles == "all" else f", {counted(self.tiles, 'tile')}"
        return f"overlap {self.overlap:g}, n = {self.iterations}{start}{tiles}"

    def costs_no_less(self, other: TunedSetting) -> bool:
        """Whether it has the tiles and steps of `other`, or more, from the same start."""
        ours, theirs = (math.inf if setting.tiles == "all" else setting.tiles for setting in (self, other))
        return (
            self.init == other.init
            and self.overlap >= other.overlap
            and self.iterations >= other.iterations
            and ours >= theirs
        )


class TuningTrial(StrictModel):
    """What a setting costs and tells. Figures are of the validation frames; None: it was not judged, or has no masks.

    milliseconds  median of a frame
    image_auroc   of the whole score, each frame scored by weights that were found without its part; with its interval
    pixel_auroc   of the anomaly map
    image_gain, pixel_gain  over the setting within the budget that is the best in this figure
    outcome       chosen, or why not
    """

    setting: TunedSetting
    milliseconds: float = Field(ge=0)
    image_auroc: RangedFigure | None = None
    pixel_auroc: float | None = Field(default=None, ge=0, le=1)
    image_gain: Gain | None = None
    pixel_gain: Gain | None = None
    outcome: Outcome


class Tuning(ValidationCounts):
    """A budget, and what was chosen within it.

    budget    milliseconds, for the median of a frame
    device    that inspected
    machine   its processor
    frame     width and height, px; None: the held-out images as they are
    threads   of the CPU: the fewest that keep the budget
    milliseconds_by_threads  median of a frame with the chosen setting
    precision  of the networks on the CPU
    trials    all settings that were tried, the fastest first
    """

    budget: float = Field(gt=0)
    device: Device
    machine: str
    frame: tuple[int, int] | None
    threads: int = Field(gt=0)
    milliseconds_by_threads: dict[int, float]
    precision: CpuPrecision = "float32"
    trials: tuple[TuningTrial, ...] = Field(min_length=1)

    @property
    def chosen(self) -> TuningTrial:
        """The setting that the package has."""
        return next(trial for trial in self.trials if trial.outcome == "chosen")

    @property
    def sentence(self) -> str:
        """What was chosen, and what it costs and tells."""
        chosen = self.chosen
        found = f"; image AUROC {chosen.image_auroc} on {self.frames}"
        return f"{chosen.setting}: {chosen.milliseconds:.3g} ms {frame_in_words(self.frame)}{found}"

    @model_validator(mode="after")
    def _one_is_chosen(self) -> Tuning:
        if sum(trial.outcome == "chosen" for trial in self.trials) != 1:
            raise ValueError("one of the trials is the chosen one")
        return self


def frame_in_words(frame: tuple[int, int] | None) -> str:
    """What was timed."""
    return "a held-out image" if frame is None else f"a frame of {frame[0]} x {frame[1]} px"

"""Which search was chosen, and the figures behind the choice: in the manifest and in reports, for people."""

from __future__ import annotations

from pydantic import Field, model_validator

from latentline.base.strict_yaml import StrictModel
from latentline.scoring.validation_counts import ValidationCounts


class SearchCandidate(StrictModel):
    """One way of searching: the number of steps. 0: the encoder's z as it is."""

    iterations: int = Field(ge=0)


class Gain(StrictModel):
    """A difference between two figures of the same frames, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class SearchTrial(StrictModel):
    """The figures of a candidate on the validation frames, from the maps of its reconstructions alone.

    pixel_auroc              None: no masks
    milliseconds             a tile, on the machine that chose
    image_gain, pixel_gain   over the first trial, which has the shortest search
    """

    candidate: SearchCandidate
    image_auroc: float = Field(ge=0, le=1)
    pixel_auroc: float | None = Field(default=None, ge=0, le=1)
    milliseconds: float = Field(ge=0)
    image_gain: Gain
    pixel_gain: Gain | None = None


class SearchChoice(ValidationCounts):
    """The candidate that was chosen, and all that were tried, the shortest search first."""

    chosen: SearchCandidate
    trials: tuple[SearchTrial, ...] = Field(min_length=1)

    @property
    def sentence(self) -> str:
        """What was chosen and why: what the chosen search gains over the shortest, or what the best other would."""
        first = self.trials[0]
        shown = next((t for t in self.trials if t.candidate == self.chosen), first)
        if shown is first and len(self.trials) > 1:
            shown = max(self.trials[1:], key=lambda trial: trial.image_auroc)
        gains = f"{shown.image_gain} image AUROC"
        if shown.pixel_gain is not None:
            gains += f" and {shown.pixel_gain} pixel AUROC"
        over = f" over {first.candidate.iterations}" if first.candidate.iterations else ""
        cost = max(0.0, shown.milliseconds - first.milliseconds)
        if shown.candidate.iterations == 1:
            return f"n = {self.chosen.iterations}; 1 step gains {gains}{over} and costs {cost:.3g} ms a tile"
        steps = f"{shown.candidate.iterations} steps gain"
        return f"n = {self.chosen.iterations}; {steps} {gains}{over} and cost {cost:.3g} ms a tile"

    @model_validator(mode="after")
    def _was_tried(self) -> SearchChoice:
        if all(trial.candidate != self.chosen for trial in self.trials):
            raise ValueError("the chosen search is none of the trials")
        return self

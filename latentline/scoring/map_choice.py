"""Which kind of anomaly map was chosen, and the figures behind the choice: in the manifest and in reports."""

from __future__ import annotations

from pydantic import Field

from latentline.base.strict_yaml import StrictModel
from latentline.scoring.validation_counts import ValidationCounts
from latentline.search.searched_frame import MapKind


class MapTrial(StrictModel):
    """The figures of one kind of map on the validation frames. pixel_auroc: None without masks."""

    map: MapKind
    image_auroc: float = Field(ge=0, le=1)
    pixel_auroc: float | None = Field(default=None, ge=0, le=1)

    @property
    def merit(self) -> float:
        """By which kinds are compared: image AUROC and, where it is known, pixel AUROC."""
        return self.image_auroc + (self.pixel_auroc or 0.0)


class MapChoice(ValidationCounts):
    """All kinds of maps that were tried, the chosen one first."""

    trials: tuple[MapTrial, ...] = Field(min_length=1)

    @property
    def sentence(self) -> str:
        """The kinds with their figures, the best first, and the frames they were measured on."""
        tried = ", ".join(f"{trial.map} {_figures(trial)}" for trial in self.trials)
        return f"{tried} (image and pixel AUROC on {self.frames})"


def _figures(trial: MapTrial) -> str:
    pixels = "–" if trial.pixel_auroc is None else f"{trial.pixel_auroc:.3f}"
    return f"{trial.image_auroc:.3f}/{pixels}"

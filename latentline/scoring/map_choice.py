"""Which kind of anomaly map was chosen, and the figures behind the choice: in the manifest and in reports."""

from __future__ import annotations

from pydantic import Field

from latentline.base.strict_yaml import StrictModel
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


class MapChoice(StrictModel):
    """All kinds of maps that were tried, the chosen one first.

    normals, abnormals, synthetic  validation frames: normal, abnormal, and abnormal ones made from normal frames
    """

    trials: tuple[MapTrial, ...] = Field(min_length=1)
    normals: int = Field(gt=0)
    abnormals: int = Field(ge=0)
    synthetic: int = Field(ge=0)

    @property
    def sentence(self) -> str:
        """The kinds with their figures, the best first, and the frames they were measured on."""
        tried = ", ".join(f"{trial.map} {_figures(trial)}" for trial in self.trials)
        abnormal = f"{self.abnormals} abnormal" if self.abnormals else f"{self.synthetic} synthetic abnormal"
        return f"{tried} (image and pixel AUROC on {self.normals} normal and {abnormal} validation frames)"


def _figures(trial: MapTrial) -> str:
    pixels = "–" if trial.pixel_auroc is None else f"{trial.pixel_auroc:.3f}"
    return f"{trial.image_auroc:.3f}/{pixels}"

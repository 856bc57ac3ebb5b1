"""What a search gave on test images: figures after it minus those at n = 0, where it starts, and what it cost."""

from __future__ import annotations

from latentline.base.strict_yaml import StrictModel
from trainer.evaluation.intervals import Estimate

TITLE = "what the search gave"


class SearchGain(StrictModel):
    """Figures after the search minus those without one, which has a calibration of its own, on the same test images.

    image_auroc, pixel_auroc  with the interval of paired resamples; None: there is no such figure
    seconds_with, seconds_without  of inspection, per image
    """

    image_auroc: Estimate | None
    pixel_auroc: Estimate | None
    seconds_with: float
    seconds_without: float

    def rows(self) -> dict[str, str]:
        """Rows of a table."""
        figures = {"image AUROC": self.image_auroc, "pixel AUROC": self.pixel_auroc}
        rows = {f"{TITLE}, {figure}": gain.signed for figure, gain in figures.items() if gain is not None}
        rows[f"{TITLE}, seconds per image"] = f"{self.seconds_with:.3g} instead of {self.seconds_without:.3g}"
        return rows

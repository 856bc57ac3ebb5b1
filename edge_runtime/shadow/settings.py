"""Section `shadow` of the station file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class ShadowSection(StrictModel):
    """A candidate that sees some of the live frames, in a process of its own and after the running model. Nobody acts
    on its verdicts: the station only counts where they differ."""

    model: Path
    """The candidate's package: a folder or a `.zip`."""

    share: float = Field(default=0.1, gt=0, le=0.9)
    """Largest share of the time in which the candidate may work, on one core, at the lowest priority."""

"""Section `spool` of the station file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class SpoolSection(StrictModel):
    """Events on disk until the broker has them. Above a limit the oldest are dropped, counted and said.

    max_events, max_mib, max_days  how many may wait, how much they may weigh, how old they may be; null: no limit
    """

    path: Path = Path("spool.sqlite")
    max_events: int = Field(default=100_000, ge=1)
    max_mib: int | None = Field(default=512, ge=1)
    max_days: float | None = Field(default=None, gt=0)

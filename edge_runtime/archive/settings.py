"""Section `archive` of the station file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class ArchiveShares(StrictModel):
    """Which inspected frames are kept."""

    abnormal: float = Field(default=1.0, ge=0, le=1)
    """Fraction of the abnormal frames."""

    near_threshold: float = Field(default=1.0, ge=0, le=1)
    """Fraction of the normal frames whose score is less than `width` below the threshold."""

    width: float = Field(default=0.5, ge=0)
    """What counts as near the threshold, in units of the score."""

    normal: float = Field(default=0.01, ge=0, le=1)
    """Fraction of all other normal frames. They show what the line looks like, and become normal images."""


class ArchiveSection(StrictModel):
    """Pictures of inspected frames with their verdicts, for people who label them. See docs/archive.md."""

    path: Path
    """The folder. One station writes to it."""

    shares: ArchiveShares = ArchiveShares()
    """Which inspected frames are kept."""

    seed: int = Field(default=0, ge=0)
    """Random seed of the choice. The same frame with the same seed is always chosen alike."""

    format: Literal["png", "jpeg"] = "png"
    """`png` keeps each pixel; `jpeg` takes less space, and changes the pixels a little."""

    quality: int = Field(default=95, ge=50, le=100)
    """Quality of `jpeg`."""

    max_gib: float | None = Field(default=20.0, gt=0)
    """Largest size of the files; `null` for no limit. Above a limit the oldest pictures without a label go first, and
    labelled ones never. [GiB]"""

    max_days: float | None = Field(default=None, gt=0)
    """Greatest age of a picture without a label; unset for no limit. [days]"""

    max_pictures: int | None = Field(default=100_000, ge=1)
    """Most pictures; `null` for no limit."""

    min_free_mib: int = Field(default=1024, ge=0)
    """With less free space on its disk than this, nothing is archived, so that events keep their room. [MiB]"""

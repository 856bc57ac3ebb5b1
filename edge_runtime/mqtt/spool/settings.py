"""Section `spool` of the station file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from latentline.base.strict_yaml import StrictModel


class SpoolSection(StrictModel):
    """Events on disk until the broker has confirmed them. Above a limit the station drops the oldest events, counts
    them and reports a fault."""

    path: Path = Path("spool.sqlite")
    """The database file."""

    max_events: int = Field(default=100_000, ge=1)
    """Most events that may wait."""

    max_mib: int | None = Field(default=512, ge=1)
    """Largest size of the waiting events; `null` for no limit. [MiB]"""

    max_days: float | None = Field(default=None, gt=0)
    """Greatest age of a waiting event; unset for no limit. [days]"""

    @field_validator("path")
    @classmethod
    def _is_a_file_name(cls, path: Path) -> Path:
        if path.name in ("", "..") or path.suffix == ".answered":  # the station keeps such a file beside it
            raise ValueError("give the spool a file name such as spool.sqlite")
        return path

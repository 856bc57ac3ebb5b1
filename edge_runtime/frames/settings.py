"""Section `drift` of the station file."""

from __future__ import annotations

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class DriftSection(StrictModel):
    """When to say that the line has changed.

    window                    newest frames that are compared with the calibration
    frames_per_false_warning  on an unchanged line, at most one warning in so many frames is chance
    defect_rate               share of frames with real defects that is usual here; so many extra alarms say nothing
    brightness_tolerance      grey levels (of 255) by which the mean may change without a word
    """

    window: int = Field(default=300, ge=100, le=5000)
    frames_per_false_warning: int = Field(default=100_000, ge=1000)
    defect_rate: float = Field(default=0.05, ge=0, lt=0.5)
    brightness_tolerance: float = Field(default=2.0, ge=0)

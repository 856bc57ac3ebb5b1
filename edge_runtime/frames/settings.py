"""Section `drift` of the station file."""

from __future__ import annotations

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class DriftSection(StrictModel):
    """When the station warns that the line no longer looks as it did at calibration. `null` switches the warning
    off."""

    window: int = Field(default=300, ge=100, le=5000)
    """Number of newest frames that the station compares with the calibration. [frames]"""

    defect_rate: float = Field(default=0.05, ge=0, lt=0.5)
    """Fraction of really defective frames that is usual on this line. That many alarms beyond the promised false ones
    cause no warning."""

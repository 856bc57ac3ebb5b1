"""How many frames a choice rests on."""

from __future__ import annotations

from pydantic import Field

from latentline.base.counted import counted
from latentline.base.strict_yaml import StrictModel


class ValidationCounts(StrictModel):
    """Validation frames: normal, abnormal, and abnormal ones made from normal frames."""

    normals: int = Field(gt=0)
    abnormals: int = Field(ge=0)
    synthetic: int = Field(ge=0)

    @property
    def frames(self) -> str:
        """The validation frames, in words."""
        if self.abnormals:
            return f"{self.normals} normal and {counted(self.abnormals, 'abnormal validation frame')}"
        return f"{self.normals} normal and {counted(self.synthetic, 'synthetic abnormal validation frame')}"

"""How many validation defects no searched tile shows: in the manifest, for people."""

from __future__ import annotations

from pydantic import Field, model_validator

from latentline.base.counted import counted
from latentline.base.strict_yaml import StrictModel


class LookMisses(StrictModel):
    """The first look on validation defects whose pixels are known.

    tiles     of each frame that are searched
    defects   frames with a defect
    missed    of these, frames where no searched tile has a pixel of it; the first look's word is all there is
    synthetic whether the defects were made
    """

    tiles: int = Field(ge=1)
    defects: int = Field(ge=1)
    missed: int = Field(ge=0)
    synthetic: bool

    @property
    def rate(self) -> float:
        """The share of defects that are missed."""
        return self.missed / self.defects

    @property
    def sentence(self) -> str:
        """The figures in words."""
        kind = "made" if self.synthetic else "known"
        searched = counted(self.tiles, "tile a frame is searched, and misses", "tiles a frame are searched, and miss")
        return f"{searched} {self.missed} of {counted(self.defects, f'{kind} defect')}"

    @model_validator(mode="after")
    def _part_of_all(self) -> LookMisses:
        if self.missed > self.defects:
            raise ValueError("more defects are missed than there are")
        return self

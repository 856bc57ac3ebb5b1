"""Pictures with what people said about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from latentline.rescoring.pictures import PictureFile

Label = Literal["good", "defect"]


@dataclass(frozen=True)
class LabelledPicture:
    """A picture and its label. label: None: nobody has labelled it; kind: of a defect, None: nobody has said which."""

    file: PictureFile
    label: Label | None = None
    kind: str | None = None

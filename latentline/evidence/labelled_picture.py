"""Pictures with what people said about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from latentline.rescoring.pictures import PictureFile

Label = Literal["good", "defect", "skip"]


@dataclass(frozen=True, slots=True)  # there may be millions
class LabelledPicture:
    """A picture and its label.

    label  skip: the picture does not tell; None: nobody has labelled it
    kind   of a defect; None: nobody has said which
    """

    file: PictureFile
    label: Label | None = None
    kind: str | None = None

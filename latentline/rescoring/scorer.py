"""Scores pictures with a package, on one CPU thread, so that every process gives the same numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError
from latentline.inspection.result import InspectionResult
from latentline.model import Model
from latentline.package.model_package import ModelPackage
from latentline.rescoring.pictures import PictureFile, content_hash
from latentline.rescoring.scored_picture import FoundDefect, ScoredPicture
from latentline.vision.content import short_hash
from latentline.vision.images import read_image


class PictureScorer:
    """An opened package. Raises what `Model` raises. Close it after use."""

    def __init__(self, package: ModelPackage) -> None:
        self._model = Model(package, "openvino", threads=1)
        self._depth = package.manifest.preprocessing.bit_depth
        self._region = package.manifest.preprocessing.region

    def score(self, pictures: Sequence[PictureFile]) -> list[ScoredPicture]:
        """A row for each picture, in order. A picture that cannot be used gets a row with its error."""
        return [self._scored(picture) for picture in pictures]

    def inspect(self, path: Path) -> InspectionResult:
        """The whole result of one picture. Raises ImageError."""
        return self._model.inspect(self._read(path))

    def close(self) -> None:
        """Release the model."""
        self._model.close()

    def _scored(self, picture: PictureFile) -> ScoredPicture:
        sha256, threshold = content_hash(picture.path), self._model.threshold
        try:
            image = self._read(picture.path)
            result = self._model.inspect(image)
        except ImageError as error:
            return ScoredPicture(picture.name, sha256, threshold, error=str(error))
        except Exception as error:  # one picture must not cost the others
            return ScoredPicture(picture.name, sha256, threshold, error=f"{type(error).__name__}: {error}")
        if not math.isfinite(result.score):
            return ScoredPicture(picture.name, sha256, threshold, error=f"the score is {result.score}")
        defects = tuple(FoundDefect(*d.bbox, d.area, d.peak) for d in result.defects)
        shown = short_hash(image if self._region is None else self._region.cut(image))  # as the training hashed it
        return ScoredPicture(picture.name, sha256, threshold, result.score, shown, result.components, defects)

    def _read(self, path: Path) -> npt.NDArray[np.uint8]:
        return read_image(path, self._depth)

"""Labels from the names of folders, as the trainer's data sets have them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from latentline.evidence.labelled_picture import LabelledPicture
from latentline.rescoring.pictures import PictureFile, list_pictures

_GOOD = frozenset({"good", "ok", "normal"})
_OF_DEFECTS = frozenset({"test", "known_abnormal"})  # whose other folders are kinds of defects


def labelled_folder(folder: Path) -> list[LabelledPicture]:
    """The pictures in `folder`: good in a folder `good`, `ok` or `normal`, defects in `test/KIND` and
    `known_abnormal/KIND`, and without a label elsewhere. Raises DatasetError."""
    return [_labelled(picture) for picture in list_pictures(folder)]


def _labelled(picture: PictureFile) -> LabelledPicture:
    *above, place = ["", *PurePosixPath(picture.name).parent.parts]
    if place.casefold() in _GOOD:
        return LabelledPicture(picture, "good")
    if above and above[-1] in _OF_DEFECTS:
        return LabelledPicture(picture, "defect", place)
    return LabelledPicture(picture)

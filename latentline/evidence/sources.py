"""Where pictures with labels come from: a station's archive, or a folder."""

from __future__ import annotations

from pathlib import Path

from latentline.evidence.archive_index import INDEX_NAME, archived_pictures
from latentline.evidence.labelled_folder import labelled_folder
from latentline.evidence.labelled_picture import LabelledPicture


def labelled_pictures(folder: Path) -> list[LabelledPicture]:
    """The pictures of the archive in `folder`, or those of a plain folder, in an order that does not change.

    Raises ArchiveError and DatasetError.
    """
    return archived_pictures(folder) if (folder / INDEX_NAME).is_file() else labelled_folder(folder)

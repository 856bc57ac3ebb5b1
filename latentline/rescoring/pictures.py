"""The pictures that are scored again: all of a folder, in an order that does not change."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latentline.errors import DatasetError
from latentline.vision.images import SUFFIXES

MASK_FOLDERS = frozenset({"ground_truth", "masks"})  # their files are pictures too, but of no part


@dataclass(frozen=True, slots=True)  # there may be millions
class PictureFile:
    """A picture in a folder. name: its path from there, with slashes."""

    name: str
    folder: Path

    @property
    def path(self) -> Path:
        """Where it can be read."""
        return self.folder / self.name

    @property
    def mark(self) -> str:
        """What changes when the file does: name, size and time. Raises nothing for a file that has gone."""
        try:
            status = self.path.stat()
        except OSError:
            return f"{self.name} gone"
        return f"{self.name} {status.st_size} {status.st_mtime_ns}"


def list_pictures(folder: Path) -> list[PictureFile]:
    """The pictures at any depth of `folder`, sorted by name, without hidden files and without folders of masks.

    Raises DatasetError when there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder; give one that holds pictures")
    found = [PictureFile(name, folder) for name in sorted(_names(folder))]
    if not found:
        raise DatasetError(f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}); give a folder that does")
    return found


def content_hash(path: Path) -> str | None:
    """sha256 of a file; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            return digest.hexdigest()
    except OSError:
        return None


def _names(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in MASK_FOLDERS]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(place, name).relative_to(folder).as_posix()

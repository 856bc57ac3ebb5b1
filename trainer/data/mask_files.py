"""Which files are the mask of an image, by the names and folders that data sets and label tools give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainer.data.folder_names import (
    MASK_ENDS,
    MASK_FOLDER_ENDS,
    MASK_FOLDERS,
    MASK_FOLDERS_BESIDE,
    folders_in,
    image_files,
    is_good,
)
from trainer.data.labelme import is_labelme, labelme_files


@dataclass(frozen=True)
class _Listing:
    """What is in one folder, by names without case and suffix."""

    images: dict[str, list[Path]]
    folders: dict[str, list[Path]]
    labelled: dict[str, list[Path]]

    @classmethod
    def of(cls, folder: Path) -> _Listing:
        listing = cls({}, {}, {})
        try:
            for path in image_files(folder):
                listing.images.setdefault(path.stem.casefold(), []).append(path)
            for path in folders_in(folder):
                listing.folders.setdefault(path.name.casefold(), []).append(path)
            for path in labelme_files(folder):
                listing.labelled.setdefault(path.stem.casefold(), []).append(path)
        except OSError:  # a folder above the images, which is not ours to read
            pass
        return listing


@dataclass
class MaskFinder:
    """Finds the masks of images.

    kinds  folders of abnormal images: a mask in a folder that serves several of them, which lie beside each other,
           belongs to an image only where no other kind has one of that name
    """

    kinds: tuple[Path, ...] = ()
    _listings: dict[Path, _Listing] = field(default_factory=dict)
    _are_labelme: dict[Path, bool] = field(default_factory=dict)

    def of(self, image: Path) -> tuple[Path, ...]:
        """The mask files of an image: one, those of a folder of its name, or none; of LabelMe where no picture is."""
        places = list(self._places(image))
        for place, ends in places:
            if found := self._named(place, image, ends):
                return found
        for place in (image.parent, *(place for place, _ in places)):
            for base in (image.stem, image.name):
                for path in self._listing(place).labelled.get(base.casefold(), []):
                    if path not in self._are_labelme:
                        self._are_labelme[path] = is_labelme(path)
                    if self._are_labelme[path]:
                        return (path,)
        return ()

    def files(self, images: Iterable[Path], root: Path) -> set[Path]:
        """All mask files of the data set at `root`, whether they belong to one of these abnormal `images` or not."""
        found = {mask for image in images for mask in self.of(image)}
        for name in MASK_FOLDERS:
            for folder in self._listing(root).folders.get(name, []):
                found.update(_images_below(folder))
        for kind in self.kinds:
            for place in (*self._own_folders(kind), *self._inside(kind.parent, MASK_FOLDERS_BESIDE)):
                found.update(_images_below(place))
        return found

    def _places(self, image: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Folders where a mask of the image may lie, with the endings of its name there, the likeliest first."""
        kind, side = image.parent, image.parent.parent
        above = list(self._inside(side.parent, MASK_FOLDERS))
        beside = list(self._inside(side, MASK_FOLDERS_BESIDE))
        places = [place for folder in above[:1] for place in self._inside(folder, (kind.name,))]
        places += self._own_folders(kind)
        for folder in (*beside, *above):
            places += self._inside(folder, (kind.name,))
            for mirrored in self._inside(folder, (side.name,)):
                places += self._inside(mirrored, (kind.name,))
        if kind not in self.kinds:
            places += beside
        elif self._is_alone(image):
            places += [*beside, *above]
        yield from ((place, MASK_ENDS) for place in places)
        yield kind, tuple(end for end in MASK_ENDS if end)

    def _own_folders(self, kind: Path) -> list[Path]:
        """Folders that hold masks of one folder of images: inside it, or beside it with its name."""
        beside = self._inside(kind.parent, [kind.name + end for end in MASK_FOLDER_ENDS])
        return [*beside, *self._inside(kind, MASK_FOLDERS)]

    def _inside(self, folder: Path, names: Iterable[str]) -> Iterator[Path]:
        listing = self._listing(folder)
        for name in names:
            yield from listing.folders.get(name.casefold(), [])

    def _is_alone(self, image: Path) -> bool:
        """Whether no kind beside that of the image has one of its name."""
        kind, stem = image.parent, image.stem.casefold()
        beside = [other for other in self.kinds if other.parent == kind.parent and other != kind]
        return not any(stem in self._listing(other).images for other in beside)

    def _named(self, place: Path, image: Path, ends: tuple[str, ...]) -> tuple[Path, ...]:
        listing = self._listing(place)
        for end in ends:
            for base in (image.stem, image.name):
                files = [path for path in listing.images.get(f"{base}{end}".casefold(), []) if path != image]
                if files:
                    return (min(files, key=lambda path: (not path.stem.startswith(base), path.name)),)
                for folder in listing.folders.get(f"{base}{end}".casefold(), []):
                    if masks := tuple(image_files(folder)):
                        return masks
        return ()

    def _listing(self, folder: Path) -> _Listing:
        if folder not in self._listings:
            self._listings[folder] = _Listing.of(folder)
        return self._listings[folder]


def _images_below(folder: Path) -> Iterator[Path]:
    """The images in `folder` and below, without those of leftover folders and of normal images."""
    if is_good(folder.name):
        return
    yield from image_files(folder)
    for inside in folders_in(folder):
        yield from _images_below(inside)

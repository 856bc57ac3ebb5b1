"""Names in a data set: which folders hold normal images, which hold masks, and which are leftovers of systems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from latentline.vision.images import list_images

GOOD_NAMES = frozenset({"good", "ok", "normal"})
# what a NAS, macOS, Windows and Linux leave behind: thumbnails, forks of resources, bins
_LEFTOVERS = frozenset(
    {"__macosx", "#recycle", "$recycle.bin", "system volume information", "lost+found", "thumbnails", "thumbs"}
)
MASK_FOLDERS = (
    *("ground_truth", "masks", "groundtruth", "ground-truth", "gt", "mask", "labels", "label", "annotations"),
    "segmentationclass",  # CVAT and Pascal VOC
)
MASK_FOLDERS_BESIDE = MASK_FOLDERS[:2]  # beside folders of defects, where a kind of defect may be called `label`
MASK_FOLDER_ENDS = ("_masks", "_mask", "_ground_truth", "_gt")
# Endings of a mask's name in the order of preference; without any it has the name of its image.
MASK_ENDS = ("_mask", "-mask", "_masks", "", "_label", "-label", "_labels", "_gt", "-gt", "_ground_truth", "_seg")


def is_good(name: str) -> bool:
    """Whether a folder of this name holds normal images."""
    return name.casefold() in GOOD_NAMES


def is_leftover(name: str) -> bool:
    """Whether a folder of this name is hidden or made by a system, and holds no images of a data set."""
    return name.startswith((".", "@")) or name.casefold() in _LEFTOVERS


def folders_in(folder: Path) -> list[Path]:
    """The folders in `folder`, sorted by name, without leftovers of systems."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_leftover(path.name))


def image_files(folder: Path) -> list[Path]:
    """The images in `folder`, sorted by name; a folder that is called like an image is none."""
    return [path for path in list_images(folder) if not path.is_dir()] if folder.is_dir() else []


def holds_masks(folder: Path) -> bool:
    """Whether a folder beside folders of images holds their masks: `masks`, `ground_truth`, or `<folder>_masks`."""
    name = folder.name.casefold()
    if name in MASK_FOLDERS_BESIDE:
        return True
    bases = (name[: -len(end)] for end in MASK_FOLDER_ENDS if name.endswith(end))
    beside = {path.name.casefold() for path in folder.parent.iterdir()} if folder.parent.is_dir() else set()
    return any(base in beside for base in bases)


def is_mask_by_place(name: str) -> bool:
    """Whether a name in a data set lies in its folder of masks; of a place elsewhere nothing is known."""
    path = Path(name)
    return not path.is_absolute() and any(part.casefold() in MASK_FOLDERS_BESIDE for part in path.parts[:-1])


def images_and_masks(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images in `folder`, and the files beside them whose names say that they are masks of these."""
    found = image_files(folder)
    stems = {path.stem.casefold() for path in found}
    masks = {path for path in found if any(base in stems for base in _bases(path.stem.casefold()))}
    return [path for path in found if path not in masks], sorted(masks)


def _bases(stem: str) -> Iterator[str]:
    """What an image may be called whose mask is called `stem`."""
    yield from (stem[: -len(end)] for end in MASK_ENDS if end and stem.endswith(end) and stem != end)

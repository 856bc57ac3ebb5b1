"""Where known-abnormal images lie: in a folder of the user's, in a list, or among the test images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from latentline.base.home import expanded
from latentline.errors import DatasetError
from latentline.vision.images import SUFFIXES
from latentline.vision.picture_header import FILE_LIMIT
from trainer.data.folder_names import MASK_FOLDERS, folders_in, holds_masks, images_and_masks
from trainer.data.text_file import read_text


def known_images(place: Path | tuple[Path, ...], root: Path) -> tuple[str, ...]:
    """Names of the images that `data.known_abnormal` means, sorted; an image under `root` is named relative to it.

    place  a folder of images, or of one folder for each kind of defect; a text file with a path a line, relative to
           `root` or to the file; or such paths themselves
    Raises DatasetError, one sentence for what is not there.
    """
    if isinstance(place, tuple):
        found = _entries(place, "data.known_abnormal", root, (root,))
    elif place.is_dir():
        found = _images_in(place)
    else:
        found = _entries(_lines(place), str(place), root, (root, place.parent))
    if not found:
        where = "data.known_abnormal" if isinstance(place, tuple) else place
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise DatasetError(f"{where}: there is no known-abnormal image; name some ({kinds})")
    return tuple(sorted({_name(path, root) for path in found}))


def copies(names: Sequence[str], others: Iterable[str], root: Path) -> set[str]:
    """Those of the `others` that are the same file as one of `names`, or a copy of it to the byte."""
    by_size: dict[int, list[Path]] = {}
    for name in names:
        path = root / name
        if path.is_file() and path.stat().st_size <= FILE_LIMIT:  # a larger file is no picture
            by_size.setdefault(path.stat().st_size, []).append(path)
    content = {path: path.read_bytes() for paths in by_size.values() for path in paths} if by_size else {}
    found = set()
    for other in others:
        path = root / other
        alike = by_size.get(path.stat().st_size, []) if path.is_file() else []
        if alike and path.read_bytes() in [content[same] for same in alike]:
            found.add(other)
    return found


def _lines(place: Path) -> Iterator[Path]:
    text = read_text(place, "data.known_abnormal, a folder of images or a list of them")
    lines = (line.strip() for line in text.splitlines())
    yield from (Path(line) for line in lines if line and not line.startswith("#"))


def _entries(entries: Iterable[Path], source: str, root: Path, bases: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    absent: list[Path] = []
    for entry in entries:
        ways = (entry, _of_windows(entry))
        path = next((p for p in (base / expanded(way) for base in bases for way in ways) if _exists(p)), None)
        if path is None:
            absent.append(entry)
        elif path.is_dir():
            found += _images_in(path)
        elif path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            raise DatasetError(f"{source}: '{entry}' is not an image; correct it")
    if absent:
        more = f" (nor are {len(absent) - 1} more)" if len(absent) > 1 else ""
        beside = " or beside the list" if len(bases) > 1 else ""
        raise DatasetError(f"{source}: '{absent[0]}' is not under {root}{beside}{more}; correct it")
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a line that is far too long for a name, or a folder that is not ours to read
        return False


def _of_windows(entry: Path) -> Path:
    """A path as Windows copies it: with backslashes, in quotes."""
    return Path(str(entry).strip("\"'").replace("\\", "/"))


def _images_in(folder: Path) -> list[Path]:
    """Images of a folder, and of the folders in it that hold no masks."""
    own = images_and_masks(folder)[0]
    inside = [path for path in folders_in(folder) if not holds_masks(path)]
    if own:  # then `label` is no kind of defect
        inside = [path for path in inside if path.name.casefold() not in MASK_FOLDERS]
    return [*own, *(image for place in inside for image in images_and_masks(place)[0])]


def _name(path: Path, root: Path) -> str:
    """Relative to `root` where it lies there; a link under `root` keeps its own name."""
    whole, base = path.parent.resolve() / path.name, root.resolve()
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()

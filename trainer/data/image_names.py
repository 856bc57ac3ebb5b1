"""Names of images as people and other systems write them, matched with the names that the images have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from latentline.vision.images import SUFFIXES

Parts = tuple[str, ...]
_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")


@dataclass(frozen=True)
class Match:
    """The images that a name may mean, more than one where it is ambiguous.

    certain  it says all of the image's own name, and no folder above it but those of the data set
    """

    names: tuple[str, ...]
    certain: bool


@dataclass(frozen=True)
class _Index:
    """Names by all their parts, and by each number of the last of them."""

    whole: dict[Parts, set[str]] = field(default_factory=dict)
    ends: dict[Parts, set[str]] = field(default_factory=dict)

    def add(self, parts: Parts, name: str) -> None:
        self.whole.setdefault(parts, set()).add(name)
        for start in range(len(parts)):
            self.ends.setdefault(parts[start:], set()).add(name)


class ImageNames:
    """The images of a data set, found by names with backslashes, `./`, a drive, another case, fewer or more folders.

    names  POSIX paths relative to `root`, or absolute
    """

    def __init__(self, names: Iterable[str], root: str) -> None:
        self._root = _folded(parts_of(root))
        self._indices = [(way, _Index()) for way in (_as_written, _folded, _without_suffix)]
        for name in names:
            for way, index in self._indices:
                index.add(way(parts_of(name)), name)

    def match(self, text: str) -> Match | None:
        """What `text` means; None where it means no image."""
        for way, index in self._indices:
            parts = _folded(parts_of(text)) if way is _without_suffix else way(parts_of(text))
            for start in range(len(parts)):
                if found := index.whole.get(parts[start:]):
                    above = _folded(parts[:start])
                    return Match(tuple(sorted(found)), above == self._root[len(self._root) - len(above) :])
            if found := index.ends.get(parts):
                return Match(tuple(sorted(found)), False)
        return None


def parts_of(text: str) -> Parts:
    """The folders and the file of a path of any system, without `.`, `..`, quotes and blanks around it."""
    path = unicodedata.normalize("NFC", text.strip().strip("\"'").strip()).replace("\\", "/")
    parts: list[str] = []
    for part in _DRIVE.sub("", path).split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return tuple(parts)


def _as_written(parts: Parts) -> Parts:
    return parts


def _folded(parts: Parts) -> Parts:
    return tuple(part.casefold() for part in parts)


def _without_suffix(parts: Parts) -> Parts:
    """In no case, and without the suffix of an image, which a table may leave out."""
    last = PurePosixPath(parts[-1])
    return _folded((*parts[:-1], last.stem if last.suffix.lower() in SUFFIXES else parts[-1]))

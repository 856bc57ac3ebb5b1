"""The files of the pictures in an archive: how they are called, written whole, found and removed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge_runtime.archive.record import PICTURE_SUFFIXES, ArchivedVerdict, day_of, is_frame_id
from latentline.base.atomic import write_bytes

MAP_ENDING, NEAREST_ENDING, VERDICT_ENDING = ".map.png", ".normal.jpg", ".json"
BROKEN_FOLDER = "broken"
_BESIDE = (VERDICT_ENDING, MAP_ENDING, NEAREST_ENDING)  # written before the picture
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_END_BYTES = 12
_ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9"}


def write_frame(folder: Path, verdict: ArchivedVerdict, files: Mapping[str, bytes]) -> None:
    """Write the files of one picture; the picture itself comes last, so that one that is there has all the others.

    files  content by ending: the suffix of the picture, MAP_ENDING, NEAREST_ENDING
    This does not wait for the disk: a crash leaves whole files, a power cut perhaps not, which recovery finds out.
    Raises OSError.
    """
    day = folder / verdict.day
    day.mkdir(mode=0o700, exist_ok=True)
    content = {VERDICT_ENDING: verdict.to_json().encode(), **files}
    for ending in (*_BESIDE, verdict.suffix):
        write_bytes(day / f"{verdict.id}{ending}", content[ending], mode=0o600, flush=False)


def remove_files(folder: Path, frame_ids: Sequence[str]) -> None:
    """Remove the files of pictures, as far as they are there; of each the picture first. Raises OSError."""
    days = set()
    for frame_id in frame_ids:
        day = folder / day_of(frame_id)
        days.add(day)
        for ending in (*PICTURE_SUFFIXES, *_BESIDE):
            (day / f"{frame_id}{ending}").unlink(missing_ok=True)
    for day in days:
        try:
            day.rmdir()
        except OSError:  # there are more pictures in it
            continue


def set_aside(folder: Path, frame_ids: Sequence[str]) -> None:
    """Move the files of pictures, as far as they are there, into the folder `broken`. Raises OSError."""
    for frame_id in frame_ids:
        for ending in (*PICTURE_SUFFIXES, *_BESIDE):
            file = folder / day_of(frame_id) / f"{frame_id}{ending}"
            if file.exists():
                (folder / BROKEN_FOLDER).mkdir(mode=0o700, exist_ok=True)
                file.replace(folder / BROKEN_FOLDER / file.name)


def day_folders(folder: Path) -> list[Path]:
    """The folders with pictures, the oldest first. Raises OSError."""
    return sorted(path for path in folder.iterdir() if _DAY.fullmatch(path.name) and path.is_dir())


def pictures_of(day: Path) -> dict[str, os.DirEntry[str]]:
    """The pictures in a day's folder by their ids, after leftovers of a crash are removed. Raises OSError."""
    pictures: dict[str, os.DirEntry[str]] = {}
    beside: list[tuple[str, os.DirEntry[str]]] = []
    for entry in _entries(day):
        stem, ending = _parts(entry.name)
        if entry.name.startswith(".") and entry.name.endswith(".tmp"):
            os.unlink(entry.path)  # noqa: PTH108
        elif is_frame_id(stem) and ending in _BESIDE:
            beside.append((stem, entry))
        elif is_frame_id(stem) and ending in PICTURE_SUFFIXES:
            pictures[stem] = entry
    for stem, entry in beside:
        if stem not in pictures:
            os.unlink(entry.path)  # noqa: PTH108
    return pictures


def whole_verdict(picture: Path) -> ArchivedVerdict | None:
    """What the station said about a picture; None unless picture and verdict are whole. Raises OSError."""
    stem, ending = _parts(picture.name)
    try:
        verdict = ArchivedVerdict.from_json(picture.with_name(f"{stem}{VERDICT_ENDING}").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if (verdict.id, verdict.suffix) != (stem, ending) or picture.stat().st_size != verdict.picture_bytes:
        return None
    with picture.open("rb") as file:
        file.seek(-min(_END_BYTES, verdict.picture_bytes), os.SEEK_END)
        return verdict if file.read().endswith(_ENDS[ending]) else None


def _entries(day: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(day) as entries:
        yield from entries


def _parts(name: str) -> tuple[str, str]:
    """The id in a file's name, and the rest. A camera's id may have dots, so the hash ends it."""
    ending = next((e for e in (*_BESIDE, *PICTURE_SUFFIXES) if name.endswith(e)), "")
    return name[: len(name) - len(ending)], ending

"""The table of groups: which part each image shows. Every way in which people write such a CSV is read, or refused."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from latentline.base.counted import counted
from latentline.errors import DatasetError
from latentline.vision.images import SUFFIXES
from trainer.data.image_names import ImageNames
from trainer.data.text_file import read_text

FILE_COLUMNS = ("file", "filename", "file_name", "image", "path")
GROUP_COLUMNS = ("tile_group", "group", "part")
SEPARATORS = ",;\t|"
FEW = 0.5
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Row:
    """A row of the table, and its line in the file."""

    file: str
    group: str
    line: int


def read_group_table(path: Path, root: Path, names: Collection[str]) -> Mapping[str, str]:
    """Image name -> group, for those of the `names` under `root` that the CSV at `path` has a row for.

    A line in the log says how many rows and images match. Raises DatasetError, one sentence with the line, for a table
    that cannot be read, a row that is short, means several images, or disagrees with another, and for a table of which
    fewer than half of the rows match, unless they are of half of the images or more.
    """
    rows = list(_rows(path))
    images = ImageNames(names, root.as_posix())
    certain: dict[str, _Row] = {}
    likely: dict[str, list[_Row]] = {}
    unmatched: list[_Row] = []
    for row in rows:
        match = images.match(row.file)
        if match is None:
            unmatched.append(row)
        elif len(match.names) > 1:
            raise DatasetError(
                f"{path}: '{row.file}' in line {row.line} may be {match.names[0]} or {match.names[1]}; "
                "write the path relative to data.root"
            )
        elif match.certain:
            _agree(path, match.names[0], certain.setdefault(match.names[0], row), row)
        else:
            likely.setdefault(match.names[0], []).append(row)
    for name, others in likely.items():
        if name not in certain:  # else they are of another data set
            certain[name] = others[0]
            for row in others:
                _agree(path, name, others[0], row)
    _check_matched(path, root, len(rows), unmatched, len(certain), names)
    groups = {name: row.group for name, row in certain.items()}
    _say_groups(path, groups, len(rows) - len(unmatched), len(rows), len(names))
    return groups


def _agree(path: Path, name: str, first: _Row, second: _Row) -> None:
    if first.group != second.group:
        raise DatasetError(
            f"{path}: lines {first.line} and {second.line} give {name} the groups '{first.group}' and "
            f"'{second.group}'; keep one of them"
        )


def _check_matched(
    path: Path, root: Path, rows: int, unmatched: list[_Row], found: int, names: Collection[str]
) -> None:
    """Warn of rows that match no image. Raises DatasetError where few match."""
    if not rows:
        raise DatasetError(f"{path}: has no rows; write a row for each image, or remove data.groups")
    if not unmatched:
        return
    first = unmatched[0]
    several = counted(len(unmatched), f"of {counted(rows, 'row')} matches", f"of {rows} rows match")
    told = f"{several} no image under {root}, the first: '{first.file}' in line {first.line}"
    if rows - len(unmatched) < FEW * rows and found < FEW * len(names):
        raise DatasetError(f"{path}: {told}; write paths relative to data.root, such as {min(names)}")
    log.warning("%s: %s", path, told)


def _say_groups(path: Path, groups: Mapping[str, str], matched: int, rows: int, images: int) -> None:
    left = images - len(groups)
    log.info(
        "%s: %s %d of %s a group, %s in all%s",
        path,
        counted(matched, f"of {counted(rows, 'row')} matches, and gives", f"of {rows} rows match, and give"),
        len(groups),
        counted(images, "image"),
        counted(len(set(groups.values())), "group"),
        f"; {counted(left, 'other image is a group of its own', 'other images are groups of their own')}"
        if left
        else "",
    )


def _rows(path: Path) -> Iterator[_Row]:
    lines = list(io.StringIO(read_text(path, "data.groups"), newline=""))
    start = next((i for i, line in enumerate(lines) if line.strip()), 0)
    named = lines[start].strip() if lines else ""
    separator = named[4:5] if named.lower().startswith("sep=") else ""
    start += bool(separator)
    start = next((i for i in range(start, len(lines)) if lines[i].strip()), start)
    file, group, separator, has_header = _columns(path, lines[start] if start < len(lines) else "", separator)
    reader = csv.reader(lines[start:], delimiter=separator, skipinitialspace=separator != "\t")
    try:
        for index, row in enumerate(reader):
            cells, line = [cell.strip() for cell in row], start + reader.line_num
            if not any(cells) or (has_header and index == 0):
                continue
            if max(file, group) >= len(cells) or not (cells[file] and cells[group]):
                what = "group" if file < len(cells) and cells[file] else "file"
                raise DatasetError(f"{path}: line {line} has no {what}; complete or remove it")
            yield _Row(cells[file], cells[group], line)
    except csv.Error as error:
        raise DatasetError(f"{path}: line {start + reader.line_num} cannot be read ({error}); correct it") from None


def _columns(path: Path, first: str, separator: str) -> tuple[int, int, str, bool]:
    """Indices of file and group, the separator, and whether `first` is a header."""
    for candidate in separator or SEPARATORS:
        cells = [cell.strip().strip('"').strip() for cell in first.split(candidate)]
        titles = [cell.casefold() for cell in cells]
        file = next((titles.index(title) for title in FILE_COLUMNS if title in titles), None)
        group = next((titles.index(title) for title in GROUP_COLUMNS if title in titles), None)
        if file is not None and group is not None:
            return file, group, candidate, True
        if len(cells) == 2 and PurePosixPath(cells[0]).suffix.lower() in SUFFIXES:
            return 0, 1, candidate, False
    raise DatasetError(f"{path}: expected a CSV with the columns file and tile_group; correct data.groups or the file")

"""A part of an archive as an archive of its own: to take away, to keep, or to compare models on."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from edge_runtime.archive.files import MAP_ENDING, NEAREST_ENDING, VERDICT_ENDING
from edge_runtime.archive.index import INDEX_NAME, add_frames, create_index, open_index, reading
from edge_runtime.archive.label_journal import open_journal
from edge_runtime.archive.label_log import entries_of
from edge_runtime.archive.labels import catch_up
from edge_runtime.archive.reader import ArchiveReader, FrameQuery, Order
from edge_runtime.archive.record import ArchivedFrame
from latentline.base.atomic import new_folder
from latentline.base.counted import counted
from latentline.errors import ArchiveError

_PAGE = 500
_PROGRESS_SECONDS = 2.0
_log = logging.getLogger(__name__)


def copy_archive(folder: Path, output: Path, query: FrameQuery, order: Order, limit: int | None) -> int:
    """Copy the pictures that `query` means, `limit` of them at most, with their labels to a new archive `output`.

    Returns how many. A picture that is pruned in the meantime is left out. Raises ArchiveError when there is none,
    `output` exists, or the disk is full.
    """
    if output.exists():
        raise ArchiveError(f"{output}: there is something already; give a new folder")
    chosen = _chosen(ArchiveReader(folder), query, order, limit)
    if not chosen:
        raise ArchiveError(f"{folder}: no picture is like that; ask for others")
    try:
        with new_folder(output) as target:
            copied = _copied(folder, target, chosen)
            _write_index(folder, target, copied)
    except OSError as error:
        raise ArchiveError(f"{output}: cannot be written ({error.strerror}); nothing was exported") from None
    return len(copied)


def _chosen(reader: ArchiveReader, query: FrameQuery, order: Order, limit: int | None) -> list[ArchivedFrame]:
    chosen: list[ArchivedFrame] = []
    while limit is None or len(chosen) < limit:
        size = _PAGE if limit is None else min(_PAGE, limit - len(chosen))
        page = reader.frames(query, order, size, len(chosen)).frames
        chosen += page
        if len(page) < size:
            break
    return chosen


def _copied(folder: Path, target: Path, chosen: list[ArchivedFrame]) -> list[ArchivedFrame]:
    copied = []
    told = time.monotonic()
    for count, frame in enumerate(chosen, 1):
        verdict = frame.verdict
        (target / verdict.day).mkdir(exist_ok=True)
        try:
            for ending in (VERDICT_ENDING, MAP_ENDING, NEAREST_ENDING, verdict.suffix):
                name = f"{verdict.day}/{verdict.id}{ending}"
                shutil.copyfile(folder / name, target / name)
            copied.append(frame)
        except FileNotFoundError:
            _log.warning("%s is left out: it was removed in the meantime", verdict.id)
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            _log.info("%d of %s", count, counted(len(chosen), "picture"))
    return copied


def _write_index(folder: Path, target: Path, copied: list[ArchivedFrame]) -> None:
    create_index(target / INDEX_NAME)
    with reading(folder) as source, open_index(target / INDEX_NAME) as database, open_journal(target) as journal:
        entries = [entry for frame in copied for entry in entries_of(source, frame.verdict.id)]
        journal.append(sorted(entries, key=lambda entry: entry.at))
        database.execute("BEGIN IMMEDIATE")
        with database:
            add_frames(database, [frame.verdict for frame in copied])
            catch_up(database, journal)

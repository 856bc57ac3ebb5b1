"""`latentline-edge archive` and `latentline-edge labels`."""

from __future__ import annotations

import argparse
import json
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_runtime.archive.copying import copy_archive
from edge_runtime.archive.index import reading
from edge_runtime.archive.label_journal import open_journal
from edge_runtime.archive.labels import catch_up
from edge_runtime.archive.reader import ArchiveReader
from edge_runtime.archive.record import ArchivedFrame
from edge_runtime.archive.retention import ArchiveLimits, prune, size_of
from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.archive.store import ArchiveStore
from edge_runtime.archive.training_set import export_labels
from edge_runtime.config import load_station
from edge_runtime.tools.archive.arguments import query_of
from edge_runtime.tools.owner import refuse_root
from latentline.base.counted import counted
from latentline.errors import ArchiveError, ConfigError
from latentline.printable import printable

_GIB = 1 << 30
_NO_LIMITS = ArchiveLimits(None, None, None)


def run_archive(options: argparse.Namespace) -> int:
    """One of `list`, `export`, `prune`, `repair`. Raises ArchiveError and ConfigError."""
    folder, settings = _archive_of(options.target)
    if options.action == "list":
        _list(folder, options)
    elif options.action == "export":
        count = copy_archive(folder, options.output, query_of(options), options.order, options.limit)
        _say(
            options,
            {"pictures": count, "output": str(options.output)},
            f"{counted(count, 'picture is', 'pictures are')} in {options.output}",
        )
    elif options.action == "prune":
        refuse_root(folder)
        _prune(folder, settings, options)
    else:
        refuse_root(folder)
        _repair(folder, options)
    return 0


def run_labels(options: argparse.Namespace) -> int:
    """`export`. Raises ArchiveError and ConfigError."""
    folder, _ = _archive_of(options.target)
    done = export_labels(folder, options.output)
    numbers = {name: value for name, value in asdict(done).items() if name != "images"}
    sentence = (
        f"{options.output}: {counted(done.good, 'good image')} ({counted(done.false_alarms, 'false alarm')}), "
        f"{counted(done.defects, 'defect')} ({done.missed} missed), {done.masks} of them with a mask; left out: "
        f"{counted(done.copies, 'copy', 'copies')}, "
        f"{done.missing} whose file is gone"
    )
    _say(options, numbers, sentence)
    return 0


def _archive_of(target: Path) -> tuple[Path, ArchiveSection | None]:
    """Folder and settings of an archive, by a station's file or its own folder."""
    if target.is_dir():
        return target, None
    if not target.exists():
        raise ConfigError(f"{target}: there is no such file or folder; give a station's file, or an archive")
    settings = load_station(target).archive
    if settings is None:
        raise ConfigError(f"{target}: the station has no archive; add a section `archive`")
    return settings.path, settings


def _list(folder: Path, options: argparse.Namespace) -> None:
    page = ArchiveReader(folder).frames(query_of(options), options.order, options.limit, options.offset)
    if options.json:
        print(json.dumps({"total": page.total, "frames": [_content(frame) for frame in page.frames]}, indent=2))
        return
    for frame in page.frames:
        verdict = frame.verdict
        said = "abnormal" if verdict.abnormal else "normal"
        print(printable(f"{verdict.id}  {said:8}  {verdict.score:8.3f} / {verdict.threshold:.3f}  {_label(frame)}"))
    print(f"{len(page.frames)} of {counted(page.total, 'picture')}")


def _label(frame: ArchivedFrame) -> str:
    label = frame.label
    if label is None:
        return "-"
    words = [label.verdict, label.kind or "", "(disputed)" if frame.disputed else ""]
    return " ".join(word for word in words if word)


def _content(frame: ArchivedFrame) -> dict[str, Any]:
    label = None if frame.label is None else frame.label.model_dump(exclude_none=True)
    return {**asdict(frame.verdict), "label": label, "disputed": frame.disputed}


def _prune(folder: Path, settings: ArchiveSection | None, options: argparse.Namespace) -> None:
    own = _NO_LIMITS if settings is None else ArchiveLimits.of(settings)
    limits = ArchiveLimits(
        own.size if options.max_gib is None else int(options.max_gib * _GIB),
        own.days if options.max_days is None else options.max_days,
        own.pictures if options.max_pictures is None else options.max_pictures,
    )
    if limits == _NO_LIMITS:
        raise ArchiveError("there is no limit to prune to; give --max-gib, --max-days or --max-pictures")
    try:
        with reading(folder) as database:
            with open_journal(folder) as journal:
                database.execute("BEGIN IMMEDIATE")
                with database:
                    catch_up(database, journal)
            removed = prune(database, folder, limits, labelled=options.labelled)
            held = size_of(database)
    except OSError as error:
        raise ArchiveError(f"{folder}: pictures cannot be removed ({error.strerror})") from None
    above = held.above(limits)
    rest = "" if above is None else "; only labelled ones are left above the limit, and --labelled removes them, too"
    sentence = f"{counted(removed, 'picture')} removed, {held.pictures} left with {held.size / _GIB:.2f} GiB{rest}"
    _say(options, {"removed": removed, "pictures": held.pictures, "size": held.size, "above": above}, sentence)


def _repair(folder: Path, options: argparse.Namespace) -> None:
    try:
        store = ArchiveStore(folder, _NO_LIMITS)
    except (OSError, sqlite3.Error) as error:
        raise ArchiveError(f"{folder}: cannot be repaired now ({error})") from None
    store.close()
    done = store.recovered
    aside = None if done.set_aside is None else str(done.set_aside)
    _say(options, {**asdict(done), "set_aside": aside, "pictures": store.held.pictures}, str(done))


def _say(options: argparse.Namespace, numbers: dict[str, Any], sentence: str) -> None:
    print(json.dumps(numbers, indent=2) if options.json else printable(sentence))
